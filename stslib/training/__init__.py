"""Training of the networks (paper, section III.C): the loop, the recipes, cross-validation and the refit."""

from stslib.training.config import FitConfig, History
from stslib.training.crossval import (
    Fitted,
    FoldFit,
    cells_sha256,
    cross_validate,
    fit_fold,
    fold_objective,
    history_table,
    read_fold,
    refit,
    refit_epochs,
    split_off,
    train,
)
from stslib.training.loop import fit, predict_proba
from stslib.training.recipes import PROTOCOLS, REGULARISATIONS, Recipe, first_params, recipe, search_space

__all__ = [
    "PROTOCOLS",
    "REGULARISATIONS",
    "FitConfig",
    "Fitted",
    "FoldFit",
    "History",
    "Recipe",
    "cells_sha256",
    "cross_validate",
    "first_params",
    "fit",
    "fit_fold",
    "fold_objective",
    "history_table",
    "predict_proba",
    "read_fold",
    "recipe",
    "refit",
    "refit_epochs",
    "search_space",
    "split_off",
    "train",
]
