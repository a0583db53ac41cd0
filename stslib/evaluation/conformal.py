"""What a lab can trust: sets of classes that hold the true one at a stated rate, and answers withheld where in doubt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from stslib.cohort import CLASSES
from stslib.evaluation.metrics import check_proba
from stslib.support.errors import ParameterError, StsError


def share(hits: np.ndarray) -> tuple[float, float, float]:
    """The share of `hits` `(n,)` of bool that are true, and its 95 % interval (Wilson); NaN without any."""
    if not len(hits):
        return np.nan, np.nan, np.nan
    ends = binomtest(int(np.sum(hits)), len(hits)).proportion_ci(method="wilson")
    return float(np.mean(hits)), float(ends.low), float(ends.high)


def thresholds(labels: Any, proba: np.ndarray, groups: Any, level: float = 0.9) -> dict[str, float]:
    """The lowest probability `(n, 4)` of a class that belongs into the set of a cell, for each group (rig) of cells.

    Of held-out cells of a group at least `level` have a true class of this probability or more, with the correction for
    a finite number of cells, so a new cell of that group has, too (split conformal prediction by group: Vovk 2012, ACML;
    Sadinle et al. 2019, J. Am. Stat. Assoc. 114:223). 0, all classes, where a group has too few cells for the level.
    """
    if not 0 < level < 1:
        raise ParameterError(f"level is {level}; it must lie between 0 and 1")
    y, p = check_proba(labels, proba)
    of_truth, found = p[np.arange(len(y)), y], {}
    for group in dict.fromkeys(groups):
        held = np.sort(of_truth[np.asarray(groups) == group])[::-1]
        rank = int(np.ceil((len(held) + 1) * level))
        found[str(group)] = float(held[rank - 1]) if rank <= len(held) else 0.0
    return found


def prediction_sets(proba: np.ndarray, groups: Any, limits: Mapping[str, float]) -> np.ndarray:
    """Which classes the set of each cell holds, `(n, 4)` of bool: those at or above its group's limit, one at least."""
    if unknown := sorted({str(g) for g in groups} - set(limits)):
        raise StsError(
            f"no held-out cell is from {unknown[0]!r}, so no set keeps its rate there; calibrate on such cells"
        )
    sets: np.ndarray = proba >= np.array([limits[str(g)] for g in groups])[:, None]
    sets[np.arange(len(proba)), np.argmax(proba, axis=1)] = True
    return sets


def sets_by_group(labels: Any, sets: np.ndarray, groups: Any) -> pd.DataFrame:
    """By `group`: how often sets `(n, 4)` hold the true class (`value`, `low`, `high`), and how useful they are.

    `size` is their mean number of classes, `single` the share of cells with one class, `accuracy` that of these.
    """
    y, names, rows = np.asarray(labels, dtype=object), np.asarray(groups), []
    holds = (sets & (y[:, None] == np.asarray(CLASSES, dtype=object))).any(axis=1)
    for group in sorted(set(names)):
        here, alone = names == group, (names == group) & (sets.sum(axis=1) == 1)
        rest = sets[here].sum(axis=1).mean(), alone.sum() / here.sum(), share(holds[alone])[0]
        rows.append((group, *share(holds[here]), *rest, int(here.sum())))
    return pd.DataFrame(rows, columns=["group", "value", "low", "high", "size", "single", "accuracy", "n"])


def accuracy_by_coverage(
    labels: Any, proba: np.ndarray, covered: Sequence[float] = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
) -> pd.DataFrame:
    """Accuracy (`value`, `low`, `high`) of the surest cells alone, for each `coverage`: the share that is answered.

    `threshold` is the highest probability of the last of them: a model that withholds what is below answers that share.
    """
    y, p = check_proba(labels, proba)
    order = np.argsort(-p.max(axis=1), kind="stable")
    right, rows = (p.argmax(axis=1) == y)[order], []
    for part in covered:
        n = max(1, round(part * len(y)))
        rows.append((part, float(p[order[n - 1]].max()), *share(right[:n]), n))
    return pd.DataFrame(rows, columns=["coverage", "threshold", "value", "low", "high", "n"])
