"""Classifiers of the signals of one file of cells: cross-validated, nested where that is wanted, refitted and saved."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stslib import cohort, evaluation, networks, training
from stslib.models import card as modelcard
from stslib.models import fusion, training_range
from stslib.models.cross_validated import CrossValidated
from stslib.models.signals import Signals
from stslib.support.errors import StsError


def cross_validate_signals(
    cells: Signals,
    recipes: Mapping[str, training.Recipe],
    folder: str | Path,
    n_folds: int = 5,
    seed: int = 2026,
    n_jobs: int = 1,
    inner_folds: int = 0,
) -> CrossValidated:
    """Classifiers in stratified cross-validation on the cells of a file, and the mean of their probabilities.

    No held-out cell chooses anything of a single one: the scale of images is measured on the others, the number of epochs
    is fixed. With `inner_folds` the members of the mean are chosen, once on all held-out cells (for the model to save) and
    once by folds inside each fold, by networks of one seed: nested cross-validation. Cells of a donor stay in one fold.

    `cells` and `recipes` are from `prepare_signals` and `Signals.recipes`; `folder` keeps finished folds, from which a
    stopped run goes on; without `inner_folds` the mean is that of all.

    Examples
    --------
    >>> import tempfile
    >>> from stslib.models.signals import example
    >>> recipes = example().recipes(["compact"], "none", "light", max_epochs=1, n_seeds=1, batch_size=4)
    >>> list(cross_validate_signals(example(), recipes, tempfile.mkdtemp(), n_folds=2).proba)
    ['compact']
    """
    labels, donors = cells.labels[cells.inside], donors_of(cells)
    folds = cohort.folds(labels, n_folds, seed, donors)
    known = {name: training.TrainingSet(cells.read(own.reads)[cells.inside], labels) for name, own in recipes.items()}
    proba: dict[str, np.ndarray] = {}
    seeds, cost = {}, {}
    for name, recipe in recipes.items():
        single, own = recipe.with_changes({"n_seeds": 1}), Path(folder) / name.replace(":", "-")
        runs = [
            training.cross_validate(single, known[name], folds, seed, own, n_jobs, k) for k in range(recipe.n_seeds)
        ]
        seeds[name] = [found for found, _ in runs]
        proba[name] = np.mean(seeds[name], axis=0)
        times = np.array([(done.fit_s, done.classify_s) for _, fits in runs for done in fits])
        cost[name] = (recipe.n_seeds * times[:, 0].mean(), recipe.n_seeds * times[:, 1].mean())
    shown = [name for name, own in recipes.items() if own.reads in networks.SCALOGRAMS]
    if 1 < len(shown) < len(recipes):
        proba["mean:scalograms"] = np.mean([proba[name] for name in shown], axis=0)
    if len(recipes) < 2:
        return CrossValidated(cells, folds, seed, recipes, proba, cost=cost, seeds=seeds)
    mean, nested = fusion.Fusion(tuple(recipes)), {}
    if inner_folds:
        single_proba = {name: proba[name] for name in recipes}
        mean, nested["mean"] = fusion.choose(single_proba, labels), np.full((len(labels), len(cohort.CLASSES)), np.nan)
        for number, (fit_idx, out) in enumerate(folds):
            groups = None if donors is None else donors[fit_idx]
            inner, inside = cohort.folds(labels[fit_idx], inner_folds, seed, groups), {}
            for name, recipe in recipes.items():
                single, own = recipe.with_changes({"n_seeds": 1}), Path(folder) / name.replace(":", "-")
                where = own / f"inner-{number}"
                part = known[name].only(fit_idx)
                inside[name], _ = training.cross_validate(single, part, inner, seed, where, n_jobs)
            chosen = fusion.choose(inside, labels[fit_idx])
            nested["mean"][out] = chosen({name: p[out] for name, p in single_proba.items()})
    proba["mean"] = mean(proba)
    cost["mean"] = (sum(cost[name][0] for name in mean.members), sum(cost[name][1] for name in mean.members))
    return CrossValidated(cells, folds, seed, recipes, proba, nested, mean, cost, seeds)


def donors_of(cells: Signals) -> np.ndarray | None:
    """The donor of each cross-validated cell, itself where it is not known; None where no donor is. `StsError` if a class
    has none and others have: its cells could not be grouped as theirs."""
    about = cells.cells.iloc[cells.inside]
    donors = about["donor"].fillna("").astype(str).to_numpy()
    if not (donors != "").any():
        return None
    for label in sorted(set(about["label"])):
        without = (about["label"] == label).to_numpy()
        if not (donors[without] != "").any():
            raise StsError(
                f"class {label} has {without.sum()} cells and none with a donor; give every class donors, or none"
            )
    return np.where(donors == "", about["cell_id"].astype(str).to_numpy(), donors)


def fit_signals(
    scored: CrossValidated, about: Mapping[str, Any], folder: str | Path, scratch: str | Path, n_jobs: int = 1
) -> list[dict[str, Any]]:
    """Fit each network on all cells and save it in `folder` for `sts predict`, several together as `mean`: metric records.

    The holdout, cells without part in the cross-validation, is predicted first, once, by networks fitted on the others.
    The folds of `scored` give the calibration, `about` what all model cards say (`run`, ...); `scratch` keeps finished fits.

    Examples
    --------
    >>> import tempfile
    >>> from stslib.models.signals import example
    >>> recipes = example().recipes(["compact"], "none", "light", max_epochs=1, n_seeds=1, batch_size=4)
    >>> scored = cross_validate_signals(example(), recipes, tempfile.mkdtemp(), n_folds=2)
    >>> len(fit_signals(scored, {"run": "example"}, tempfile.mkdtemp(), tempfile.mkdtemp())) == len(scored.records)
    True
    """
    cells, records, fitted, unseen = scored.cells, list(scored.records), {}, {}
    common = {"data": cells.data, "seed": scored.seed, "test_cells": len(cells.outside), **about}
    common["preprocessing"] = cells.preprocessing.as_dict()
    for name, recipe in scored.recipes.items():
        own, epochs = Path(scratch) / name.replace(":", "-"), recipe.fit.max_epochs
        every = training.TrainingSet(cells.read(recipe.reads), cells.labels)
        if len(cells.outside):
            held = training.refit(recipe, epochs, every.only(cells.inside), scored.seed, own / "inside", common, n_jobs)
            unseen[name] = training.predict_proba(held.model, held.transform, every.images, cells.outside)
        fitted[name] = training.refit(recipe, epochs, every, scored.seed, own / "all", common, n_jobs)
    if len(unseen) > 1:
        unseen["mean"] = scored.fusion(unseen)
    for name, proba in unseen.items():
        records += evaluation.scores(cells.labels[cells.outside], proba, name, cells.data, "holdout", seed=scored.seed)
    whole_sweeps = cells.images[..., : cells.preprocessing.image.width]  # without the close-ups
    described = training_range.describe(whole_sweeps, cells.traces, cells.table).iloc[cells.inside]

    def card(own: Mapping[str, Any], name: str) -> dict[str, Any]:
        of_model = [record for record in records if record["model"] == name]
        return modelcard.finish(own, of_model, scored.held_out(name), described)

    members = {
        name.replace(":", "-"): (own.model, own.transform, card(own.card or {}, name)) for name, own in fitted.items()
    }
    for name, parts in members.items():
        networks.save(Path(folder) / name, *parts)
    if len(members) > 1:
        together = {name.replace(":", "-"): members[name.replace(":", "-")] for name in scored.fusion.members}
        joint = {**common, "class_factors": list(scored.fusion.factors)}
        modelcard.save_joint(Path(folder) / "mean", together, card(joint, "mean"))
    return records
