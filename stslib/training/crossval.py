"""The folds of a trial, and the refit of the winner on all training cells (paper section III.C).

The order of the paper: every trial of the search is scored on 3 stratified folds; in each fold a fifth of the fitted part
is set aside for validation; the winner is fitted once more on all training cells for the mean number of epochs of its
folds. What is finished is kept in a folder, so that a killed run goes on where it was, with the same numbers.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.metrics import balanced_accuracy_score
from torch import nn

from stslib import networks
from stslib.cohort import CLASSES, class_index
from stslib.networks import InputTransform
from stslib.support.errors import DamagedFile, StsError
from stslib.support.files import atomic
from stslib.training.config import History
from stslib.training.loop import fit, predict_proba, seeded, threads
from stslib.training.recipes import VALID_FRACTION, Recipe, search_space

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class Fitted:
    """A trained network with its input transform and what happened in its training."""

    model: nn.Module
    transform: InputTransform
    history: History


def train(
    what: Recipe,
    x: np.ndarray,
    labels: Sequence[str] | np.ndarray,
    fit_idx: np.ndarray,
    valid_idx: np.ndarray,
    seed: int,
    label: str = "",
    n_jobs: int = 1,
) -> Fitted:
    """Build a network by its recipe and fit it; see `loop.fit` for `x`, `labels`, the indices and errors.

    Weights whose batch normalisation was folded into them are recalibrated on training cells first. With `n_seeds` above 1
    the model is a `networks.Ensemble`; the history is that of its first member, which is fitted as a single network would be.
    `n_jobs` of them are fitted at a time, each in a process of its own; with `threads` set the result
    does not depend on it.
    """
    seeds = [seed, *(int(s >> 1) for s in np.random.SeedSequence([seed, 1]).generate_state(what.n_seeds - 1))]
    jobs = (delayed(_train_one)(what, x, labels, fit_idx, valid_idx, own, label) for own in seeds)
    fits = list(Parallel(n_jobs=min(n_jobs, len(seeds)))(jobs))
    if len(fits) == 1:
        return fits[0]
    return Fitted(networks.Ensemble(done.model for done in fits).eval(), fits[0].transform, fits[0].history)


def _train_one(
    what: Recipe,
    x: np.ndarray,
    labels: Sequence[str] | np.ndarray,
    fit_idx: np.ndarray,
    valid_idx: np.ndarray,
    seed: int,
    label: str,
) -> Fitted:
    with seeded(seed), threads(what.fit.threads):
        model = networks.build(what.architecture, what.dropout, what.weights, what.freeze)
        transform = InputTransform.fit(
            x, fit_idx, what.architecture, what.height, what.width, what.compress, what.antialias, what.normalise
        )
        if what.weights != "none" and networks.has_folded_batch_norm(model):
            networks.recalibrate_batch_norm(model, transform(np.asarray(x[np.sort(fit_idx)[:256]])))
        second_head: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        if what.fit.aux_weight:
            second_head = networks.with_auxiliary(model, what.architecture, transform.height, transform.width)
        with second_head:
            history = fit(model, transform, x, labels, fit_idx, valid_idx, what.fit, seed, label)
    return Fitted(model, transform, history)


def split_off(
    labels: np.ndarray, indices: np.ndarray, seed: int, fraction: float = VALID_FRACTION
) -> tuple[np.ndarray, np.ndarray]:
    """Divide `indices` into `(fit_idx, valid_idx)`, by class; each class keeps at least one cell to learn from."""
    rng = np.random.default_rng(seed)
    valid: list[int] = []
    for name in sorted(set(labels[indices])):
        members = rng.permutation(indices[labels[indices] == name])
        valid.extend(members[: min(round(len(members) * fraction), len(members) - 1)])
    chosen = np.array(sorted(valid), dtype=np.int64)
    return np.setdiff1d(indices, chosen), chosen


@dataclass(frozen=True)
class FoldFit:
    """One finished fold of one trial.

    Attributes
    ----------
    made_with : dict
        Recipe and seed.
    held_out : list of int
        Cells that the fold held out (positions in the scalograms).
    proba : list of 4 floats a cell
        Their class probabilities.
    history : History
    """

    made_with: dict[str, Any]
    held_out: list[int]
    proba: list[list[float]]
    history: History


def _fold_file(folder: Path, slot: int, fold: int) -> Path:
    return folder / f"slot-{slot:04d}_fold-{fold}.json"


def read_fold(folder: str | Path, slot: int, fold: int) -> FoldFit:
    """The stored result of a fold.

    Raises
    ------
    DamagedFile
        When it is not there or cannot be read.
    """
    path = _fold_file(Path(folder), slot, fold)
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        return FoldFit(**{**fields, "history": History(**fields["history"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedFile(f"{path} is missing or damaged; remove its folder and run again") from error


def fold_objective(
    x: np.ndarray,
    labels: Sequence[str] | np.ndarray,
    base: Recipe,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    seed: int,
    folder: str | Path,
    protocol: str = "small",
) -> Callable[[optuna.Trial, int], float]:
    """What `tuning.run_study` asks for: `objective(trial, fold)`, the balanced accuracy on the fold's held-out cells.

    Parameters
    ----------
    x : array (n_cells, 2, h, w)
        Stored scalograms.
    labels : (n_cells,) of str
        Class of each cell.
    base : Recipe
        What the trials vary.
    folds : list of (fit_idx, held_out_idx)
        Positions in `x`, training cells only.
    seed : int
        Base seed. Fold k of slot s is seeded by `(seed, s, k)` alone.
    folder : path
        Where finished folds are kept; see `read_fold`. A fold that is there with the same recipe and seed is not fitted again.
    protocol : str
        Whose search space.
    """
    names = np.asarray(labels).astype(str)
    codes = class_index(names)

    def objective(trial: optuna.Trial, fold: int) -> float:
        slot = int(trial.user_attrs.get("slot", trial.number))
        what = search_space(trial, base, protocol)
        done = fit_fold(what, x, names, folds, fold, seed, folder, slot)
        predicted = np.argmax(done.proba, axis=1)
        return float(balanced_accuracy_score(codes[np.asarray(done.held_out)], predicted))

    return objective


def fit_fold(
    what: Recipe,
    x: np.ndarray,
    labels: Sequence[str] | np.ndarray,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    fold: int,
    seed: int,
    folder: str | Path,
    slot: int = 0,
) -> FoldFit:
    """Fit one fold and keep what it says of its held-out cells in `folder`; what is there already is not fitted again.

    Parameters are those of `fold_objective`; `slot` is the trial's number within its search.
    """
    names = np.asarray(labels).astype(str)
    own_seed = int(np.random.SeedSequence([seed, slot, fold]).generate_state(1)[0] >> 1)
    path, made_with = _fold_file(Path(folder), slot, fold), {"recipe": asdict(what), "seed": own_seed}
    done = read_fold(folder, slot, fold) if path.is_file() else None
    if done is None or done.made_with != made_with:
        fitted_part, held_out = folds[fold]
        fit_idx, valid_idx = split_off(names, fitted_part, own_seed, what.valid_fraction)
        label = f"{what.architecture} fold {fold + 1}/{len(folds)}"
        fitted = train(what, x, names, fit_idx, valid_idx, own_seed, label)
        with threads(what.fit.threads):
            proba = predict_proba(fitted.model, fitted.transform, x, held_out)
        done = FoldFit(made_with, np.asarray(held_out).tolist(), proba.tolist(), fitted.history)
        with atomic(path) as temporary:
            temporary.write_text(json.dumps(asdict(done)), encoding="utf-8")
    return done


def cross_validate(
    what: Recipe,
    x: np.ndarray,
    labels: Sequence[str] | np.ndarray,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    seed: int,
    folder: str | Path,
    n_jobs: int = 1,
) -> tuple[np.ndarray, list[FoldFit]]:
    """Every fold of one recipe, without a search: probabilities of each cell while it was held out, and the fits.

    Parameters
    ----------
    what, x, labels, folds, seed, folder
        As for `fit_fold`.
    n_jobs : int
        Folds at a time, each in a process of its own; the result does not depend on it.

    Returns
    -------
    proba : (n_cells, 4) array
        NaN for a cell that no fold holds out.
    fits : list of FoldFit
    """
    jobs = (delayed(fit_fold)(what, x, labels, folds, fold, seed, folder) for fold in range(len(folds)))
    fits = list(Parallel(n_jobs=min(n_jobs, len(folds)))(jobs))
    proba = np.full((len(x), len(CLASSES)), np.nan)
    for done in fits:
        proba[done.held_out] = done.proba
    return proba, fits


def cells_sha256(x: np.ndarray, labels: np.ndarray, indices: np.ndarray) -> str:
    """Hash of the cells `indices`: their positions, their labels and their scalograms."""
    digest = hashlib.sha256()
    digest.update(
        json.dumps([np.asarray(indices).tolist(), np.asarray(labels)[indices].tolist(), x.shape[1:]]).encode()
    )
    for part in np.array_split(np.asarray(indices), max(1, len(indices) // 64)):
        digest.update(np.ascontiguousarray(x[part]).tobytes())
    return digest.hexdigest()


def history_table(model: str, fits: Sequence[FoldFit]) -> pd.DataFrame:
    """The folds' histories, one row an epoch: model, fold, epoch (from 1), losses, accuracy, learning rate."""
    tables = []
    for fold, done in enumerate(fits):
        series = {name: values for name, values in asdict(done.history).items() if name != "stopped"}
        table = pd.DataFrame({name: pd.Series(values, dtype=float) for name, values in series.items()})
        table.insert(0, "epoch", np.arange(1, len(table) + 1))
        table.insert(0, "fold", fold)
        table.insert(0, "model", model)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def refit_epochs(fits: Sequence[FoldFit], keep: str) -> int:
    """Mean number of epochs of the folds: of those run for "last" (the paper's code), up to the best one for "best"."""
    counts = [done.history.n_epochs if keep == "last" else done.history.best_epoch for done in fits]
    return max(1, round(float(np.mean(counts))))


def refit(
    what: Recipe,
    n_epochs: int,
    x: np.ndarray,
    labels: Sequence[str] | np.ndarray,
    train_idx: np.ndarray,
    seed: int,
    folder: str | Path,
    card: Mapping[str, Any] | None = None,
    n_jobs: int = 1,
) -> Fitted:
    """Fit the winner on all training cells for `n_epochs`, without validation, and save it in `folder`.

    A model that is there, made with the same recipe, cells, epochs and seed, is loaded instead.

    Parameters
    ----------
    what, x, labels, seed
        As for `train`.
    n_epochs : int
        Number of epochs; see `refit_epochs`.
    train_idx : int array
        All training cells.
    folder : path
        For `networks.save`.
    card : mapping, optional
        More for the model card (cohort, kind of data, ...), JSON types.
    n_jobs : int
        Seeds at a time, as for `train`.

    Raises
    ------
    StsError
        When the training diverged.
    """
    settings = what.with_changes({"max_epochs": n_epochs, "patience": 0, "keep": "last"})
    names = np.asarray(labels).astype(str)
    made_with = {"recipe": asdict(settings), "seed": seed, "cells_sha256": cells_sha256(x, names, train_idx)}
    if (Path(folder) / "model.json").is_file():
        model, transform, known = networks.load(folder)
        if known.get("made_with") == made_with:
            return Fitted(model, transform, History(**known["history"]))
    label = f"{what.architecture} on all {len(train_idx)}"
    fitted = train(settings, x, names, np.asarray(train_idx), np.array([], dtype=np.int64), seed, label, n_jobs)
    if fitted.history.stopped == "diverged":
        rate, epoch = what.fit.learning_rate, fitted.history.n_epochs
        raise StsError(
            f"{what.architecture} diverged in epoch {epoch} at a learning rate of {rate:g}; lower learning_rate"
        )
    counts = {name: int((names[train_idx] == name).sum()) for name in sorted(set(names[train_idx]))}
    full_card = {
        "architecture": what.architecture,
        "dropout": what.dropout,
        "n_cells": counts,
        **(card or {}),
        "made_with": made_with,
        "history": asdict(fitted.history),
    }
    networks.save(folder, fitted.model, fitted.transform, full_card)
    return fitted
