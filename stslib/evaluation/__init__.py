"""How good a classifier is: scores with bootstrap intervals, two models compared, calibration, the paper's numbers."""

from stslib.evaluation.intervals import (
    LEVEL,
    Comparison,
    bootstrap,
    by_fold,
    compare,
    confusion_shares,
    cv_scores,
    interval,
    scores,
)
from stslib.evaluation.metrics import (
    METRIC_NAMES,
    METRICS,
    check_proba,
    confusion,
    predicted,
    prediction_table,
    score,
    scores_of,
)
from stslib.evaluation.paper import COMPARABLE_DATA, PAPER_RESULTS, compare_with_paper, paper_sentence, paper_value
from stslib.evaluation.temperature import calibration

__all__ = [
    "COMPARABLE_DATA",
    "LEVEL",
    "METRICS",
    "METRIC_NAMES",
    "PAPER_RESULTS",
    "Comparison",
    "bootstrap",
    "by_fold",
    "calibration",
    "check_proba",
    "compare",
    "compare_with_paper",
    "confusion",
    "confusion_shares",
    "cv_scores",
    "interval",
    "paper_sentence",
    "paper_value",
    "predicted",
    "prediction_table",
    "score",
    "scores",
    "scores_of",
]
