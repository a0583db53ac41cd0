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


def by_part(labels: Any, predictions: Any, parts: Any, n_bootstrap: int = 2000, seed: int = 2026) -> pd.DataFrame:
    """Accuracy, balanced accuracy and recall of each class in each part (a data set) of the cells, with 95 % intervals.

    Columns: `part`, `metric` (a class for its recall), `value`, `low`, `high`, `n`; a class that a part lacks is left out.
    """
    y, classes, where = (np.asarray(v, dtype=object) for v in (labels, predictions, parts))
    rows = []
    for part in sorted(set(where)):
        here = where == part
        drawn = evaluation.bootstrap(y[here], classes[here], n_bootstrap, seed)
        for metric in ("accuracy", "balanced_accuracy"):
            value = evaluation.score(metric, y[here], classes[here])
            name = evaluation.METRIC_NAMES[metric]
            rows.append((part, name, value, *evaluation.interval(drawn[metric]), int(here.sum())))
        share, low, high = evaluation.confusion_shares(y[here], classes[here], n_bootstrap, seed)
        for k, label in enumerate(CLASSES):
            if n := int((y[here] == label).sum()):
                rows.append((part, label, share[k, k], low[k, k], high[k, k], n))
    return pd.DataFrame(rows, columns=["part", "metric", "value", "low", "high", "n"])


def _scored(labels: np.ndarray, proba: np.ndarray, n_bootstrap: int, seed: int) -> tuple[float, float, float]:
    classes = evaluation.predicted(proba)
    drawn = evaluation.bootstrap(labels, classes, n_bootstrap, seed)["balanced_accuracy"]
    return evaluation.score("balanced_accuracy", labels, classes), *evaluation.interval(drawn)


def learning_curve(
    learner: Learner,
    x: pd.DataFrame,
    y: Any,
    folds: Folds,
    shares: Sequence[float] = (0.05, 0.1, 0.2, 0.4, 0.7, 1.0),
    n_bootstrap: int = 2000,
) -> pd.DataFrame:
    """Balanced accuracy of held-out cells (`value`, `low`, `high`) against the mean number `n` of cells learnt from.

    Each fold's fitted part is cut to a `share` of each class; the held-out cells stay the same.
    """
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
        rows.append((share, n, *_scored(labels, learner.held_out(x, labels, cut), n_bootstrap, learner.seed)))
    return pd.DataFrame(rows, columns=["share", "n", "value", "low", "high"])


def noisy_labels(
    learner: Learner,
    x: pd.DataFrame,
    y: Any,
    folds: Folds,
    shares: Sequence[float] = (0.0, 0.05, 0.1, 0.2, 0.4),
    n_bootstrap: int = 2000,
) -> pd.DataFrame:
    """Balanced accuracy of held-out cells (`value`, `low`, `high`) when a `share` of the labels learnt from is wrong.

    A wrong label is one of the other three classes, each as likely. The held-out labels stay as they are.
    """
    labels = np.asarray(y, dtype=object)
    numbers = class_index(labels)
    rows = []
    for share in shares:
        if not 0 <= share < 1:
            raise ParameterError(f"share is {share}; it must be at least 0 and below 1")
        rng = np.random.default_rng(learner.seed)
        wrong = rng.random(len(labels)) < share
        turned = (numbers + rng.integers(1, len(CLASSES), len(labels))) % len(CLASSES)
        proba = learner.held_out(x, np.where(wrong, _NAMES[turned], labels), folds)
        rows.append((share, *_scored(labels, proba, n_bootstrap, learner.seed)))
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
    labels: Any, proba: np.ndarray, n_bins: int = 10, n_bootstrap: int = 2000, seed: int = 2026
) -> tuple[float, float, float]:
    """Expected calibration error and its 95 % bootstrap interval over cells.

    Even an honest model on few cells has an error above 0; the interval shows how far it varies, not whether it is 0.
    """
    y, p = evaluation.check_proba(labels, proba)
    if len(y) < 2:
        raise StsError("a calibration error needs at least 2 cells")
    _, error = evaluation.calibration(labels, proba, n_bins)
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    at = temperature.bins(confidence, n_bins)
    rng = np.random.default_rng(seed)
    drawn = np.empty(n_bootstrap)
    for k in range(n_bootstrap):
        rows = rng.integers(0, len(y), len(y))
        gap = np.bincount(at[rows], right[rows] - confidence[rows], n_bins)
        drawn[k] = np.abs(gap).sum() / len(y)
    return error, *evaluation.interval(drawn)
