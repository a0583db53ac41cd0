"""From an HDF5 store of cells to scalograms and a cross-validated network, with the band, rate and number of sweeps free.

Notebooks 02 and 03 take the paper's two sweeps at 4 kHz and 20 to 200 Hz. Here both are parameters, so that a file of single
action potentials at 200 kHz goes the same way as one of long squares at 10 kHz.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from sklearn.svm import SVC
from torch import nn

from stslib import cohort, evaluation, networks, sweeps, training
from stslib.models import card as modelcard
from stslib.models import training_range
from stslib.networks import InputTransform
from stslib.recordings import Recording
from stslib.scalograms import Preprocessing
from stslib.support.errors import ParameterError, StsError
from stslib.support.files import mirror_path

#: Word for the data of a store in metric records, by its layout; a store of sweeps says itself what it holds.
ACTION_POTENTIALS = "action_potentials"


class Store(Protocol):
    """A file of cells, such as `stslib.io.hdf5.Store`."""

    path: Path
    layout: str
    kind: str

    def cells(self) -> pd.DataFrame:
        """One row a cell: cell_id, label, dataset, donor, split, published_split."""
        ...

    def recordings(self, cell_ids: Iterable[str] | None = None) -> Iterator[Recording]:
        """The recordings of `cell_ids`."""
        ...


@dataclass(frozen=True)
class Signals:
    """The cells of a store, prepared.

    Attributes
    ----------
    cells : DataFrame
        One row a cell that is kept, as `Store.cells`.
    left_out : DataFrame
        Cells without the sweeps or the class: cell_id, reason, detail.
    table : DataFrame
        What `sweeps.extract` tells of the kept cells.
    traces : (n, c, n_samples) float32
        Their sweeps in mV.
    images : (n, c, height, width) float16
        Their scalograms, with the close-ups to the right where there are any.
    preprocessing : Preprocessing
        All numbers of the way here, for the model card.
    data, kind : str
        Word for metric records, and what the voltages are (`stslib.recordings.KINDS`).
    """

    cells: pd.DataFrame
    left_out: pd.DataFrame
    table: pd.DataFrame
    traces: np.ndarray
    images: np.ndarray
    preprocessing: Preprocessing
    data: str
    kind: str

    @property
    def labels(self) -> np.ndarray:
        """Class of each cell: `(n,)` of str."""
        labels: np.ndarray = self.cells["label"].to_numpy()
        return labels

    @property
    def whole(self) -> np.ndarray:
        """The images without their close-ups."""
        return self.images[..., : self.preprocessing.image.width]

    @cached_property
    def described(self) -> pd.DataFrame:
        """The simple numbers of each cell that a model's training range is made from (`training_range.describe`)."""
        return training_range.describe(self.whole, self.traces, self.table)

    @cached_property
    def spikes_mv(self) -> np.ndarray | None:
        """The voltage in the close-ups, `(n, c, n_close_up)`, or None."""
        close_up = self.preprocessing.image.close_up
        return None if close_up is None else close_up.cut(self.traces, self.preprocessing.sweeps)


def prepare(store: Store, preprocessing: Preprocessing, n_jobs: int = 1) -> Signals:
    """Sweeps and scalograms of all cells of a store that have a class; `n_jobs` processes read and prepare sweeps.

    Raises
    ------
    StsError
        No cell is left.
    """
    cells = cohort.account(store.cells(), {})
    known = cells[cells["reason"] == ""]
    traces, table = sweeps.extract(store.recordings(known["cell_id"]), preprocessing.sweeps, n_jobs, total=len(known))
    kept = (table["reason"] == "").to_numpy()
    left_out = pd.concat(
        [cells[cells["reason"] != ""][["cell_id", "reason"]], table[~kept][["cell_id", "reason", "detail"]]]
    )
    if not kept.any():
        raise StsError(f"no cell of {store.path.name} can be used, first: {left_out['reason'].iloc[0]}")
    images = preprocessing.draw(traces, "Scalograms")
    data = ACTION_POTENTIALS if store.layout == ACTION_POTENTIALS else store.kind
    return Signals(
        known[kept].reset_index(drop=True), left_out.reset_index(drop=True), table[kept].reset_index(drop=True),
        traces, images, preprocessing, data, store.kind,
    )  # fmt: skip


def divide(cells: Signals, cv_split: str) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the cells to cross-validate, and of the others.

    Parameters
    ----------
    cells : Signals
        Prepared cells.
    cv_split : str
        The attribute `split` of the first; "" takes all cells.

    Raises
    ------
    ParameterError
        No cell has that split.
    """
    split = cells.cells["published_split"]
    inside = np.flatnonzero((split == cv_split) | (cv_split == ""))
    if not len(inside):
        known = ", ".join(repr(name) for name in sorted(set(split)))
        raise ParameterError(f"cv_split is {cv_split!r}, and no cell has that split; the file has: {known}")
    return inside, np.setdiff1d(np.arange(len(split)), inside)


def recipes(models: Sequence[str], weights: str, close_up: bool, **changes: Any) -> dict[str, training.Recipe]:
    """The recipe of each network of a list such as `["compact", "mobilenet_v2:imagenet"]`.

    Parameters
    ----------
    models : list of str
        Architectures; `:imagenet` starts from `weights`, the others start from random ones.
    weights : str
        As for `networks.build`, or `mirror:NAME`.
    close_up : bool
        Whether the images hold a close-up: they are then twice as wide.
    **changes
        As for `training.recipe`.
    """
    found = {}
    for name in models:
        architecture, _, start = name.partition(":")
        own = training.recipe(
            architecture, "signals", weights=str(mirror_path(weights)) if start else "none", **changes
        )
        found[name] = own.with_changes({"width": (1 + close_up) * own.width})
    return found


def kernel_machine(
    traces: np.ndarray, labels: np.ndarray, folds: Sequence[tuple[np.ndarray, np.ndarray]]
) -> np.ndarray:
    """A support vector machine with an RBF kernel on the raw traces, as a simple thing to compare with.

    Parameters
    ----------
    traces : (n, n_samples) array
        In mV.
    labels : (n,) of str
        Classes.
    folds : list of (fit_idx, held_out_idx)
        Every cell is held out once.

    Returns
    -------
    (n, 4) array
        1 for the class that is named, else 0: it gives no probabilities.
    """
    proba = np.zeros((len(labels), len(cohort.CLASSES)))
    for fit_idx, held in folds:
        said = SVC(C=100, gamma="scale").fit(traces[fit_idx], labels[fit_idx]).predict(traces[held])
        proba[held, cohort.class_index(said)] = 1
    return proba


def pooled_interval(
    labels: np.ndarray, proba: np.ndarray, metric: str, n: int, seed: int
) -> tuple[float, float, float]:
    """A score over all held-out cells together, and the 95 % bootstrap interval over cells: `(value, low, high)`."""
    said = evaluation.predicted(proba)
    low, high = evaluation.interval(evaluation.bootstrap(labels, said, n, seed)[metric])
    return evaluation.score(metric, labels, said), low, high


@dataclass(frozen=True)
class CrossValidated:
    """Networks on the cells `inside` of a file, in cross-validation.

    Attributes
    ----------
    inside : int array
        Cells that were cross-validated.
    folds : list of (fit, held_out)
        Positions within `inside`.
    proba : mapping of name to (n_inside, 4) array
        Probabilities of each model while a fold held the cell out, and of `mean` where there are several.
    records : list of dict
        Metric records of all models.
    """

    inside: np.ndarray
    folds: Sequence[tuple[np.ndarray, np.ndarray]]
    proba: Mapping[str, np.ndarray]
    records: Sequence[Mapping[str, Any]]

    def card(self, own: Mapping[str, Any], name: str, signals: Signals) -> dict[str, Any]:
        """The whole card of the model `name`; `own` is that of its refit (`training.refit`)."""
        records = [record for record in self.records if record["model"] == name]
        every, none = np.arange(len(self.inside)), np.array([], dtype=np.int64)
        labels, described = signals.labels[self.inside], signals.described.iloc[self.inside]
        held_out = modelcard.HeldOut(labels, self.proba[name], every, none, self.folds, described)
        return modelcard.finish(own, records, held_out)


def save_models(
    folder: str | Path,
    fitted: Mapping[str, tuple[nn.Module, InputTransform, Mapping[str, Any]]],
    card: Mapping[str, Any],
    signals: Signals,
    scored: CrossValidated,
) -> None:
    """Save each network for `sts predict` in a folder of its own, and several of them together as `mean`.

    `fitted` maps a name to (network, input transform, card), fitted on all cells; `card` holds what all have in common.
    """
    members = {
        name.replace(":", "-"): (network, transform, scored.card(own, name, signals))
        for name, (network, transform, own) in fitted.items()
    }
    for name, (network, transform, own) in members.items():
        networks.save(Path(folder) / name, network, transform, own)
    if len(members) > 1:
        modelcard.save_joint(Path(folder) / "mean", members, scored.card(card, "mean", signals))
