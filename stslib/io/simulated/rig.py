"""What a rig adds to a model neuron: membrane and electrode noise, and the trace as the amplifier writes it down."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from stslib.io.simulated.action_potential import ApShape
from stslib.io.simulated.glif import STEP_MS, STEP_RATE_HZ, Glif3, Kernels, LongSquare, kernels, long_square

#: Step of the converter, in mV, as in the real sweeps.
COUNT_MV = 0.03125
#: Electrode noise is white up to half this rate, in Hz, also where the raw rate is higher.
ELECTRODE_RATE_HZ = 50_000
#: After the fast trough the membrane settles on its slow course with this time constant, in ms.
SETTLING_MS = 3.0
#: Part of the way from the fast trough to rest that the slow after-hyperpolarisation goes.
SLOW_AHP = 0.25


@dataclass(frozen=True)
class Rig:
    """One recording set-up; times in s, rate in Hz.

    The step begins at `onset_s` and lasts `duration_s`; the sweep goes on for `tail_s` after it.
    """

    name: str
    onset_s: float
    rate_hz: float
    duration_s: float = 1.0
    tail_s: float = 0.5

    @property
    def n_steps(self) -> int:
        """Length of a sweep in model steps of 50 us."""
        return round((self.onset_s + self.duration_s + self.tail_s) * STEP_RATE_HZ)

    @property
    def onset(self) -> int:
        """First model step with current."""
        return round(self.onset_s * STEP_RATE_HZ)

    @property
    def stop(self) -> int:
        """First model step without current again."""
        return self.onset + round(self.duration_s * STEP_RATE_HZ)

    def square(self, stimulus_pa: float) -> LongSquare:
        """The rig's step at this amplitude."""
        return LongSquare(stimulus_pa, self.onset, self.stop, self.n_steps)


#: The rigs of the Cell Types Database and of the Patch-seq release: onset and raw rate as in their files.
RIGS = {"Clamp": Rig("Clamp", onset_s=1.02, rate_hz=200_000.0), "Seq": Rig("Seq", onset_s=0.5, rate_hz=50_000.0)}


@dataclass(frozen=True)
class Noise:
    """Noise of one cell's recording, all standard deviations in mV.

    Levels as in the six real sweeps of the Cell Types Database that mackelab/IdentifyMechanisticModels_2020 holds: 0.06 to
    0.19 mV before the step, of which 0.03 mV is white, and two to four times as much between spikes (open channels).

    `membrane_mv` and `membrane_tau_ms`: Ornstein-Uhlenbeck noise of the membrane at rest, `gain_at_threshold` times larger at
    threshold; `between_sweeps_mv`, `drift_mv_per_s`: change of the resting potential from sweep to sweep, and its slope
    within one; `electrode_mv`: white noise that the membrane does not see.
    """

    membrane_mv: float = 0.09
    membrane_tau_ms: float = 15.0
    gain_at_threshold: float = 2.5
    between_sweeps_mv: float = 0.3
    drift_mv_per_s: float = 0.3
    electrode_mv: float = 0.03

    def membrane(self, model: Glif3, stimulus_pa: float, rig: Rig, rng: np.random.Generator) -> np.ndarray:
        """Membrane noise of one sweep, `(rig.n_steps,)` in mV: it moves the spikes, too."""
        n = rig.n_steps
        kept = np.exp(-STEP_MS / self.membrane_tau_ms)
        kicks = rng.standard_normal(n)
        kicks[1:] *= np.sqrt(1.0 - kept * kept)
        fast = lfilter([1.0], [1.0, -kept], kicks) * self.membrane_mv
        fraction = stimulus_pa * model.resistance_mohm * 1e-3 / model.threshold_above_rest_mv
        t_ms = np.arange(rig.stop - rig.onset) * STEP_MS
        reached = min(max(fraction, 0.0), 1.0) * -np.expm1(-t_ms / model.tau_ms)
        fast[rig.onset : rig.stop] *= 1.0 + (self.gain_at_threshold - 1.0) * reached
        level, slope = rng.standard_normal(2)
        t_s = np.arange(n) / STEP_RATE_HZ - rig.onset_s
        return fast + level * self.between_sweeps_mv + slope * self.drift_mv_per_s * t_s

    def electrode(self, duration_s: float, rate_hz: float, rng: np.random.Generator) -> np.ndarray:
        """Electrode noise at the raw rate, in mV."""
        n_raw = round(duration_s * rate_hz)
        n = round(duration_s * ELECTRODE_RATE_HZ)
        white = rng.standard_normal(n + 1) * self.electrode_mv
        if rate_hz == ELECTRODE_RATE_HZ:
            return white[:n_raw]
        return np.interp(np.arange(n_raw) / rate_hz, np.arange(n + 1) / ELECTRODE_RATE_HZ, white)


def membrane_trace(model: Glif3, shape: ApShape, rig: Rig, spikes: np.ndarray, above_rest_mv: np.ndarray) -> np.ndarray:
    """Potential between the action potentials, `(rig.n_steps,)` in mV.

    Before the first spike the model's way from rest to threshold is stretched to end at the action potential's
    threshold. GLIF3 resets to rest, far below where real cells go after a spike; after a spike its way from reset to threshold
    is therefore squeezed to begin near the trough: a fraction `SLOW_AHP` of the way from the trough to rest. After the
    step, the squeeze is released with the membrane's time constant.
    """
    threshold = model.threshold_above_rest_mv
    before = model.rest_mv + above_rest_mv * ((shape.threshold_mv - model.rest_mv) / threshold)
    if spikes.size == 0:
        return before
    floor_mv = shape.trough_mv - SLOW_AHP * (shape.trough_mv - model.rest_mv)
    after = shape.threshold_mv - (threshold - above_rest_mv) * ((shape.threshold_mv - floor_mv) / threshold)
    released = max(rig.stop, int(spikes[-1]) + model.spike_cut_steps)
    weight = np.zeros(rig.n_steps)
    weight[spikes[0] :] = 1.0
    weight[released:] = np.exp(-np.arange(rig.n_steps - released) * (STEP_MS / model.tau_ms))
    trace = before + weight * (after - before)
    # From the fast trough, with level tangent, to the slow course.
    first = int(shape.duration_ms / STEP_MS)
    s = np.arange(round(6 * SETTLING_MS / STEP_MS)) * (STEP_MS / SETTLING_MS)
    settling = (1.0 + s) * np.exp(-s)
    for spike, following in zip(spikes, np.append(spikes[1:], rig.n_steps), strict=True):
        begin, end = spike + first, min(spike + first + settling.size, following, rig.n_steps)
        if begin < end:
            trace[begin:end] += (shape.trough_mv - trace[begin]) * settling[: end - begin]
    return trace


@dataclass(frozen=True)
class Neuron:
    """A model neuron on a rig: its model, action potential, rig and noise."""

    model: Glif3
    shape: ApShape
    rig: Rig
    noise: Noise

    def kernel(self) -> Kernels:
        """Decay curves of the model for one sweep."""
        return kernels(self.model, self.rig.n_steps)

    def respond(
        self, stimulus_pa: float, noise_mv: np.ndarray, membrane: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Spikes and potential above rest of one sweep (see `long_square`)."""
        return long_square(self.model, self.kernel(), self.rig.square(stimulus_pa), noise_mv, membrane)


def record(neuron: Neuron, stimulus_pa: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The sweep as a file would hold it: `(v_mv, i_pa)`, each `(n_samples,)` float32 at the rig's raw rate."""
    model, shape, rig, noise = neuron.model, neuron.shape, neuron.rig, neuron.noise
    noise_mv = noise.membrane(model, stimulus_pa, rig, rng)
    spikes, above_rest_mv = neuron.respond(stimulus_pa, noise_mv, membrane=True)
    trace = membrane_trace(model, shape, rig, spikes, above_rest_mv)
    duration_s = rig.n_steps / STEP_RATE_HZ
    n_samples = round(duration_s * rig.rate_hz)
    t_steps = np.arange(n_samples) * (STEP_RATE_HZ / rig.rate_hz)
    grid = np.arange(rig.n_steps)
    v_mv = np.interp(t_steps, grid, trace)
    length = int(np.floor(shape.duration_ms * 1e-3 * rig.rate_hz))
    for spike in spikes:
        begin = int(np.ceil(spike * rig.rate_hz / STEP_RATE_HZ))
        span = slice(begin, min(begin + length, n_samples))
        t_ms = (t_steps[span] - spike) * STEP_MS
        # Where the membrane is not quite at the threshold (noise, a spike soon after another) the upstroke makes up for it.
        step = trace[spike] - shape.threshold_mv
        v_mv[span] = shape.at(t_ms) + step * np.clip(1.0 - t_ms / shape.rise_ms, 0.0, 1.0)
    v_mv += np.interp(t_steps, grid, noise_mv)
    v_mv += noise.electrode(duration_s, rig.rate_hz, rng)
    v_mv = np.round(v_mv / COUNT_MV) * COUNT_MV
    i_pa = np.zeros(n_samples, dtype=np.float32)
    i_pa[round(rig.onset_s * rig.rate_hz) : round((rig.onset_s + rig.duration_s) * rig.rate_hz)] = stimulus_pa
    return v_mv.astype(np.float32), i_pa
