"""Scores with bootstrap intervals, and the records in which they are kept.

The confusion matrix of a bootstrap resample is a multinomial draw from the observed one. So resamples are drawn as
matrices, never as lists of cells: 2,000 of them take milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stslib.cohort import CLASSES
from stslib.evaluation.metrics import METRICS, check_proba, confusion, predicted, scores_of
from stslib.support.errors import ParameterError, one_of

LEVEL = 0.95


def bootstrap(
    labels: Any, predictions: Any, n_bootstrap: int = 2000, seed: int = 2026, stratified: bool = True
) -> dict[str, np.ndarray]:
    """Metrics of bootstrap resamples of the cells.

    Parameters
    ----------
    labels, predictions : (n,) of str
        True and predicted classes.
    n_bootstrap : int
        Number of resamples.
    seed : int
        Seed of the draw.
    stratified : bool
        True: every resample has as many cells of each class as the data (the holdout of the paper is stratified, so
        its class counts are not left to chance). False: the class counts vary too.

    Returns
    -------
    dict of metric to (n_bootstrap,) array
    """
    return scores_of(resample(confusion(labels, predictions), n_bootstrap, seed, stratified))


def resample(table: np.ndarray, n_bootstrap: int, seed: int, stratified: bool) -> np.ndarray:
    """Bootstrap draws of a table of counts whose first axis is the true class: `(n_bootstrap, *table.shape)`."""
    if n_bootstrap < 1:
        raise ParameterError(f"n_bootstrap is {n_bootstrap}; it must be at least 1")
    rng = np.random.default_rng(seed)
    rows = table.reshape(len(table), -1) if stratified else table.reshape(1, -1)
    drawn = []
    for row in rows:
        n = int(row.sum())
        drawn.append(rng.multinomial(n, row / n if n else np.full(row.size, 1 / row.size), size=n_bootstrap))
    return np.stack(drawn, axis=1).reshape(n_bootstrap, *table.shape)


def interval(values: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Percentile interval of bootstrap values that holds the share `level` of them."""
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)


def scores(
    labels: Any,
    proba: np.ndarray,
    model: str,
    data: str,
    split: str,
    n_bootstrap: int = 2000,
    seed: int = 2026,
    stratified: bool = True,
) -> list[dict[str, Any]]:
    """Metric records of a model on labelled cells, with 95 % bootstrap intervals.

    Parameters
    ----------
    labels : (n,) of str
    proba : (n, 4) array
        Probabilities in the order of `CLASSES`.
    model, data, split : str
        What the records say they are about, e.g. `"lightgbm"`, `"published"`, `"holdout"`.
    n_bootstrap, seed, stratified
        See `bootstrap`.

    Returns
    -------
    list of dict
        One record a metric of `METRICS`, with the keys `model, data, split, metric, value, low, high, n`. The F1 of a
        class that the labels lack is left out.

    Raises
    ------
    StsError
        Labels or probabilities that do not fit.
    """
    y, p = check_proba(labels, proba)
    names, said = np.asarray(CLASSES, dtype=object)[y], predicted(p)
    values = scores_of(confusion(names, said))
    resampled = bootstrap(names, said, n_bootstrap, seed, stratified)
    records = []
    for metric in METRICS:
        if metric.startswith("f1:") and metric[3:] not in names:
            continue
        low, high = interval(resampled[metric])
        records.append(record(model, data, split, metric, float(values[metric]), low, high, len(y)))
    return records


def confusion_shares(
    labels: Any, predictions: Any, n_bootstrap: int = 2000, seed: int = 2026
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Confusion matrix as shares of each true class, with 95 % bootstrap intervals.

    Returns
    -------
    share, low, high : (4, 4) arrays
        Rows are true classes; each row of `share` adds up to 1. A class without a cell has zeros.
    """
    counts = confusion(labels, predictions)
    drawn = resample(counts, n_bootstrap, seed, stratified=True)
    drawn = drawn / np.maximum(drawn.sum(axis=2, keepdims=True), 1)
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(drawn, [tail, 100 - tail], axis=0)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), low, high


def cv_records(
    fold_values: Mapping[str, Sequence[float]], model: str, data: str, n: int, split: str = "cv"
) -> list[dict[str, Any]]:
    """Metric records of a cross-validation: value is the mean over folds, low and high are mean -/+ one SD.

    The SD divides by the number of folds, as in the authors' code (scikit-learn's `std_test_score`). `fold_values`
    maps a metric to its value in each fold; `n` is the number of cells.
    """
    records = []
    for metric, values in fold_values.items():
        one_of("metric", metric, METRICS)
        mean, sd = float(np.mean(values)), float(np.std(values))
        records.append(record(model, data, split, metric, mean, mean - sd, mean + sd, n))
    return records


def by_fold(labels: Any, proba: np.ndarray, folds: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, list[float]]:
    """Every metric in each fold, from out-of-fold probabilities `(n, 4)`; the F1 of a class that never occurs is left out.

    `folds` is that of `stslib.cohort.folds`, and row i of `proba` was given while cell i was held out.
    """
    y, p = check_proba(labels, proba)
    names, said = np.asarray(CLASSES, dtype=object)[y], predicted(p)
    present = [m for m in METRICS if not m.startswith("f1:") or m[3:] in names]
    each = [scores_of(confusion(names[out], said[out])) for _, out in folds]
    return {m: [float(found[m]) for found in each] for m in present}


def record(model: str, data: str, split: str, metric: str, value: float, low: float, high: float, n: int) -> dict:
    """One metric record (see `stslib.press.stage.METRIC_KEYS`)."""
    keys = ("model", "data", "split", "metric", "value", "low", "high", "n")
    return dict(zip(keys, (model, data, split, metric, value, low, high, n), strict=True))
