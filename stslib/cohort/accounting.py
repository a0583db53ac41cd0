"""The cell table, and the account: every cell is kept, or left out for one of a fixed list of reasons."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from stslib.cohort.labels import CLASSES, UNSURE
from stslib.support.errors import StsError

#: Why a cell is left out. Every excluded cell has one of these codes, and no other.
REASONS = {
    "unsure_label": "its class is not clear",
    "not_mouse": "not a mouse cell",
    "not_in_split": "not in the authors' split; the paper leaves out cells without both sweeps",
    "no_long_square": "no long-square sweep",
    "no_spiking_sweep": "no long-square sweep with an action potential",
    "no_partner_sweep": "no sweep at rheobase + 40 pA",
    "no_action_potential": "no sweep of a single action potential",
    "short_step": "the current step or the sweep around it is too short",
    "low_rate": "the sampling rate is too low",
    "bad_trace": "the trace is damaged",
    "unreadable_file": "its file cannot be read",
    "wrong_units": "the unit or scale of its voltage or current is wrong",
    "no_recording": "the archive holds no recording of it",
    "fetch_failed": "its recording could not be fetched",
}


def check_cells(cells: pd.DataFrame) -> None:
    """Refuse a cell table that cannot be right.

    Raises
    ------
    StsError
        A missing column, an empty table, an id that occurs twice, ids that are not text, an unknown class, an unknown
        split; one line each, naming the first culprit.
    """
    missing = [c for c in ("cell_id", "label") if c not in cells.columns]
    if missing:
        raise StsError(f"the cell table has no column {missing[0]!r}; it has: {', '.join(map(str, cells.columns))}")
    if cells.empty:
        raise StsError("the cell table is empty; it needs at least one cell")
    wrong = [x for x in cells["cell_id"] if not isinstance(x, str) or not x.strip()]
    if wrong:
        raise StsError(f"cell id {wrong[0]!r} is not text; read cell_id as str")
    doubled = cells["cell_id"][cells["cell_id"].duplicated()]
    if len(doubled):
        raise StsError(f"cell id {doubled.iloc[0]} occurs twice ({len(doubled)} doubled ids); keep one row a cell")
    known = (*CLASSES, UNSURE, "")
    unknown = cells.loc[~cells["label"].fillna("").isin(known), "label"]
    if len(unknown):
        raise StsError(f"class {unknown.iloc[0]!r} is unknown ({len(unknown)} cells); use one of: {', '.join(CLASSES)}")
    if "split" in cells.columns:
        bad = cells.loc[~cells["split"].fillna("").isin(("train", "test", "")), "split"]
        if len(bad):
            raise StsError(f"split {bad.iloc[0]!r} is unknown; use train, test or nothing")


def account(
    cells: pd.DataFrame, reasons: Mapping[str, str] | None = None, details: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Say for every cell whether it is kept, and if not, why. No row is lost.

    Parameters
    ----------
    cells : DataFrame
        Columns `cell_id`, `label`; a column `reason` (text, empty where there is none), if present, holds what the
        source itself knows.
    reasons : mapping of cell_id to code, optional
        Further exclusions, with codes of `REASONS`. A reason that the source gave comes first, then an unclear label,
        then these.
    details : mapping of cell_id to text, optional
        A line that says more of those exclusions.

    Returns
    -------
    DataFrame
        A copy with the columns `status` (`"kept"` or `"excluded"`), `reason` and `detail` (empty when kept), rows in the same
        order.

    Raises
    ------
    StsError
        A faulty table (see `check_cells`), a reason for an unknown cell, or a code that is not in `REASONS`.
    """
    check_cells(cells)
    given = dict(reasons or {})
    strangers = sorted(set(given) - set(cells["cell_id"]))
    if strangers:
        raise StsError(f"a reason is given for cell {strangers[0]}, which is not in the cell table")
    out = cells.copy()
    by_source = cells["reason"].fillna("") if "reason" in cells.columns else pd.Series("", index=cells.index)
    by_label = np.where(cells["label"].fillna("").isin(CLASSES), "", "unsure_label")
    by_caller = cells["cell_id"].map(lambda c: given.get(c, ""))
    reason = by_source.where(by_source != "", pd.Series(by_label, index=cells.index))
    reason = reason.where(reason != "", by_caller)
    unknown = [r for r in reason if r and r not in REASONS]
    if unknown:
        raise StsError(f"exclusion reason {unknown[0]!r} is unknown; use one of: {', '.join(REASONS)}")
    out["status"] = np.where(reason == "", "kept", "excluded")
    out["reason"] = reason.to_numpy()
    said = cells["detail"].fillna("") if "detail" in cells.columns else pd.Series("", index=cells.index)
    out["detail"] = said.where(said != "", cells["cell_id"].map(lambda c: (details or {}).get(c, ""))).to_numpy()
    out.loc[out["status"] == "kept", "detail"] = ""
    return out


def kept(cells: pd.DataFrame) -> pd.DataFrame:
    """The kept cells of an accounted table (see `account`), in the same order, with a fresh index 0..n-1."""
    if "status" not in cells.columns:
        raise StsError("the cell table has no column 'status'; call cohort.account on it first")
    return cells[cells["status"] == "kept"].reset_index(drop=True)


def count_table(cells: pd.DataFrame) -> pd.DataFrame:
    """How many cells were kept and excluded, by reason and class; the numbers add up to the table's length.

    Returns
    -------
    DataFrame
        One row a reason (first `kept`, then the reasons that occur, in the order of `REASONS`, last `all cells`);
        columns: the classes, `other` (no clear class) and `total`.

    Raises
    ------
    StsError
        When a cell is in no row.
    """
    labels = cells["label"].where(cells["label"].isin(CLASSES), "other")
    what = cells["reason"].where(cells["status"] == "excluded", "kept")
    rows = ["kept", *[r for r in REASONS if (what == r).any()]]
    table = pd.crosstab(what, labels).reindex(index=rows, columns=[*CLASSES, "other"], fill_value=0)
    table["total"] = table.sum(axis=1)
    table.loc["all cells"] = table.sum(axis=0)
    table.index.name, table.columns.name = "reason", None
    if table.loc["all cells", "total"] != len(cells):
        raise StsError(
            f"the account does not add up: {table.loc['all cells', 'total']} of {len(cells)} cells are in it"
        )
    return table.astype(int)


def require_classes(cells: pd.DataFrame, hint: str = "") -> None:
    """Refuse an accounted cohort that nothing can be learnt from.

    Parameters
    ----------
    cells : DataFrame
        See `account`.
    hint : str
        What else can be done with these cells; added to the message.

    Raises
    ------
    StsError
        No cell is kept, or all kept cells are of one class: one line with the reasons and how often each occurs.
    """
    present = [c for c in CLASSES if (kept(cells)["label"] == c).any()]
    if len(present) > 1:
        return
    why = cells.loc[cells["status"] == "excluded", "reason"].value_counts()
    lost = "; ".join(f"{n} left out: {REASONS[reason]} ({reason})" for reason, n in why.items())
    found = f"all kept cells are {present[0]}" if present else f"none of {len(cells)} cells can be used"
    raise StsError(
        f"{found}, so nothing can be learnt from them{': ' + lost if lost else ''}{'; ' + hint if hint else ''}"
    )
