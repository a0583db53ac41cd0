"""A user's table of labels: CSV with the columns `cell_id` and `label`, and `donor` if there is one."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from stslib.cohort import CLASSES, UNSURE
from stslib.support.errors import MissingInput, StsError

COLUMNS = ("cell_id", "label", "donor")


class Labels:
    """What is known of each cell.

    Parameters
    ----------
    path : path
        The table. A class must be one of `stslib.cohort.CLASSES`, `Unsure` or empty.

    Raises
    ------
    MissingInput
        When there is no such file.
    StsError
        When it cannot be read as CSV, or lacks a column.
    """

    def __init__(self, path: str | Path) -> None:
        self._rows = {str(cell_id): rows for cell_id, rows in _read(Path(path).expanduser()).groupby("cell_id")}

    def of(self, cell_id: str) -> tuple[str, str, str]:
        """Label and donor of a cell (empty where not known), and what is wrong with its label (empty if nothing)."""
        rows = self._rows.get(cell_id)
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
        return sorted(set(self._rows) - cell_ids)


def _read(path: Path) -> pd.DataFrame:
    """The table: `COLUMNS`, all text without spaces around it."""
    if not path.is_file():
        raise MissingInput(f"there is no label table {path}; give a CSV file with the columns cell_id and label")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, pd.errors.ParserError, UnicodeError) as error:
        raise StsError(f"{path} cannot be read as CSV: {' '.join(str(error).split())[:120]}") from error
    table.columns = [str(c).strip() for c in table.columns]
    missing = [c for c in ("cell_id", "label") if c not in table.columns]
    if missing:
        raise StsError(f"{path} has no column {missing[0]!r}; it has: {', '.join(table.columns)}")
    if "donor" not in table.columns:
        table["donor"] = ""
    return table[list(COLUMNS)].apply(lambda column: column.str.strip())
