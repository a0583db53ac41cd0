"""Feature tables: the sets of columns that the baseline uses, and the features of some cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from stslib.cohort import CLASSES
from stslib.features.columns import INTENDED, POINTS, PUBLISHED, SHARED, STIMULI, meaning, meanings, relative
from stslib.features.measurement import extract
from stslib.support.errors import ParameterError, StsError, one_of

#: Each absolute time, its name once it is aligned, and the column that it is then counted from.
_ALIGNED = {
    f"{p}_t_{s}": (f"{p}_t_from_{start}_{s}", "onset_s" if p == "threshold" else f"threshold_t_{s}")
    for s in STIMULI
    for p, start in zip(POINTS, ("onset", *["threshold"] * 4), strict=True)
}


_RELATIVE = meanings(["onset_s", *SHARED])


def _align(columns: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(_ALIGNED[c][0] if c in _ALIGNED else c for c in columns))


#: The sets of columns. `published`: what the authors' code uses; `intended`: what their text names;
#: `stimulus_aligned`: the same, the threshold's time from the onset, other times from the threshold, free of the rig's
#: onset; `all`: every shared feature, aligned; `relative`: these and those of `stslib.features.columns`.
FEATURE_SETS: dict[str, tuple[str, ...]] = {
    "published": PUBLISHED, "intended": INTENDED, "stimulus_aligned": _align(INTENDED), "all": _align(SHARED),
    "relative": (*_align(SHARED), *_RELATIVE),
}  # fmt: skip

#: The published columns that a set with aligned times is worked out from.
_ALIGNED_FROM = {"stimulus_aligned": (*INTENDED, "onset_s")} | dict.fromkeys(("all", "relative"), (*SHARED, "onset_s"))


def describe(x: pd.DataFrame, labels: Any) -> pd.DataFrame:
    """What each column of a feature table means: `feature`, `unit`, `meaning`, and the median of each class.

    Parameters
    ----------
    x, labels : (n_cells, n_features) DataFrame of any of `FEATURE_SETS`, and (n_cells,) classes

    Examples
    --------
    >>> describe(pd.DataFrame({"tau": [10.0, 20.0]}), ["Pvalb", "Sst"])[["feature", "unit", "Pvalb", "Sst"]]
      feature unit  Pvalb   Sst
    0     tau   ms   10.0  20.0
    """
    rows = [(c, *(_RELATIVE.get(c) or meaning(c))) for c in map(str, x.columns)]
    medians = x.groupby(np.asarray(labels)).median().T.reindex(columns=CLASSES)
    return pd.DataFrame(rows, columns=["feature", "unit", "meaning"]).join(medians, on="feature")


@dataclass(frozen=True)
class FeatureTable:
    """A `table` of features, one row a cell: `cell_id`, `dataset`, `onset_s` (start of the step, s), published columns."""

    table: pd.DataFrame

    def select(self, feature_set: str = "published") -> pd.DataFrame:
        """The columns of a feature set, in its order, float, indexed by `cell_id`; faulty ones are refused by name."""
        one_of("feature_set", feature_set, FEATURE_SETS)
        self._check(_ALIGNED_FROM.get(feature_set, FEATURE_SETS[feature_set]))
        out = self.table.set_index("cell_id")
        if feature_set in _ALIGNED_FROM:
            times = {new: out[old] - out[start] for old, (new, start) in _ALIGNED.items() if {old, start} <= set(out)}
            out = out.assign(**times)
        if feature_set == "relative":
            out = pd.concat([out, relative(out)], axis=1)
        return out[list(FEATURE_SETS[feature_set])].astype(float)

    def origin(self) -> str:
        """How many cells have features from their archive's table and how many measured ones, where both occur."""
        if "features_from" not in self.table:
            return ""
        n = self.table["features_from"].value_counts()
        return f"Features from tables: {n.get('table', 0):,} cells; measured on the raw sweeps: {n.get('measured', 0):,} cells."

    def _check(self, columns: Iterable[str]) -> None:
        table, names = self.table, ["cell_id", *columns]
        if missing := [c for c in names if c not in table.columns]:
            raise StsError(f"the feature table lacks {len(missing)} of {len(names)} columns: {', '.join(missing[:4])}")
        if len(doubled := table["cell_id"][table["cell_id"].duplicated()]):
            raise StsError(f"cell id {doubled.iloc[0]} occurs twice in the feature table; keep one row a cell")
        for column, values in table[names[1:]].items():
            if values.dtype.kind not in "iuf":
                bad = values[pd.to_numeric(values, errors="coerce").isna() & values.notna()]
                example = repr(bad.iloc[0]) if len(bad) else f"type {values.dtype}"
                raise StsError(f"column {column} holds {example}, which is not a number")
            if np.isinf(values.to_numpy(dtype=float)).any():
                raise StsError(f"column {column} holds infinite values; leave them empty")


def of_cells(
    cells: Any, feature_set: str = "published", n_jobs: int = 1, cell_ids: Sequence[str] | None = None
) -> FeatureTable:
    """The features of cells: from their source's own table where it has one, else measured on their recordings.

    Parameters
    ----------
    cells : stslib.io.Cells, from `stslib.io.reopen` or `stslib.io.open_cells`
    feature_set, n_jobs : str, int, the set that will be selected, and processes for the measurement
    cell_ids : sequence of str, the cells, each one in the source's table; by default all of `cells.cells`

    Examples
    --------
    >>> from stslib import io
    >>> of_cells(io.open_cells({"source": "simulated", "n_cells": 4})).select("published").shape
    (4, 15)
    """
    one_of("feature_set", feature_set, FEATURE_SETS)
    ids = cells.cells["cell_id"].tolist() if cell_ids is None else list(cell_ids)
    own = cells.features()
    if own is not None:
        table = own.set_index("cell_id")
        if absent := [c for c in ids if c not in table.index]:
            raise StsError(f"the source's feature table lacks cell {absent[0]} ({len(absent)} cells)")
        return FeatureTable(table.loc[ids].reset_index())
    if feature_set in ("all", "relative"):
        why = "needs ramps and short squares; recordings give 'stimulus_aligned'"
        raise ParameterError(f"feature_set is {feature_set!r}, which {why}")
    return FeatureTable(extract(cells.recordings(ids), n_jobs, len(ids)))
