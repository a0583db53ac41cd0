"""The cell table, and the account: every cell is included, or excluded for one of a fixed list of reasons."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from stslib.cohort.labels import CLASSES, UNSURE
from stslib.support.errors import StsError

#: Why a cell is excluded. Every excluded cell has one of these codes, and no other.
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
    "incoherent": "its currents, voltages and spikes do not fit together",
    "fires_by_itself": "it fires without current, so it has no rheobase",
    "uncertain_rheobase": "a sweep is lost at a current where its rheobase may have been",
    "no_recording": "the archive holds no recording of it",
    "fetch_failed": "its recording could not be fetched",
}


def check_cells(cells: pd.DataFrame) -> None:
    """Refuse a cell table that cannot be right: `StsError`, one line that names the first culprit."""
    if missing := [c for c in ("cell_id", "label") if c not in cells.columns]:
        raise StsError(f"the cell table has no column {missing[0]!r}; it has: {', '.join(map(str, cells.columns))}")
    if cells.empty:
        raise StsError("the cell table is empty; it needs at least one cell")
    if wrong := [x for x in cells["cell_id"] if not isinstance(x, str) or not x.strip()]:
        raise StsError(f"cell id {wrong[0]!r} is not text; read cell_id as str")
    if len(doubled := cells["cell_id"][cells["cell_id"].duplicated()]):
        raise StsError(f"cell id {doubled.iloc[0]} occurs twice ({len(doubled)} doubled ids); keep one row a cell")
    unknown = cells.loc[~_text(cells, "label").isin((*CLASSES, UNSURE, "")), "label"]
    if len(unknown):
        raise StsError(f"class {unknown.iloc[0]!r} is unknown ({len(unknown)} cells); use one of: {', '.join(CLASSES)}")
    if len(unknown := _text(cells, "split")[lambda split: ~split.isin(("train", "test", ""))]):
        raise StsError(f"split {unknown.iloc[0]!r} is unknown; use train, test or nothing")


def _text(cells: pd.DataFrame, column: str) -> pd.Series:
    """A column of text, empty where there is none."""
    return cells[column].fillna("") if column in cells.columns else pd.Series("", index=cells.index)


def account(
    cells: pd.DataFrame, reasons: Mapping[str, str] | None = None, details: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """State for every cell whether it is included, and if not, why. No row is lost.

    `cells` has cell_id and label; what the source itself knows may stand in reason and detail. `reasons` and `details`
    add exclusions by cell_id: a code of `REASONS`, a line that says more. Returns a copy with status (`"kept"` or
    `"excluded"`), reason and detail (empty when included); a table that cannot be right is refused (`StsError`).

    Examples
    --------
    >>> from stslib import cohort
    >>> cells = pd.DataFrame({"cell_id": ["1", "2", "3"], "label": ["Sst", "Unsure", "Pvalb"]})
    >>> cohort.account(cells, {"3": "no_partner_sweep"})["reason"].tolist()
    ['', 'unsure_label', 'no_partner_sweep']
    """
    check_cells(cells)
    if strangers := sorted(set(reasons or {}) - set(cells["cell_id"])):
        raise StsError(f"a reason is given for cell {strangers[0]}, which is not in the cell table")
    reason = _text(cells, "reason")
    reason = reason.mask((reason == "") & ~cells["label"].isin(CLASSES), "unsure_label")
    reason = reason.mask(reason == "", cells["cell_id"].map(dict(reasons or {})).fillna(""))
    if unknown := [r for r in reason if r and r not in REASONS]:
        raise StsError(f"exclusion reason {unknown[0]!r} is unknown; use one of: {', '.join(REASONS)}")
    detail = _text(cells, "detail")
    detail = detail.mask(detail == "", cells["cell_id"].map(dict(details or {})).fillna(""))
    status = np.where(reason == "", "kept", "excluded")
    return cells.assign(status=status, reason=reason, detail=detail.mask(reason == "", ""))


def kept(cells: pd.DataFrame) -> pd.DataFrame:
    """The included cells of an accounted table (see `account`), in the same order, with a fresh index 0..n-1.

    Examples
    --------
    >>> cells = pd.DataFrame({"cell_id": ["1", "2"], "status": ["excluded", "kept"]})
    >>> kept(cells)["cell_id"].tolist()
    ['2']
    """
    if "status" not in cells.columns:
        raise StsError("the cell table has no column 'status'; call cohort.account on it first")
    return cells[cells["status"] == "kept"].reset_index(drop=True)


def count_table(cells: pd.DataFrame) -> pd.DataFrame:
    """How many cells of an accounted table are included and excluded, by reason and class; they add up to its length.

    Rows: `kept`, the reasons that occur, `all cells`; columns: the classes, other, total, meaning.

    Examples
    --------
    >>> from stslib import cohort
    >>> cells = pd.DataFrame({"cell_id": ["1", "2", "3"], "label": ["Sst", "Unsure", "Pvalb"]})
    >>> cohort.count_table(cohort.account(cells))["total"].to_dict()
    {'kept': 2, 'unsure_label': 1, 'all cells': 3}
    """
    labels = cells["label"].where(cells["label"].isin(CLASSES), "other")
    what = cells["reason"].where(cells["status"] == "excluded", "kept")
    rows = ["kept", *[r for r in REASONS if (what == r).any()]]
    table = pd.crosstab(what, labels).reindex(index=rows, columns=[*CLASSES, "other"], fill_value=0)
    table["total"] = table.sum(axis=1)
    table.loc["all cells"] = table.sum(axis=0)
    table.index.name, table.columns.name = "reason", None
    return table.astype(int).assign(meaning=[REASONS.get(row, "") for row in table.index])


def require_classes(cells: pd.DataFrame) -> None:
    """Refuse an accounted cohort of fewer than two classes: `StsError` with the reasons and how often each occurs."""
    present = [c for c in CLASSES if (kept(cells)["label"] == c).any()]
    if len(present) > 1:
        return
    why = cells.loc[cells["status"] == "excluded", "reason"].value_counts()
    lost = "".join(f"; {n} excluded: {REASONS[reason]} ({reason})" for reason, n in why.items())
    state = f"all included cells are {present[0]}" if present else f"none of {len(cells)} cells can be used"
    way_out = "a trained model classifies them: sts predict RECORDINGS --model FOLDER"
    raise StsError(f"{state}, so nothing can be learnt from them{lost}; {way_out}")


def describe(cells: pd.DataFrame) -> str:
    """What the account and the split mean, as a Markdown list: shares, imbalance, and the accuracy of guessing.

    `cells` comes from `account` and `holdout_split`; its columns donor and rheobase_agrees may add donors on both sides,
    and cells whose rheobase sweep is not the archive's.

    Examples
    --------
    >>> from stslib import cohort
    >>> cells = pd.DataFrame({"cell_id": ["1", "2"], "label": ["Sst", "Pvalb"], "split": ["train", "test"]})
    >>> print(cohort.describe(cohort.account(cells)).splitlines()[0])
    - 2 of 2 cells are included (100.0 %), 1 to train and 1 to test.
    """
    included = kept(cells)
    n, n_test, by_label = len(included), int((included["split"] == "test").sum()), included["label"].value_counts()
    largest, smallest = by_label.index[0], by_label.index[-1]
    lines = [
        f"{n:,} of {len(cells):,} cells are included ({100 * n / len(cells):.1f} %), {n - n_test:,} to train and "
        f"{n_test:,} to test.",
        f"The largest class ({largest}) has {by_label.iloc[0] / by_label.iloc[-1]:.1f} times the cells of the smallest "
        f"({smallest}). A model that always answers {largest} is right {100 * by_label.iloc[0] / n:.0f} % of the time, and "
        f"has a balanced accuracy of {100 / len(by_label):.0f} %. That is why this book reports balanced accuracy.",
    ]
    mice = included.assign(donor=_text(included, "donor"))[lambda table: table["donor"] != ""]
    shared = mice.loc[mice["split"] == "test", "donor"].isin(mice.loc[mice["split"] == "train", "donor"])
    if len(shared):
        lines.append(
            f"{100 * shared.mean():.0f} % of the test cells share a donor with a training cell. A split by cell, such as "
            "the paper's, does not keep donors apart."
        )
    if "rheobase_agrees" in cells:
        known = cells["rheobase_agrees"].dropna().astype(bool)
        lines.append(
            f"In {int((~known).sum())} of {len(known)} cells the smallest current that fires is not in the sweep that the "
            "archive names."
        )
    return "\n".join(f"- {line}" for line in lines)
