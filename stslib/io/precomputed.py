"""The authors' precomputed scalograms (Kaggle, smiliesatpolito/STS-data): `cell_<id>.npy`, float (180, 4800, 2), 6.9 MB each.

They are read one at a time, memory-mapped, and brought to the size that a network reads. The last axis holds the rheobase
sweep and its partner at + 40 pA, in this order, as the authors' code reads them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from stslib.io.files.tables import Labels
from stslib.io.files.traces import BadRecording
from stslib.io.published import Published
from stslib.io.source import WithoutSweeps, find_cell
from stslib.support.errors import MissingInput, ParameterError
from stslib.support.progress import progress

#: Frequencies (20, 21, ..., 199 Hz), samples at 4 kHz, sweeps.
SHAPE = (180, 4800, 2)
_NAME = re.compile(r"cell_(.+)\.npy$")
#: How they were made, as far as the authors' code says (parameters of notebook 3).
MADE_WITH = {
    "wavelet": "mexh", "frequency_min_hz": 20.0, "frequency_max_hz": 200.0, "n_frequencies": 180, "spacing": "linear",
    "rate_hz": 4000.0, "normalisation": "L2", "output": "coefficients",
}  # fmt: skip
_COLUMNS = ("cell_id", "label", "dataset", "donor", "split", "reason", "detail")


class Precomputed(WithoutSweeps):
    """A folder of scalograms.

    Parameters
    ----------
    path : path
        The folder.
    labels : path or DataFrame, optional
        A CSV (see `stslib.io.files.tables.Labels`), or a table with `cell_id`, `label`, `dataset`, `donor`, `split` and perhaps
        `reason`; by default the published tables, with the authors' split.

    Raises
    ------
    MissingInput
        When there is no such folder, or no scalogram in it.
    """

    name = "precomputed"
    kind = "real"
    data = "allen"
    holds = "scalograms"

    def __init__(self, path: str | Path, labels: str | Path | pd.DataFrame = "") -> None:
        if not str(path):
            raise ParameterError("path is empty; name the folder with the cell_<id>.npy files")
        self.path = Path(path).expanduser()
        found = {m.group(1): p for p in self.path.glob("*.npy") if (m := _NAME.match(p.name))}
        if not found:
            raise MissingInput(f"{self.path} holds no cell_<id>.npy; get them from Kaggle, smiliesatpolito/STS-data")
        self._paths = dict(sorted(found.items(), key=lambda item: (len(item[0]), item[0])))
        self._labels = labels if isinstance(labels, pd.DataFrame) else Labels(labels) if str(labels) else None

    def cells(self) -> pd.DataFrame:
        """One row a file: cell_id, label, dataset, donor, split, reason, detail.

        A file that is not a scalogram has the reason `unreadable_file`, a cell without a class `unsure_label`, one that the
        authors' split does not have `not_in_split`, one with values that are not numbers `bad_trace`. Every file that may be
        included is read once to find out, one at a time.
        """
        rows = []
        for cell_id, row in zip(progress(self._paths, "Reading files"), self._known(), strict=True):
            row = {"reason": "", "detail": "", **row, "cell_id": cell_id}
            if not row["label"] and not row["reason"]:
                row |= {"reason": "unsure_label", "detail": f"no table names the class of cell {cell_id}"}
            try:
                held = self._open(cell_id)
                if not row["reason"]:
                    self._check_values(cell_id, held)
            except BadRecording as error:
                row |= {"reason": error.reason, "detail": str(error)}
            rows.append(row)
        return pd.DataFrame(rows, columns=list(_COLUMNS))

    def _known(self) -> list[dict[str, str]]:
        """Label, data set, donor, split and reason of each cell, by the labels."""
        if isinstance(self._labels, Labels):
            rows = []
            for cell_id in self._paths:
                label, donor, doubt = self._labels.of(cell_id)
                row = {"label": label, "dataset": self.name, "donor": donor, "split": ""}
                rows.append(row | ({"reason": "unsure_label", "detail": doubt} if doubt else {}))
            return rows
        table = Published().cells() if self._labels is None else self._labels
        known = table.set_index("cell_id")[[c for c in _COLUMNS[1:] if c in table]].astype(str).to_dict("index")
        empty = dict.fromkeys(("label", "dataset", "donor", "split"), "")
        return [empty | known.get(cell_id, {}) for cell_id in self._paths]

    def scalogram(self, cell_id: str) -> np.ndarray:
        """One cell as it is in the file, memory-mapped and read-only, shape (2, 180, 4800)."""
        return np.moveaxis(self._open(cell_id), -1, 0)

    def fill(self, out: np.ndarray, cell_ids: Iterable[str]) -> None:
        """Bring the scalograms of `cell_ids` to the size of `out`, shape (n_cells, 2, height, width), one after another.

        Bilinear, half-pixel centres, without anti-aliasing, as torch's `interpolate` does it and the authors' code asks for.

        Raises
        ------
        ParameterError
            The two do not fit together.
        BadRecording
            `unreadable_file`, `bad_trace` where a scalogram holds values that are not numbers, `wrong_units`.
        """
        import torch
        from torch.nn.functional import interpolate

        ids = list(cell_ids)
        if out.ndim != 4 or out.shape[:2] != (len(ids), 2):
            raise ParameterError(
                f"{len(ids)} cells do not fit into an array of shape {out.shape}; give (n_cells, 2, height, width)"
            )
        for index, cell_id in enumerate(progress(ids, "Scalograms")):
            whole = torch.from_numpy(np.array(self.scalogram(cell_id), np.float32))[None]
            self._check_values(cell_id, whole.numpy())
            out[index] = interpolate(whole, size=out.shape[2:], mode="bilinear", align_corners=False)[0].numpy()

    def features(self) -> pd.DataFrame:
        """The published features, for these are the authors' own cells (`stslib.io.published.Published.features`)."""
        return Published().features()

    def _check_values(self, cell_id: str, held: np.ndarray) -> None:
        largest = float(np.abs(held).max())
        if not np.isfinite(largest):
            raise BadRecording("bad_trace", f"{self._paths[cell_id].name} holds values that are not numbers")
        if largest > np.finfo(np.float16).max:  # in which notebook 3 stores coefficients
            raise BadRecording(
                "wrong_units", f"{self._paths[cell_id].name} holds {largest:.3g}, which no voltage in mV gives"
            )

    def _open(self, cell_id: str) -> np.ndarray:
        path = find_cell(self._paths, cell_id, self.path)
        try:
            held = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise BadRecording("unreadable_file", f"{path.name} is not a whole .npy file; copy it again") from error
        if held.shape != SHAPE or held.dtype.kind != "f":
            raise BadRecording(
                "unreadable_file",
                f"{path.name} has shape {held.shape} of {held.dtype}; a scalogram has {SHAPE} of float",
            )
        return held
