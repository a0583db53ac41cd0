"""Feature tables: checked, brought to a feature set, and found for the cells of a source."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from stslib.features.measurement import extract
from stslib.features.names import POINTS, STIMULI
from stslib.features.relative import relative
from stslib.features.sets import ALIGNED_FROM, FEATURE_SETS, aligned_name
from stslib.support.errors import ParameterError, StsError, one_of

if TYPE_CHECKING:
    from stslib.io import Source


def check_table(table: pd.DataFrame, columns: Iterable[str], allow_empty: bool = False) -> None:
    """Refuse a feature table that a model should not see.

    Parameters
    ----------
    table : DataFrame
        One row a cell, with `cell_id`.
    columns : iterable of str
        Columns that are needed.
    allow_empty : bool
        Let columns pass that have no value in any cell.

    Raises
    ------
    StsError
        A needed column that is not there, doubled ids, values that are not numbers, infinite values, a column without
        any value: one line each, naming the column or the id.
    """
    names = ["cell_id", *columns]
    missing = [c for c in names if c not in table.columns]
    if missing:
        raise StsError(f"the feature table lacks {len(missing)} of {len(names)} columns: {', '.join(missing[:4])}")
    doubled = table["cell_id"][table["cell_id"].duplicated()]
    if len(doubled):
        raise StsError(f"cell id {doubled.iloc[0]} occurs twice in the feature table; keep one row a cell")
    for column in names[1:]:
        values = table[column]
        if not (pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)):
            bad = values[pd.to_numeric(values, errors="coerce").isna() & values.notna()]
            example = repr(bad.iloc[0]) if len(bad) else f"type {values.dtype}"
            raise StsError(f"column {column} holds {example}, which is not a number")
        if np.isinf(values.to_numpy(dtype=float)).any():
            raise StsError(f"column {column} holds infinite values; leave them empty")
        if not allow_empty and values.isna().all():
            raise StsError(f"column {column} has no value in any of {len(table)} cells; use another feature set")


def select(table: pd.DataFrame, feature_set: str = "published", allow_empty: bool = False) -> pd.DataFrame:
    """The columns of a feature set, always in the same order.

    Parameters
    ----------
    table : DataFrame
        One row a cell: `cell_id`, the columns of the published tables, and `onset_s` (start of the step, in s) for the
        aligned sets.
    feature_set : str
        A name of `FEATURE_SETS`.
    allow_empty : bool
        Let columns pass that have no value in any cell: rare ones, such as the slow trough, in a small cohort.

    Returns
    -------
    DataFrame
        Index `cell_id`, columns `FEATURE_SETS[feature_set]`, float.

    Raises
    ------
    ParameterError
        Unknown set.
    StsError
        A table that cannot be used (see `check_table`).
    """
    one_of("features", feature_set, FEATURE_SETS)
    needed = ALIGNED_FROM.get(feature_set, FEATURE_SETS[feature_set])
    check_table(table, (*needed, "onset_s") if feature_set in ALIGNED_FROM else needed, allow_empty)
    out = table.set_index("cell_id")
    if feature_set in ALIGNED_FROM:
        more = relative(out) if feature_set == "relative" else None
        out = _align(out)
        out = out if more is None else pd.concat([out, more], axis=1)
    return out[list(FEATURE_SETS[feature_set])].astype(float)


def _align(table: pd.DataFrame) -> pd.DataFrame:
    """Times of the threshold from the onset of the stimulus, all others from the threshold; renamed accordingly."""
    out = table.copy()
    for stimulus in STIMULI:
        threshold = f"threshold_t_{stimulus}"
        if threshold not in table.columns:
            continue
        out[aligned_name(threshold)] = table[threshold] - table["onset_s"]
        for point in POINTS[1:]:
            column = f"{point}_t_{stimulus}"
            if column in table.columns:
                out[aligned_name(column)] = table[column] - table[threshold]
    return out


def from_source(source: Source, cell_ids: Sequence[str], feature_set: str, n_jobs: int = 1) -> pd.DataFrame:
    """The feature table of some cells of a source: its own published table where it has one, else measured.

    Parameters
    ----------
    source : Source
        Made by `stslib.io.open_source`.
    cell_ids : sequence of str
        Cells, in the order of the rows.
    feature_set : str
        The set that will be selected from the table.
    n_jobs : int
        Processes for the measurement.

    Returns
    -------
    DataFrame
        `cell_id`, `dataset`, `onset_s` and the features, one row a cell.

    Raises
    ------
    ParameterError
        Unknown set, or one that recordings of long squares cannot fill.
    StsError
        The source's table lacks a cell.
    """
    one_of("features", feature_set, FEATURE_SETS)
    if hasattr(source, "features"):
        table = source.features().set_index("cell_id")
        absent = [c for c in cell_ids if c not in table.index]
        if absent:
            raise StsError(f"the feature tables of source {source.name} lack cell {absent[0]} ({len(absent)} cells)")
        return table.loc[list(cell_ids)].reset_index()
    if feature_set in ("all", "relative"):
        raise ParameterError(
            f"features is {feature_set!r}, which needs ramps and short squares; recordings give 'stimulus_aligned'"
        )
    return extract(source.recordings(cell_ids), n_jobs, len(cell_ids), passive=False)
