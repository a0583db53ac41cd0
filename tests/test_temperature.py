"""Calibration: the temperature of a model that is known to be too sure is found, and decisions stay."""

import numpy as np
import pytest

from stslib.cohort import CLASSES
from stslib.evaluation import temperature
from stslib.support.errors import StsError


def too_sure(n: int, by: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from true probabilities, and the probabilities of a model that is `by` times too sure of them."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 1.2, (n, 4))
    true = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    labels = np.array(CLASSES)[[rng.choice(4, p=p) for p in true]]
    return labels, temperature.calibrated(true, 1 / by)


@pytest.mark.parametrize("by", [0.5, 1.0, 3.0])
def test_the_temperature_of_a_model_that_is_too_sure_is_found(by):
    labels, proba = too_sure(4000, by)
    assert temperature.fit(labels, proba) == pytest.approx(by, rel=0.08)


def test_it_corrects_the_calibration_and_changes_no_decision():
    labels, proba = too_sure(1500, 3.0)
    parts = np.array_split(np.arange(1500), 3)
    folds = [(np.setdiff1d(np.arange(1500), held), held) for held in parts]
    card = temperature.summary(labels, proba, folds)
    assert card["ece_before"] > 0.15 > 0.05 > card["ece_after"]
    assert card["log_loss_after"] < card["log_loss_before"]
    after = temperature.calibrated(proba, card["temperature"])
    assert np.allclose(after.sum(1), 1) and np.array_equal(after.argmax(1), proba.argmax(1))


def test_certainties_and_senseless_temperatures():
    sure = np.eye(4)
    assert np.isfinite(temperature.calibrated(sure, 2.0)).all()
    assert temperature.fit(np.array(CLASSES), sure) <= 1  # always right: no reason to doubt
    for wrong in (0.0, -1.0, float("nan")):
        with pytest.raises(StsError, match="must be a number above 0"):
            temperature.calibrated(sure, wrong)
