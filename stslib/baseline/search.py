"""The baseline inside the training cells: its search space, cross-validation, and the check with shuffled labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stslib import cohort, evaluation
from stslib.baseline.trees import fit, predict_proba
from stslib.cohort import CLASSES

if TYPE_CHECKING:
    import optuna

#: Learns from features and labels, and gives the probabilities `(n, 4)` of other cells from their features.
Learner = Callable[[pd.DataFrame, np.ndarray, pd.DataFrame], np.ndarray]


def search_space(trial: optuna.Trial) -> dict[str, Any]:
    """Parameters of a trial, from the authors' search space (protocol, Baseline).

    `subsample` is in their space, but LightGBM ignores it as long as `subsample_freq` is 0, its default, which they
    leave as it is. It is kept for a faithful search.
    """
    return {
        "num_leaves": trial.suggest_int("num_leaves", 10, 100),
        "max_depth": trial.suggest_int("max_depth", 3, 12),
        "learning_rate": trial.suggest_float("learning_rate", 1e-3, 0.2, log=True),
        "n_estimators": trial.suggest_int("n_estimators", 50, 300),
        "min_child_samples": trial.suggest_int("min_child_samples", 5, 30),
        "subsample": trial.suggest_float("subsample", 0.5, 1.0),
        "colsample_bytree": trial.suggest_float("colsample_bytree", 0.5, 1.0),
        "reg_alpha": trial.suggest_float("reg_alpha", 0.0, 1.0),
        "reg_lambda": trial.suggest_float("reg_lambda", 0.0, 1.0),
    }


def held_out(
    learner: Learner,
    x: pd.DataFrame,
    y: Sequence[str] | np.ndarray | pd.Series,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
) -> np.ndarray:
    """Probabilities `(n_cells, 4)` of cells while they were held out: each fold's cells by a model that never saw them.

    Cells that no fold holds out stay NaN. A fold whose classes are not those of all cells is the learner's to refuse.
    """
    labels = np.asarray(y, dtype=object)
    proba = np.full((len(labels), len(CLASSES)), np.nan)
    for fit_idx, out_idx in folds:
        proba[out_idx] = learner(x.iloc[fit_idx], labels[fit_idx], x.iloc[out_idx])
    return proba


def boosted(params: Mapping[str, Any], seed: int = 2026, threads: int = 1) -> Learner:
    """LightGBM with these parameters as a learner."""
    return lambda x, y, unseen: predict_proba(fit(x, y, params, seed, threads), unseen, threads)


def cross_validate(
    x: pd.DataFrame,
    y: Sequence[str] | np.ndarray | pd.Series,
    params: Mapping[str, Any],
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    seed: int = 2026,
    threads: int = 1,
) -> np.ndarray:
    """`held_out` for LightGBM."""
    return held_out(boosted(params, seed, threads), x, y, folds)


def objective(
    x: pd.DataFrame,
    y: Sequence[str] | np.ndarray | pd.Series,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    seed: int = 2026,
    threads: int = 1,
) -> Any:
    """Objective for `stslib.training.run_study`: balanced accuracy of a fold's held-out cells (paper section III.C)."""
    labels = np.asarray(y, dtype=object)

    def score(trial: optuna.Trial, fold: int) -> float:
        fit_idx, out_idx = folds[fold]
        model = fit(x.iloc[fit_idx], labels[fit_idx], search_space(trial), seed, threads)
        said = evaluation.predicted(predict_proba(model, x.iloc[out_idx], threads))
        return evaluation.score("balanced_accuracy", labels[out_idx], said)

    return score


def shuffled_scores(
    x: pd.DataFrame,
    y: Sequence[str] | np.ndarray | pd.Series,
    params: Mapping[str, Any],
    n_shuffles: int = 5,
    n_folds: int = 3,
    seed: int = 2026,
    threads: int = 1,
) -> np.ndarray:
    """Cross-validated balanced accuracy on shuffled labels, `(n_shuffles,)`: chance, 1/4, unless something leaks."""
    rng = np.random.default_rng(seed)
    found = []
    for k in range(n_shuffles):
        shuffled = rng.permutation(np.asarray(y, dtype=object))
        parts = cohort.folds(shuffled, n_folds, seed + k)
        said = evaluation.predicted(cross_validate(x, shuffled, params, parts, seed, threads))
        found.append(evaluation.score("balanced_accuracy", shuffled, said))
    return np.array(found)
