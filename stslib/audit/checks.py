"""Checks of a learner inside its training cells: parts of the data, fewer cells, wrong labels, honest probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from stslib import evaluation
from stslib.baseline.search import Learner, held_out
from stslib.cohort import CLASSES, class_index
from stslib.support.errors import ParameterError, StsError

Folds = Sequence[tuple[np.ndarray, np.ndarray]]


def by_part(labels: Any, predictions: Any, parts: Any, n_bootstrap: int = 2000, seed: int = 2026) -> pd.DataFrame:
    """Accuracy, balanced accuracy and recall of each class in each part of the cells, with 95 % intervals.

    Parameters
    ----------
    labels, predictions, parts : (n_cells,) of str
        True class, predicted class, and the part (a data set) that the cell belongs to.

    Returns
    -------
    DataFrame
        `part`, `metric` (`accuracy`, `balanced accuracy`, or a class, whose metric is its recall), `value`, `low`, `high`,
        `n` (cells behind it). A class that a part lacks is left out.
    """
    y, said, where = (np.asarray(v, dtype=object) for v in (labels, predictions, parts))
    rows = []
    for part in sorted(set(where)):
        here = where == part
        drawn = evaluation.bootstrap(y[here], said[here], n_bootstrap, seed)
        for metric in ("accuracy", "balanced_accuracy"):
            value = evaluation.score(metric, y[here], said[here])
            name = evaluation.METRIC_NAMES[metric]
            rows.append((part, name, value, *evaluation.interval(drawn[metric]), int(here.sum())))
        share, low, high = evaluation.confusion_shares(y[here], said[here], n_bootstrap, seed)
        for k, label in enumerate(CLASSES):
            if n := int((y[here] == label).sum()):
                rows.append((part, label, share[k, k], low[k, k], high[k, k], n))
    return pd.DataFrame(rows, columns=["part", "metric", "value", "low", "high", "n"])


def _scored(labels: np.ndarray, proba: np.ndarray, n_bootstrap: int, seed: int) -> tuple[float, float, float]:
    said = evaluation.predicted(proba)
    drawn = evaluation.bootstrap(labels, said, n_bootstrap, seed)["balanced_accuracy"]
    return evaluation.score("balanced_accuracy", labels, said), *evaluation.interval(drawn)


def learning_curve(
    learner: Learner,
    x: pd.DataFrame,
    y: Any,
    folds: Folds,
    shares: Sequence[float] = (0.05, 0.1, 0.2, 0.4, 0.7, 1.0),
    n_bootstrap: int = 2000,
    seed: int = 2026,
) -> pd.DataFrame:
    """Balanced accuracy of held-out cells against the number of cells learnt from.

    Each fold's fitted part is cut to a share of each class; the held-out cells stay the same.

    Returns
    -------
    DataFrame
        `share`, `n` (mean number of cells learnt from), `value`, `low`, `high` (95 % interval over the held-out cells).
    """
    labels = np.asarray(y, dtype=object)
    rows = []
    for share in shares:
        if not 0 < share <= 1:
            raise ParameterError(f"share is {share}; it must be above 0 and at most 1")
        rng = np.random.default_rng(seed)
        cut = []
        for fit, out in folds:
            chosen = [rng.permutation(fit[labels[fit] == c]) for c in CLASSES]
            cut.append((np.sort(np.concatenate([c[: max(round(share * len(c)), 2)] for c in chosen])), out))
        n = float(np.mean([len(fit) for fit, _ in cut]))
        rows.append((share, n, *_scored(labels, held_out(learner, x, labels, cut), n_bootstrap, seed)))
    return pd.DataFrame(rows, columns=["share", "n", "value", "low", "high"])


def noisy_labels(
    learner: Learner,
    x: pd.DataFrame,
    y: Any,
    folds: Folds,
    shares: Sequence[float] = (0.0, 0.05, 0.1, 0.2, 0.4),
    n_bootstrap: int = 2000,
    seed: int = 2026,
) -> pd.DataFrame:
    """Balanced accuracy of held-out cells when a share of the labels that are learnt from is made wrong.

    A wrong label is one of the other three classes, each as likely. The held-out labels stay as they are.

    Returns
    -------
    DataFrame
        `share` (of the labels learnt from), `value`, `low`, `high`.
    """
    labels = np.asarray(y, dtype=object)
    numbers = class_index(labels)
    rows = []
    for share in shares:
        if not 0 <= share < 1:
            raise ParameterError(f"share is {share}; it must be at least 0 and below 1")
        rng = np.random.default_rng(seed)
        wrong = rng.random(len(labels)) < share
        turned = (numbers + rng.integers(1, len(CLASSES), len(labels))) % len(CLASSES)
        taught = np.where(wrong, np.asarray(CLASSES, dtype=object)[turned], labels)
        proba = held_out(learner, x, taught, folds)
        rows.append((share, *_scored(labels, proba, n_bootstrap, seed)))
    return pd.DataFrame(rows, columns=["share", "value", "low", "high"])


def suspects(labels: Any, proba: np.ndarray) -> np.ndarray:
    """Cells whose label the held-out model doubts, by confident learning [1]_.

    A cell is suspect when another class is as probable for it as that class is, on average, for the cells that are
    labelled so, and is its most probable class.

    Returns
    -------
    (n_cells,) of str
        The class that the model would rather give; empty where the label is not doubted.

    References
    ----------
    .. [1] Northcutt et al. 2021, Confident learning, J. Artif. Intell. Res. 70:1373.
    """
    y, p = evaluation.check_proba(labels, proba)
    usual = np.array([p[y == k, k].mean() if (y == k).any() else np.inf for k in range(len(CLASSES))])
    sure = np.where(p >= usual, p, 0.0)
    best = sure.argmax(axis=1)
    doubted = (sure.max(axis=1) > 0) & (best != y)
    return np.where(doubted, np.asarray(CLASSES, dtype=object)[best], "")


def calibration_interval(
    labels: Any, proba: np.ndarray, n_bins: int = 10, n_bootstrap: int = 2000, seed: int = 2026
) -> tuple[float, float, float]:
    """Expected calibration error and its 95 % bootstrap interval over cells.

    The error of a perfectly calibrated model on few cells is not 0, and resampling raises it further; the interval says how
    far it varies, not whether it is 0.

    Raises
    ------
    StsError
        Fewer than 2 cells.
    """
    y, p = evaluation.check_proba(labels, proba)
    if len(y) < 2:
        raise StsError("a calibration error needs at least 2 cells")
    _, error = evaluation.calibration(labels, proba, n_bins)
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    bins = np.clip(np.ceil(confidence * n_bins - 1e-9).astype(int) - 1, 0, n_bins - 1)
    rng = np.random.default_rng(seed)
    drawn = np.empty(n_bootstrap)
    for k in range(n_bootstrap):
        rows = rng.integers(0, len(y), len(y))
        gap = np.bincount(bins[rows], right[rows] - confidence[rows], n_bins)
        drawn[k] = np.abs(gap).sum() / len(y)
    return error, *evaluation.interval(drawn)
