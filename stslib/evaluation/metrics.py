"""Metrics of predicted classes, all of them functions of the confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from stslib.cohort import CLASSES, class_index
from stslib.support.errors import StsError, one_of

METRICS = ("balanced_accuracy", "weighted_f1", "accuracy", *(f"f1:{c}" for c in CLASSES))

#: Words for the metrics, for tables and axes.
METRIC_NAMES = {
    "balanced_accuracy": "balanced accuracy",
    "weighted_f1": "weighted F1",
    "accuracy": "accuracy",
    **{f"f1:{c}": f"F1 of {c}" for c in CLASSES},
}


def predicted(proba: np.ndarray) -> np.ndarray:
    """Class of the highest probability, `(n,)` of str, from probabilities `(n, 4)` in the order of `CLASSES`."""
    return np.asarray(CLASSES, dtype=object)[np.argmax(proba, axis=1)]


def check_proba(labels: Sequence[str] | np.ndarray | pd.Series, proba: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels as class numbers `(n,)` and probabilities `(n, 4)`, or one line on what is wrong with them."""
    y = _numbers(labels, "label")
    p = np.asarray(proba, dtype=float)
    if p.shape != (len(y), len(CLASSES)):
        raise StsError(f"probabilities have shape {p.shape}; they must be ({len(y)}, {len(CLASSES)}), one row a cell")
    if not np.isfinite(p).all() or (p < -1e-6).any() or not np.allclose(p.sum(axis=1), 1, atol=1e-3):
        raise StsError("probabilities must be numbers from 0 to 1 that add up to 1 in each row")
    return y, p


def _numbers(labels: Sequence[str] | np.ndarray | pd.Series, what: str) -> np.ndarray:
    values = np.asarray(labels, dtype=object)
    if values.ndim != 1 or len(values) == 0:
        raise StsError(f"{what}s have shape {values.shape}; give one a cell, and at least one")
    return class_index(values, what)


def label_pairs(labels: Any, *predictions: Any) -> list[np.ndarray]:
    """Labels and predictions of the same cells as class numbers `(n,)` each, or one line on what does not fit."""
    y = _numbers(labels, "label")
    out = [y]
    for prediction in predictions:
        p = _numbers(prediction, "prediction")
        if len(p) != len(y):
            raise StsError(f"{len(p)} predictions for {len(y)} cells; give one a cell, in the same order")
        out.append(p)
    return out


def confusion(labels: Any, predictions: Any) -> np.ndarray:
    """Confusion matrix `(4, 4)` of counts: rows are true classes, columns predicted ones, in the order of `CLASSES`."""
    y, p = label_pairs(labels, predictions)
    k = len(CLASSES)
    return np.bincount(y * k + p, minlength=k * k).reshape(k, k)


def scores_of(matrices: np.ndarray) -> dict[str, np.ndarray]:
    """All `METRICS`, `(...)` each, of confusion matrices `(..., 4, 4)` of counts, rows true, as in scikit-learn.

    Balanced accuracy: mean recall of the classes that occur; weighted F1: by true count; F1 of what never occurs is 0.
    scikit-learn scores lists of cells; here thousands of matrices are scored at once.
    """
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
