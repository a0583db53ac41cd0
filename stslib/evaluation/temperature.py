"""Calibrated probabilities: one temperature for all classes, fitted on out-of-fold predictions [1]_.

A network is surer of itself than it is right. Dividing its scores by a temperature makes it as sure as it is right on
average and changes no decision. The temperature is fitted on predictions for cells that a fold had held out, never on
the holdout.

References
----------
.. [1] Guo et al. 2017, On calibration of modern neural networks, ICML.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from stslib.evaluation import calibration
from stslib.evaluation.metrics import check_proba
from stslib.support.errors import StsError

#: Where the temperature is looked for. Beyond these ends a model is either perfect on its folds or has learnt nothing.
LIMITS = (0.1, 20.0)
_SMALLEST = 1e-12


def calibrated(proba: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities `(n, 4)` as they are at a temperature: `p ** (1 / temperature)`, rows made to add up to 1.

    Raises
    ------
    StsError
        A temperature that is not a number above 0.
    """
    check(temperature)
    scores = np.log(np.clip(np.asarray(proba, dtype=float), _SMALLEST, None)) / temperature
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def check(temperature: float) -> None:
    """Refuse a temperature that is not a number above 0."""
    if not (np.isfinite(temperature) and temperature > 0):
        raise StsError(f"the temperature is {temperature}; it must be a number above 0")


def surprise(labels: Any, proba: np.ndarray) -> float:
    """Mean of -log of the true class's probability."""
    y, p = check_proba(labels, proba)
    return float(-np.log(np.clip(p[np.arange(len(y)), y], _SMALLEST, None)).mean())


def fit(labels: Any, proba: np.ndarray) -> float:
    """The temperature of the smallest surprise on held-out cells.

    Parameters
    ----------
    labels : (n,) of str
        True classes.
    proba : (n, 4) array
        Probabilities that were given while the cells were held out.
    """
    found = minimize_scalar(
        lambda log_t: surprise(labels, calibrated(proba, float(np.exp(log_t)))), bounds=np.log(LIMITS), method="bounded"
    )
    return float(np.exp(found.x))


def summary(
    labels: Sequence[str] | np.ndarray, proba: np.ndarray, folds: Sequence[tuple[np.ndarray, np.ndarray]]
) -> dict[str, Any]:
    """What a model card says of its calibration.

    Parameters
    ----------
    labels, proba
        As for `fit`, for all training cells.
    folds : list of (fit, held_out)
        The folds, positions in `labels`.

    Returns
    -------
    dict
        `temperature` (fitted on all of them), `ece_before`, `ece_after` (expected calibration error), `surprise_before`,
        `surprise_after`, `n`. The numbers after are fair: for each fold, of a temperature fitted on the other folds.
    """
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
        "surprise_before": surprise(names, proba),
        "surprise_after": surprise(names, after),
        "n": len(names),
    }
