"""How good a classifier is: scores with bootstrap intervals, two models compared, calibration, the paper's numbers."""

from stslib.evaluation.intervals import LEVEL, bootstrap, by_fold, confusion_shares, cv_records, interval, scores
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
from stslib.evaluation.pairs import Difference, McNemar, bootstrap_difference, compare_models, mcnemar
from stslib.evaluation.paper import COMPARABLE_DATA, PAPER_RESULTS, compare_with_paper, paper_sentence, paper_value
from stslib.evaluation.reliability import calibration

__all__ = [
    "COMPARABLE_DATA",
    "LEVEL",
    "METRICS",
    "METRIC_NAMES",
    "PAPER_RESULTS",
    "Difference",
    "McNemar",
    "bootstrap",
    "bootstrap_difference",
    "by_fold",
    "calibration",
    "check_proba",
    "compare_models",
    "compare_with_paper",
    "confusion",
    "confusion_shares",
    "cv_records",
    "interval",
    "mcnemar",
    "paper_sentence",
    "paper_value",
    "predicted",
    "prediction_table",
    "score",
    "scores",
    "scores_of",
]
