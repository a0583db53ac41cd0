"""Folds and the refit (paper section III.C); what is finished stays in a folder, from which a killed run goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from torch import nn

from stslib import cohort, networks
from stslib.networks import InputTransform
from stslib.networks.architectures import Ensemble, with_auxiliary
from stslib.support.errors import DamagedFile, StsError
from stslib.support.files import atomic
from stslib.training.cells import TrainingSet, shrink
from stslib.training.loop import EarlyStopping, History, fit, predict_proba, seeded, threads
from stslib.training.recipes import FitConfig, Recipe


@dataclass(frozen=True)
class Fitted:
    """A trained network with its input transform, what happened in its training, and, after a refit, its model card."""

    model: nn.Module
    transform: InputTransform
    history: History
    card: dict[str, Any] | None = None


@dataclass(frozen=True)
class FoldFit:
    """One finished fold."""

    made_with: dict[str, Any]
    held_out: list[int]  # positions of the cells that it held out
    proba: list[list[float]]  # (n, 4), theirs
    history: History
    fit_s: float = field(default=0.0, compare=False)  # what it cost says nothing of what it is
    classify_s: float = field(default=0.0, compare=False)  # of 1,000 cells


def train(recipe: Recipe, cells: TrainingSet, seed: int, label: str = "", n_jobs: int = 1) -> Fitted:
    """Build a network by its recipe and fit it, `n_jobs` of its `n_seeds` at a time; errors are those of `fit`.

    Several seeds make an `Ensemble` with the history of its first member, fitted as a single network would be.
    """
    seeds = [seed, *(int(s >> 1) for s in np.random.SeedSequence([seed, 1]).generate_state(recipe.n_seeds - 1))]
    jobs = (delayed(_train_one)(recipe, cells, own, label) for own in seeds)
    fits = list(Parallel(n_jobs=min(n_jobs, len(seeds)))(jobs))
    if len(fits) == 1:
        return fits[0]
    return Fitted(Ensemble(done.model for done in fits).eval(), fits[0].transform, fits[0].history)


def _train_one(recipe: Recipe, cells: TrainingSet, seed: int, label: str) -> Fitted:
    with seeded(seed), threads(recipe.fit.threads):
        model = networks.build(recipe.architecture, recipe.dropout, recipe.weights, recipe.freeze)
        size = (recipe.height, recipe.width)
        transform = InputTransform.fit(
            cells.images, cells.train, recipe.architecture, size, recipe.compress, recipe.antialias, recipe.normalise
        )
        transform = replace(transform, reads=recipe.reads)
        if isinstance(model, networks.ClosedForm):
            x, y = transform.finish(shrink(transform, cells.images, cells.train).float()), cells.labels[cells.train]
            model.fit(x, torch.from_numpy(cohort.class_index(y)), seed)
            return Fitted(model.eval(), transform, History())
        if recipe.weights != "none":
            networks.recalibrate_batch_norm(model, transform(np.asarray(cells.images[np.sort(cells.train)[:256]])))
        with with_auxiliary(model, recipe.architecture, recipe.fit.aux_weight, transform.height, transform.width):
            history = fit(model, transform, cells, recipe.fit, seed, label)
    return Fitted(model, transform, history)


def cross_validate(
    recipe: Recipe,
    cells: TrainingSet,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    seed: int,
    folder: str | Path,
    n_jobs: int = 1,
    slot: int = 0,
) -> tuple[np.ndarray, list[FoldFit]]:
    """Fit a network on each fold, `n_jobs` at a time, and predict the cells that the fold holds out.

    `folds` are pairs `(fit_idx, held_out_idx)` of positions within the training cells; one that `folder` holds is not
    fitted again. Gives the training cells' probabilities `(n_train, 4)`, NaN for a cell that is never held out.
    """
    cells.sha256  # noqa: B018 (hashed once, before the cells go to other processes)
    jobs = (delayed(fit_slot)(recipe, cells, folds, fold, seed, Path(folder), slot) for fold in range(len(folds)))
    fits = list(Parallel(n_jobs=min(n_jobs, len(folds)))(jobs))
    proba = np.full((len(cells.train), len(cohort.CLASSES)), np.nan)
    for (_, held_out), done in zip(folds, fits, strict=True):
        proba[held_out] = done.proba
    return proba, fits


def fit_slot(
    recipe: Recipe, cells: TrainingSet, folds: Sequence[Any], fold: int, seed: int, folder: Path, slot: int
) -> FoldFit:
    """`fit_fold` for one fold of one trial of a search, with the same seed after a kill and a second start."""
    own_seed = int(np.random.SeedSequence([seed, slot, fold]).generate_state(1)[0] >> 1)
    label = f"{recipe.architecture} fold {fold + 1}/{len(folds)}"
    return fit_fold(recipe, cells, folds[fold], own_seed, folder / f"slot-{slot:04d}_fold-{fold}.json", label)


def fit_fold(
    recipe: Recipe, cells: TrainingSet, fold: tuple[np.ndarray, np.ndarray], seed: int, path: Path, label: str = ""
) -> FoldFit:
    """Fit one fold, and keep its predictions of the held-out cells at `path`; what is there already is not fitted again."""
    made_with = {"recipe": asdict(recipe), "seed": seed, "cells_sha256": cells.sha256}
    done = None
    if path.is_file():
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            done = FoldFit(**{**fields, "history": History(**fields["history"])})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DamagedFile(f"{path} is damaged; remove its folder and run again") from error
    if done is None or done.made_with != made_with:
        fit_idx, held_out = (cells.train[part] for part in fold)
        started = time.perf_counter()
        fitted = train(recipe, cells.only(fit_idx).split_off(seed, recipe.valid_fraction), seed, label)
        trained = time.perf_counter()
        with threads(recipe.fit.threads):
            proba = predict_proba(fitted.model, fitted.transform, cells.images, held_out)
        costs = trained - started, 1000 * (time.perf_counter() - trained) / len(held_out)
        done = FoldFit(made_with, held_out.tolist(), proba.tolist(), fitted.history, *costs)
        with atomic(path) as temporary:
            temporary.write_text(json.dumps(asdict(done)), encoding="utf-8")
    return done


def history_table(model: str, fits: Sequence[FoldFit]) -> pd.DataFrame:
    """The folds' histories, one row an epoch: model, fold, epoch (from 1), losses, accuracy, learning rate."""
    tables = []
    for fold, done in enumerate(fits):
        series = {name: pd.Series(vs, dtype=float) for name, vs in vars(done.history).items() if name != "stopped"}
        epochs = np.arange(1, done.history.n_epochs + 1)
        tables.append(pd.DataFrame({"model": model, "fold": fold, "epoch": epochs, **series}))
    return pd.concat(tables, ignore_index=True)


def plateaus(history: pd.DataFrame, improvement: float = FitConfig.min_improvement) -> pd.DataFrame:
    """When networks stopped to learn, by `history_table`: the last epoch with a validation loss lower by `improvement`.

    That is the step that early stopping asks for. A row a model: `median`, `first` and `last` of its folds, and `epochs`
    that every fold was fitted for.
    """
    rows = []
    for model, table in history.groupby("model", sort=False):
        found = []
        for _, loss in table.groupby("fold")["valid_loss"]:
            stopping = EarlyStopping(0, improvement)
            waits = [stopping.should_stop(value) or stopping.waited for value in loss]
            found.append(max(k + 1 for k, waited in enumerate(waits) if waited == 0))
        rows.append((model, float(np.median(found)), min(found), max(found), int(table.groupby("fold").size().min())))
    return pd.DataFrame(rows, columns=["model", "median", "first", "last", "epochs"])


def refit_epochs(fits: Sequence[FoldFit], keep: str) -> int:
    """Mean number of epochs of the folds: of those run for "last" (the paper's code), up to the best one for "best"."""
    counts = [done.history.n_epochs if keep == "last" else done.history.best_epoch for done in fits]
    return max(1, round(float(np.mean(counts))))


def refit(
    recipe: Recipe,
    n_epochs: int,
    cells: TrainingSet,
    seed: int,
    folder: str | Path,
    card: Mapping[str, Any] | None = None,
    n_jobs: int = 1,
) -> Fitted:
    """Fit the winner on all training cells for `n_epochs`, without validation, and save it with `card` in `folder`.

    A model that is there, made with the same recipe, cells, epochs and seed, is loaded. Diverging is an `StsError`.
    """
    settings = recipe.with_changes({"max_epochs": n_epochs, "patience": 0, "keep": "last"})
    cells = cells.only(cells.train)
    made_with = {"recipe": asdict(settings), "seed": seed, "cells_sha256": cells.sha256}
    if (Path(folder) / "model.json").is_file():
        model, transform, known = networks.load(folder)
        if known.get("made_with") == made_with:
            return Fitted(model, transform, History(**known["history"]), known)
    fitted = train(settings, cells, seed, f"{recipe.architecture} on all {len(cells.train)}", n_jobs)
    if fitted.history.stopped == "diverged":
        at = f"in epoch {fitted.history.n_epochs} at a learning rate of {recipe.fit.learning_rate:g}"
        raise StsError(f"{recipe.architecture} diverged {at}; lower learning_rate")
    own = {"architecture": recipe.architecture, "dropout": recipe.dropout, "n_cells": cells.counts()}
    whole = {**own, **(card or {}), "made_with": made_with, "history": asdict(fitted.history)}
    networks.save(folder, fitted.model, fitted.transform, whole)
    return Fitted(fitted.model, fitted.transform, fitted.history, whole)
