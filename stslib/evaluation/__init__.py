"""How good a classifier is: scores with bootstrap intervals, two models compared, calibration, the paper's numbers."""

from stslib.evaluation.conformal import accuracy_by_coverage, prediction_sets, sets_by_group, share, thresholds
from stslib.evaluation.metrics import (
    MARGIN,
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
    non_inferiority,
    predicted,
    score,
    scores,
    with_interval,
)
from stslib.evaluation.paper import COMPARABLE_DATA, PAPER_RESULTS, baseline_conclusions, paper_value
from stslib.evaluation.predictions import Predictions
from stslib.evaluation.temperature import calibration

__all__ = [
    "COMPARABLE_DATA", "MARGIN", "METRICS", "METRIC_NAMES", "PAPER_RESULTS", "Comparison", "Predictions",
    "accuracy_by_coverage", "baseline_conclusions", "bootstrap", "by_fold", "calibration", "check_proba", "compare",
    "confusion", "confusion_shares", "cv_scores", "interval", "non_inferiority", "paper_value",
    "predicted", "prediction_sets", "score", "scores", "sets_by_group", "share", "thresholds", "with_interval",
]  # fmt: skip
