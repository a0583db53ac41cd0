"""The cell table: class labels, exclusions with their reasons, the holdout split and the folds.

A cell table is a `DataFrame` with one row a cell and at least the columns `cell_id` (str) and `label`. The label rules
are those that give the authors' own labels (file `cell_types_GouwensAll_new.txt` of their repository); the split and
the folds are those of paper section III.C: a stratified holdout of 20 %, and 3 stratified folds inside the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from stslib.errors import ParameterError, StsError

#: The four classes, in the one order used everywhere (columns of probabilities, rows of confusion matrices).
CLASSES = ("Pvalb", "Sst", "Vip/Lamp5", "Excitatory")

#: Label of a cell whose class is not clear; such cells are left out.
UNSURE = "Unsure"

#: The two data sets of the paper (section III.A): patch-clamp (Gouwens 2019) and Patch-seq (Gouwens 2020).
DATASETS = ("Clamp", "Seq")

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

# Patch-clamp labels by transgenic driver line. Keys are the whole `line_name`; lines that were crossed are joined by "|".
_LINES: dict[str, str] = {
    line: label
    for label, lines in {
        "Excitatory": """
            Ctgf-T2A-dgCre  Cux2-CreERT2  Esr2-IRES2-Cre  Esr2-IRES2-Cre-neo  Esr2-IRES2-Cre-neo|PhiC31-neo
            Esr2-IRES2-Cre|PhiC31-neo  Glt25d2-Cre_NF107  Nr5a1-Cre  Ntsr1-Cre_GN220  Penk-IRES2-Cre-neo
            Rbp4-Cre_KL100  Rorb-IRES2-Cre  Scnn1a-Tg2-Cre  Scnn1a-Tg3-Cre  Sim1-Cre_KJ18  Slc17a6-IRES-Cre
            Tlx3-Cre_PL56""",
        # The last one is a cross that labels chandelier cells. The authors' label file says Pvalb for its 30 cells.
        "Pvalb": "Pvalb-IRES-Cre  Pvalb-T2A-CreERT2  Nkx2-1-CreERT2  Slc32a1-T2A-FlpO|Vipr2-IRES2-Cre",
        "Sst": "Sst-IRES-Cre  Chrna2-Cre_OE25  Nos1-CreERT2|Sst-IRES-FlpO",
        "Vip/Lamp5": "Vip-IRES-Cre  Htr3a-Cre_NO152  Ndnf-IRES2-dgCre  Chat-IRES-Cre-neo",
        UNSURE: """
            Gad2-IRES-Cre  Gng7-Cre_KH71  Nos1-CreERT2  Oxtr-T2A-Cre  Vipr2-IRES2-Cre  Vipr2-IRES2-Cre-neo""",
    }.items()
    for line in lines.split()
}

# A cross with one of these lines is Pvalb, whatever the other line is.
_PVALB_CROSSES = ("Pvalb-T2A-Dre", "Pvalb-T2A-FlpO")

# Patch-seq labels by the first word of the transcriptomic type.
_T_TYPES = {
    "Pvalb": "Pvalb",
    "Sst": "Sst",
    **dict.fromkeys(("Vip", "Lamp5", "Sncg", "Serpinf1", "Meis2"), "Vip/Lamp5"),
    "L2/3": "Excitatory",
}


def label_patch_clamp(line_name: str) -> str:
    """Class of a patch-clamp cell, from its transgenic line.

    Parameters
    ----------
    line_name : str
        `line_name` of the Cell Types Database, such as `"Pvalb-IRES-Cre"`; crossed lines are joined by `"|"`.

    Returns
    -------
    str
        One of `CLASSES`, or `UNSURE` where the line marks several classes.

    Raises
    ------
    StsError
        When the line is not known: a new line needs a decision, not a guess.
    """
    name = str(line_name).strip()
    if any(part in _PVALB_CROSSES for part in name.split("|")) and "|" in name:
        return "Pvalb"
    if name not in _LINES:
        raise StsError(f"transgenic line {line_name!r} has no class; add it to the label rules of stslib.cohort")
    return _LINES[name]


def label_patch_seq(t_type: str | None, dendrite_type: str | None = None) -> str:
    """Class of a Patch-seq cell, from its transcriptomic type, or from its dendrites where it has none.

    Parameters
    ----------
    t_type : str or None
        `T-type Label` of the Patch-seq metadata, such as `"Sst Tac2 Myh4"`; empty or None where it is not known.
    dendrite_type : str or None
        `"spiny"` (then Excitatory), `"aspiny"` or `"sparsely spiny"` (then `UNSURE`); used only without a T-type.

    Returns
    -------
    str
        One of `CLASSES`, or `UNSURE`.

    Raises
    ------
    StsError
        When the first word of the T-type is not known.
    """
    words = [] if pd.isna(t_type) else str(t_type).split()
    if not words:
        return "Excitatory" if dendrite_type == "spiny" else UNSURE
    if words[0] not in _T_TYPES:
        raise StsError(f"T-type {t_type!r} has no class; its first word must be one of: {', '.join(_T_TYPES)}")
    return _T_TYPES[words[0]]


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


def check_split(train_ids: Sequence[str], test_ids: Sequence[str]) -> None:
    """Refuse a split whose two parts share a cell, or that names a cell twice.

    Raises
    ------
    StsError
        One line with the first shared or doubled id.
    """
    for name, ids in (("train", train_ids), ("test", test_ids)):
        series = pd.Series(list(ids), dtype=object)
        doubled = series[series.duplicated()]
        if len(doubled):
            raise StsError(f"cell id {doubled.iloc[0]} occurs twice in the {name} split; keep it once")
    shared = sorted(set(train_ids) & set(test_ids))
    if shared:
        raise StsError(f"the split overlaps: {len(shared)} cells are in train and in test, first {shared[0]}")


def account(cells: pd.DataFrame, reasons: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Say for every cell whether it is kept, and if not, why. No row is lost.

    Parameters
    ----------
    cells : DataFrame
        Columns `cell_id`, `label`; a column `reason` (text, empty where there is none), if present, holds what the
        source itself knows.
    reasons : mapping of cell_id to code, optional
        Further exclusions, with codes of `REASONS`. A reason that the source gave comes first, then an unclear label,
        then these.

    Returns
    -------
    DataFrame
        A copy with the columns `status` (`"kept"` or `"excluded"`) and `reason` (empty when kept), rows in the same order.

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
    """
    labels = cells["label"].where(cells["label"].isin(CLASSES), "other")
    what = cells["reason"].where(cells["status"] == "excluded", "kept")
    rows = ["kept", *[r for r in REASONS if (what == r).any()]]
    table = pd.crosstab(what, labels).reindex(index=rows, columns=[*CLASSES, "other"], fill_value=0)
    table["total"] = table.sum(axis=1)
    table.loc["all cells"] = table.sum(axis=0)
    table.index.name, table.columns.name = "reason", None
    return table.astype(int)


def holdout_split(cells: pd.DataFrame, test_fraction: float = 0.2, seed: int = 2026) -> pd.DataFrame:
    """Split the kept cells into train and test, stratified by label (paper section III.C: 80 % and 20 %).

    Parameters
    ----------
    cells : DataFrame
        Columns `cell_id`, `label`; with a column `status`, only kept cells take part.
    test_fraction : float
        Share of the test cells, above 0 and below 1. The classes keep their shares as nearly as whole cells allow, with
        at least one cell in either part.
    seed : int
        The same seed gives the same split on every machine.

    Returns
    -------
    DataFrame
        A copy with the column `split`: `"train"`, `"test"`, or `""` for excluded cells.

    Raises
    ------
    ParameterError
        `test_fraction` out of range.
    StsError
        A class with a single cell, which cannot be in both parts.
    """
    check_cells(cells)
    if not 0 < test_fraction < 1:
        raise ParameterError(f"test_fraction is {test_fraction}; it must be above 0 and below 1")
    active = (cells["status"] == "kept") if "status" in cells.columns else pd.Series(True, index=cells.index)
    rng = np.random.default_rng(seed)
    split = np.full(len(cells), "", dtype=object)
    split[active.to_numpy()] = "train"
    rows_of = {c: np.flatnonzero((active & (cells["label"] == c)).to_numpy()) for c in CLASSES}
    wanted = _shares({c: len(rows) for c, rows in rows_of.items()}, test_fraction)
    for label, rows in rows_of.items():
        if len(rows) == 1:
            raise StsError(f"class {label} has a single cell; a holdout split needs at least 2 of each class")
        split[rng.permutation(rows)[: wanted[label]]] = "test"
    out = cells.copy()
    out["split"] = split
    return out


def _shares(counts: Mapping[str, int], fraction: float) -> dict[str, int]:
    """Test cells of each class: whole numbers that add up to the wanted total (largest remainders, ties to the rarer)."""
    exact = {c: n * fraction for c, n in counts.items()}
    whole = {c: int(x) for c, x in exact.items()}
    left = round(sum(counts.values()) * fraction) - sum(whole.values())
    by_remainder = sorted(counts, key=lambda c: (-round(exact[c] - whole[c], 9), counts[c]))
    for c in by_remainder[:left]:
        whole[c] += 1
    return {c: min(max(whole[c], 1), n - 1) if n > 1 else 0 for c, n in counts.items()}


def folds(
    labels: Sequence[str] | np.ndarray | pd.Series,
    n_folds: int = 3,
    seed: int = 2026,
    groups: Sequence[str] | np.ndarray | pd.Series | None = None,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Stratified folds for cross-validation (paper section III.C: 3 folds inside the training part).

    Parameters
    ----------
    labels : (n_cells,) of str
        Class of each cell.
    n_folds : int
        At least 2.
    seed : int
        Seed of the shuffle.
    groups : (n_cells,) of str, optional
        Cells of one group (a donor) stay in one fold.

    Returns
    -------
    list of (fit_idx, held_out_idx)
        Positions into `labels`. Each cell is held out exactly once.

    Raises
    ------
    ParameterError
        Fewer than 2 folds.
    StsError
        An unknown class, or a class that is absent from the fitted or the held-out part of a fold.
    """
    y = np.asarray(labels, dtype=object)
    if n_folds < 2:
        raise ParameterError(f"n_folds is {n_folds}; it must be at least 2")
    present = [c for c in CLASSES if (y == c).any()]
    unknown = sorted({str(v) for v in y} - set(CLASSES))
    if unknown:
        raise StsError(f"class {unknown[0]!r} is unknown; use one of: {', '.join(CLASSES)}")
    for label in present:
        n = int((y == label).sum())
        if n < n_folds:
            raise StsError(f"class {label} has {n} cells, fewer than {n_folds} folds: it would be absent from a fold")
    text = y.astype(str)
    if groups is None:
        parts = list(StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(text, text))
    else:
        donors = np.asarray(groups).astype(str)
        if donors.shape != y.shape:
            raise StsError(f"{len(donors)} groups for {len(y)} cells; give one group a cell")
        if len(set(donors)) < n_folds:
            raise StsError(f"{len(set(donors))} groups for {n_folds} folds; use fewer folds")
        parts = list(StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed).split(text, text, donors))
    for number, (fit_idx, held_out_idx) in enumerate(parts):
        for name, idx in (("fitted", fit_idx), ("held-out", held_out_idx)):
            absent = [c for c in present if not (y[idx] == c).any()]
            if absent:
                raise StsError(f"class {absent[0]} is absent from the {name} part of fold {number}; use fewer folds")
    return [(np.asarray(fit), np.asarray(out)) for fit, out in parts]
