"""A network through the paper's protocol: search, cross-validation of the winner, refit (section III.C).

`search_and_refit` is what notebook 05 calls for each network; `tune_network` is the search alone, for any number of
workers on one storage (`sts tune`). A notebook that names the same storage takes over what the workers found.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from joblib import Parallel, delayed

from stslib import cohort, networks, training
from stslib.press import stage as runs
from stslib.support.errors import ParameterError, one_of
from stslib.training import search as tuning

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


@dataclass(frozen=True)
class Search:
    """The search of one network: cells, folds, recipe, and where it is kept. Set up here for whoever works on it.

    Attributes
    ----------
    x : array (n_cells, 2, h, w)
        Stored scalograms of all kept cells.
    labels : (n_cells,) of str
        Classes.
    train_idx : int array
        Training cells; no other cell is read.
    base : training.Recipe
        What the trials vary.
    protocol : str
        Whose search space.
    n_trials, n_folds, seed : int
        See `tuning.run_study`.
    folder : pathlib.Path
        Where finished folds are kept, on this machine.
    storage : str
        Where the trials are kept: a journal's path or an address of PostgreSQL.
    study : str
        Name of the search within the storage.
    prune : bool
        Whether hopeless trials are given up after a fold.
    """

    x: np.ndarray
    labels: np.ndarray
    train_idx: np.ndarray
    base: training.Recipe
    protocol: str
    n_trials: int
    n_folds: int
    seed: int
    folder: Path
    storage: str
    study: str
    prune: bool = False

    @property
    def parts(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The folds, as positions within `train_idx`."""
        return cohort.folds(self.labels[self.train_idx], self.n_folds, self.seed)

    def objective(self) -> Callable[[Any, int], float]:
        """What a trial is scored by."""
        absolute = [(self.train_idx[fit], self.train_idx[held]) for fit, held in self.parts]
        return training.fold_objective(
            self.x, self.labels, self.base, absolute, self.seed, self.folder, self.protocol
        )  # fmt: skip

    def setup(self) -> dict[str, Any]:
        """What every worker of the search must have alike, on whichever machine: protocol, recipe and cells.

        Threads and device are not among it, so that machines of different kinds can share a search.
        """
        free = {"threads": 0, "device": "cpu"}
        recipe = json.dumps(asdict(self.base.with_changes(free)), sort_keys=True, default=str)
        return {
            "protocol": self.protocol,
            "weights": Path(self.base.weights).name,
            "recipe_sha256": hashlib.sha256(recipe.encode()).hexdigest()[:16],
            "cells_sha256": training.cells_sha256(self.x, self.labels, self.train_idx)[:16],
        }

    def run(self) -> optuna.Study:
        """Work until all trials are finished, alone or beside other workers."""
        return tuning.run_study(
            self.objective(), self.n_trials, self.storage, self.study, self.seed, self.n_folds,
            training.first_params(self.base, self.protocol) or None, self.setup(), self.prune,
        )  # fmt: skip

    def winner(self, study: optuna.Study) -> tuple[dict[str, Any], list[training.FoldFit]]:
        """Parameters and fold fits of the best trial; a fold that another machine fitted is fitted here once more."""
        best = tuning.best_trial(study)
        again = optuna.trial.FixedTrial(best.params)
        again.set_user_attr("slot", tuning.slot_of(best))
        objective, fits = self.objective(), []
        for fold in range(self.n_folds):
            objective(again, fold)  # at once, where it is kept
            fits.append(training.read_fold(self.folder, tuning.slot_of(best), fold))
        return dict(best.params), fits


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
    storage: str = "",
    prune: bool = False,
) -> Outcome:
    """Search around `base`, cross-validate, and refit the winner on all training cells.

    Parameters
    ----------
    x, labels, train_idx, base, protocol, n_trials, n_folds, seed, prune
        As for `Search`.
    folder : pathlib.Path
        Where the journal, the finished folds and the refitted network are kept, so that a killed run goes on.
    card : mapping, optional
        More for the model card.
    storage : str
        Where the search is kept; "" is a journal in `folder`. With a storage that `sts tune` has filled, its best trial
        is taken over.
    """
    name = base.architecture
    search = Search(
        x, np.asarray(labels).astype(str), train_idx, base, protocol, n_trials, n_folds, seed, folder / "folds",
        storage or str(folder), name, prune,
    )  # fmt: skip
    study = search.run()
    params, fits = search.winner(study)
    cv_proba = np.zeros((len(train_idx), len(cohort.CLASSES)))
    for (_, held), done in zip(search.parts, fits, strict=True):
        cv_proba[held] = done.proba
    winner = base.with_changes(params)
    n_epochs = training.refit_epochs(fits, winner.fit.keep)
    fitted = training.refit(winner, n_epochs, x, search.labels, train_idx, seed, folder / "model", card)
    return Outcome(
        tuning.trial_table(study), params, n_epochs, training.history_table(name, fits), cv_proba, search.parts,
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
    storage: str = "",
    prune: bool = False,
) -> dict[str, Outcome]:
    """`search_and_refit` for each of `recipes` (name to recipe), `n_jobs` networks at a time; in the order of `recipes`.

    Processes of one thread each use two cores better than one process of two threads, and the result does not depend on
    how many there are.

    Raises
    ------
    ParameterError
        A storage whose address carries a password: what a notebook is given is written into its manifest and the book.
    """
    if tuning.address_with_password(storage):
        raise ParameterError(
            "the storage's address carries a password, and parameters are written down; put it into ~/.pgpass or PGPASSWORD"
        )
    dearest_first = sorted(recipes, key=lambda name: _COST.index(name) if name in _COST else len(_COST))
    options = (protocol, n_trials, n_folds, seed)
    done = Parallel(n_jobs=min(n_jobs, len(recipes)))(
        delayed(search_and_refit)(x, labels, train_idx, recipes[name], *options, folder / name, card, storage, prune)
        for name in dearest_first
    )
    found = dict(zip(dearest_first, done, strict=True))
    return {name: found[name] for name in recipes}


def tune_network(
    run: str,
    architecture: str,
    storage: str,
    study: str = "",
    folder: Path | None = None,
    n_trials: int = 50,
    n_folds: int = 3,
    protocol: str = "corrected",
    weights: str = "none",
    threads: int = 1,
    seed: int = 2026,
    prune: bool = True,
    device: str = "cpu",
    image_px: int = 0,
    max_epochs: int = 0,
    batch_size: int = 0,
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Work on a search until it has `n_trials` finished trials (paper, section III.C), alone or beside other workers.

    Only the training cells of the run take part.

    Parameters
    ----------
    run : str
        Run whose 01_data and 03_scalograms are read.
    architecture, protocol, weights
        See `training.recipe`.
    storage : str
        Path of a journal file, or `postgresql://user@host/database`.
    study : str
        Name of the search in its storage; the architecture by default, as notebook 05 has it.
    folder : pathlib.Path, optional
        Where this machine keeps finished folds; by default beside the journal, or in the folder `searches` of the run.
    n_trials, n_folds, seed, prune
        See `tuning.run_study`.
    threads : int
        Threads of this worker.
    device : str
        "cpu" or "cuda".
    image_px, max_epochs, batch_size : int
        Of the recipe; 0 for the protocol's own.

    Returns
    -------
    best : DataFrame
        The five best trials: slot, mean and SD of the balanced accuracy, parameters.
    counts : dict
        See `tuning.count_states`.

    Raises
    ------
    ParameterError, MissingInput, DamagedFile, StsError
        Anything unknown, a run that has no scalograms, a damaged journal, a storage that cannot be reached.
    """
    one_of("architecture", architecture, networks.ARCHITECTURES)
    one_of("protocol", protocol, training.PROTOCOLS)
    cells = cohort.kept(runs.open_stage(run, "01_data").load_table("cells", keep_default_na=False)).reset_index(
        drop=True
    )
    x = runs.open_stage(run, "03_scalograms").load_array("scalograms")
    if len(x) != len(cells):
        raise ParameterError(f"run {run} has {len(x)} scalograms and {len(cells)} kept cells; run it again: sts run")
    train = np.flatnonzero(cells["split"] == "train")
    base = training.recipe(
        architecture,
        protocol,
        weights=weights,
        threads=threads,
        device=device,
        height=image_px,
        width=image_px,
        max_epochs=max_epochs,
        batch_size=batch_size,
    )
    study = study or architecture
    if folder is None:
        journal = Path(storage).expanduser()
        beside = journal.parent if journal.suffix == ".journal" else journal
        beside = runs.run_folder(run) / "searches" if "://" in storage else beside
        folder = beside / f"{study}.folds"
    search = Search(
        x, cells["label"].to_numpy().astype(str), train, base, protocol, n_trials, n_folds, seed, folder, storage,
        study, prune,
    )  # fmt: skip
    found = search.run()
    table = tuning.trial_table(found).query("state == 'complete'").drop(columns="state")
    return table.sort_values("mean", ascending=False).head(5), tuning.count_states(found)
