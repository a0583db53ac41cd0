"""Classify cells with a trained model, by the preprocessing that its card holds; every cell is accounted for."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from stslib import sweeps
from stslib.cohort import CLASSES
from stslib.models import training_range
from stslib.models.card import Model, load
from stslib.recordings import Recording
from stslib.scalograms import ScalogramWarning

#: The columns of the table, in order: `p:<class>` are calibrated probabilities, currents are in pA, `predicted` is empty for an
#: excluded cell, `reason` a code of `cohort.REASONS`; `warning` says what to look at in its file first. Do not trust the class
#: of a cell that is out of range.
COLUMNS = (
    "cell_id", "predicted", *(f"p:{name}" for name in CLASSES), "out_of_range", "range_reason", "rheobase_pa", "partner_pa",
    "rheobase_sweep", "partner_sweep", "rheobase_spikes", "partner_spikes", "onset_s", "rest_mv", "warning", "reason", "detail",
)  # fmt: skip


@dataclass(frozen=True)
class Predicted:
    """Cells that a model has classified."""

    table: pd.DataFrame  # one row a cell, in order; see `COLUMNS`
    traces: np.ndarray  # (n_classified, c, n_samples), prepared sweeps in mV
    images: np.ndarray  # (n_classified, c, h, w), as the model takes them
    model: Model
    kind: str = "real"  # what the cells are (`stslib.recordings.KINDS`)

    @property
    def classified(self) -> pd.DataFrame:
        """The rows of `traces` and `images`."""
        return self.table[self.table["predicted"] != ""]


def predict(
    recordings: Iterable[Recording],
    model: Model | str | Path,
    n_jobs: int = 1,
    total: int | None = None,
    kind: str = "real",
) -> Predicted:
    """Calibrated probabilities of the four classes for each cell, and whether it lies in the range of the training cells.

    `model` may be a folder (see `card.load`); `n_jobs` processes read and prepare sweeps, `total` cells are to come.
    """
    if not isinstance(model, Model):
        model = load(model)
    traces, table = sweeps.extract(recordings, model.preprocessing.sweeps, n_jobs=n_jobs, total=total)
    usable = (table["reason"] == "").to_numpy()
    shown = table.reindex(columns=list(COLUMNS))
    shown[["predicted", "range_reason", "warning"]] = ""
    shown["out_of_range"] = False
    if not usable.any():
        return Predicted(shown, traces, np.empty((0, 0, 0, 0), np.float32), model, kind)
    with warnings.catch_warnings():
        # A wavelet longer than the sweep was so in training as well: nobody can change it here.
        warnings.simplefilter("ignore", ScalogramWarning)
        images = model.preprocessing.draw(traces)
    proba = model.proba(images, traces)
    shown.loc[usable, [f"p:{name}" for name in CLASSES]] = proba
    shown.loc[usable, "predicted"] = np.asarray(CLASSES)[proba.argmax(axis=1)]
    described = training_range.describe(images[..., : model.preprocessing.image.width], traces, table[usable])
    reasons = training_range.outside(described, model.ranges)
    shown.loc[usable, "range_reason"] = reasons
    shown.loc[usable, "out_of_range"] = [bool(reason) for reason in reasons]
    return Predicted(shown, traces, images, model, kind)


def in_order(table: pd.DataFrame, excluded: pd.DataFrame, cell_ids: Iterable[str]) -> pd.DataFrame:
    """Add the cells that could not even be opened (`excluded`: cell_id, reason, detail), in the order of `cell_ids`."""
    more = excluded.assign(predicted="", range_reason="", warning="", out_of_range=False)
    whole = pd.concat([table, more], ignore_index=True)
    return whole.set_index("cell_id").loc[list(cell_ids)].reset_index().astype({"out_of_range": bool})
