"""Classify recordings with a trained network: the training's own preprocessing, cell by cell, with a reason for each left out.

The model's card holds every number of its preprocessing, so that new cells go the very way that the training cells went.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stslib import networks, sweeps, training
from stslib.cohort import CLASSES
from stslib.errors import DamagedFile, StsError
from stslib.recordings import Recording
from stslib.scalograms import Bank, cwt_resized

#: Parameters of notebooks 02 and 03 that a card must hold to be of use on new cells.
SWEEP_KEYS = ("offset_pa", "tolerance_pa", "repeats", "rate_hz", "before_s", "after_s", "baseline")
IMAGE_KEYS = ("output", "padding", "backend", "antialias", "height", "width")
BANK_KEYS = (
    "wavelet", "frequency_min_hz", "frequency_max_hz", "n_frequencies", "spacing", "rate_hz", "normalisation",
)  # fmt: skip


def preprocessing(sweep_parameters: Mapping[str, Any], bank_file: Mapping[str, Any]) -> dict[str, Any]:
    """What a model's card says of its preprocessing.

    Parameters
    ----------
    sweep_parameters : mapping
        Parameters of notebook 02 (`stage.input("02_sweeps").parameters`).
    bank_file : mapping
        `bank.json` of notebook 03.

    Returns
    -------
    dict
        `sweeps`, `bank` and `image`, each with plain numbers and texts; `ready_made` says that the scalograms were not made
        from sweeps here, so that nobody knows how to make more of them.
    """
    return {
        "ready_made": bool(bank_file.get("ready_made", False)),
        "sweeps": {key: sweep_parameters[key] for key in SWEEP_KEYS},
        "bank": {key: bank_file[key] for key in BANK_KEYS},
        "image": {key: bank_file[key] for key in IMAGE_KEYS} | {"dtype": bank_file["dtype"]},
    }


def predict(
    recordings: Iterable[Recording], model_folder: str | Path, n_jobs: int = 1, total: int | None = None
) -> pd.DataFrame:
    """Probabilities of the four classes for each cell.

    Parameters
    ----------
    recordings : iterable of Recording
        The cells; each needs its rheobase sweep and the partner that the model was trained with.
    model_folder : path
        What notebook 05 saved: `model.safetensors` and `model.json`.
    n_jobs : int
        Worker processes that read and prepare sweeps.
    total : int, optional
        Number of cells for the progress bar.

    Returns
    -------
    DataFrame
        One row a cell, in order: `cell_id`, `predicted` (class, "" if left out), `p:<class>` (softmax outputs, which
        are not calibrated), `rheobase_pa`, `partner_pa`, `reason` and `detail` (why it was left out, else "").

    Raises
    ------
    MissingInput, DamagedFile
        The model is not there, damaged, or its card does not hold the preprocessing.
    StsError
        It was trained on ready-made scalograms.
    """
    model, transform, card = networks.load(model_folder)
    if card.get("preprocessing", {}).get("ready_made"):
        raise StsError(
            f"{model_folder} was trained on precomputed scalograms, and how those were made from sweeps is not known in full; "
            "use a network that was trained on sweeps"
        )
    try:
        options, image = card["preprocessing"]["sweeps"], dict(card["preprocessing"]["image"])
        bank = Bank(**card["preprocessing"]["bank"])
        dtype = np.dtype(image.pop("dtype"))
    except (KeyError, TypeError) as error:
        raise DamagedFile(
            f"the card of {model_folder} does not hold the preprocessing ({error}); train it again"
        ) from None
    traces, table = sweeps.extract(recordings, **options, n_jobs=n_jobs, total=total)
    kept = (table["reason"] == "").to_numpy()
    shown = table[["cell_id", "rheobase_pa", "partner_pa", "reason", "detail"]].copy()
    columns = [f"p:{name}" for name in CLASSES]
    shown.insert(1, "predicted", "")
    for place, name in enumerate(columns):
        shown.insert(2 + place, name, np.nan)
    if kept.any():
        images = cwt_resized(traces, bank, **image).astype(dtype)
        proba = training.predict_proba(model, transform, images)
        shown.loc[kept, columns] = proba
        shown.loc[kept, "predicted"] = np.asarray(CLASSES)[proba.argmax(axis=1)]
    return shown


def in_order(table: pd.DataFrame, left_out: pd.DataFrame, cell_ids: Iterable[str]) -> pd.DataFrame:
    """Add the cells that could not even be opened (`left_out`: cell_id, reason, detail), in the order of `cell_ids`."""
    whole = pd.concat([table, left_out.assign(predicted="")], ignore_index=True)
    return whole.set_index("cell_id").loc[list(cell_ids)].reset_index()
