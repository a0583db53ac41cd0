"""Scores with bootstrap intervals, the records in which they are kept, and two models on the same cells.

The confusion matrix of a resample is a multinomial draw from the observed one, so 2,000 of them take milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from stslib.cohort import CLASSES
from stslib.evaluation.metrics import METRIC_NAMES, METRICS, check_proba, confusion, label_pairs, predicted, scores_of
from stslib.support.errors import ParameterError, one_of

LEVEL = 0.95
_RECORD = ("model", "data", "split", "metric", "value", "low", "high", "n")


def bootstrap(
    labels: Any, predictions: Any, n_bootstrap: int = 2000, seed: int = 2026, stratified: bool = True
) -> dict[str, np.ndarray]:
    """Each of `METRICS` in `n_bootstrap` resamples of the cells, as (n_bootstrap,) arrays.

    `stratified`: every resample has as many cells of each class as the data (the holdout of the paper is stratified,
    so its class counts are not left to chance); otherwise the class counts vary too.
    """
    return scores_of(resample(confusion(labels, predictions), n_bootstrap, seed, stratified))


def resample(table: np.ndarray, n_bootstrap: int, seed: int, stratified: bool = True) -> np.ndarray:
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


def interval(values: np.ndarray, axis: int | None = None) -> Any:
    """Ends `(low, high)` of the percentile interval that holds `LEVEL` of bootstrap values, along `axis` or of all."""
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(values, [tail, 100 - tail], axis=axis)
    return (float(low), float(high)) if axis is None else (low, high)


def scores(
    labels: Any, proba: np.ndarray, model: str, data: str, split: str, n_bootstrap: int = 2000, seed: int = 2026
) -> list[dict[str, Any]]:
    """Metric records of a model on labelled cells: model, data, split, metric, value, low, high, n (95 % intervals).

    Classes `(n,)`, probabilities `(n, 4)` in the order of `CLASSES`. A class that the labels lack has no F1.
    """
    y, p = check_proba(labels, proba)
    names, classes = np.asarray(CLASSES, dtype=object)[y], predicted(p)
    values = scores_of(confusion(names, classes))
    resampled = bootstrap(names, classes, n_bootstrap, seed)
    return [
        _record(model, data, split, metric, float(values[metric]), *interval(resampled[metric]), len(y))
        for metric in _present(names)
    ]


def cv_scores(
    labels: Any, proba: np.ndarray, folds: Sequence[tuple[np.ndarray, np.ndarray]], model: str, data: str
) -> list[dict[str, Any]]:
    """Metric records of a cross-validation (split `"cv"`): the mean over folds, from one SD below it to one SD above.

    Row i of the probabilities `(n, 4)` is from a model that held cell i out. The SD divides by the number of folds,
    as the authors' `std_test_score` does.
    """
    values = by_fold(labels, proba, folds)
    means = {metric: (float(np.mean(v)), float(np.std(v))) for metric, v in values.items()}
    return [_record(model, data, "cv", m, mean, mean - sd, mean + sd, len(labels)) for m, (mean, sd) in means.items()]


def by_fold(labels: Any, proba: np.ndarray, folds: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, list[float]]:
    """Every metric in each fold, from out-of-fold probabilities `(n, 4)`; a class that never occurs has no F1."""
    y, p = check_proba(labels, proba)
    names, classes = np.asarray(CLASSES, dtype=object)[y], predicted(p)
    each = [scores_of(confusion(names[out], classes[out])) for _, out in folds]
    return {m: [float(of_fold[m]) for of_fold in each] for m in _present(names)}


def _present(names: np.ndarray) -> list[str]:
    return [m for m in METRICS if not m.startswith("f1:") or m[3:] in names]


def _record(*values: Any) -> dict[str, Any]:
    return dict(zip(_RECORD, values, strict=True))


def confusion_shares(
    labels: Any, predictions: Any, n_bootstrap: int = 2000, seed: int = 2026
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Confusion matrix as shares of each true class (row; 0 without cells), and their 95 % ends, `(4, 4)` each."""
    counts = confusion(labels, predictions)
    drawn = resample(counts, n_bootstrap, seed)
    drawn = drawn / np.maximum(drawn.sum(axis=2, keepdims=True), 1)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), *interval(drawn, axis=0)


@dataclass(frozen=True)
class Comparison:
    """Two classifiers on the same `n` cells: either score of a `metric`, as fractions, and `value`, their difference.

    `low`, `high`: its paired 95 % interval; `only_first`, `only_second`: cells that one alone has right; `p`: of the exact
    McNemar test.
    """

    metric: str
    first: float
    second: float
    value: float
    low: float
    high: float
    n: int
    only_first: int
    only_second: int
    p: float

    def __str__(self) -> str:
        """The difference and the test in words."""
        return (
            f"{100 * self.value:+.1f} points of {METRIC_NAMES[self.metric]} (95 % interval {100 * self.low:+.1f} to "
            f"{100 * self.high:+.1f}); McNemar's test on the same {self.n:,} cells: {self.only_first} right only with the "
            f"first, {self.only_second} only with the second, p = {self.p:.2g}"
        )


def compare(
    labels: Any,
    first: Any,
    second: Any,
    metric: str = "balanced_accuracy",
    n_bootstrap: int = 2000,
    seed: int = 2026,
) -> Comparison:
    """Compare the predicted classes `(n,)` of two classifiers on the same cells; both are scored on the same resamples.

    McNemar 1947, Psychometrika 12:153; Dietterich 1998, Neural Computation 10:1895.
    """
    one_of("metric", metric, METRICS)
    y, a, b = label_pairs(labels, first, second)
    k = len(CLASSES)
    joint = np.bincount((y * k + a) * k + b, minlength=k**3).reshape(k, k, k)
    drawn = resample(joint, n_bootstrap, seed)
    differences = scores_of(drawn.sum(axis=3))[metric] - scores_of(drawn.sum(axis=2))[metric]
    one, other = (float(scores_of(joint.sum(axis=axis))[metric]) for axis in (2, 1))
    only_a, only_b = int(((a == y) & (b != y)).sum()), int(((a != y) & (b == y)).sum())
    p = float(stats.binomtest(only_a, only_a + only_b, 0.5).pvalue) if only_a + only_b else 1.0
    low, high = interval(differences)
    return Comparison(metric, one, other, one - other, low, high, len(y), only_a, only_b, p)
