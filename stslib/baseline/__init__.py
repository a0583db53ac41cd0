"""The baseline: boosted trees on electrophysiology features (paper section III.D), and a better one beside it."""

from stslib.baseline.learner import Ensemble, Folds, Learner, search_space
from stslib.baseline.trees import DEFAULTS, Model, load

__all__ = ["DEFAULTS", "Ensemble", "Folds", "Learner", "Model", "load", "search_space"]
