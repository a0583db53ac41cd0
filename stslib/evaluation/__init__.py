"""How good a classifier is: scores with bootstrap intervals, two models compared, calibration, the paper's numbers."""

from stslib.evaluation.metrics import (
    METRIC_NAMES,
    METRICS,
    Comparison,
    bootstrap,
    by_fold,
    check_proba,
    compare,
    confusion,
    confusion_shares,
    cv_scores,
    interval,
    predicted,
    score,
    scores,
    with_interval,
)
from stslib.evaluation.paper import COMPARABLE_DATA, PAPER_RESULTS, baseline_conclusions, paper_value
from stslib.evaluation.predictions import Predictions
from stslib.evaluation.temperature import calibration

__all__ = [
    "COMPARABLE_DATA", "METRICS", "METRIC_NAMES", "PAPER_RESULTS", "Comparison", "Predictions", "baseline_conclusions",
    "bootstrap", "by_fold", "calibration", "check_proba", "compare", "confusion",
    "confusion_shares", "cv_scores", "interval", "paper_value", "predicted", "score", "scores", "with_interval",
]  # fmt: skip
