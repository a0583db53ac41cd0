"""One simulated cell: what its recording shall measure becomes currents, spike times and shapes, and those a voltage."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from scipy.signal import bessel, filtfilt

from stslib.io.simulated.action_potential import THRESHOLD_SHARE, TROUGH_SHARE, Shape
from stslib.io.simulated.population import Group
from stslib.io.simulated.rig import Membrane, Rig, silent_trace, spiking_trace
from stslib.io.simulated.train import counts, intervals

#: Suprathreshold currents, in pA above the rheobase, and how often each of its sweeps is missing.
ABOVE_PA = (0, 20, 40, 60, 80)
_MISSING = {20: 0.10, 60: 0.15, 80: 0.40}
_END_S = 0.99  # no action potential begins later than this after the onset of the step
#: Change along a train, for classes: threshold (mV), height, time to peak and to fast trough (shares), irregularity.
DRIFT = {
    "Excitatory": (3.5, -0.08, 0.20, 0.45, 0.10),
    "Sst": (2.5, -0.06, 0.12, 0.50, 0.12),
    "Vip/Lamp5": (2.5, -0.08, 0.12, 0.40, 0.15),
    "Pvalb": (1.5, -0.06, 0.08, 0.15, 0.08),
}


@dataclass(frozen=True)
class Step:
    """One presented long square: sweep number, current (pA), deflection (mV, where silent), spike times (s from the onset)."""

    number: int
    stimulus_pa: int
    deflection_mv: float
    times_s: np.ndarray


@dataclass(frozen=True)
class SimulatedCell:
    """A cell and its protocol. `entropy` is the seed of its streams; `wanted` what its recording shall measure."""

    cell_id: str
    label: str
    rig: Rig
    rate_hz: float
    wanted: dict[str, float]
    shape: Shape
    membrane: Membrane
    drift: float
    steps: tuple[Step, ...]
    entropy: tuple[int, ...]

    def stream(self, number: int) -> np.random.Generator:
        """Random numbers of sweep `number`."""
        seed, *key = self.entropy
        return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(*key, number + 1)))

    def read(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Sweep `number` as recorded: `(v_mv, i_pa)`, each `(n_samples,)` float32 at the raw rate."""
        step = self.steps[number]
        v_mv = self._voltage(step, self.fitted)
        i_pa = np.zeros(v_mv.size, dtype=np.float32)
        on, off = (round(s * self.rate_hz) for s in (self.rig.onset_s, self.rig.onset_s + self.rig.duration_s))
        i_pa[on:off] = step.stimulus_pa
        return (np.round(v_mv / self.rig.count_mv) * self.rig.count_mv).astype(np.float32), i_pa

    def _voltage(self, step: Step, shape: Shape) -> np.ndarray:
        noise_mv = self._noise(step)
        t_ms = np.arange(noise_mv.size) * (1e3 / self.rate_hz) - self.rig.onset_s * 1e3
        if not step.times_s.size:
            return silent_trace(t_ms, self.membrane, step.deflection_mv, self.rig.duration_s * 1e3) + noise_mv
        return self._spiking(t_ms, step, shape) + noise_mv

    def _noise(self, step: Step) -> np.ndarray:
        return self.membrane.noise(self.rig, self.rate_hz, step.deflection_mv > 0.0, self.stream(step.number))

    def _spiking(self, t_ms: np.ndarray, step: Step, shape: Shape) -> np.ndarray:
        times_ms = 1e3 * step.times_s
        shapes, n = self.along(shape, times_ms), int(np.searchsorted(times_ms, t_ms[-1])) + 2
        return spiking_trace(t_ms, self.membrane, times_ms[:n], shapes[:n], self.rig.duration_s * 1e3)

    def along(self, shape: Shape, times_ms: np.ndarray) -> list[Shape]:
        """The shape of each action potential of a train: higher thresholds, lower and wider ones, shallower troughs."""
        threshold_mv, height, peak, trough, _ = DRIFT[self.label]
        isi_ms = np.append(np.diff(times_ms), 1e3)
        shapes = []
        for k, left_ms in enumerate(isi_ms):
            d = self.drift * (1.0 - 0.6**k)
            one = replace(
                shape,
                threshold_mv=shape.threshold_mv + d * threshold_mv,
                height_mv=shape.height_mv * (1.0 + d * height),
                peak_ms=shape.peak_ms * (1.0 + d * peak),
                fast_trough_ms=shape.fast_trough_ms * (1.0 + d * trough),
                ratio=shape.ratio * (1.0 + 0.8 * d * trough),
            )
            room_ms = 0.85 * left_ms - one.peak_ms
            if one.fast_trough_ms > room_ms:
                one = replace(one, fast_trough_ms=max(room_ms, 0.4 * left_ms))
            if k and one.trough_ms > 0.5 * (left_ms - one.spike_ms):
                one = replace(one, trough_ms=0.5 * (left_ms - one.spike_ms), slow_ms=float("nan"))
            shapes.append(one)
        return shapes

    @cached_property
    def fitted(self) -> Shape:
        """The shape whose first action potential at the rheobase, with the sweep's noise, measures as wanted."""
        step = next(s for s in self.steps if s.times_s.size)
        noise_mv, per_ms, goal, times_ms = self._noise(step), self.rate_hz / 1e3, self.wanted, 1e3 * step.times_s
        t_ms = np.arange(noise_mv.size) / per_ms - self.rig.onset_s * 1e3
        part = slice(*np.searchsorted(t_ms, times_ms[0] + (-8.0, self.shape.spike_ms + 8.0)))
        shape, best, least = self.shape, self.shape, np.inf
        for _ in range(6):
            rises = [s.upstroke_mv_per_ms for s in self.along(shape, times_ms)]
            v_mv = self._spiking(t_ms[part], step, shape) + noise_mv[part]
            found = measure(v_mv, self.rate_hz, float(np.mean(rises)) / rises[0], int(8.0 * per_ms))
            away = {name: goal[name] - value for name, value in found.items()}
            error = sum(abs(away[name]) / scale for name, scale in _SCALES.items())
            if error < least:
                best, least = shape, error
            shape = replace(
                shape,
                threshold_mv=shape.threshold_mv + away["threshold_mv"],
                height_mv=max(shape.height_mv + away["height_mv"], 5.0),
                peak_ms=max(shape.peak_ms + away["peak_ms"], 0.12),
                fast_trough_mv=shape.fast_trough_mv + away["fast_trough_mv"],
                fast_trough_ms=max(shape.fast_trough_ms + away["fast_trough_ms"], 0.25),
                ratio=shape.ratio * goal["upstroke_downstroke_ratio"] / found["upstroke_downstroke_ratio"],
            )
        # The trough is the lowest of many noisy samples.
        end_ms = times_ms[1] if times_ms.size > 1 else self.rig.duration_s * 1e3
        interval = slice(*np.searchsorted(t_ms, (times_ms[0] + best.peak_ms, end_ms)))
        lowest_mv = (self._spiking(t_ms, step, best) + noise_mv)[interval].min()
        wanted_mv = goal["threshold_mv"] + goal["fast_trough_mv"] + goal["trough_mv"]
        return replace(best, trough_mv=min(best.trough_mv + wanted_mv - float(lowest_mv), -0.01))


_SCALES = {"threshold_mv": 0.5, "height_mv": 0.5, "peak_ms": 0.02, "fast_trough_mv": 0.5, "fast_trough_ms": 0.1,
           "upstroke_downstroke_ratio": 0.03}  # fmt: skip


@lru_cache
def _bessel(rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    numerator, denominator = bessel(4, 1e4 / (rate_hz / 2.0))
    return numerator, denominator


def measure(v_mv: np.ndarray, rate_hz: float, relative: float, start: int) -> dict[str, float]:
    """The first action potential near sample `start` as AllenSDK measures it: slopes under its 10 kHz Bessel filter.

    `relative` is the mean steepest rise of the sweep's action potentials over that of the first.
    """
    slope = np.diff(filtfilt(*_bessel(rate_hz), v_mv)) * rate_hz / 1e3
    per_ms = rate_hz / 1e3
    peak = start + int(v_mv[start : start + int(3.0 * per_ms)].argmax())
    begin = max(peak - int(3.0 * per_ms), 0)
    up = begin + int(slope[begin : max(peak, begin + 1)].argmax())
    low = np.flatnonzero(slope[:up] <= THRESHOLD_SHARE * relative * slope[up])
    threshold = int(low[-1]) if low.size else begin
    down = peak + int(slope[peak : peak + int(8.0 * per_ms)].argmin())
    over = np.flatnonzero(slope[down:] >= TROUGH_SHARE * slope[down])
    trough = down + int(over[0]) if over.size else v_mv.size - 1
    return {
        "threshold_mv": float(v_mv[threshold]),
        "height_mv": float(v_mv[peak] - v_mv[threshold]),
        "peak_ms": (peak - threshold) / per_ms,
        "fast_trough_mv": float(v_mv[trough] - v_mv[threshold]),
        "fast_trough_ms": (trough - peak) / per_ms,
        "upstroke_downstroke_ratio": float(slope[up] / -slope[down]),
    }


def protocol(
    wanted: dict[str, float], group: Group, few: int, shape: Shape, irregularity: float, partner: bool,
    rng: np.random.Generator,
) -> list[Step]:  # fmt: skip
    """The long squares that an experimenter presents, and the response to each.

    Hyperpolarising steps first; then silent steps of 50 pA up to where a ramp has shown the rheobase, steps of 10 pA until the
    cell fires, and steps above that, of which some are missing (the one 40 pA above where not `partner`).
    """
    rheobase_pa = round(wanted["rheobase_pa"])
    silent = _hyperpolarised(wanted)
    floor_mv = wanted["threshold_mv"] - wanted["rest_mv"] - 9.0
    coarse = [*range(50, rheobase_pa - 20, 50)]
    fine = range(max([0, *coarse]) + 10, rheobase_pa, 10)
    silent += [(pa, max(floor_mv, 2.0) * pa / rheobase_pa) for pa in (*coarse, *fine)]
    above = [pa for pa in ABOVE_PA if rng.random() >= _MISSING.get(pa, 0.0) and (partner or pa != 40)]
    hero = next((k for k, pa in enumerate(above) if pa in (40, 60)), 0)
    trains = _trains(wanted, group, few, shape, irregularity, (above, hero), rng)
    steps = [Step(k, pa, mv, np.empty(0)) for k, (pa, mv) in enumerate(silent)]
    start = len(steps)
    return steps + [
        Step(start + k, rheobase_pa + pa, 1.0, times_s)
        for k, (pa, times_s) in enumerate(zip(above, trains, strict=True))
    ]


def _hyperpolarised(wanted: dict[str, float]) -> list[tuple[int, float]]:
    """Currents and deflections: the sag is read at the last one, nearest to -100 mV; the others follow Ohm's law."""
    rest_mv, per_pa = wanted["rest_mv"], 1e-3 * wanted["resistance_mohm"]
    deepest_mv = wanted["sag_mv"] - rest_mv
    deepest_pa = -10 * int(np.clip(round((-deepest_mv / per_pa - 10.0) / 20.0) * 2 + 1, 11, 19))
    near_mv = abs(wanted["sag_mv"] + 100.0)
    ohmic = [(pa, per_pa * pa) for pa in (-50, -70, -90) if abs(rest_mv + per_pa * pa + 100.0) > near_mv]
    shallow = [(pa, mv) for pa, mv in ohmic if mv > 0.95 * deepest_mv]
    return [(-30, -30 * per_pa), *shallow, (deepest_pa, deepest_mv)]


def _trains(
    wanted: dict[str, float], group: Group, few: int, shape: Shape, irregularity: float, sweeps: tuple[list[int], int],
    rng: np.random.Generator,
) -> list[np.ndarray]:  # fmt: skip
    """Spike times of each sweep at and above the rheobase, in s from the onset."""
    above, hero = sweeps
    shortest_s = 1e-3 * (shape.peak_ms + 0.6 * shape.fast_trough_ms + 1.0)
    latency_s, mean_s = min(wanted["latency_s"], _END_S - 0.02), 1e-3 * wanted["avg_isi_ms"]
    rise = wanted["f_i_hz_per_pa"]
    if few:
        n_hero = few
        mean_s = min(mean_s, _END_S - latency_s) if few == 2 else 0.0
    else:
        fits = 1 + int((_END_S - latency_s) / mean_s)
        n_hero = max(3, min(fits, 1 + round(40 * rise) if group.firing == "transient" else fits))
        mean_s = min(mean_s, (_END_S - latency_s) / (n_hero - 1))
    first_s = wanted["first_s"]
    next_s = 1e-3 * (shape.spike_ms + max(shape.trough_ms, 0.0 if np.isnan(shape.slow_ms) else shape.slow_ms) + 4.0)
    next_s = max(next_s, shortest_s)
    room = 1 + int(max(_END_S - first_s, 0.0) / next_s)
    first = {"last": (1, 1), "slow": (2, max(room, 2)), "two": (2, max(room, 2)), "fast": (1, max(room, 1))}
    most = int(0.9 / shortest_s)
    at_least, at_most = first[group.troughs]
    n = counts(above, rise, hero, n_hero, (at_least, at_most if few == 0 else min(at_most, 2)), most)
    trains = []
    for k, number in enumerate(n):
        if k == hero and hero:
            isi_s = intervals(number - 1, mean_s, wanted["adaptation"], irregularity, shortest_s, rng)
            start_s = latency_s
        else:
            start_s = first_s if k == 0 else latency_s * (1.15 - 0.15 * above[k] / 40.0)
            even_s = (_END_S - start_s) / (number - 1 + rng.uniform(0.2, 0.9)) if number > 1 else 0.0
            if group.firing == "transient":
                even_s = min(even_s, 1.5 * mean_s)
            if k == 0 and number > 1:
                even_s = min(max(even_s, next_s), (_END_S - start_s) / (number - 1))
            isi_s = intervals(number - 1, even_s, 0.02, irregularity, shortest_s, rng)
            if k == 0 and isi_s.size and isi_s[0] < next_s:
                isi_s[0] = next_s
        times_s = start_s + np.concatenate([[0.0], np.cumsum(isi_s)])
        trains.append(times_s[(times_s < _END_S + 0.005) | (np.arange(times_s.size) == 0)])
    return trains
