"""Checks of a learner inside its training cells: parts of the data, fewer cells, wrong labels, honest probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from stslib import evaluation
from stslib.baseline import Folds, Learner
from stslib.cohort import CLASSES, class_index
from stslib.evaluation import temperature
from stslib.support.errors import ParameterError, StsError

_NAMES = np.asarray(CLASSES, dtype=object)
_CURVE = (0.05, 0.1, 0.2, 0.4, 0.7, 1.0)  # shares of the learning curve
_NOISE = (0.0, 0.05, 0.1, 0.2, 0.4)  # shares of wrong labels


def by_part(labels: Any, predictions: Any, parts: Any, n_bootstrap: int = 2000, seed: int = 2026) -> pd.DataFrame:
    """Accuracy, balanced accuracy, recall of each class, with 95 % intervals, in each part (data set) of the cells."""
    y, classes, where = (np.asarray(v, dtype=object) for v in (labels, predictions, parts))
    rows = []
    for part in sorted(set(where)):
        here = where == part
        for metric in ("accuracy", "balanced_accuracy"):
            value = evaluation.with_interval(y[here], classes[here], n_bootstrap, seed, metric)
            rows.append((part, evaluation.METRIC_NAMES[metric], *value, int(here.sum())))
        share, low, high = evaluation.confusion_shares(y[here], classes[here], n_bootstrap, seed)
        for k, label in enumerate(CLASSES):
            if n := int((y[here] == label).sum()):
                rows.append((part, label, share[k, k], low[k, k], high[k, k], n))
    return pd.DataFrame(rows, columns=["part", "metric", "value", "low", "high", "n"])


def learning_curve(
    learner: Learner, x: pd.DataFrame, y: Any, folds: Folds, shares: Sequence[float] = _CURVE, n_bootstrap: int = 2000
) -> pd.DataFrame:
    """Balanced accuracy of held-out cells against `n`, the mean number of cells learnt from (a `share` of a class)."""
    labels = np.asarray(y, dtype=object)
    rows = []
    for share in shares:
        if not 0 < share <= 1:
            raise ParameterError(f"share is {share}; it must be above 0 and at most 1")
        rng = np.random.default_rng(learner.seed)
        cut = []
        for fit, out in folds:
            chosen = [rng.permutation(fit[labels[fit] == c]) for c in CLASSES]
            cut.append((np.sort(np.concatenate([c[: max(round(share * len(c)), 2)] for c in chosen])), out))
        n = float(np.mean([len(fit) for fit, _ in cut]))
        classes = evaluation.predicted(learner.held_out(x, labels, cut))
        rows.append((share, n, *evaluation.with_interval(labels, classes, n_bootstrap, learner.seed)))
    return pd.DataFrame(rows, columns=["share", "n", "value", "low", "high"])


def noisy_labels(
    learner: Learner, x: pd.DataFrame, y: Any, folds: Folds, shares: Sequence[float] = _NOISE, n_bootstrap: int = 2000
) -> pd.DataFrame:
    """Balanced accuracy of held-out cells when a `share` of the labels learnt from is one of the other classes."""
    labels = np.asarray(y, dtype=object)
    numbers = class_index(labels)
    rows = []
    for share in shares:
        if not 0 <= share < 1:
            raise ParameterError(f"share is {share}; it must be at least 0 and below 1")
        rng = np.random.default_rng(learner.seed)
        wrong = rng.random(len(labels)) < share
        turned = (numbers + rng.integers(1, len(CLASSES), len(labels))) % len(CLASSES)
        classes = evaluation.predicted(learner.held_out(x, np.where(wrong, _NAMES[turned], labels), folds))
        rows.append((share, *evaluation.with_interval(labels, classes, n_bootstrap, learner.seed)))
    return pd.DataFrame(rows, columns=["share", "value", "low", "high"])


def suspects(labels: Any, proba: np.ndarray) -> np.ndarray:
    """The class that the held-out model finds instead `(n_cells,)`, empty where the label is not doubted.

    Another class is at least as probable as it is on average for cells labelled so, and is the most probable: confident
    learning (Northcutt et al. 2021, J. Artif. Intell. Res. 70:1373).
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
    if len(y) < 2:
        raise StsError("a calibration error needs at least 2 cells")
    _, error = evaluation.calibration(labels, proba)
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    at = temperature.bins(confidence)
    rng = np.random.default_rng(seed)
    drawn = np.empty(n_bootstrap)
    for k in range(n_bootstrap):
        rows = rng.integers(0, len(y), len(y))
        gap = np.bincount(at[rows], right[rows] - confidence[rows], temperature.N_BINS)
        drawn[k] = np.abs(gap).sum() / len(y)
    return error, *evaluation.interval(drawn)
