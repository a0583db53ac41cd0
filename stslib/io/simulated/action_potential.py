"""A smooth action potential of known threshold, peak, trough, half width, slopes and trough delay.

The seven numbers are those of `population.json`. Half width is the time above half height, halfway between
threshold and peak; the trough delay is counted from the peak.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

#: Step of the table that waveforms are interpolated from, in ms.
TABLE_STEP_MS = 0.001


@dataclass(frozen=True)
class ApShape:
    """Shape of one cell's action potential.

    The upstroke is a cubic smoothstep whose steepest slope is `upstroke`. The repolarisation is built from its slope: it
    grows smoothly to `downstroke`, stays there past half height, then fades to zero at the trough: most of it soon, a
    slow quarter of what is left to fall in a straight line.

    `upstroke_mv_per_ms` and `downstroke_mv_per_ms` are the steepest rise (positive) and fall (negative).
    """

    threshold_mv: float
    peak_mv: float
    trough_mv: float
    half_width_ms: float
    upstroke_mv_per_ms: float
    downstroke_mv_per_ms: float
    trough_delay_ms: float

    @property
    def height_mv(self) -> float:
        """From threshold to peak, in mV."""
        return self.peak_mv - self.threshold_mv

    @property
    def rise_ms(self) -> float:
        """From threshold to peak, in ms: a smoothstep of height h and length T is steepest in its middle, 1.5 h / T."""
        return 1.5 * self.height_mv / self.upstroke_mv_per_ms

    @property
    def duration_ms(self) -> float:
        """From threshold to trough, in ms."""
        return self.rise_ms + self.trough_delay_ms

    @cached_property
    def _fall(self) -> tuple[float, float, float, float, float]:
        """The falling slope: wait, growth and end of its steepest part (ms), then weight of the slow part and exponent."""
        steepest = -self.downstroke_mv_per_ms
        half_at = self.half_width_ms - self.rise_ms / 2.0
        # Half height is reached at half_at when the slope waits, grows over `growth`, then stays steepest:
        # wait + growth / 2 + (height / 2) / steepest = half_at.
        spare = half_at - self.height_mv / 2.0 / steepest
        growth = 2.0 * min(spare, half_at - spare)
        wait = spare - growth / 2.0
        below_half = self.peak_mv - self.height_mv / 2.0 - self.trough_mv
        # The steepest part goes on for a quarter of what is left, longer where the trough comes soon.
        for kept in (0.25, 0.4, 0.55, 0.7):
            end = half_at + kept * below_half / steepest
            # What is left to fall, as a share of what the steepest slope would fall until the trough.
            left = (1.0 - kept) * below_half / (steepest * (self.trough_delay_ms - end))
            slow = 0.5 * left  # a slope that falls in a line has half the area: a quarter of what is left
            exponent = (1.0 - slow) / (0.75 * left) - 1.0
            if left > 0.0 and exponent >= 0.5:
                break
        return wait, growth, end, slow, exponent

    @property
    def possible(self) -> bool:
        """Whether one smooth waveform can have all seven properties at once."""
        if not (self.threshold_mv + 20.0 < self.peak_mv and self.trough_mv < self.threshold_mv + 8.0):
            return False
        if not (self.upstroke_mv_per_ms > 50.0 and self.downstroke_mv_per_ms < -20.0):
            return False
        if self.half_width_ms <= self.rise_ms / 2.0:
            return False
        wait, growth, end, _, exponent = self._fall
        return wait >= 0.0 and growth >= 0.02 and end < self.trough_delay_ms and exponent >= 0.5

    def fallen(self, t_ms: np.ndarray) -> np.ndarray:
        """How far the potential has fallen `t_ms` after the peak, in mV."""
        wait, growth, end, slow, exponent = self._fall
        steepest = -self.downstroke_mv_per_ms
        x = np.clip((t_ms - wait) / growth, 0.0, 1.0)
        grown = growth * x**3 * (1.0 - x / 2.0)  # integral of the smoothstep
        plateau = np.clip(t_ms, wait + growth, end) - (wait + growth)
        length = self.trough_delay_ms - end
        y = np.clip((t_ms - end) / length, 0.0, 1.0)
        soon = (1.0 - slow) / (exponent + 1.0) * (1.0 - (1.0 - y) ** (exponent + 1.0))
        faded = length * (soon + slow / 2.0 * (1.0 - (1.0 - y) ** 2))
        return steepest * (grown + plateau + faded)

    def at(self, t_ms: np.ndarray) -> np.ndarray:
        """Potential (mV) at `t_ms` (ms from threshold, `(n,)`): threshold before it, trough after the end."""
        return np.interp(t_ms, *waveform(self))


@lru_cache(maxsize=8)
def waveform(shape: ApShape) -> tuple[np.ndarray, np.ndarray]:
    """The waveform from threshold to trough: time from threshold (ms) and potential (mV), on a grid of 1 us."""
    rise = np.arange(0.0, shape.rise_ms, TABLE_STEP_MS)
    x = rise / shape.rise_ms
    up = shape.threshold_mv + shape.height_mv * x * x * (3.0 - 2.0 * x)
    fall = np.append(np.arange(0.0, shape.trough_delay_ms, TABLE_STEP_MS), shape.trough_delay_ms)
    down = shape.peak_mv - shape.fallen(fall)
    return np.concatenate([rise, shape.rise_ms + fall]), np.concatenate([up, down])
