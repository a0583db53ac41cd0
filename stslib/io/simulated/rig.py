"""What a rig adds: onset, sampling rate, noise, hum, the converter's steps; and the membrane between action potentials."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from stslib.io.simulated.action_potential import TROUGH_SHARE, Shape, approach, recovery, settle

NOISE_RATE_HZ = 50_000  # noise is made at this rate, also where the raw rate is higher


@dataclass(frozen=True)
class Rig:
    """One recording set-up: start of the step (s), sampling rates in use (Hz), step of the converter and hum (mV, Hz).

    The step lasts `duration_s`; the sweep goes on for `tail_s` after it.
    """

    name: str
    onset_s: float
    rates_hz: tuple[float, ...]
    count_mv: float
    hum_mv: float
    hum_hz: float = 60.0
    duration_s: float = 1.0
    tail_s: float = 0.3


#: The rigs of the Cell Types Database (about half of its cells at either rate) and of the Patch-seq release.
RIGS = {
    "Clamp": Rig("Clamp", 1.02, (50_000.0, 200_000.0), 0.03125, 0.01),
    "Seq": Rig("Seq", 0.5, (50_000.0,), 0.00625, 0.02),
}


@dataclass(frozen=True)
class Membrane:
    """The passive cell: rest (mV), time constant (ms), deflection (mV) at each subthreshold current (pA), sag (share of it).

    The sag sets in once the membrane is charged. `noise_mv` at rest, two to four times as much near the threshold (open
    channels), `electrode_mv` of white noise: as in the six real sweeps of mackelab/IdentifyMechanisticModels_2020.
    """

    rest_mv: float
    tau_ms: float
    sag: float
    noise_mv: float
    electrode_mv: float
    between_sweeps_mv: float = 0.2
    noise_tau_ms: float = 15.0
    gain_at_threshold: float = 2.5

    def step(self, t_ms: np.ndarray, deflection_mv: float) -> np.ndarray:
        """Response to a step from its onset at 0 ms; a hyperpolarisation is deepest once charged, then sags."""
        charged_ms = float(np.clip(5.0 * self.tau_ms, 30.0, 250.0))
        charged = -np.expm1(-np.maximum(t_ms, 0.0) / self.tau_ms) / -np.expm1(-charged_ms / self.tau_ms)
        sag = self.sag if deflection_mv < 0.0 else 0.0
        back = -np.expm1(-np.maximum(t_ms - charged_ms, 0.0) / 60.0)
        return deflection_mv * np.minimum(charged, 1.0) * (1.0 - sag * back)

    def noise(self, rig: Rig, rate_hz: float, near_threshold: bool, rng: np.random.Generator) -> np.ndarray:
        """Noise of one sweep, in mV: membrane, electrode, hum, slow drift."""
        length_s = rig.onset_s + rig.duration_s + rig.tail_s
        n = round(length_s * NOISE_RATE_HZ) + 1
        decay = float(np.exp(-1e3 / NOISE_RATE_HZ / self.noise_tau_ms))
        kicks = rng.standard_normal(n, dtype=np.float32) * np.sqrt(1.0 - decay * decay)
        kicks[0] /= np.sqrt(1.0 - decay * decay)
        fast = lfilter([1.0], [1.0, -decay], kicks) * self.noise_mv
        t_s = np.arange(n) / NOISE_RATE_HZ
        if near_threshold:
            during = (t_s >= rig.onset_s) & (t_s < rig.onset_s + rig.duration_s)
            grown = -np.expm1(-(t_s[during] - rig.onset_s) * 1e3 / self.tau_ms)
            fast[during] *= 1.0 + (self.gain_at_threshold - 1.0) * grown
        fast += rng.standard_normal(n, dtype=np.float32) * self.electrode_mv
        level, drift = rng.standard_normal(2)
        phase = rng.uniform(0.0, 2.0 * np.pi)
        fast += self.between_sweeps_mv * (level + drift * (t_s - rig.onset_s))
        fast += rig.hum_mv * np.sin(2.0 * np.pi * rig.hum_hz * t_s + phase)
        if rate_hz == NOISE_RATE_HZ:
            return fast[: round(length_s * rate_hz)]
        return np.interp(np.arange(round(length_s * rate_hz)) / rate_hz, t_s, fast)


def silent_trace(t_ms: np.ndarray, membrane: Membrane, deflection_mv: float, duration_ms: float) -> np.ndarray:
    """A sweep without action potentials; `t_ms` counts from the onset."""
    trace = membrane.rest_mv + membrane.step(t_ms, deflection_mv)
    after = t_ms >= duration_ms
    last_mv = float(membrane.step(np.array([duration_ms]), deflection_mv)[0])
    trace[after] = membrane.rest_mv + last_mv * np.exp(-(t_ms[after] - duration_ms) / membrane.tau_ms)
    trace[t_ms < 0.0] = membrane.rest_mv
    return trace


def spiking_trace(
    t_ms: np.ndarray, membrane: Membrane, times_ms: np.ndarray, shapes: list[Shape], duration_ms: float
) -> np.ndarray:
    """A sweep with an action potential of each of `shapes` at each of `times_ms` from the onset."""
    trace = np.full(t_ms.size, membrane.rest_mv)

    def part(start_ms: float, end_ms: float) -> tuple[slice, np.ndarray]:
        where = slice(*np.searchsorted(t_ms, (start_ms, end_ms)))
        return where, t_ms[where] - start_ms

    where, t = part(0.0, times_ms[0])
    trace[where] = approach(t, membrane.rest_mv, shapes[0], float(times_ms[0]), membrane.tau_ms)
    for k, (time_ms, shape) in enumerate(zip(times_ms, shapes, strict=True)):
        last = k + 1 == len(shapes)
        end_ms = duration_ms if last else float(times_ms[k + 1])
        where, t = part(time_ms, time_ms + shape.spike_ms)
        trace[where] = shape.spike(t)
        at_ms, at_mv = time_ms + shape.spike_ms, shape.threshold_mv + shape.fast_trough_mv
        early = 0.25 if shape.trough_mv > -0.5 else 0.0  # leaves a fast trough as fast as it came
        slope = TROUGH_SHARE * shape.upstroke_mv_per_ms / shape.ratio
        for turn_ms, turn_mv in shape.troughs():
            stop_ms = time_ms + turn_ms
            if stop_ms > end_ms - (0.0 if last else 1.0):
                break
            where, t = part(at_ms, stop_ms)
            trace[where] = settle(t, at_mv, turn_mv, stop_ms - at_ms, slope)
            at_ms, at_mv, slope = stop_ms, turn_mv, 0.0
        where, t = part(at_ms, end_ms)
        if last:
            rise_mv = max(0.5 * (shape.threshold_mv - at_mv) - 2.0, 0.6)
            trace[where] = at_mv + rise_mv * (1.0 - recovery(t, early, 2.0 * membrane.tau_ms))
        else:
            trace[where] = approach(t, at_mv, shapes[k + 1], end_ms - at_ms, early=early)
    after = t_ms >= duration_ms
    last_mv = trace[after.argmax() - 1]
    trace[after] = membrane.rest_mv + (last_mv - membrane.rest_mv) * np.exp(
        -(t_ms[after] - duration_ms) / membrane.tau_ms
    )
    return trace
