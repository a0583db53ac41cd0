"""An action potential and the troughs after it, of given threshold, height, times, slopes: pieces that fit together.

Between threshold and fast trough the voltage is the integral of a slope of fixed form, so that the threshold (the slope is
5 % of the steepest), peak, steepest rise and fall, and the fast trough (the slope is back at 1 % of the steepest fall) are
where AllenSDK finds them. Before the threshold the slope grows like an exponential.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

THRESHOLD_SHARE = 0.05  # of the steepest rise, AllenSDK's definition of the threshold
TROUGH_SHARE = 0.01  # of the steepest fall, where the fast trough is
_TAIL_SHARE = 0.03  # of the steepest fall, just before it: noise must not end the fall early
_GRID = np.linspace(0.0, 1.0, 401)
_FOOT_MS = (0.2, 4.0)  # time constants of the sharp and the slow part of the approach to threshold
_FOOT_MV = 3.0  # height of the slow part


@dataclass(frozen=True)
class Shape:
    """One action potential. Troughs: `fast_trough_mv` from the threshold, the later ones from the fast trough, in time, too.

    `roundness` of the rise: larger is steeper in its middle; `trough_mv`: the deepest point, `slow_mv`, `slow_ms`: a second
    trough after a rise (NaN: none).
    """

    threshold_mv: float
    height_mv: float
    peak_ms: float
    ratio: float
    fast_trough_mv: float
    fast_trough_ms: float
    trough_mv: float
    trough_ms: float
    slow_mv: float = float("nan")
    slow_ms: float = float("nan")
    roundness: float = 1.2

    @property
    def upstroke_mv_per_ms(self) -> float:
        """The steepest rise."""
        return _rise(self.roundness)[1] * self.height_mv / self.peak_ms

    @property
    def steepness(self) -> float:
        """The steepest fall over the mean one, from peak to fast trough."""
        fall_mv = self.height_mv - self.fast_trough_mv
        return self.upstroke_mv_per_ms / self.ratio * self.fast_trough_ms / fall_mv

    @property
    def spike_ms(self) -> float:
        """From threshold to fast trough."""
        return self.peak_ms + self.fast_trough_ms

    def spike(self, t_ms: np.ndarray) -> np.ndarray:
        """Voltage `t_ms` after the threshold, up to the fast trough."""
        up = self.threshold_mv + self.height_mv * np.interp(t_ms / self.peak_ms, _GRID, _rise(self.roundness)[0])
        fall_mv = self.height_mv - self.fast_trough_mv
        share = np.interp((t_ms - self.peak_ms) / self.fast_trough_ms, _GRID, _fall(round(self.steepness, 4)))
        return np.where(t_ms < self.peak_ms, up, self.threshold_mv + self.height_mv - fall_mv * share)

    def troughs(self) -> list[tuple[float, float]]:
        """Turning points after the fast trough: ms from the threshold, and mV."""
        start_ms, start_mv = self.spike_ms, self.threshold_mv + self.fast_trough_mv
        points = [(start_ms + self.trough_ms, start_mv + self.trough_mv)]
        if np.isfinite(self.slow_ms):
            top_mv = max(self.slow_mv + 0.9, self.trough_mv + 2.0)
            points.append((start_ms + min(4.5, 0.5 * self.slow_ms), start_mv + top_mv))
            points.append((start_ms + self.slow_ms, start_mv + self.slow_mv))
        return points


@lru_cache(maxsize=64)
def _rise(roundness: float) -> tuple[np.ndarray, float]:
    """Share of the height reached on `_GRID` of the way to the peak, and the steepest over the mean slope."""
    lobe = np.sin(np.pi * _GRID) ** (2.0 * roundness)
    slope = np.where(_GRID < 0.5, THRESHOLD_SHARE + (1.0 - THRESHOLD_SHARE) * lobe, lobe)
    share = _integral(slope)
    return share / share[-1], float(1.0 / share[-1])


@lru_cache(maxsize=256)
def _fall(steepness: float) -> np.ndarray:
    """Share of the fall on `_GRID` of the way to the fast trough: the slope grows, is steepest for a while, then fades."""
    area, grows, steepest = 1.0 / max(steepness, 1.2), 0.14, 0.04
    fades = 1.0 - grows - steepest
    left = area - grows / 2.0 - steepest - _TAIL_SHARE * fades
    exponent = min((1.0 - _TAIL_SHARE) * fades / max(left, 1e-3) - 1.0, 14.0)
    if exponent < 1.0:  # a broad fall: the same slope for longer, then a straight fade
        exponent, half = 1.0, (1.0 + _TAIL_SHARE) / 2.0
        steepest = min((area - grows / 2.0 - half * (1.0 - grows)) / (1.0 - half), 0.8)
        fades = 1.0 - grows - steepest
    x = np.clip(_GRID / grows, 0.0, 1.0)
    y = np.clip((_GRID - grows - steepest) / fades, 0.0, 1.0)
    z = np.clip((y - 0.93) / 0.07, 0.0, 1.0)
    tail = _TAIL_SHARE + (TROUGH_SHARE - _TAIL_SHARE) * z * z * (3.0 - 2.0 * z)
    share = _integral(x * x * (3.0 - 2.0 * x) * (tail + (1.0 - _TAIL_SHARE) * (1.0 - y) ** exponent))
    return share / share[-1]


def _integral(slope: np.ndarray) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(slope[1:] + slope[:-1])]) / (2.0 * (_GRID.size - 1))


def settle(t_ms: np.ndarray, from_mv: float, to_mv: float, length_ms: float, slope: float = 0.0) -> np.ndarray:
    """From one turning point to the next lower or higher one, `length_ms` later; flat at the end.

    `slope` (mV/ms) is how steeply it may begin, where it goes on from a fall.
    """
    power = float(np.clip(slope * length_ms / max(abs(to_mv - from_mv), 1e-6), 1.3, 2.5)) if slope else 2.5
    return to_mv + (from_mv - to_mv) * (1.0 - np.clip(t_ms / length_ms, 0.0, 1.0)) ** power


def recovery(t_ms: np.ndarray, early: float, tau_ms: float) -> np.ndarray:
    """From 1 at a trough towards 0, level at first: the share `early` within 2 ms, the rest with `tau_ms`."""
    fast, slow = t_ms / 0.7, t_ms / tau_ms
    return early * (1.0 + fast) * np.exp(-fast) + (1.0 - early) * (1.0 + slow) * np.exp(-slow)


def approach(
    t_ms: np.ndarray, from_mv: float, shape: Shape, length_ms: float, tau_ms: float = 0.0, early: float = 0.0
) -> np.ndarray:
    """From `from_mv` to the threshold of `shape`, reached after `length_ms`.

    The membrane charges with `tau_ms` (0: it leaves a trough, see `recovery`), then the sodium current sets in.
    """
    room_mv = max(shape.threshold_mv - from_mv, 0.4)
    slope = THRESHOLD_SHARE * shape.upstroke_mv_per_ms
    sharp_mv = min(slope * _FOOT_MS[0], 0.3 * room_mv)
    sharp_ms, slow_ms = sharp_mv / slope, min(_FOOT_MS[1], length_ms / 3.0)
    slow_mv = min(_FOOT_MV, 0.25 * room_mv)

    def feet(left_ms: np.ndarray | float) -> np.ndarray:
        return np.asarray(sharp_mv * np.expm1(-left_ms / sharp_ms) + slow_mv * np.expm1(-left_ms / slow_ms))

    if tau_ms > 0.0:
        lag, end = np.exp(-t_ms / tau_ms), np.exp(-length_ms / tau_ms)
    else:
        recovery_ms = min(length_ms / 2.0, 25.0)
        lag, end = recovery(t_ms, early, recovery_ms), recovery(np.array(length_ms), early, recovery_ms)
    begin_mv = from_mv - shape.threshold_mv - float(feet(length_ms))
    return shape.threshold_mv + feet(length_ms - t_ms) + begin_mv * (lag - end) / (1.0 - end)
