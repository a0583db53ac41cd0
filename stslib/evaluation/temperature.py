"""Are probabilities honest? Reliability, and a temperature fitted on held-out cells (Guo et al. 2017, ICML)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from stslib.evaluation.metrics import check_proba
from stslib.support.errors import StsError

N_BINS = 10  # of the winning probability
_LIMITS = (0.1, 20.0)  # beyond them a model is either perfect on its folds or has learnt nothing
_SMALLEST = 1e-12


def bins(confidence: np.ndarray) -> np.ndarray:
    """Bin of each probability `(n,)`: `N_BINS` of equal width on [0, 1], each with its upper edge."""
    return np.clip(np.ceil(confidence * N_BINS - 1e-9).astype(int) - 1, 0, N_BINS - 1)


def calibration(labels: Any, proba: np.ndarray) -> tuple[pd.DataFrame, float]:
    """Reliability of the winning probability, and the expected calibration error: mean |accuracy - confidence| of cells.

    One row a bin with cells: `low`, `high`, `confidence` (mean winning probability), `accuracy`, `n`.
    """
    y, p = check_proba(labels, proba)
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    at = bins(confidence)
    rows = [
        (k / N_BINS, (k + 1) / N_BINS, confidence[at == k].mean(), right[at == k].mean(), int((at == k).sum()))
        for k in np.unique(at)
    ]
    table = pd.DataFrame(rows, columns=["low", "high", "confidence", "accuracy", "n"])
    return table, float((table["n"] * (table["accuracy"] - table["confidence"]).abs()).sum() / len(y))


def calibrated(proba: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities `(n, 4)` as they are at a temperature: `p ** (1 / temperature)`, rows made to add up to 1."""
    check(temperature)
    logs = np.log(np.clip(np.asarray(proba, dtype=float), _SMALLEST, None))
    return softmax(logs / temperature, axis=1)


def check(temperature: float) -> None:
    """Refuse a temperature that is not a number above 0."""
    if not (np.isfinite(temperature) and temperature > 0):
        raise StsError(f"the temperature is {temperature}; it must be a number above 0")


def log_loss(labels: Any, proba: np.ndarray) -> float:
    """Mean of -log of the true class's probability; one below 1e-12 counts as 1e-12."""
    y, p = check_proba(labels, proba)
    return float(-np.log(np.clip(p[np.arange(len(y)), y], _SMALLEST, None)).mean())


def fit(labels: Any, proba: np.ndarray) -> float:
    """The temperature of the smallest log loss, from classes `(n,)` and held-out probabilities `(n, 4)`."""

    def loss(log_t: float) -> float:
        return log_loss(labels, calibrated(proba, float(np.exp(log_t))))

    return float(np.exp(minimize_scalar(loss, bounds=np.log(_LIMITS), method="bounded").x))


def summary(
    labels: Sequence[str] | np.ndarray, proba: np.ndarray, folds: Sequence[tuple[np.ndarray, np.ndarray]]
) -> dict[str, Any]:
    """Calibration for a model's card; numbers after are, for each fold, of a temperature from the others."""
    names = np.asarray(labels)
    after = np.array(proba, dtype=float)
    for _, held in folds:
        others = np.setdiff1d(np.arange(len(names)), held)
        after[held] = calibrated(proba[held], fit(names[others], proba[others]))
    return {
        "method": "temperature scaling, fitted on the out-of-fold predictions of the training cells",
        "temperature": fit(names, proba),
        "ece_before": calibration(names, proba)[1],
        "ece_after": calibration(names, after)[1],
        "log_loss_before": log_loss(names, proba),
        "log_loss_after": log_loss(names, after),
        "n": len(names),
    }
