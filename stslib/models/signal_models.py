"""Networks on the signals of one file of cells: cross-validated, set beside a classical classifier, refitted and saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stslib import cohort, evaluation, networks, training
from stslib.models import card as modelcard
from stslib.models import training_range
from stslib.models.signals import Signals

#: What a score means on each kind of data.
_MEANING = {
    "action_potentials": "Each is one recorded action potential. The score says what its shape tells of the class; it says "
    "nothing of spike trains.",
    "hybrid": "The spike times come from fitted models and the spikes' shape from recordings, so the score is that of hybrid "
    "cells, not of recordings.",
}


@dataclass(frozen=True)
class CrossValidated:
    """Models of the cells `inside` of a file, each cell predicted while a fold held it out: `proba` `(n_inside, 4)`.

    Models are the networks of `recipes`, their `mean` where there are several, and the `classical` one where it was added.
    """

    cells: Signals
    folds: Sequence[tuple[np.ndarray, np.ndarray]]
    seed: int
    recipes: Mapping[str, training.Recipe]
    proba: dict[str, np.ndarray]
    classical: str = ""

    @property
    def labels(self) -> np.ndarray:
        """Class of each cross-validated cell."""
        return self.cells.labels[self.cells.inside]

    def held_out(self, name: str) -> evaluation.Predictions:
        """The predictions of a model; none of them is of a test cell."""
        about = self.cells.cells.loc[self.cells.inside, ["cell_id", "label"]].assign(split="train")
        proba = self.proba[name]
        return evaluation.Predictions(name, self.cells.data, about, proba, proba[:0], self.folds)

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        """Metric records of all models."""
        data, each = self.cells.data, self.proba.items()
        return [r for name, p in each for r in evaluation.cv_scores(self.labels, p, self.folds, name, data)]

    def score(self, name: str, metric: str = "balanced_accuracy") -> float:
        """Mean of a metric over the folds."""
        return next(float(r["value"]) for r in self.records if (r["model"], r["metric"]) == (name, metric))

    @property
    def best(self) -> str:
        """The network of the highest balanced accuracy."""
        return max(self.recipes, key=self.score)

    def predicted(self, name: str) -> np.ndarray:
        """The class that a model predicts for each cell."""
        return evaluation.predicted(self.proba[name])

    def with_classical(self, features: pd.DataFrame | None = None) -> CrossValidated:
        """Add LightGBM on a table of features; without one, an SVM on the raw traces, whose probabilities are 0 or 1."""
        if features is not None:
            from stslib import baseline

            proba = baseline.Learner(seed=self.seed).held_out(features, self.labels, self.folds)
            return replace(self, proba={**self.proba, "lightgbm": proba}, classical="lightgbm")
        from sklearn.svm import SVC

        traces, proba = self.cells.traces[self.cells.inside, 0], np.zeros((len(self.labels), len(cohort.CLASSES)))
        for fit_idx, held_idx in self.folds:
            named = SVC(C=100, gamma="scale").fit(traces[fit_idx], self.labels[fit_idx]).predict(traces[held_idx])
            proba[held_idx, cohort.class_index(named)] = 1
        return replace(self, proba={**self.proba, "svm": proba}, classical="svm")

    def predictions(self) -> pd.DataFrame:
        """One row a cell and model: cell_id, label, model, the four probabilities."""
        whole = pd.concat([self.held_out(name).table().assign(model=name) for name in self.proba], ignore_index=True)
        return whole[["cell_id", "label", "model", *(f"p:{name}" for name in cohort.CLASSES)]]

    def summary(self, n_bootstrap: int = 2000) -> pd.DataFrame:
        """Scores of each model: mean of the folds; pooled over all cells, with its 95 % bootstrap interval; n."""
        rows = []
        for name in self.proba:
            for metric in ("weighted_f1", "balanced_accuracy", "accuracy"):
                pooled = evaluation.with_interval(self.labels, self.predicted(name), n_bootstrap, self.seed, metric)
                rows.append((name, metric, self.score(name, metric), *pooled, len(self.labels)))
        return pd.DataFrame(rows, columns=["model", "metric", "mean_of_folds", "pooled", "low", "high", "n"])

    def comparison(self, n_bootstrap: int = 2000) -> dict[str, Any]:
        """The best network against the classical model, balanced accuracy: difference and its 95 % interval."""
        network, classical = self.predicted(self.best), self.predicted(self.classical)
        found = evaluation.compare(self.labels, network, classical, n_bootstrap=n_bootstrap, seed=self.seed)
        names = {"network": self.best, "classical": self.classical}
        return {**names, "difference": found.value, "low": found.low, "high": found.high}


def cross_validate_signals(
    cells: Signals,
    recipes: Mapping[str, training.Recipe],
    folder: str | Path,
    n_folds: int = 5,
    seed: int = 2026,
    n_jobs: int = 1,
) -> CrossValidated:
    """Networks in stratified cross-validation on the cells of a file, and the mean of their probabilities.

    No held-out cell chooses anything: the scale of images is measured on the others, the number of epochs is fixed.

    `cells` and `recipes` are from `prepare_signals` and `Signals.recipes`; `folder` keeps finished folds, from which a
    stopped run goes on.

    Examples
    --------
    >>> import tempfile
    >>> from stslib.models.signals import example
    >>> recipes = example().recipes(["compact"], "none", "light", max_epochs=1, n_seeds=1, batch_size=4)
    >>> list(cross_validate_signals(example(), recipes, tempfile.mkdtemp(), n_folds=2).with_classical().proba)
    ['compact', 'svm']
    """
    training_set = training.TrainingSet(cells.images[cells.inside], cells.labels[cells.inside])
    folds, proba = cohort.folds(training_set.labels, n_folds, seed), {}
    for name, recipe in recipes.items():
        own = Path(folder) / name.replace(":", "-")
        proba[name], _ = training.cross_validate(recipe, training_set, folds, seed, own, n_jobs)
    if len(recipes) > 1:
        proba["mean"] = np.mean(list(proba.values()), axis=0)
    return CrossValidated(cells, folds, seed, recipes, proba)


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
    every = training.TrainingSet(cells.images, cells.labels)
    for name, recipe in scored.recipes.items():
        own, epochs = Path(scratch) / name.replace(":", "-"), recipe.fit.max_epochs
        if len(cells.outside):
            held = training.refit(recipe, epochs, every.only(cells.inside), scored.seed, own / "inside", common, n_jobs)
            unseen[name] = training.predict_proba(held.model, held.transform, cells.images, cells.outside)
        fitted[name] = training.refit(recipe, epochs, every, scored.seed, own / "all", common, n_jobs)
    if len(unseen) > 1:
        unseen["mean"] = np.mean(list(unseen.values()), axis=0)
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
        modelcard.save_joint(Path(folder) / "mean", members, card(common, "mean"))
    return records


def signals_conclusion(scored: CrossValidated, comparison: Mapping[str, Any]) -> str:
    """What the comparison of a network with a classical classifier (`CrossValidated.comparison`) says, in Markdown.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> scored = SimpleNamespace(cells=SimpleNamespace(data="action_potentials", kind="real"))
    >>> gap = {"network": "compact", "classical": "svm", "difference": 0.012, "low": -0.01, "high": 0.03}
    >>> print(signals_conclusion(scored, gap).splitlines()[0])
    - compact against svm on the same cells, balanced accuracy: +1.2 points (95 % interval -1.0 to +3.0).
    """
    difference, low, high = (100 * comparison[key] for key in ("difference", "low", "high"))
    what = _MEANING.get(scored.cells.data, f"The cells are {scored.cells.kind}.")
    return (
        f"- {comparison['network']} against {comparison['classical']} on the same cells, balanced accuracy: "
        f"{difference:+.1f} points (95 % interval {low:+.1f} to {high:+.1f}).\n- {what}"
    )
