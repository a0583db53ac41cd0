"""The holdout split and the folds (paper, section III.C): a stratified holdout of 20 %, 3 stratified folds in the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from stslib.cohort.accounting import check_cells, require_classes
from stslib.cohort.labels import CLASSES, class_index
from stslib.support.errors import ParameterError, StsError


def check_split(train_ids: Sequence[str], test_ids: Sequence[str]) -> None:
    """Refuse a split whose two parts share a cell, or that names a cell twice: `StsError` with the first such id."""
    for name, ids in (("train", train_ids), ("test", test_ids)):
        series = pd.Series(list(ids), dtype=object)
        if len(doubled := series[series.duplicated()]):
            raise StsError(f"cell id {doubled.iloc[0]} occurs twice in the {name} split; keep it once")
    if shared := sorted(set(train_ids) & set(test_ids)):
        raise StsError(f"the split overlaps: {len(shared)} cells are in train and in test, first {shared[0]}")


def holdout_split(cells: pd.DataFrame, test_fraction: float = 0.2, seed: int = 2026) -> pd.DataFrame:
    """Split the included cells into train and test, stratified by label (paper section III.C: 80 % and 20 %).

    `cells` has cell_id, label and, after `account`, status; a split that it brings along is kept. `test_fraction` lies
    in (0, 1), and each class has at least one cell in either part. One seed gives one split on every machine. Returns
    a copy with the column `split`: `"train"`, `"test"`, or `""` for excluded cells.

    Examples
    --------
    >>> from stslib import cohort
    >>> cells = pd.DataFrame({"cell_id": list("abcdefghij"), "label": ["Sst", "Pvalb"] * 5})
    >>> cohort.holdout_split(cells, 0.2)["split"].value_counts().to_dict()
    {'train': 8, 'test': 2}
    """
    check_cells(cells)
    if not 0 < test_fraction < 1:
        raise ParameterError(f"test_fraction is {test_fraction}; it must be above 0 and below 1")
    active = np.ones(len(cells), bool)
    if "status" in cells.columns:
        require_classes(cells)
        active = (cells["status"] == "kept").to_numpy()
    if "split" in cells.columns and {"train", "test"} <= set(cells.loc[active, "split"]):
        return cells.copy()
    rng = np.random.default_rng(seed)
    split = np.where(active, "train", "").astype(object)
    rows_of = {c: np.flatnonzero(active & (cells["label"] == c).to_numpy()) for c in CLASSES}
    wanted = _n_test({c: len(rows) for c, rows in rows_of.items()}, test_fraction)
    for label, rows in rows_of.items():
        if len(rows) == 1:
            raise StsError(f"class {label} has a single cell; a holdout split needs at least 2 of each class")
        split[rng.permutation(rows)[: wanted[label]]] = "test"
    return cells.assign(split=split)


def _n_test(counts: Mapping[str, int], fraction: float) -> dict[str, int]:
    """Test cells of each class: whole numbers that add up to the wanted total (largest remainders, ties to the rarer)."""
    whole = {c: int(n * fraction) for c, n in counts.items()}
    left = round(sum(counts.values()) * fraction) - sum(whole.values())
    by_remainder = sorted(counts, key=lambda c: (-round(counts[c] * fraction - whole[c], 9), counts[c]))
    for c in by_remainder[:left]:
        whole[c] += 1
    return {c: min(max(whole[c], 1), n - 1) if n > 1 else 0 for c, n in counts.items()}


def folds(
    labels: Sequence[str] | np.ndarray | pd.Series, n_folds: int = 3, seed: int = 2026,
    groups: Sequence[str] | np.ndarray | pd.Series | None = None,
) -> list[tuple[np.ndarray, np.ndarray]]:  # fmt: skip
    """Stratified folds for cross-validation (paper section III.C: 3 folds inside the training part).

    Returns `n_folds` pairs `(fit_idx, held_out_idx)` of indices into `labels` `(n_cells,)`; each cell is held out once,
    and with `groups` `(n_cells,)` the cells of a group (a donor) stay in one fold. A class that would be absent from a
    part of a fold is refused (`StsError`).

    Examples
    --------
    >>> from stslib import cohort
    >>> [len(held_out) for _, held_out in cohort.folds(["Sst", "Pvalb"] * 6, n_folds=3)]
    [4, 4, 4]
    """
    y = np.asarray(labels, dtype=object)
    if n_folds < 2:
        raise ParameterError(f"n_folds is {n_folds}; it must be at least 2")
    present = [CLASSES[k] for k in np.unique(class_index(y))]
    for label in present:
        if (n := int((y == label).sum())) < n_folds:
            raise StsError(f"class {label} has {n} cells, fewer than {n_folds} folds: it would be absent from a fold")
    kind, donors = (StratifiedKFold, None) if groups is None else (StratifiedGroupKFold, np.asarray(groups).astype(str))
    if donors is not None and donors.shape != y.shape:
        raise StsError(f"{len(donors)} groups for {len(y)} cells; give one group a cell")
    if donors is not None and len(set(donors)) < n_folds:
        raise StsError(f"{len(set(donors))} groups for {n_folds} folds; use fewer folds")
    parts = list(kind(n_folds, shuffle=True, random_state=seed).split(y, y.astype(str), donors))
    for number, (fit_idx, held_out_idx) in enumerate(parts):
        for name, idx in (("fitted", fit_idx), ("held-out", held_out_idx)):
            if absent := [c for c in present if not (y[idx] == c).any()]:
                raise StsError(f"class {absent[0]} is absent from the {name} part of fold {number}; use fewer folds")
    return parts
