"""Draws what a cell's recording will measure, from the table `population.json`: a Gaussian copula for each group of cells.

The table (made by `stslib.io.simulated.table`) holds quantiles and correlations of the published long-square features of
training cells. A draw is a group and a vector of correlated normal numbers, each pushed through its column's quantiles.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri
from scipy.stats.qmc import Sobol

from stslib.cohort import CLASSES

#: Columns of the table with few distinct values: drawn from the quantiles without interpolation.
DISCRETE = ("rheobase_pa",)


@dataclass(frozen=True)
class Group:
    """Cells of one class and rig that fire alike: `troughs` and `firing` of the table, `n_cells` of the training set.

    `troughs` after the first action potential: `fast` (the fast one is the deepest), `last` (a deeper one follows, and no
    second action potential), `slow` (a deeper one before the second one), `two` (a shallower one, after a rise). `firing`
    40 pA above the rheobase: `few` (one or two action potentials), `transient` (the train stops early), `sustained`.
    """

    troughs: str
    firing: str
    n_cells: int
    one_spike: float
    two_spikes: float
    quantiles: tuple[np.ndarray, ...]
    factor: np.ndarray


@cache
def columns() -> tuple[str, ...]:
    """Names of the drawn quantities, units at their end (see `stslib.io.simulated.table`)."""
    return tuple(_table()["columns"])


@cache
def _table() -> dict:
    text = resources.files("stslib.io.simulated").joinpath("population.json").read_text(encoding="utf-8")
    table: dict = json.loads(text)
    return table


@cache
def groups(label: str, rig: str) -> tuple[Group, ...]:
    """The groups of one class on one rig."""
    start, n, found = f"{label.replace('/', '-')}/{rig}/", len(columns()), []
    for name, entry in _table()["groups"].items():
        if name.startswith(start):
            correlation = np.eye(n)
            correlation[np.tril_indices(n, -1)] = np.array(entry["correlation"]) / 100.0
            correlation = np.tril(correlation) + np.tril(correlation, -1).T
            troughs, firing = name.removeprefix(start).split("-")
            quantiles = tuple(np.array(values) for values in entry["quantiles"])
            shares = entry["one_spike"], entry["two_spikes"]
            found.append(Group(troughs, firing, entry["n_cells"], *shares, quantiles, factor(correlation)))
    return tuple(found)


def factor(correlation: np.ndarray) -> np.ndarray:
    """Lower Cholesky factor of the nearest correlations `(n, n)` that can occur together: eigenvalues of at least 1e-3."""
    values, vectors = np.linalg.eigh(correlation)
    possible = np.einsum("ik,k,jk->ij", vectors, np.maximum(values, 1e-3), vectors)
    scale = 1.0 / np.sqrt(np.diag(possible))
    return np.linalg.cholesky(possible * scale[:, None] * scale[None, :])


def rig_cells(label: str) -> dict[str, int]:
    """Training cells of a class on each rig."""
    return {rig: sum(g.n_cells for g in groups(label, rig)) for rig in ("Clamp", "Seq")}


def quartiles(label: str) -> dict[str, tuple[float, float, float]]:
    """Quartiles of each column over the training cells of a class, from its groups on both rigs."""
    every, found = [g for rig in ("Clamp", "Seq") for g in groups(label, rig)], {}
    for k, name in enumerate(columns()):
        known = [g for g in every if g.quantiles[k].size]
        grid = [np.linspace(0.0, 1.0, g.quantiles[k].size) for g in known]
        values = [
            np.interp((np.arange(g.n_cells) + 0.5) / g.n_cells, q, g.quantiles[k])
            for g, q in zip(known, grid, strict=True)
        ]
        low, middle, high = np.quantile(np.concatenate(values), (0.25, 0.5, 0.75))
        found[name] = (float(low), float(middle), float(high))
    return found


def reference() -> pd.DataFrame:
    """`quartiles` of all classes, a row a class and quantity: `label`, `quantity`, `low`, `median`, `high`."""
    rows = [(label, name, *values) for label in CLASSES for name, values in quartiles(label).items()]
    return pd.DataFrame(rows, columns=["label", "quantity", "low", "median", "high"])


def even_uniforms(label: str, seed: int, number: int) -> np.ndarray:
    """Numbers in (0, 1) for cell `number` of its class, evenly spread over the cells: rig, group, spikes, then the columns.

    A Sobol sequence, shifted by `seed` (Cranley and Patterson 1976): the classes of a small cohort have medians close to
    those of a large one, and a cell's numbers do not depend on how many cells there are.
    """
    block, row = divmod(number, 1024)
    return _even_block(label, seed, block)[row]


@lru_cache(maxsize=16)
def _even_block(label: str, seed: int, block: int) -> np.ndarray:
    """1024 rows of `even_uniforms`."""
    n = 3 + len(columns())
    shift = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(CLASSES.index(label),))).random(n)
    sequence = Sobol(n, scramble=False)
    if block:
        sequence.fast_forward(1024 * block)
    return np.clip((sequence.random(1024) + shift) % 1.0, 1e-6, 1.0 - 1e-6)


def draw(label: str, rig: str, uniform: np.ndarray) -> tuple[Group, int, dict[str, float]]:
    """One cell of a class on a rig, from `uniform` of `even_uniforms`: its group, action potentials 40 pA above the
    rheobase (1, 2, or 0 for a train), and the drawn quantities by column (NaN where its group has none).
    """
    every = groups(label, rig)
    edges = np.cumsum([g.n_cells for g in every])
    group = every[int(np.searchsorted(edges, uniform[1] * edges[-1], side="right"))]
    few = 1 if uniform[2] < group.one_spike else 2 if uniform[2] < group.one_spike + group.two_spikes else 0
    # A sum in a fixed order, not a BLAS product: the same bits whatever the number of threads.
    u = ndtr((group.factor * ndtri(uniform[3:])[None, :]).sum(axis=1))
    drawn = {}
    for name, level, values in zip(columns(), u, group.quantiles, strict=True):
        if not values.size:
            drawn[name] = float("nan")
        elif name in DISCRETE:
            drawn[name] = float(values[round(level * (values.size - 1))])
        else:
            drawn[name] = float(np.interp(level, np.linspace(0.0, 1.0, values.size), values))
    return group, few, drawn
