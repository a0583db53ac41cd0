"""Checks of a learner inside its training cells: parts of the data, fewer cells, wrong labels, honest probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from stslib import evaluation
from stslib.baseline import Folds, Learner
from stslib.cohort import CLASSES, class_index
from stslib.evaluation import temperature

_NAMES = np.asarray(CLASSES, dtype=object)


def by_part(
    labels: np.ndarray, predictions: np.ndarray, parts: np.ndarray, n_bootstrap: int = 2000, seed: int = 2026
) -> pd.DataFrame:
    """Accuracy, balanced accuracy, recall of each class, with 95 % intervals, in each part (data set) of the cells."""
    rows = []
    for part in sorted(set(parts)):
        of_part = labels[parts == part], predictions[parts == part]
        for metric in ("accuracy", "balanced_accuracy"):
            value = evaluation.with_interval(*of_part, n_bootstrap, seed, metric)
            rows.append((part, evaluation.METRIC_NAMES[metric], *value, len(of_part[0])))
        recall = np.diagonal(evaluation.confusion_shares(*of_part, n_bootstrap, seed), axis1=1, axis2=2).T
        n_true = (of_part[0] == _NAMES[:, None]).sum(axis=1)
        rows += [(part, label, *recall[k], n_true[k]) for k, label in enumerate(CLASSES) if n_true[k]]
    return pd.DataFrame(rows, columns=["part", "metric", "value", "low", "high", "n"])


def kept_promises(y: np.ndarray, proba: np.ndarray, rigs: np.ndarray, train: np.ndarray) -> pd.DataFrame:
    """Sets of classes of test cells at some levels, by rig (`evaluation.sets_by_group`), with thresholds of two kinds.

    They are calibrated on training cells while these were held out, all rigs in one or each by itself.
    """
    tables = []
    for level in (0.8, 0.9, 0.95):
        for how, groups in (("one for both", np.full(len(rigs), "both")), ("each its own", rigs)):
            limits = evaluation.thresholds(y[train], proba[train], groups[train], level)
            sets = evaluation.prediction_sets(proba[~train], groups[~train], limits)
            tables.append(evaluation.sets_by_group(y[~train], sets, rigs[~train]).assign(level=level, thresholds=how))
    return pd.concat(tables, ignore_index=True).rename(columns={"group": "rig"})


def fewer_cells(y: np.ndarray, folds: Folds, share: float, rng: np.random.Generator) -> tuple[np.ndarray, Folds]:
    """The same labels, and folds that learn from a `share` of each class, two cells at least."""
    cut = []
    for fit, out in folds:
        chosen = [rng.permutation(fit[y[fit] == c]) for c in CLASSES]
        cut.append((np.sort(np.concatenate([c[: max(round(share * len(c)), 2)] for c in chosen])), out))
    return y, cut


def wrong_labels(y: np.ndarray, folds: Folds, share: float, rng: np.random.Generator) -> tuple[np.ndarray, Folds]:
    """Labels of which a `share` is one of the other classes, and the same folds."""
    wrong = rng.random(len(y)) < share
    turned = (class_index(y) + rng.integers(1, len(CLASSES), len(y))) % len(CLASSES)
    return np.where(wrong, _NAMES[turned], y), folds


def curve(
    change: Callable[..., tuple[np.ndarray, Folds]], shares: Sequence[float], learner: Learner, x: pd.DataFrame,
    y: np.ndarray, folds: Folds, n_bootstrap: int = 2000,
) -> pd.DataFrame:  # fmt: skip
    """Balanced accuracy of held-out cells by models that learn from `n` changed cells, for each `share` of the change."""
    rows = []
    for share in shares:
        labels, parts = change(y, folds, share, np.random.default_rng(learner.seed))
        classes = evaluation.predicted(learner.held_out(x, labels, parts))
        n = float(np.mean([len(fit) for fit, _ in parts]))
        rows.append((share, n, *evaluation.with_interval(y, classes, n_bootstrap, learner.seed)))
    return pd.DataFrame(rows, columns=["share", "n", "value", "low", "high"])


def suspects(labels: Any, proba: np.ndarray) -> np.ndarray:
    """The class `(n_cells,)` that is the most probable, and as probable as on average for cells of it; else empty.

    Confident learning (Northcutt et al. 2021, J. Artif. Intell. Res. 70:1373).
    """
    y, p = evaluation.check_proba(labels, proba)
    usual = np.array([p[y == k, k].mean() if (y == k).any() else np.inf for k in range(len(CLASSES))])
    sure = np.where(p >= usual, p, 0.0)
    best = sure.argmax(axis=1)
    return np.where((sure.max(axis=1) > 0) & (best != y), _NAMES[best], "")


def calibration_interval(
    labels: Any, proba: np.ndarray, n_bootstrap: int = 2000, seed: int = 2026
) -> tuple[float, float, float]:
    """Expected calibration error and its 95 % interval; few cells of an honest model also give one above 0."""
    y, p = evaluation.check_proba(labels, proba)
    excess, at = (p.argmax(axis=1) == y) - p.max(axis=1), temperature.bins(p.max(axis=1))
    drawn = np.random.default_rng(seed).integers(0, len(y), (n_bootstrap, len(y)))
    errors = [np.abs(np.bincount(at[rows], excess[rows], temperature.N_BINS)).sum() / len(y) for rows in drawn]
    return evaluation.calibration(labels, proba)[1], *evaluation.interval(np.array(errors))
