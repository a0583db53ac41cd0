"""A network through the paper's protocol (section III.C): search, by any number of workers, cross-validation, refit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
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
from stslib.training.crossval import Fitted, cross_validate, fit_slot, history_table, refit, refit_epochs
from stslib.training.recipes import Recipe, first_params, recipe, search_space
from stslib.training.storage import address_with_password
from stslib.training.study import SearchSettings, fold_scores, run_study, slot_of


@dataclass(frozen=True)
class Outcome:
    """A network after its search and refit; it has seen no test cell."""

    trials: pd.DataFrame  # a row a trial (`trial_table`)
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
    """Search around each recipe, cross-validate, and refit the winner on all training cells: an `Outcome` a name.

    Parameters
    ----------
    cells, recipes : TrainingSet, of which only training cells are read, and mapping of name to Recipe, which trials vary;
        each network reads the images of its own size in `cells.sized`, if there are such
    settings, folder : SearchSettings (no password in its storage), and path for all from which a killed run goes on
    card, n_jobs : more for the model cards, and networks at a time (the result does not depend on it)

    Examples
    --------
    >>> import tempfile
    >>> cells = TrainingSet(np.random.default_rng(0).standard_normal((8, 2, 32, 32)), ["Sst", "Pvalb"] * 4)
    >>> recipes = {"compact": recipe("compact", max_epochs=2, batch_size=2)}
    >>> list(search_networks(cells, recipes, SearchSettings(n_trials=1, n_folds=2), tempfile.mkdtemp()))
    ['compact']
    """
    if address_with_password(str(settings.storage)):
        where = "put it into ~/.pgpass or PGPASSWORD"
        raise ParameterError(f"the storage's address carries a password, and parameters are written down; {where}")
    read = {name: cells.read_by(recipe) for name, recipe in recipes.items()}
    for own in read.values():
        own.sha256  # noqa: B018 (hashed once, before the cells go to other processes)
    slowest_first = sorted(recipes, key=lambda name: -networks.ARCHITECTURES[recipes[name].architecture].gmacs)
    done = Parallel(n_jobs=max(1, min(n_jobs, len(recipes))))(
        delayed(_search_and_refit)(read[name], recipes[name], settings, Path(folder) / name, card)
        for name in slowest_first
    )
    outcomes = dict(zip(slowest_first, done, strict=True))
    return {name: outcomes[name] for name in recipes}


def _search_and_refit(
    cells: TrainingSet, base: Recipe, settings: SearchSettings, folder: Path, card: Mapping[str, Any] | None
) -> Outcome:
    """`search_networks` for one network; the search has the architecture's name in its storage."""
    if (
        base.direct and card and "preprocessing" in card
    ):  # of new cells (`sts predict`) the network reads the same image
        own = {"height": base.height, "width": base.width, "dtype": "float32"}
        made = card["preprocessing"]
        card = {**card, "preprocessing": {**made, "image": {**made["image"], **own}}}
    name, seed = base.architecture, settings.seed
    study = run_search(cells, base, replace(settings, storage=settings.storage or folder), name, folder / "folds")
    best = best_trial(study)
    winner, folds = base.with_changes(best.params), cohort.folds(cells.labels[cells.train], settings.n_folds, seed)
    # At once where the folder holds them; a fold that another machine fitted is fitted here once more.
    proba, fits = cross_validate(winner, cells, folds, seed, folder / "folds", slot=slot_of(best))
    fitted = refit(winner, refit_epochs(fits, winner.fit.keep), cells, seed, folder / "model", card)
    return Outcome(trial_table(study), history_table(name, fits), proba, folds, fitted)


def run_search(cells: TrainingSet, base: Recipe, settings: SearchSettings, name: str, folder: Path) -> optuna.Study:
    """Work on the search `name` around `base` until all its trials are finished, alone or beside other workers.

    `folder` holds this machine's finished folds. All workers need the same recipe and cells, not threads and device.
    """
    codes = cohort.class_index(cells.labels)
    folds = cohort.folds(cells.labels[cells.train], settings.n_folds, settings.seed)

    def score(trial: optuna.Trial, fold: int) -> float:
        done = fit_slot(search_space(trial, base), cells, folds, fold, settings.seed, folder, slot_of(trial))
        return float(balanced_accuracy_score(codes[done.held_out], np.argmax(done.proba, axis=1)))

    weights = Path(base.weights).name
    shared = asdict(base.with_changes({"threads": 0, "device": "cpu", "weights": weights}))
    recipe_sha256 = hashlib.sha256(json.dumps(shared, sort_keys=True).encode()).hexdigest()
    setup = {"recipe_sha256": recipe_sha256[:16], "cells_sha256": cells.sha256[:16]}
    setup |= {"protocol": base.protocol, "weights": weights}
    return run_study(score, settings, name, first_params(base), setup)


def best_trial(study: optuna.Study) -> FrozenTrial:
    """The complete trial of the highest mean score; of equal ones the lowest slot."""
    complete = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    if not complete:
        raise StsError(f"study {study.study_name} has no finished trial; run it with n_trials of at least 1")
    return max(complete, key=lambda trial: (trial.value, -slot_of(trial)))


def trial_table(study: optuna.Study) -> pd.DataFrame:
    """Finished trials of a search (an `optuna.Study` from `run_study`), one row a slot.

    Columns: `slot`, `state` ("complete" or "pruned"), `mean` and `sd` over folds (divisor n; missing for a pruned
    trial), `fold:0`..., the parameters.

    Examples
    --------
    >>> trial_table(optuna.create_study()).columns.tolist()
    ['slot', 'state', 'mean', 'sd']
    """
    rows = []
    for trial in study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED)):
        scores, state = fold_scores(trial), trial.state.name.lower()
        mean, sd = (trial.value, np.std(scores)) if state == "complete" else (np.nan, np.nan)
        row = {"slot": slot_of(trial), "state": state, "mean": mean, "sd": sd}
        rows.append({**row, **{f"fold:{k}": score for k, score in enumerate(scores)}, **trial.params})
    table = pd.DataFrame(rows) if rows else pd.DataFrame(columns=["slot", "state", "mean", "sd"])
    return table.sort_values("slot", ignore_index=True)


def check_parameters(parameters: Mapping[str, Any], _: Mapping[str, Any]) -> None:
    """Refuse parameters of notebook 05 that make no sense, before anything runs; unknown names in its dicts among them."""
    changes = {"height": parameters["image_px"], "width": parameters["image_px"], **parameters["settings"]}
    for name in parameters["architectures"]:
        recipe(name, parameters["protocol"], weights=parameters["weights"], **changes)
    SearchSettings().with_changes(parameters["search"])
