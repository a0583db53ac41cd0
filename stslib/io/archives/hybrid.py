"""Hybrid cells: spike times of a cell's own fitted model, each spike its own recorded action potential. Not recordings.

The model is GLIF3 (Teeter et al. 2018, Nat. Commun. 9:709): a leaky integrator with two after-spike currents, solved by
explicit Euler at 20 kHz and reset to rest, under a step of 1 s. When the potential passes the threshold, time is cut for as
long as the fit says; the after-spike currents decay over the cut and then grow by their amplitudes.

Over each spike the action potential is pasted, from where it first rises by more than 20 mV/ms. What it differs by from the
potential there decays to half over it. Where the cut is longer, a straight line leads to rest. Noise as in a recording is
added, 0.25 mV below 30 Hz (one pole) and 0.06 mV white; then the sweep is resampled to 10 kHz and rounded to 0.01 mV.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from scipy.signal import lfilter, resample_poly

from stslib.io.archives.public import build_action_potentials, glif3
from stslib.support.files import atomic
from stslib.support.progress import progress

RATE_HZ, ONSET, STOP, N_STEPS = 20_000, 4_000, 24_000, 28_000
STEP_PA, OFFSET_PA = 10.0, 40.0
SLOW_MV, SLOW_HZ, WHITE_MV = 0.25, 30.0, 0.06
MV_PER_COUNT = 0.01
_RISE = 20.0  # mV/ms, where an action potential begins
_CELLS = 256  # at a time: 57 MB of potential


def build_hybrid(output: Path, seed: int = 2026) -> Path:
    """`output/hybrid/hybrid.h5`: every cell that has an action potential and a model, at the rheobase and 40 pA above."""
    path = output / "hybrid" / "hybrid.h5"
    with h5py.File(build_action_potentials(output)) as source, atomic(path) as part, h5py.File(part, "w") as file:
        file.attrs["kind"] = "hybrid"
        models = glif3(source)
        for first in progress(range(0, len(models), _CELLS), "hybrid cells"):
            some = models.iloc[first : first + _CELLS]
            least = rheobase(some)
            for name, stimulus_pa in (("rheobase", least), ("rheobase_plus_40", least + OFFSET_PA)):
                membrane, spikes = simulate(some, stimulus_pa)
                for row, cell_id in enumerate(some.index):
                    recorded, model = source[cell_id], some.loc[cell_id]
                    group = file.require_group(cell_id)
                    group.attrs.update({key: recorded.attrs[key] for key in ("label", "split")})
                    v_mv = paste(membrane[row], spikes[row], upsampled(recorded), model)
                    noise = recording_noise(np.random.default_rng([seed, int(cell_id), int(name != "rheobase")]))
                    rest_mv = model["resting_v"] * 1e3
                    counts = np.round((resample_poly(v_mv - rest_mv + noise, 1, 2) + rest_mv) / MV_PER_COUNT)
                    sweep = group.create_dataset(
                        name, data=counts.astype(np.int16), compression="gzip", shuffle=True, chunks=(3500,)
                    )
                    sweep.attrs.update(
                        rate_hz=RATE_HZ / 2, mv_per_count=MV_PER_COUNT, stimulus_pa=stimulus_pa[row],
                        stimulus_onset_s=ONSET / RATE_HZ, stimulus_duration_s=(STOP - ONSET) / RATE_HZ,
                        n_spikes=len(spikes[row]),
                    )  # fmt: skip
    return path


def rheobase(models: pd.DataFrame) -> np.ndarray:
    """Smallest current in steps of 10 pA at which a 1 s step reaches the threshold, in pA, `(n_cells,)`."""
    resistance, tau_s = models["resistance_ohm"], models["resistance_ohm"] * models["capacitance_f"]
    reached = resistance * (1 - (1 - 1 / (RATE_HZ * tau_s)) ** (STOP - ONSET))  # V per A, of explicit Euler
    return (np.ceil(models["threshold_above_rest_v"] / reached * 1e12 / STEP_PA) * STEP_PA).to_numpy()


def simulate(models: pd.DataFrame, stimulus_pa: np.ndarray) -> tuple[np.ndarray, list[list[int]]]:
    """Potential in mV, `(n_cells, 28000)` at 20 kHz, and the steps at which each cell spiked, under currents `(n_cells,)`."""
    names = ("resistance_ohm", "capacitance_f", "resting_v", "threshold_above_rest_v", "spike_cut_steps_50us")
    resistance, capacitance, rest, threshold, cut = (models[name].to_numpy() for name in names)
    amplitude = models[["asc_amp_0_a", "asc_amp_1_a"]].to_numpy()
    rate = models[["asc_rate_0_per_s", "asc_rate_1_per_s"]].to_numpy()
    dt_s = 1 / RATE_HZ
    kept, over_cut = 1 - rate * dt_s, np.exp(-rate * dt_s * cut[:, None])
    n = len(models)
    v, after, resumes = np.zeros(n), np.zeros((n, 2)), np.zeros(n)
    spikes: list[list[int]] = [[] for _ in range(n)]
    membrane = np.empty((n, N_STEPS))
    for step in range(N_STEPS):
        live = step >= resumes
        i = stimulus_pa * 1e-12 if ONSET <= step < STOP else 0.0
        v = np.where(live, v + (i + after.sum(1) - v / resistance) * dt_s / capacitance, v)
        after = np.where(live[:, None], after * kept, after)
        membrane[:, step] = (rest + v) * 1e3
        for cell in np.flatnonzero(live & (v > threshold)):
            spikes[cell].append(step)
            after[cell] = amplitude[cell] + after[cell] * over_cut[cell]
            v[cell], resumes[cell] = 0.0, step + cut[cell]
    return membrane, spikes


def upsampled(recorded: h5py.Dataset) -> np.ndarray:
    """An action potential at 20 kHz in mV, peak at sample 20; the last two samples, bent by the filter, are left out."""
    v_mv = recorded[()].astype(np.float64)
    rate = round(float(recorded.attrs["rate_hz"]))
    divisor = int(np.gcd(rate, RATE_HZ))
    return (resample_poly(v_mv - v_mv[0], RATE_HZ // divisor, rate // divisor) + v_mv[0])[:-2]


def paste(membrane_mv: np.ndarray, spikes: list[int], ap_mv: np.ndarray, model: pd.Series) -> np.ndarray:
    """The potential `(n_steps,)` with the action potential over each spike, in mV."""
    begins = int(np.argmax(np.diff(ap_mv) * RATE_HZ / 1e3 > _RISE))
    shape, cut, v_mv = ap_mv[begins:], int(model["spike_cut_steps_50us"]), membrane_mv.copy()
    for spike in spikes:
        pasted = shape + (membrane_mv[spike] - shape[0]) * np.linspace(1, 0.5, len(shape))
        line = np.linspace(pasted[-1], model["resting_v"] * 1e3, max(cut - len(shape), 0))
        whole = np.concatenate([pasted, line])[: len(v_mv) - spike]
        v_mv[spike : spike + len(whole)] = whole
    return v_mv


def recording_noise(rng: np.random.Generator) -> np.ndarray:
    """Noise in mV, `(28000,)` at 20 kHz."""
    pole = np.exp(-2 * np.pi * SLOW_HZ / RATE_HZ)
    slow = lfilter([1 - pole], [1, -pole], rng.standard_normal(N_STEPS + RATE_HZ))[RATE_HZ:]
    return slow / slow.std() * SLOW_MV + rng.standard_normal(N_STEPS) * WHITE_MV
