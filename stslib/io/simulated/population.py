"""Draws cells from per-class population statistics: a Gaussian copula over GLIF3 parameters and action-potential shape.

The statistics (`population.json` beside this module, with their sources) are marginal quantiles, Spearman correlations and
counts. A draw is a vector of correlated normal numbers, one a column, each pushed through its column's quantiles.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats.qmc import Sobol

from stslib.io.simulated.action_potential import ApShape
from stslib.io.simulated.glif import Glif3


@dataclass(frozen=True)
class ClassStatistics:
    """What one class is drawn from; `population.json` says what each entry is, with its source.

    `columns` are the drawn quantities, units at their end; `quantiles` `(n_columns, n_levels)` their values at the
    probabilities `levels`; `spearman` their rank correlations. Rows of `asc_rates`: rates 0 and 1 (1/s), count, mean normal
    scores 0 and 1 of the after-spike currents of such cells. The last two are only to check a cohort against.
    """

    label: str
    columns: tuple[str, ...]
    levels: np.ndarray
    quantiles: np.ndarray
    spearman: np.ndarray
    asc_rates: np.ndarray
    asc_score_sd: np.ndarray
    rig_cells: dict[str, int]
    rheobase_ratio: float
    spikes_above: tuple[int, int]
    recorded_rheobase_pa: tuple[float, float, float]
    fitted_spikes_above: tuple[float, float, float]


@cache
def statistics() -> dict[str, ClassStatistics]:
    """The reference table, one entry a class."""
    text = resources.files("stslib.io.simulated").joinpath("population.json").read_text(encoding="utf-8")
    table = json.loads(text)
    columns = tuple(table["columns"])
    return {
        label: ClassStatistics(
            label=label,
            columns=columns,
            levels=np.array(table["quantiles"]),
            quantiles=np.array([entry["quantile_values"][name] for name in columns]),
            spearman=np.array(entry["rank_correlation"]),
            asc_rates=np.array(entry["asc_rates"], dtype=float),
            asc_score_sd=np.array(entry["asc_score_sd"]),
            rig_cells=entry["rig_cells"],
            rheobase_ratio=entry["rheobase_ratio"],
            spikes_above=(entry["spikes_above"][0], entry["spikes_above"][1]),
            recorded_rheobase_pa=tuple(entry["recorded_rheobase_pa"]),
            fitted_spikes_above=tuple(entry["fitted_spikes_above"]),
        )
        for label, entry in table["classes"].items()
    }


def normal_correlation(spearman: np.ndarray) -> np.ndarray:
    """Pearson correlations of the normal numbers that give the rank correlations `spearman`, `(n, n)`.

    r = 2 sin(pi rho / 6) (Pearson 1907). Pairwise rounded correlations need not form a correlation matrix: negative
    eigenvalues are lifted to 1e-4 and the diagonal scaled back to 1.
    """
    pearson = 2.0 * np.sin(np.pi * (spearman + spearman.T) / 12.0)
    np.fill_diagonal(pearson, 1.0)
    values, vectors = np.linalg.eigh(pearson)
    if values.min() < 1e-4:
        pearson = np.einsum("ik,k,jk->ij", vectors, np.maximum(values, 1e-4), vectors)
        scale = 1.0 / np.sqrt(np.diag(pearson))
        pearson = pearson * scale[:, None] * scale[None, :]
    return pearson


@cache
def _factor(label: str) -> np.ndarray:
    """Lower Cholesky factor of the class's normal correlation."""
    return np.linalg.cholesky(normal_correlation(statistics()[label].spearman))


def from_quantiles(u: np.ndarray, levels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values at the probabilities `u`, `(n,)`: linear between the quantiles, their outer slopes go on to 0 and 1."""
    lowest = values[0] - levels[0] * (values[1] - values[0]) / (levels[1] - levels[0])
    highest = values[-1] + (1.0 - levels[-1]) * (values[-1] - values[-2]) / (levels[-1] - levels[-2])
    return np.interp(u, np.concatenate([[0.0], levels, [1.0]]), np.concatenate([[lowest], values, [highest]]))


def even_normals(label: str, seed: int, number: int) -> np.ndarray:
    """Independent standard normal numbers for cell `number` of its class, one a column, evenly spread over the cells.

    A Sobol sequence, shifted by `seed` (Cranley and Patterson 1976): the classes of a small cohort have medians close to
    those of a large one, and a cell's numbers do not depend on how many cells there are.
    """
    block, row = divmod(number, 1024)
    return _even_block(label, seed, block)[row]


@lru_cache(maxsize=64)
def _even_block(label: str, seed: int, block: int) -> np.ndarray:
    """1024 rows of `even_normals`."""
    n_columns = len(statistics()[label].columns)
    position = list(statistics()).index(label)
    shift = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(position,))).random(n_columns)
    sequence = Sobol(n_columns, scramble=False)
    if block:
        sequence.fast_forward(1024 * block)
    u = (sequence.random(1024) + shift) % 1.0
    return ndtri(np.clip(u, 1e-6, 1.0 - 1e-6))


def draw(label: str, normal: np.ndarray) -> np.ndarray:
    """All columns of class `label`, a row a cell, from independent standard normal numbers `(n, n_columns)`."""
    stats = statistics()[label]
    factor = _factor(label)
    # A sum in a fixed order, not a BLAS product: the same bits whatever the number of threads.
    correlated = (factor[None, :, :] * normal[:, None, :]).sum(axis=2)
    u = ndtr(correlated)
    return np.stack([from_quantiles(u[:, k], stats.levels, row) for k, row in enumerate(stats.quantiles)], axis=1)


def draw_rates(
    stats: ClassStatistics, amplitude_a: tuple[float, float], rng: np.random.Generator
) -> tuple[float, float]:
    """Decay rates of two after-spike currents of these amplitudes (A), in 1/s.

    A pair of rates is drawn from the joint counts, weighted (Bayes) by how likely these amplitudes are in cells with that
    pair: normal scores, normal around the row's mean. The tie matters: large after-spike currents decay fast, and large and
    slow ones, drawn together by chance, would silence the cell.
    """
    scores = np.empty(2)
    for j in range(2):
        values = stats.quantiles[stats.columns.index(f"asc_amp_{j}_a")]
        scores[j] = ndtri(min(max(np.interp(amplitude_a[j], values, stats.levels), 0.005), 0.995))
    away = (scores - stats.asc_rates[:, 3:]) / stats.asc_score_sd
    weight = stats.asc_rates[:, 2] * np.exp(-0.5 * (away[:, 0] ** 2 + away[:, 1] ** 2))
    cumulated = np.cumsum(weight)
    row = int(np.searchsorted(cumulated, rng.random() * cumulated[-1], side="right"))
    return float(stats.asc_rates[row, 0]), float(stats.asc_rates[row, 1])


def draw_cell(label: str, normal: np.ndarray, rng: np.random.Generator) -> tuple[Glif3, ApShape]:
    """One draw as a GLIF3 model and an action-potential shape, from `(n_columns,)` standard normal numbers.

    The fitted resistance is divided by the class's `rheobase_ratio`: the one calibration to recordings here. GLIF3 has a
    straight current-voltage line, real membranes bend between rest and threshold; the same cells' recorded rheobase is
    about 0.7 of their models' in Excitatory and Sst cells, and 1.2 in Pvalb cells. The ratio is measured on the cells of
    the Cell Types Database that have both, outside the test split.
    """
    stats = statistics()[label]
    value = dict(zip(stats.columns, draw(label, normal[None, :])[0], strict=True))
    amplitude_a = (float(value["asc_amp_0_a"]), float(value["asc_amp_1_a"]))
    model = Glif3(
        resistance_mohm=float(value["resistance_ohm"]) * 1e-6 / stats.rheobase_ratio,
        capacitance_pf=float(value["capacitance_f"]) * 1e12,
        rest_mv=float(value["resting_v"]) * 1e3,
        threshold_above_rest_mv=float(value["threshold_above_rest_v"]) * 1e3,
        asc_amplitude_pa=(amplitude_a[0] * 1e12, amplitude_a[1] * 1e12),
        asc_rate_per_s=draw_rates(stats, amplitude_a, rng),
        spike_cut_steps=max(1, round(float(value["spike_cut_steps_50us"]))),
    )
    shape = ApShape(
        threshold_mv=float(value["ap_threshold_mv"]),
        peak_mv=float(value["ap_peak_mv"]),
        trough_mv=float(value["ap_trough_mv"]),
        half_width_ms=float(value["ap_half_width_ms"]),
        upstroke_mv_per_ms=float(value["ap_upstroke_mv_per_ms"]),
        downstroke_mv_per_ms=float(value["ap_downstroke_mv_per_ms"]),
        trough_delay_ms=float(value["ap_trough_delay_ms"]),
    )
    return model, shape
