"""Classify cells with a trained model: the training's own preprocessing, cell by cell, with a reason for each left out.

The model's card holds every number of its preprocessing, so that new cells go the very way that the training cells went.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from stslib import sweeps
from stslib.cohort import CLASSES
from stslib.models import card as modelcard
from stslib.models import training_range
from stslib.recordings import Recording
from stslib.scalograms import ScalogramWarning

#: The columns of the table, in order, with their meaning.
COLUMNS = {
    "cell_id": "name of the cell",
    "predicted": "class of the highest probability; empty for a cell that was left out",
    **{f"p:{name}": f"calibrated probability of {name}" for name in CLASSES},
    "out_of_range": "whether the cell lies outside of the range of the training cells; then do not trust the class",
    "range_reason": "which number is outside, and the range",
    "rheobase_pa": "current of the first sweep (pA)",
    "partner_pa": "current of the second sweep (pA)",
    "reason": "why the cell was left out, a code of stslib.cohort.REASONS",
    "detail": "the same in words",
}


@dataclass(frozen=True)
class Predicted:
    """Cells after a model.

    Attributes
    ----------
    table : DataFrame
        One row a cell, in order; see `COLUMNS`.
    traces : (n_classified, c, n_samples) array
        Prepared sweeps of the classified cells, in mV from rest.
    images : (n_classified, c, h, w) array
        Their scalograms as the model takes them.
    model : modelcard.Model
        The model.
    kind : str
        What the cells are (`stslib.recordings.KINDS`).
    """

    table: pd.DataFrame
    traces: np.ndarray
    images: np.ndarray
    model: modelcard.Model
    kind: str = "real"


def predict(
    recordings: Iterable[Recording],
    model: modelcard.Model | str | Path,
    n_jobs: int = 1,
    total: int | None = None,
    kind: str = "real",
) -> Predicted:
    """Calibrated probabilities of the four classes for each cell, and whether it is like the training cells.

    Parameters
    ----------
    recordings : iterable of Recording
        The cells; each needs its rheobase sweep and the partner that the model was trained with.
    model : modelcard.Model or path
        What notebook 05 saved: `model.safetensors` and `model.json`; or a folder of such folders, one a seed.
    n_jobs : int
        Worker processes that read and prepare sweeps.
    total : int, optional
        Number of cells for the progress bar.
    kind : str
        What the cells are, for the figures.

    Raises
    ------
    MissingInput, DamagedFile
        The model is not there, damaged, of another version, or its card does not hold what new cells need.
    """
    if not isinstance(model, modelcard.Model):
        model = modelcard.load(model)
    traces, table = sweeps.extract(recordings, model.preprocessing.sweeps, n_jobs=n_jobs, total=total)
    kept = (table["reason"] == "").to_numpy()
    shown = table.reindex(columns=list(COLUMNS))
    shown[["predicted", "range_reason"]] = ""
    shown["out_of_range"] = False
    with warnings.catch_warnings():
        # A wavelet longer than the sweep was so in training as well: nobody can mend it here.
        warnings.simplefilter("ignore", ScalogramWarning)
        images = model.preprocessing.draw(traces)
    if kept.any():
        proba = model.proba(images)
        shown.loc[kept, [f"p:{name}" for name in CLASSES]] = proba
        shown.loc[kept, "predicted"] = np.asarray(CLASSES)[proba.argmax(axis=1)]
        described = training_range.describe(images[..., : model.preprocessing.image.width], traces, table[kept])
        reasons = training_range.outside(described, model.ranges)
        shown.loc[kept, "range_reason"] = reasons
        shown.loc[kept, "out_of_range"] = [bool(reason) for reason in reasons]
    return Predicted(shown, traces, images, model, kind)


def in_order(table: pd.DataFrame, left_out: pd.DataFrame, cell_ids: Iterable[str]) -> pd.DataFrame:
    """Add the cells that could not even be opened (`left_out`: cell_id, reason, detail), in the order of `cell_ids`."""
    more = left_out.assign(predicted="", range_reason="", out_of_range=False)
    whole = pd.concat([table, more], ignore_index=True)
    return whole.set_index("cell_id").loc[list(cell_ids)].reset_index().astype({"out_of_range": bool})
