"""A network through the paper's protocol: search, cross-validation of the winner, refit (section III.C).

`search_and_refit` is what notebook 05 calls for each network; `tune_network` is the search alone, for any number of
workers on one folder (`sts tune`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from stslib import cohort, networks, runs, training, tuning
from stslib.errors import ParameterError, one_of

#: Networks by the time that they take, so that a long one does not start last.
_COST = ("inception_v3", "densenet121", "mobilenet_v2", "resnet18")


@dataclass(frozen=True)
class Outcome:
    """A network after its search and refit.

    Attributes
    ----------
    trials : DataFrame
        One row a trial (`tuning.trial_table`).
    params : dict
        The winner's parameters.
    n_epochs : int
        Epochs of the refit.
    history : DataFrame
        Losses of the winner's folds (`training.history_table`).
    cv_proba : ndarray, (n_train, 4)
        Probabilities of each training cell from the fold that held it out, in the order of `train_idx`.
    folds : list of (fit, held_out)
        Positions within `train_idx`.
    fitted : training.Fitted
        The network fitted on all training cells. It has seen no test cell.
    card : dict
        Its model card.
    """

    trials: pd.DataFrame
    params: dict[str, Any]
    n_epochs: int
    history: pd.DataFrame
    cv_proba: np.ndarray
    folds: list[tuple[np.ndarray, np.ndarray]]
    fitted: training.Fitted
    card: dict[str, Any]


def search_and_refit(
    x: np.ndarray,
    labels: Sequence[str] | np.ndarray,
    train_idx: np.ndarray,
    base: training.Recipe,
    protocol: str,
    n_trials: int,
    n_folds: int,
    seed: int,
    folder: Path,
    card: Mapping[str, Any] | None = None,
) -> Outcome:
    """Search around `base`, cross-validate, and refit the winner on all training cells.

    Parameters
    ----------
    x : array (n_cells, 2, h, w)
        Stored scalograms of all kept cells.
    labels : (n_cells,) of str
        Classes.
    train_idx : int array
        Training cells; no other cell is read.
    base, protocol
        From `training.recipe`.
    n_trials, n_folds, seed : int
        See `tuning.run_study`.
    folder : pathlib.Path
        Where the journal, the finished folds and the refitted network are kept, so that a killed run goes on.
    card : mapping, optional
        More for the model card.
    """
    name = base.architecture
    labels = np.asarray(labels).astype(str)
    parts = cohort.folds(labels[train_idx], n_folds, seed)
    absolute = [(train_idx[fit], train_idx[held]) for fit, held in parts]
    objective = training.fold_objective(x, labels, base, absolute, seed, folder / "folds", protocol)
    study = tuning.run_study(
        objective, n_trials, folder, name, seed, n_folds, training.first_params(base, protocol) or None
    )
    best = tuning.best_trial(study)
    fits = [training.read_fold(folder / "folds", tuning.slot_of(best), fold) for fold in range(n_folds)]
    cv_proba = np.zeros((len(train_idx), len(cohort.CLASSES)))
    for (_, held), done in zip(parts, fits, strict=True):
        cv_proba[held] = done.proba
    winner = base.with_changes(best.params)
    n_epochs = training.refit_epochs(fits, winner.fit.keep)
    fitted = training.refit(winner, n_epochs, x, labels, train_idx, seed, folder / "model", card)
    return Outcome(
        tuning.trial_table(study), dict(best.params), n_epochs, training.history_table(name, fits), cv_proba, parts,
        fitted, networks.load(folder / "model")[2],
    )  # fmt: skip


def search_all(
    x: np.ndarray,
    labels: Sequence[str] | np.ndarray,
    train_idx: np.ndarray,
    recipes: Mapping[str, training.Recipe],
    protocol: str,
    n_trials: int,
    n_folds: int,
    seed: int,
    folder: Path,
    card: Mapping[str, Any] | None = None,
    n_jobs: int = 1,
) -> dict[str, Outcome]:
    """`search_and_refit` for each of `recipes` (name to recipe), `n_jobs` networks at a time; in the order of `recipes`.

    Processes of one thread each use two cores better than one process of two threads, and the result does not depend on
    how many there are.
    """
    dearest_first = sorted(recipes, key=lambda name: _COST.index(name) if name in _COST else len(_COST))
    options = (protocol, n_trials, n_folds, seed)
    done = Parallel(n_jobs=min(n_jobs, len(recipes)))(
        delayed(search_and_refit)(x, labels, train_idx, recipes[name], *options, folder / name, card)
        for name in dearest_first
    )
    found = dict(zip(dearest_first, done, strict=True))
    return {name: found[name] for name in recipes}


def tune_network(
    run: str,
    architecture: str,
    study: Path,
    n_trials: int = 50,
    n_folds: int = 3,
    protocol: str = "corrected",
    weights: str = "none",
    threads: int = 1,
    seed: int = 2026,
) -> pd.DataFrame:
    """Work on a search until it has `n_trials` finished trials (paper, section III.C), alone or beside other workers.

    Only the training cells of the run take part.

    Parameters
    ----------
    run : str
        Run whose 01_data and 03_scalograms are read.
    architecture, protocol, weights
        See `training.recipe`.
    study : pathlib.Path
        Folder of the journal and of the finished folds.
    n_trials, n_folds, seed : int
        See `tuning.run_study`.
    threads : int
        Threads of this worker.

    Returns
    -------
    DataFrame
        The five best trials: slot, mean and SD of the balanced accuracy, parameters.

    Raises
    ------
    ParameterError, MissingInput, DamagedFile
        Anything unknown, a run that has no scalograms, a damaged journal.
    """
    one_of("architecture", architecture, networks.ARCHITECTURES)
    one_of("protocol", protocol, training.PROTOCOLS)
    cells = cohort.kept(runs.open_stage(run, "01_data").load_table("cells", keep_default_na=False)).reset_index(
        drop=True
    )
    x = runs.open_stage(run, "03_scalograms").load_array("scalograms")
    if len(x) != len(cells):
        raise ParameterError(f"run {run} has {len(x)} scalograms and {len(cells)} kept cells; run it again: sts run")
    labels = cells["label"].to_numpy()
    train = np.flatnonzero(cells["split"] == "train")
    parts = [(train[fit], train[held]) for fit, held in cohort.folds(labels[train], n_folds, seed)]
    base = training.recipe(architecture, protocol, weights=weights, threads=threads)
    objective = training.fold_objective(x, labels, base, parts, seed, study / architecture, protocol)
    found = tuning.run_study(
        objective, n_trials, study, architecture, seed, n_folds, training.first_params(base, protocol) or None,
        setup={"run": run, "protocol": protocol, "weights": weights, "n_cells": len(train)},
    )  # fmt: skip
    return tuning.trial_table(found).sort_values("mean", ascending=False).head(5)
