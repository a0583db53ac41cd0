"""Calibration: how often a prediction is right, against the probability that it was given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from stslib.evaluation.metrics import check_proba
from stslib.support.errors import ParameterError


def calibration(labels: Any, proba: np.ndarray, n_bins: int = 10) -> tuple[pd.DataFrame, float]:
    """Reliability of the winning probability, and the expected calibration error.

    Parameters
    ----------
    labels : (n,) of str
    proba : (n, 4) array
    n_bins : int
        Bins of equal width on [0, 1]; a bin holds its upper edge.

    Returns
    -------
    table : DataFrame
        One row a bin that has cells: `low`, `high` (its edges), `confidence` (mean winning probability), `accuracy`,
        `n`.
    error : float
        Mean of |accuracy - confidence| over bins, weighted by their cells (Guo et al. 2017, ICML).
    """
    if n_bins < 1:
        raise ParameterError(f"n_bins is {n_bins}; it must be at least 1")
    y, p = check_proba(labels, proba)
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    bins = np.clip(np.ceil(confidence * n_bins - 1e-9).astype(int) - 1, 0, n_bins - 1)
    rows = []
    for k in np.unique(bins):
        here = bins == k
        rows.append((k / n_bins, (k + 1) / n_bins, confidence[here].mean(), right[here].mean(), int(here.sum())))
    table = pd.DataFrame(rows, columns=["low", "high", "confidence", "accuracy", "n"])
    return table, float((table["n"] * (table["accuracy"] - table["confidence"]).abs()).sum() / len(y))
