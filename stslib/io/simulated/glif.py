"""GLIF3: a leaky integrator with after-spike currents, solved in closed form between spikes.

Model and parameter names are those of Teeter et al. 2018 (Nat. Commun. 9:709), level 3, with the voltage reset to rest:

    C dV/dt = I(t) + sum_j A_j(t) - (V - V_rest) / R,      dA_j/dt = -k_j A_j

When V reaches the threshold (fixed, above rest), the model spikes. Time then jumps over the spike cut; after it V is at
rest, and A_j has gone on decaying and has grown by its amplitude. A long square's current is constant between its two
edges, so V is a sum of exponentials between events and no integration error builds up. Spike times lie on a 20 kHz grid,
as in the fits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

#: Grid of the spike times, in Hz: the spike cut of the published fits counts steps of 50 us.
STEP_RATE_HZ = 20_000
STEP_MS = 1e3 / STEP_RATE_HZ


@dataclass(frozen=True)
class Glif3:
    """Parameters of one cell's GLIF3 model.

    `asc_amplitude_pa` is what each spike adds to the two after-spike currents (negative hyperpolarises), `asc_rate_per_s` are
    their decay rates, `spike_cut_steps` is the length of the spike that is cut out, in steps of 50 us.
    """

    resistance_mohm: float
    capacitance_pf: float
    rest_mv: float
    threshold_above_rest_mv: float
    asc_amplitude_pa: tuple[float, float] = (0.0, 0.0)
    asc_rate_per_s: tuple[float, float] = (10.0, 100.0)
    spike_cut_steps: int = 40

    @property
    def tau_ms(self) -> float:
        """Membrane time constant, in ms."""
        return self.resistance_mohm * self.capacitance_pf * 1e-3


@dataclass(frozen=True)
class Kernels:
    """The exponentials of one model on the 20 kHz grid, each `(n_steps + 1,)`: computed once, used for all its sweeps.

    Decay of the membrane potential, of each after-spike current, and the depolarisation (mV) after a unit (pA) of each.
    """

    leak: np.ndarray
    asc: tuple[np.ndarray, np.ndarray]
    asc_mv_per_pa: tuple[np.ndarray, np.ndarray]


@lru_cache(maxsize=8)
def kernels(model: Glif3, n_steps: int) -> Kernels:
    """The decay curves of `model` for `n_steps` steps of 50 us; the latest few are kept, do not write into them."""
    t_ms = np.arange(n_steps + 1) * STEP_MS
    leak = np.exp(-t_ms / model.tau_ms)
    asc, response = [], []
    for rate_per_s in model.asc_rate_per_s:
        rate_per_ms = rate_per_s * 1e-3
        decay = np.exp(-t_ms * rate_per_ms)
        difference = 1.0 / model.tau_ms - rate_per_ms
        # Both time constants equal: the limit of the quotient.
        shape = t_ms * leak if abs(difference) < 1e-9 else (decay - leak) / difference
        asc.append(decay)
        response.append(shape / model.capacitance_pf)
    return Kernels(leak, (asc[0], asc[1]), (response[0], response[1]))


@dataclass(frozen=True)
class LongSquare:
    """A current step: amplitude in pA, then first step with current, first one without, and length of the sweep (50 us)."""

    stimulus_pa: float
    onset: int
    stop: int
    n_steps: int


def long_square(
    model: Glif3, kernel: Kernels, square: LongSquare, noise_mv: np.ndarray | None = None, membrane: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Response of `model` to a current step.

    `kernel` is `kernels(model, n_steps)`, or longer; `noise_mv`, `(n_steps,)`, is added to the potential that is held against
    the threshold. Returns the steps at which the threshold was reached, and the potential above rest without the noise,
    `(n_steps,)` in mV, 0 during a spike cut; empty unless `membrane`.
    """
    n_steps, stop = square.n_steps, square.stop
    noise = np.zeros(n_steps) if noise_mv is None else noise_mv
    above_rest_mv = np.zeros(n_steps if membrane else 0)
    spikes: list[int] = []
    level_mv, currents_pa = 0.0, (0.0, 0.0)
    position = square.onset
    while position < n_steps:
        edge = stop if position < stop else n_steps
        steady_mv = square.stimulus_pa * model.resistance_mohm * 1e-3 if position < stop else 0.0
        curve, spike_at = _until_threshold(
            kernel, steady_mv, level_mv, currents_pa, model.threshold_above_rest_mv, noise[position:edge]
        )
        if membrane:
            above_rest_mv[position : position + curve.size] = curve
        if spike_at < 0:
            elapsed = edge - position
            level_mv = _curve(kernel, steady_mv, level_mv, currents_pa, elapsed, elapsed + 1).item()
            gained = (0.0, 0.0)
        else:
            spikes.append(position + spike_at)
            elapsed = spike_at + model.spike_cut_steps
            level_mv = 0.0
            gained = model.asc_amplitude_pa
        last = kernel.leak.size - 1
        decayed = [float(k[min(elapsed, last)]) for k in kernel.asc]
        currents_pa = (currents_pa[0] * decayed[0] + gained[0], currents_pa[1] * decayed[1] + gained[1])
        position += elapsed
    return np.array(spikes, dtype=np.int64), above_rest_mv


def _curve(
    kernel: Kernels, steady_mv: float, level_mv: float, currents_pa: tuple[float, float], first: int, last: int
) -> np.ndarray:
    """Closed-form potential above rest, steps `first` to `last - 1` after it was `level_mv`."""
    span = slice(first, last)
    curve = kernel.leak[span] * (level_mv - steady_mv)
    curve += steady_mv
    for current_pa, response in zip(currents_pa, kernel.asc_mv_per_pa, strict=True):
        if current_pa != 0.0:
            curve += response[span] * current_pa
    return curve


def _until_threshold(
    kernel: Kernels,
    steady_mv: float,
    level_mv: float,
    currents_pa: tuple[float, float],
    threshold_mv: float,
    noise_mv: np.ndarray,
) -> tuple[np.ndarray, int]:
    """Potential up to the threshold or the end of `noise_mv`; the step of the crossing, or -1."""
    pieces, first, length = [], 0, 512
    while first < noise_mv.size:
        last = min(first + length, noise_mv.size)
        curve = _curve(kernel, steady_mv, level_mv, currents_pa, first, last)
        reached = curve + noise_mv[first:last] >= threshold_mv
        at = int(reached.argmax())
        if reached[at]:
            pieces.append(curve[: at + 1])
            return np.concatenate(pieces), first + at
        pieces.append(curve)
        first, length = last, length * 2
    return (np.concatenate(pieces) if pieces else np.zeros(0)), -1
