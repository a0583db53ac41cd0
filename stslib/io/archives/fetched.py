"""The cells that `sts data fetch` fetched: two sweeps at 4 kHz each, as a source of cells.

<folder>/fetched.json         what it holds and how the sweeps were chosen
<folder>/cells/<cell_id>.npz  one file a finished cell, kept or excluded: sweeps float32 (2, 4800) in mV (or (0, 4800)),
                              long_squares (n, 3): number, amplitude in pA, spikes (NaN: not counted); resampling: spectrum
                              and error of reconstruction of the raw partner sweep (stslib.sweeps.sweep_quality); texts: its row
                              and features, as JSON
<folder>/cells.csv            the account: one row a cell, kept or excluded with one of `stslib.cohort.REASONS`
<folder>/long_squares.csv     every long square of every cell that was examined
<folder>/features.csv         features of the archive or of the authors' tables, where they have them
<folder>/measured.csv         features of the cells that are in neither, measured on the raw sweeps
<folder>/nwb/                 the NWB files, with `keep_nwb`
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stslib.io.published import Published
from stslib.io.source import Source, find_cell
from stslib.recordings import Recording, Sweep
from stslib.support.errors import DamagedFile, MissingInput, ParameterError, one_of

FORMAT = 3
#: The file that describes a folder of fetched cells.
ABOUT = "fetched.json"
#: A feature table that has a value here for a cell is complete for it: the last of the features that notebook 04 needs.
COMPLETE = "f_i_curve_slope"
#: Columns of the account, before those of the archive's own.
COLUMNS = (
    "cell_id", "label", "dataset", "donor", "split", "status", "reason", "detail", "rheobase_pa", "partner_pa",
    "rheobase_sweep", "partner_sweep", "rheobase_spikes", "partner_spikes", "raw_rate_hz", "onset_s", "table_rheobase_sweep",
    "rheobase_agrees",
)  # fmt: skip
_FRACTIONS = ("rheobase_pa", "partner_pa", "raw_rate_hz", "onset_s")
#: Where the holdout split comes from.
SPLITS = ("drawn", "published")


@dataclass(frozen=True)
class FetchedCell:
    """One cell as its file holds it.

    `row` is its row of the account; `sweeps` in mV, `(2 or 0, n_samples)`; `long_squares` `(n, 3)`: number, amplitude in pA,
    spikes; `resampling` of the raw partner sweep (`sweeps.sweep_quality`), empty for an excluded cell; `features` measured on
    the raw sweeps, empty where a table has them.
    """

    row: dict[str, Any]
    sweeps: np.ndarray
    long_squares: np.ndarray
    resampling: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))
    features: dict[str, float] = field(default_factory=dict)


def cell_path(folder: Path, cell_id: str) -> Path:
    """File of one cell."""
    return folder / "cells" / f"{cell_id}.npz"


def read_about(folder: Path) -> dict[str, Any]:
    """What a folder holds: archive, settings, format; MissingInput or DamagedFile where there is no such description."""
    path = folder / ABOUT
    try:
        about = json.loads(path.read_text())
        there = about["format"]
    except FileNotFoundError as error:
        raise MissingInput(f"{folder} holds no fetched cells; make them with: sts data fetch") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedFile(f"{path} cannot be read; remove it and run sts data fetch again, no cell is lost") from error
    if there != FORMAT:
        raise DamagedFile(f"{path} has format {there!r}; this version reads format {FORMAT}, fetch into another folder")
    return about


def read_cell(folder: Path, cell_id: str) -> FetchedCell:
    """One cell; MissingInput or DamagedFile where the folder does not have it whole."""
    path = cell_path(folder, cell_id)
    try:
        with np.load(path, allow_pickle=False) as held:
            texts = json.loads(held["texts"].item())
            return FetchedCell(
                texts["row"], held["sweeps"], held["long_squares"], held["resampling"], texts["features"]
            )
    except FileNotFoundError as error:
        raise MissingInput(f"{folder} has no cell {cell_id}; run sts data fetch") from error
    except Exception as error:  # zip and npy readers raise what the bytes lead them to
        raise DamagedFile(f"{path} is damaged; remove it and run sts data fetch again") from error


def read_account(folder: Path) -> pd.DataFrame:
    """The account that the last fetch wrote, one row a cell; the columns of numbers hold missing values."""
    path = folder / "cells.csv"
    if not path.is_file():
        raise MissingInput(f"{path} is not there; run sts data fetch once more to its end")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        for column in COLUMNS[8:]:
            numbers = pd.to_numeric(table[column].replace({"": None, "True": 1, "False": 0}))
            table[column] = numbers.astype("Int64" if column not in _FRACTIONS else float)
        table["rheobase_agrees"] = table["rheobase_agrees"].astype("boolean")
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedFile(f"{path} cannot be read as a table; run sts data fetch again, no cell is lost") from error
    return table


class Fetched(Source):
    """One or several folders of fetched cells.

    Parameters
    ----------
    path : path or str
        The folder; several (the two archives, say) joined by the system's path separator, `":"` on Unix.
    split : str
        `"published"` takes the authors' train and test split from the published tables; cells that are not in it have the
        reason `not_in_split`. `"drawn"`: no split is fixed.

    Raises
    ------
    ParameterError, MissingInput, DamagedFile
        No path is given; there is no such folder; it cannot be read.
    """

    name = "fetched"
    kind = "real"
    data = "allen"

    def __init__(self, path: str | Path, split: str = "drawn") -> None:
        one_of("split", split, SPLITS)
        if not str(path):
            raise ParameterError("path is empty; name the folder that sts data fetch wrote")
        self.folders = [Path(p).expanduser() for p in str(path).split(os.pathsep) if p]
        self._about = {folder: read_about(folder) for folder in self.folders}
        tables = {folder: read_account(folder) for folder in self.folders}
        self._cells = pd.concat(tables.values(), ignore_index=True)
        if split == "published":
            self._cells = _with_published_split(self._cells)
        self._folders = {cell_id: folder for folder, table in tables.items() for cell_id in table["cell_id"]}

    def cells(self) -> pd.DataFrame:
        """The account: every requested cell of the archives' tables, `reason` empty for those that are kept."""
        return self._cells.drop(columns="status")

    def readable(self) -> list[str]:
        """The cells that were kept."""
        return list(self._cells.loc[self._cells["status"] == "kept", "cell_id"])

    def features(self) -> pd.DataFrame:
        """Features of the kept cells, one row each.

        Returns
        -------
        DataFrame
            `cell_id`, `dataset`, `onset_s`, `features_from` (`"table"`: of the archive or the authors; `"measured"`: on the
            raw sweeps, when the cell was fetched) and the features by the names of the published tables.
        """
        kept = self._cells.loc[self._cells["status"] == "kept", ["cell_id", "dataset", "onset_s"]]
        tables = []
        for name, origin in (("features", "table"), ("measured", "measured")):
            for path in (folder / f"{name}.csv" for folder in self.folders):
                if not path.is_file():
                    continue
                table = pd.read_csv(path, dtype={"cell_id": str}).drop(columns=["dataset", "onset_s"], errors="ignore")
                if origin == "table":
                    table = table[table[COMPLETE].notna()] if COMPLETE in table else table.iloc[:0]
                tables.append(table.assign(features_from=origin))
        if not tables:
            return kept.iloc[:0]
        return kept.merge(pd.concat(tables, ignore_index=True).drop_duplicates("cell_id"), on="cell_id")

    def resampling_quality(self, cell_id: str) -> np.ndarray:
        """Spectrum and error of reconstruction of a kept cell's raw partner sweep (see `stslib.sweeps.sweep_quality`)."""
        return self._kept(cell_id).resampling

    def long_squares(self) -> pd.DataFrame:
        """Every long square of every examined cell: cell_id, number, stimulus_pa, n_spikes (missing: not counted)."""
        types = {"cell_id": str, "n_spikes": "Int64"}
        return pd.concat([pd.read_csv(f / "long_squares.csv", dtype=types) for f in self.folders], ignore_index=True)

    def recording(self, cell_id: str) -> Recording:
        """The two sweeps of one kept cell."""
        row, folder = self._kept(cell_id).row, self._folders[cell_id]
        settings = self._about[folder]["settings"]
        sweeps = tuple(
            Sweep(
                number=row[f"{which}_sweep"],
                stimulus_pa=row[f"{which}_pa"],
                onset_s=settings["before_s"],
                duration_s=1.0,
                rate_hz=settings["rate_hz"],
                reader=partial(_read, folder, cell_id, index, row[f"{which}_pa"], settings),
                n_spikes=row[f"{which}_spikes"],
            )
            for index, which in enumerate(("rheobase", "partner"))
        )
        ordered = tuple(sorted(sweeps, key=lambda s: s.number))
        return Recording(cell_id, row["dataset"], self.kind, ordered, row["label"] or None)

    def _kept(self, cell_id: str) -> FetchedCell:
        cell = read_cell(find_cell(self._folders, cell_id, self.folders[0]), cell_id)
        if cell.row["status"] != "kept":
            raise ParameterError(f"cell {cell_id} was excluded ({cell.row['reason']}): {cell.row['detail']}")
        return cell


def _with_published_split(cells: pd.DataFrame) -> pd.DataFrame:
    known = Published().cells().set_index("cell_id")["split"]
    cells = cells.assign(split=cells["cell_id"].map(known).fillna(""))
    unknown = (cells["split"] == "") & (cells["reason"] == "")
    cells.loc[unknown, ["reason", "detail"]] = ["not_in_split", "the authors' split does not have it"]
    cells.loc[unknown, "status"] = "excluded"
    return cells


def _read(
    folder: Path, cell_id: str, index: int, stimulus_pa: float, settings: dict[str, float]
) -> tuple[np.ndarray, np.ndarray]:
    v_mv, before_s, rate_hz = read_cell(folder, cell_id).sweeps[index], settings["before_s"], settings["rate_hz"]
    i_pa = np.zeros_like(v_mv)
    i_pa[round(before_s * rate_hz) : round((before_s + 1.0) * rate_hz)] = stimulus_pa
    return v_mv, i_pa
