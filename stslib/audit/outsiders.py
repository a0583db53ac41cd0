"""Cells that do not belong: how odd a cell is among the training cells of its rig, in all features at once.

A classifier names a class for anything. One score is the distance to the nearest training cells (Sun et al. 2022, ICML),
one the classifier's own doubt. Both become p-values: the share of training cells that, held out, looked as odd.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from stslib.baseline.kernel import Standard

N_NEIGHBOURS = 10
FALSE_ALARMS = 0.05  # share of cells like the training cells that may be flagged


def distances(
    fit: pd.DataFrame, rigs: np.ndarray, x: pd.DataFrame | None = None, other_rigs: np.ndarray | None = None
) -> np.ndarray:
    """Mean distance `(n,)` of cells `x` to the ten nearest cells `fit` of their own rig, all features weighing the same.

    Without `x` those of the cells `fit` themselves, each to the others.
    """
    standard = Standard.of(fit)
    known, wanted = (standard(part)[:, : len(standard.features)] for part in (fit, fit if x is None else x))
    where = rigs if other_rigs is None else other_rigs
    far = np.full(len(where), np.inf)
    for rig in set(rigs) & set(where):
        mine = known[rigs == rig]
        nearest = NearestNeighbors(n_neighbors=min(N_NEIGHBOURS, len(mine) - 1)).fit(mine)
        far[where == rig] = nearest.kneighbors(None if x is None else wanted[where == rig])[0].mean(axis=1)
    return far


def p_values(scores: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Share of the `known` cells that are as odd or more, `(n,)`, counting the cell itself: uniform for cells like them."""
    return (1 + len(known) - np.searchsorted(np.sort(known), scores)) / (1 + len(known))


def oddness(scores: pd.DataFrame, known: pd.DataFrame, rigs: np.ndarray, known_rigs: np.ndarray) -> pd.DataFrame:
    """p-values of each column of `scores` among the `known` cells of the same rig, and of all together, `both`.

    Those of one cell are put together by the sum of their logarithms (Fisher), which is then compared like a score.
    """
    found = pd.DataFrame(1.0, index=range(len(scores)), columns=[*scores, "both"])
    for rig in set(known_rigs):
        here, there = rigs == rig, known_rigs == rig
        sums: tuple[Any, Any] = 0.0, 0.0
        for name in scores:
            old = known.loc[there, name].to_numpy()
            pair = p_values(scores.loc[here, name].to_numpy(), old), p_values(old, old)
            found.loc[here, name] = pair[0]
            sums = sums[0] - np.log(pair[0]), sums[1] - np.log(pair[1])
        found.loc[here, "both"] = p_values(*sums)
    return found


def judged(p: pd.DataFrame, sure: np.ndarray, groups: np.ndarray, belong: str) -> pd.DataFrame:
    """For each score and group of cells: the share `flagged` at `FALSE_ALARMS`, the ROC `area` against those that `belong`.

    `sure`, whether the classifier is, gives the share that it would classify without a second look.
    """
    rows = []
    for score in p:
        for group in dict.fromkeys(groups):
            mine, both = groups == group, (groups == group) | (groups == belong)
            area = np.nan if group == belong else roc_auc_score(groups[both] == group, -p[score][both])
            rows.append(
                (score, group, (p[score][mine] < FALSE_ALARMS).mean(), area, sure[mine].mean(), int(mine.sum()))
            )
    return pd.DataFrame(rows, columns=["score", "cells", "flagged", "area", "sure", "n"])
