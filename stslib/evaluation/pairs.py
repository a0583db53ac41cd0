"""Two classifiers on the same cells: McNemar's test and the paired bootstrap of a difference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from stslib.cohort import CLASSES
from stslib.evaluation.intervals import interval, resample
from stslib.evaluation.metrics import METRICS, label_pairs, score, scores_of
from stslib.support.errors import one_of


@dataclass(frozen=True)
class McNemar:
    """McNemar's test of two classifiers on the same cells.

    Attributes
    ----------
    only_a, only_b : int
        Cells that only the first, only the second classifier has right.
    p_exact : float
        Two-sided p of the exact (binomial) test; the one to report when `only_a + only_b` is below about 25.
    chi2, p_chi2 : float
        Statistic with continuity correction (Edwards 1948) and its p on one degree of freedom.
    """

    only_a: int
    only_b: int
    p_exact: float
    chi2: float
    p_chi2: float


def mcnemar(labels: Any, pred_a: Any, pred_b: Any) -> McNemar:
    """Are two classifiers right equally often on the same cells?

    Parameters
    ----------
    labels, pred_a, pred_b : (n,) of str
        True classes and those that the two classifiers give, cell by cell in the same order.

    References
    ----------
    McNemar 1947, Psychometrika 12:153; Dietterich 1998, Neural Computation 10:1895.
    """
    y, a, b = label_pairs(labels, pred_a, pred_b)
    only_a = int(((a == y) & (b != y)).sum())
    only_b = int(((a != y) & (b == y)).sum())
    n = only_a + only_b
    if n == 0:
        return McNemar(0, 0, 1.0, 0.0, 1.0)
    chi2 = max(abs(only_a - only_b) - 1, 0) ** 2 / n
    exact = float(stats.binomtest(only_a, n, 0.5).pvalue)
    return McNemar(only_a, only_b, exact, float(chi2), float(stats.chi2.sf(chi2, 1)))


@dataclass(frozen=True)
class Difference:
    """Score of the first model minus that of the second, on the same cells, with a paired bootstrap interval."""

    metric: str
    value: float
    low: float
    high: float
    n: int


def bootstrap_difference(
    labels: Any,
    pred_a: Any,
    pred_b: Any,
    metric: str = "balanced_accuracy",
    n_bootstrap: int = 2000,
    seed: int = 2026,
    stratified: bool = True,
) -> Difference:
    """Difference of two models on the same cells; both are scored on the same resamples, so it is paired.

    Parameters
    ----------
    labels, pred_a, pred_b : (n,) of str
    metric : str
        A name of `METRICS`.
    n_bootstrap, seed, stratified
        See `bootstrap`.
    """
    one_of("metric", metric, METRICS)
    y, a, b = label_pairs(labels, pred_a, pred_b)
    k = len(CLASSES)
    joint = np.bincount((y * k + a) * k + b, minlength=k**3).reshape(k, k, k)
    drawn = resample(joint, n_bootstrap, seed, stratified)
    differences = scores_of(drawn.sum(axis=3))[metric] - scores_of(drawn.sum(axis=2))[metric]
    value = scores_of(joint.sum(axis=2))[metric] - scores_of(joint.sum(axis=1))[metric]
    low, high = interval(differences)
    return Difference(metric, float(value), low, high, len(y))


def compare_models(labels: Any, pred_a: Any, pred_b: Any, n_bootstrap: int = 2000, seed: int = 2026) -> pd.DataFrame:
    """Every metric of two classifiers on the same cells, and their difference with its paired 95 % bootstrap interval.

    Returns
    -------
    DataFrame
        Columns `metric`, `first`, `second`, `difference` (first minus second), `low`, `high`, `n`, one row a metric of
        `METRICS`.
    """
    rows = []
    for metric in METRICS:
        found = bootstrap_difference(labels, pred_a, pred_b, metric, n_bootstrap, seed)
        each = {"first": score(metric, labels, pred_a), "second": score(metric, labels, pred_b)}
        rows.append(
            {"metric": metric, **each, "difference": found.value, "low": found.low, "high": found.high, "n": found.n}
        )
    return pd.DataFrame(rows)
