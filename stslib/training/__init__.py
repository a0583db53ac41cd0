"""Training of the networks (paper, section III.C): recipes, the loop, cross-validation, the search and the refit."""

from stslib.training.ablations import ablation_variants, compare_variants
from stslib.training.cells import TrainingSet
from stslib.training.crossval import Fitted, FoldFit, cross_validate, history_table, refit, refit_epochs, train
from stslib.training.loop import History, fit, predict_proba
from stslib.training.protocol import Outcome, best_trial, check_parameters, run_search, search_networks, trial_table
from stslib.training.recipes import PROTOCOLS, REGULARISATIONS, FitConfig, Recipe, recipe, search_space
from stslib.training.study import SearchSettings, fold_scores, run_study, slot_of

__all__ = [
    "PROTOCOLS", "REGULARISATIONS", "FitConfig", "Fitted", "FoldFit", "History", "Outcome", "Recipe", "SearchSettings",
    "TrainingSet", "ablation_variants", "best_trial", "check_parameters", "compare_variants", "cross_validate", "fit",
    "fold_scores", "history_table", "predict_proba", "recipe", "refit", "refit_epochs", "run_search", "run_study",
    "search_networks", "search_space", "slot_of", "train", "trial_table",
]  # fmt: skip
