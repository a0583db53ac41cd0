"""A network through the paper's protocol (section III.C): search, by any number of workers, cross-validation, refit."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from joblib import Parallel, delayed
from optuna.trial import FrozenTrial, TrialState
from sklearn.metrics import balanced_accuracy_score

from stslib import cohort, networks
from stslib.support.errors import ParameterError, StsError
from stslib.training.cells import TrainingSet
from stslib.training.crossval import (
    Fitted,
    FoldFit,
    fit_fold,
    fold_file,
    fold_seed,
    history_table,
    refit,
    refit_epochs,
)
from stslib.training.recipes import Recipe, first_params, recipe, search_space
from stslib.training.storage import address_with_password
from stslib.training.study import SearchSettings, fold_scores, run_study, slot_of


@dataclass(frozen=True)
class Outcome:
    """A network after its search and refit; it has seen no test cell."""

    trials: pd.DataFrame  # a row a trial (`trial_table`)
    params: dict[str, Any]  # the winner's
    n_epochs: int  # of the refit
    history: pd.DataFrame  # losses of the winner's folds
    cv_proba: np.ndarray  # (n_train, 4), of each training cell from the fold that held it out
    folds: list[tuple[np.ndarray, np.ndarray]]  # positions within the training cells
    fitted: Fitted  # on all training cells, with its model card


def search_networks(
    cells: TrainingSet,
    recipes: Mapping[str, Recipe],
    settings: SearchSettings,
    folder: str | Path,
    card: Mapping[str, Any] | None = None,
    n_jobs: int = 1,
) -> dict[str, Outcome]:
    """Search around each recipe, cross-validate, and refit the winner on all training cells.

    Parameters
    ----------
    cells : TrainingSet; only its training cells are read
    recipes : mapping of name to Recipe, which the trials vary
    settings : SearchSettings; a storage with a password in its address is refused, for parameters are written down
    folder : path for journals, finished folds and refitted networks, from which a killed run goes on
    card, n_jobs : more for the model cards, and networks at a time (the result does not depend on it)

    Returns
    -------
    dict of name to Outcome

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from stslib import training
    >>> cells = training.TrainingSet(np.random.default_rng(0).standard_normal((8, 2, 32, 32)), ["Sst", "Pvalb"] * 4)
    >>> recipes = {"compact": training.recipe("compact", height=32, width=32, max_epochs=2, batch_size=2)}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     outcomes = training.search_networks(cells, recipes, training.SearchSettings(n_trials=1, n_folds=2), folder)
    >>> outcomes["compact"].cv_proba.shape
    (8, 4)
    """
    if address_with_password(str(settings.storage)):
        raise ParameterError(
            "the storage's address carries a password, and parameters are written down; put it into ~/.pgpass or PGPASSWORD"
        )
    cells.sha256  # noqa: B018 (hashed once, before the cells go to other processes)
    slowest_first = sorted(recipes, key=lambda name: -networks.ARCHITECTURES[recipes[name].architecture].gmacs)
    done = Parallel(n_jobs=max(1, min(n_jobs, len(recipes))))(
        delayed(search_and_refit)(cells, recipes[name], settings, Path(folder) / name, card) for name in slowest_first
    )
    outcomes = dict(zip(slowest_first, done, strict=True))
    return {name: outcomes[name] for name in recipes}


def search_and_refit(
    cells: TrainingSet, base: Recipe, settings: SearchSettings, folder: Path, card: Mapping[str, Any] | None = None
) -> Outcome:
    """`search_networks` for one network; the search has the architecture's name in its storage."""
    name = base.architecture
    study = run_search(
        cells, base, dataclasses.replace(settings, storage=settings.storage or folder), name, folder / "folds"
    )
    best = best_trial(study)
    winner, slot = base.with_changes(best.params), slot_of(best)
    # At once where the folder holds them; a fold that another machine fitted is fitted here once more.
    fits = [_fit(winner, cells, settings, folder / "folds", slot, fold) for fold in range(settings.n_folds)]
    parts = _folds(cells, settings)
    cv_proba = np.zeros((len(cells.train), len(cohort.CLASSES)))
    for (_, held_out), done in zip(parts, fits, strict=True):
        cv_proba[held_out] = done.proba
    n_epochs = refit_epochs(fits, winner.fit.keep)
    fitted = refit(winner, n_epochs, cells, settings.seed, folder / "model", card)
    history = history_table(name, fits)
    return Outcome(trial_table(study), dict(best.params), n_epochs, history, cv_proba, parts, fitted)


def run_search(cells: TrainingSet, base: Recipe, settings: SearchSettings, name: str, folder: Path) -> optuna.Study:
    """Work on the search `name` around `base` until all its trials are finished, alone or beside other workers.

    `folder` holds this machine's finished folds. All workers need the same recipe and cells, not threads and device.
    """
    codes = cohort.class_index(cells.labels)

    def score(trial: optuna.Trial, fold: int) -> float:
        done = _fit(search_space(trial, base), cells, settings, folder, slot_of(trial), fold)
        return float(balanced_accuracy_score(codes[done.held_out], np.argmax(done.proba, axis=1)))

    weights = Path(base.weights).name
    shared = asdict(base.with_changes({"threads": 0, "device": "cpu", "weights": weights}))
    setup = {
        "protocol": base.protocol,
        "weights": weights,
        "recipe_sha256": hashlib.sha256(json.dumps(shared, sort_keys=True).encode()).hexdigest()[:16],
        "cells_sha256": cells.sha256[:16],
    }
    return run_study(score, settings, name, first_params(base), setup)


def _folds(cells: TrainingSet, settings: SearchSettings) -> list[tuple[np.ndarray, np.ndarray]]:
    return cohort.folds(cells.labels[cells.train], settings.n_folds, settings.seed)


def _fit(recipe: Recipe, cells: TrainingSet, settings: SearchSettings, folder: Path, slot: int, fold: int) -> FoldFit:
    fit_part, held_out = _folds(cells, settings)[fold]
    label = f"{recipe.architecture} fold {fold + 1}/{settings.n_folds}"
    part, seed = (cells.train[fit_part], cells.train[held_out]), fold_seed(settings.seed, slot, fold)
    return fit_fold(recipe, cells, part, seed, fold_file(folder, slot, fold), label)


# --- reading a search -------------------------------------------------------------------------------------------------


def best_trial(study: optuna.Study) -> FrozenTrial:
    """The complete trial of the highest mean score; of equal ones the lowest slot."""
    complete = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    if not complete:
        raise StsError(f"study {study.study_name} has no finished trial; run it with n_trials of at least 1")
    return max(complete, key=lambda trial: (trial.value, -slot_of(trial)))


def trial_table(study: optuna.Study) -> pd.DataFrame:
    """Finished trials of a search (an `optuna.Study` from `run_study`), one row a slot.

    Returns
    -------
    DataFrame
        `slot`, `state` ("complete" or "pruned"), `mean` and `sd` over folds (divisor n; missing for a pruned trial),
        `fold:0`..., the parameters.

    Examples
    --------
    >>> import optuna
    >>> from stslib import training
    >>> training.trial_table(optuna.create_study()).columns.tolist()
    ['slot', 'state', 'mean', 'sd']
    """
    rows = []
    for trial in study.trials:
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
            scores = fold_scores(trial)
            complete = trial.state == TrialState.COMPLETE
            mean, sd = (trial.value, np.std(scores)) if complete else (np.nan, np.nan)
            row = {"slot": slot_of(trial), "state": "complete" if complete else "pruned", "mean": mean, "sd": sd}
            rows.append({**row, **{f"fold:{k}": score for k, score in enumerate(scores)}, **trial.params})
    table = pd.DataFrame(rows) if rows else pd.DataFrame(columns=["slot", "state", "mean", "sd"])
    return table.sort_values("slot", ignore_index=True)


def check_parameters(parameters: Mapping[str, Any], _: Mapping[str, Any]) -> None:
    """Refuse parameters of notebook 05 that make no sense, before anything runs; unknown names in its dicts among them."""
    changes = {"height": parameters["image_px"], "width": parameters["image_px"], **parameters["settings"]}
    for name in parameters["architectures"]:
        recipe(name, parameters["protocol"], weights=parameters["weights"], **changes)
    SearchSettings().with_changes(parameters["search"])
