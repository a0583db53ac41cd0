"""Comparators on the same cells and folds: what the voltage says without a scalogram, and all models in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from stslib import evaluation
from stslib.baseline import traces
from stslib.support.errors import StsError
from stslib.sweeps import SweepSettings


class Voltage(NamedTuple):
    """Held-out probabilities of the comparators, their costs (s to fit a fold, to classify 1,000 cells), what was left out."""

    proba: dict[str, np.ndarray]
    cost: dict[str, tuple[float, float]]
    notes: tuple[str, ...]


def voltage(
    sweeps_mv: np.ndarray, settings: SweepSettings, labels: np.ndarray, folds: Sequence[Any], seed: int
) -> Voltage:
    """The comparators of `baseline.traces` that suit these prepared sweeps; one that cannot run is left out, with a note."""
    found, cost, notes = {}, {}, []
    for name in traces.comparators_for(settings):
        try:
            held = traces.held_out(name, sweeps_mv, settings, labels, folds, seed)
        except StsError as error:  # a library is missing, or a class has too few cells for folds inside a fold
            notes.append(f"{name} was left out: {error}")
            continue
        found[name], cost[name] = held.proba, (held.fit_s, held.classify_s)
    return Voltage(found, cost, tuple(notes))


def table(
    labels: np.ndarray, every: Mapping[tuple[str, str], np.ndarray], first: np.ndarray, cost: Mapping[str, tuple[float, float]],
    seeds: Mapping[str, Sequence[np.ndarray]], n_bootstrap: int = 2000, seed: int = 2026,
) -> pd.DataFrame:  # fmt: skip
    """A row for each model and split of `every`: scores, the difference to the classes `first` cell by cell, the costs.

    `low`, `high`, `sd_cells`: of the bootstrap over cells; `sd_seeds`: of single networks of other seeds on the same folds.
    """
    rows, none = [], (float("nan"),) * 2
    for (name, split), proba in every.items():
        own = evaluation.predicted(proba)
        found = evaluation.compare(labels, own, first, n_bootstrap=n_bootstrap, seed=seed)
        drawn = evaluation.bootstrap(labels, own, n_bootstrap, seed)["balanced_accuracy"]
        named = [evaluation.predicted(of_seed) for of_seed in seeds.get(name, ())]
        each = [evaluation.score("balanced_accuracy", labels, classes) for classes in named]
        spread = float(np.std(each, ddof=1)) if len(each) > 1 and split == "cv" else float("nan")
        scores = (evaluation.score("weighted_f1", labels, own), found.first, *evaluation.interval(drawn))
        gap = (found.value, found.low, found.high)
        rows.append((name, split, *scores, float(drawn.std()), spread, *gap, *cost.get(name, none)))
    columns = ["model", "split", "weighted_f1", "balanced_accuracy", "low", "high", "sd_cells", "sd_seeds"]
    columns += ["difference", "difference_low", "difference_high", "fit_s", "classify_1000_s"]
    return pd.DataFrame(rows, columns=columns)


def verdicts(compared: pd.DataFrame, first: str) -> list[str]:
    """What the table says of each comparator against the model `first`, a line of Markdown each."""
    lines = []
    for row in compared[compared["split"] == "nested_cv"].itertuples():
        low, high = 100 * row.difference_low, 100 * row.difference_high
        verdict = "ahead" if low > 0 else "behind" if high < 0 else "not told apart"
        between = f"{100 * row.difference:+.1f} points ({low:+.1f} to {high:+.1f}), {verdict}"
        lines.append(f"- {row.model} against {first}, balanced accuracy: {between}.")
    return lines
