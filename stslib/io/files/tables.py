"""Tables that a user writes beside recordings: the class of each cell, and the current steps that files do not store."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from stslib.cohort import CLASSES, UNSURE
from stslib.io.files.traces import RawSweep, Reader, Step
from stslib.support.errors import MissingInput, StsError, one_line

_LABEL_COLUMNS = ("cell_id", "label", "donor")
_STEP_COLUMNS = ("cell_id", "sweep", "current_pa", "onset_s", "duration_s")


def same_id(cell_id: str) -> str:
    """An id as it is compared: in one Unicode form, without the suffix of a file."""
    text = unicodedata.normalize("NFC", cell_id.strip()).replace("\\", "/")
    stem, dot, suffix = text.rpartition(".")
    return stem if dot and stem and suffix.lower() in KNOWN else text


#: Suffixes of recordings, without their dot.
KNOWN = ("nwb", "abf", "wcp", "axgd", "axgx", "ibw", "pxp", "smr", "smrx", "dat")


class Labels:
    """A user's table of labels: CSV with the columns `cell_id` and `label`, and `donor` if there is one.

    A class must be one of `stslib.cohort.CLASSES`, `Unsure` or empty. MissingInput or StsError where it cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        table = _read(Path(path), "label", ("cell_id", "label"))
        if "donor" not in table.columns:
            table["donor"] = ""
        self._rows = {str(cell_id): rows for cell_id, rows in table[list(_LABEL_COLUMNS)].groupby("cell_id")}
        self._ids = {same_id(cell_id): cell_id for cell_id in self._rows}

    def of(self, cell_id: str) -> tuple[str, str, str]:
        """Label and donor of a cell (empty where not known), and what is wrong with its label (empty if nothing)."""
        rows = self._rows.get(self._ids.get(same_id(cell_id), ""))
        if rows is None:
            return "", "", "the label table does not name it"
        label, donor = rows["label"].iloc[0], rows["donor"].iloc[0]
        if rows["label"].nunique() > 1:
            both = " and ".join(rows["label"].unique()[:2])
            return "", donor, f"the label table names {cell_id} {len(rows)} times, as {both}"
        if label and label not in (*CLASSES, UNSURE):
            return "", donor, f"the label of {cell_id} is {label!r}; use one of: {', '.join(CLASSES)}"
        doubt = {"": "the label table has no class for it", UNSURE: f"the label table says {UNSURE}"}.get(label, "")
        return label, donor, doubt

    def unused(self, cell_ids: set[str]) -> list[str]:
        """Ids of the table that are not among `cell_ids`."""
        known = {same_id(cell_id) for cell_id in cell_ids}
        return sorted(cell_id for cell_id in self._rows if same_id(cell_id) not in known)


class Steps:
    """A user's table of current steps, for files that store none: cell_id, sweep, current_pa, onset_s, duration_s.

    An empty `cell_id` stands for every cell. MissingInput or StsError where it cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        table = _read(Path(path), "step", _STEP_COLUMNS)
        self._steps: dict[tuple[str, int], Step] = {}
        for line, row in enumerate(table[list(_STEP_COLUMNS)].itertuples(index=False), start=2):
            try:
                cell_id, number, pa, onset_s, duration_s = row[0], int(row[1]), *(float(x) for x in row[2:])
            except ValueError:
                raise StsError(f"{path}, line {line}: {', '.join(map(str, row))} is not a step; give numbers") from None
            if not (np.isfinite([pa, onset_s, duration_s]).all() and onset_s >= 0 and duration_s > 0):
                raise StsError(
                    f"{path}, line {line}: a step starts at 0 s or later and lasts more than 0 s; correct it"
                )
            self._steps[same_id(cell_id), number] = Step(pa, onset_s, duration_s)

    def given(self, cell_id: str, raws: list[RawSweep]) -> list[RawSweep]:
        """The sweeps of a cell with the steps that the table gives them; others as they are."""
        found = []
        for raw in raws:
            step = self._steps.get((same_id(cell_id), raw.number)) or self._steps.get(("", raw.number))
            if step and raw.reader:
                reader = partial(_with_current, raw.reader, step, raw.rate_hz)
                raw = replace(raw, stimulus=f"{raw.stimulus} (table)", step=step, reader=reader, reason="", detail="")
            found.append(raw)
        return found


def _with_current(reader: Reader, step: Step, rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    v_mv, _ = reader()
    return v_mv, step.shape(len(v_mv), rate_hz).astype(np.float32)


def _read(path: Path, what: str, columns: tuple[str, ...]) -> pd.DataFrame:
    """A CSV, all text without spaces around it; `columns` must be there."""
    path = path.expanduser()
    if not path.is_file():
        raise MissingInput(f"there is no {what} table {path}; give a CSV file with the columns {', '.join(columns)}")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, pd.errors.ParserError, UnicodeError) as error:
        raise StsError(f"{path} cannot be read as CSV: {one_line(error)}") from error
    table.columns = [str(c).strip() for c in table.columns]
    if missing := [c for c in columns if c not in table.columns]:
        raise StsError(f"{path} has no column {missing[0]!r}; it has: {', '.join(table.columns)}")
    return table.apply(lambda column: column.str.strip())
