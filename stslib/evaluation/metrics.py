"""Metrics of predicted classes with bootstrap intervals, all of them functions of the confusion matrix, and records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from stslib.cohort import CLASSES, class_index
from stslib.support.errors import ParameterError, StsError, one_of

#: The metrics, and words for them in tables and on axes.
METRIC_NAMES = {"balanced_accuracy": "balanced accuracy", "weighted_f1": "weighted F1", "accuracy": "accuracy"}
METRIC_NAMES |= {f"f1:{c}": f"F1 of {c}" for c in CLASSES}
METRICS = tuple(METRIC_NAMES)
#: How much less balanced accuracy still counts as no loss: about what 1,118 test cells can resolve.
MARGIN = 0.02
_RECORD = ("model", "data", "split", "metric", "value", "low", "high", "n")
_NAMES = np.asarray(CLASSES, dtype=object)


def predicted(proba: np.ndarray) -> np.ndarray:
    """Class of the highest probability, `(n,)` of str, from probabilities `(n, 4)` in the order of `CLASSES`."""
    return _NAMES[np.argmax(proba, axis=1)]


def check_proba(labels: Any, proba: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels as class numbers `(n,)` and probabilities `(n, 4)`, or one line on what is wrong with them."""
    [y], p = _numbers(labels), np.asarray(proba, dtype=float)
    if p.shape != (len(y), len(CLASSES)):
        raise StsError(f"probabilities have shape {p.shape}; they must be ({len(y)}, {len(CLASSES)}), one row a cell")
    if not np.isfinite(p).all() or (p < -1e-6).any() or not np.allclose(p.sum(axis=1), 1, atol=1e-3):
        raise StsError("probabilities must be numbers from 0 to 1 that add up to 1 in each row")
    return y, p


def _numbers(labels: Any, *predictions: Any) -> list[np.ndarray]:
    """Labels and predictions of the same cells as class numbers `(n,)` each, or one line on what does not fit."""
    found: list[np.ndarray] = []
    for what, given in (("label", labels), *(("prediction", p) for p in predictions)):
        values = np.asarray(given, dtype=object)
        if values.ndim != 1 or len(values) == 0:
            raise StsError(f"{what}s have shape {values.shape}; give one a cell, and at least one")
        found.append(class_index(values, what))
        if len(values) != len(found[0]):
            raise StsError(f"{len(values)} predictions for {len(found[0])} cells; give one a cell, in the same order")
    return found


def confusion(labels: Any, predictions: Any) -> np.ndarray:
    """Confusion matrix `(4, 4)` of counts: rows are true classes, columns predicted ones, in the order of `CLASSES`."""
    (y, p), k = _numbers(labels, predictions), len(CLASSES)
    return np.bincount(y * k + p, minlength=k * k).reshape(k, k)


def scores_of(matrices: np.ndarray) -> dict[str, np.ndarray]:
    """All `METRICS`, `(...)` each, of confusion matrices `(..., 4, 4)` of counts, rows true, as scikit-learn defines them."""
    m = np.asarray(matrices, dtype=float)
    hits = np.diagonal(m, axis1=-2, axis2=-1)
    true, predictions, n = m.sum(axis=-1), m.sum(axis=-2), m.sum(axis=(-2, -1))
    recall = hits / np.maximum(true, 1)
    f1 = 2 * hits / np.maximum(true + predictions, 1)
    found = {
        "balanced_accuracy": recall.sum(axis=-1) / np.maximum((true > 0).sum(axis=-1), 1),
        "weighted_f1": (f1 * true).sum(axis=-1) / n,
        "accuracy": hits.sum(axis=-1) / n,
    }
    return found | {f"f1:{c}": f1[..., k] for k, c in enumerate(CLASSES)}


def score(metric: str, labels: Any, predictions: Any) -> float:
    """One metric (a name of `METRICS`) of predicted classes."""
    one_of("metric", metric, METRICS)
    return float(scores_of(confusion(labels, predictions))[metric])


def bootstrap(labels: Any, predictions: Any, n_bootstrap: int = 2000, seed: int = 2026) -> dict[str, np.ndarray]:
    """Each of `METRICS` in resamples within each class, `(n_bootstrap,)`: the paper's holdout is stratified."""
    return scores_of(_resample(confusion(labels, predictions), n_bootstrap, seed))


def _resample(table: np.ndarray, n_bootstrap: int, seed: int) -> np.ndarray:
    """Multinomial draws of a table of counts whose first axis is the true class: `(n_bootstrap, *table.shape)`."""
    if n_bootstrap < 1:
        raise ParameterError(f"n_bootstrap is {n_bootstrap}; it must be at least 1")
    rng = np.random.default_rng(seed)
    drawn = []
    for row in table.reshape(len(table), -1):
        n = int(row.sum())
        drawn.append(rng.multinomial(n, row / n if n else np.full(row.size, 1 / row.size), size=n_bootstrap))
    return np.stack(drawn, axis=1).reshape(n_bootstrap, *table.shape)


def interval(values: np.ndarray, axis: int | None = None) -> Any:
    """Ends `(low, high)` of the percentile interval that holds 95 % of bootstrap values, along `axis` or of all."""
    tail = 50 * (1 - 0.95)
    low, high = np.percentile(values, [tail, 100 - tail], axis=axis)
    return (float(low), float(high)) if axis is None else (low, high)


def with_interval(
    labels: Any, predictions: Any, n_bootstrap: int = 2000, seed: int = 2026, metric: str = "balanced_accuracy"
) -> tuple[float, float, float]:
    """A metric of predicted classes `(n,)`, and the ends of its 95 % bootstrap interval."""
    return score(metric, labels, predictions), *interval(bootstrap(labels, predictions, n_bootstrap, seed)[metric])


def scores(
    labels: Any, proba: np.ndarray, model: str, data: str, split: str, n_bootstrap: int = 2000, seed: int = 2026
) -> list[dict[str, Any]]:
    """One record a metric, with its 95 % interval, of classes `(n,)` and probabilities `(n, 4)`; see `_RECORD`."""
    y, p = check_proba(labels, proba)
    names, classes = _NAMES[y], predicted(p)
    found, drawn = scores_of(confusion(names, classes)), bootstrap(names, classes, n_bootstrap, seed)
    return [_record(model, data, split, m, float(found[m]), *interval(drawn[m]), len(y)) for m in _present(names)]


def cv_scores(
    labels: Any, proba: np.ndarray, folds: Sequence[tuple[np.ndarray, np.ndarray]], model: str, data: str
) -> list[dict[str, Any]]:
    """Metric records of held-out probabilities `(n, 4)` (split `"cv"`): the mean over folds, one SD (by n) to either side."""
    values = by_fold(labels, proba, folds)
    means = {metric: (float(np.mean(v)), float(np.std(v))) for metric, v in values.items()}
    return [_record(model, data, "cv", m, mean, mean - sd, mean + sd, len(labels)) for m, (mean, sd) in means.items()]


def by_fold(labels: Any, proba: np.ndarray, folds: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, list[float]]:
    """Every metric in each fold, from out-of-fold probabilities `(n, 4)`; a class that never occurs has no F1."""
    y, p = check_proba(labels, proba)
    names, classes = _NAMES[y], predicted(p)
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
    drawn = _resample(counts, n_bootstrap, seed)
    drawn = drawn / np.maximum(drawn.sum(axis=2, keepdims=True), 1)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), *interval(drawn, axis=0)


@dataclass(frozen=True)
class Comparison:
    """Two classifiers on the same `n` cells: either's `metric`, and their difference `value` with its 95 % interval."""

    metric: str
    first: float
    second: float
    value: float
    low: float
    high: float
    n: int
    only_first: int  # cells that it alone has right
    only_second: int
    p: float  # of the exact McNemar test

    def __str__(self) -> str:
        """The difference and the test in words."""
        return (
            f"{100 * self.value:+.1f} points of {METRIC_NAMES[self.metric]} (95 % interval {100 * self.low:+.1f} to "
            f"{100 * self.high:+.1f}); McNemar's test on the same {self.n:,} cells: {self.only_first} right only with the "
            f"first, {self.only_second} only with the second, p = {self.p:.2g}"
        )


def compare(
    labels: Any, first: Any, second: Any, metric: str = "balanced_accuracy", n_bootstrap: int = 2000, seed: int = 2026
) -> Comparison:
    """Compare predicted classes `(n,)` of the same cells, on the same resamples (Dietterich 1998, Neural Comput.)."""
    one_of("metric", metric, METRICS)
    (y, a, b), k = _numbers(labels, first, second), len(CLASSES)
    joint = np.bincount((y * k + a) * k + b, minlength=k**3).reshape(k, k, k)
    drawn = _resample(joint, n_bootstrap, seed)
    low, high = interval(scores_of(drawn.sum(axis=3))[metric] - scores_of(drawn.sum(axis=2))[metric])
    one, other = (float(scores_of(joint.sum(axis=axis))[metric]) for axis in (2, 1))
    only_a, only_b = int(((a == y) & (b != y)).sum()), int(((a != y) & (b == y)).sum())
    p = float(stats.binomtest(only_a, only_a + only_b, 0.5).pvalue) if only_a + only_b else 1.0
    return Comparison(metric, one, other, one - other, low, high, len(y), only_a, only_b, p)


def non_inferiority(low: float, high: float, margin: float = MARGIN) -> str:
    """What the 95 % interval of a paired difference, first minus second, says: "better", "not worse", "worse", "not decided".

    The first is not worse where the whole interval lies above minus the `margin` (Piaggio et al. 2012, JAMA 308:2594).
    """
    if high < -margin:
        return "worse"
    return "better" if low > 0 else "not worse" if low > -margin else "not decided"
