"""The baseline: gradient-boosted trees on electrophysiology features (paper section III.D), and a better one beside it."""

from stslib.baseline.ensemble import NAME, TREES, Ensemble, ensembled, fit_ensemble, load_ensemble, save_ensemble
from stslib.baseline.search import Learner, boosted, cross_validate, held_out, objective, search_space, shuffled_scores
from stslib.baseline.trees import CARD_FILE, DEFAULTS, MODEL_FILE, Model, fit, load, predict_proba, save

__all__ = [
    "CARD_FILE",
    "DEFAULTS",
    "MODEL_FILE",
    "NAME",
    "TREES",
    "Ensemble",
    "Learner",
    "Model",
    "boosted",
    "cross_validate",
    "ensembled",
    "fit",
    "fit_ensemble",
    "held_out",
    "load",
    "load_ensemble",
    "objective",
    "predict_proba",
    "save",
    "save_ensemble",
    "search_space",
    "shuffled_scores",
]
