"""The sweeps of every cell of a cohort as one array, when each fires, and what became of each cell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Sized

import numpy as np
import pandas as pd

from stslib.cohort import CLASSES
from stslib.recordings import Recording
from stslib.support import parallel
from stslib.support.errors import ParameterError, StsError
from stslib.support.progress import progress
from stslib.sweeps.choice import NoPair, choose_sweeps, spike_times
from stslib.sweeps.resampling import prepare_with_metadata
from stslib.sweeps.settings import STEP_S, SweepSettings

#: Of the table of `extract`: reason is "" or one of `REASONS`, rest_mv the potential before the step, padded_s the time for
#: which a value was held because the recording is too short; n_spikes and last_spike_s (from the onset) of the last sweep.
_COLUMNS = {
    "cell_id": str, "reason": str, "detail": str, "rheobase_pa": float, "partner_pa": float, "rheobase_sweep": "Int64",
    "partner_sweep": "Int64", "rheobase_spikes": "Int64", "partner_spikes": "Int64", "raw_rate_hz": float,
    "onset_s": float, "rest_mv": float, "partner_rest_mv": float, "padded_s": float, "n_spikes": "Int64",
    "last_spike_s": float,
}  # fmt: skip


def extract(
    recordings: Iterable[Recording], settings: SweepSettings = SweepSettings(), n_jobs: int = 1, scheduler: str = "",
    total: int | None = None, complete: bool = False,
) -> tuple[np.ndarray, pd.DataFrame]:  # fmt: skip
    """The two sweeps of every cell (or one, or three) as one array, and what became of each cell.

    `n_jobs` and `scheduler` say where the work is done (`stslib.support.parallel.run`), `total` is the number of
    recordings for the progress bar. With `complete`, a cell without these sweeps is refused (`StsError`).
    Returns float32 (n_included, n_sweeps, n_samples) in mV, and a row a cell in order, whose columns are explained at
    `_COLUMNS`.

    Examples
    --------
    >>> from stslib import io, sweeps
    >>> sweeps_mv, table = sweeps.extract(list(io.open_source("simulated", n_cells=4).recordings()))
    >>> sweeps_mv.shape, (table["partner_pa"] - table["rheobase_pa"]).tolist()
    ((4, 2, 4800), [40.0, 40.0, 40.0, 40.0])
    """
    results = parallel.run(_extract_cell, ((recording, settings) for recording in recordings), n_jobs, scheduler)
    if total is None and isinstance(recordings, Sized):
        total = len(recordings)
    chosen, rows = [], []
    for sweeps_mv, row in progress(results, "Sweeps", total=total):
        rows.append(row)
        if sweeps_mv is not None:
            chosen.append(sweeps_mv)
    array = np.stack(chosen) if chosen else np.empty((0, settings.n_sweeps, settings.n_samples), np.float32)
    table = pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS)
    lost = table[table["reason"] != ""]
    if complete and len(lost):
        raise StsError(
            f"{len(lost)} of {len(table)} cells have no such sweeps; use the settings with which they were selected; "
            f"first: {lost['detail'].iloc[0]}"
        )
    return array, table


def _extract_cell(recording: Recording, settings: SweepSettings) -> tuple[np.ndarray | None, dict[str, object]]:
    row: dict[str, object] = {"cell_id": recording.cell_id, "reason": "", "detail": ""}
    try:
        chosen = choose_sweeps(recording, settings)
        prepared = [prepare_with_metadata(s, settings) for s in chosen]
    except ParameterError:
        raise
    except NoPair as error:
        return None, row | {"reason": error.reason, "detail": str(error)}
    except StsError as error:  # chosen by what the source states of it, but the voltage cannot be read
        detail = f"cell {recording.cell_id} is excluded: {error} (bad_trace)"
        return None, row | {"reason": "bad_trace", "detail": detail}
    names = (("rheobase", "rest_mv"), ("partner", "partner_rest_mv"))
    for (name, rest), sweep, one in zip(names, chosen, prepared, strict=False):
        row |= {f"{name}_pa": sweep.stimulus_pa, f"{name}_sweep": sweep.number, f"{name}_spikes": sweep.n_spikes}
        row[rest] = one.rest_mv
    row |= {"raw_rate_hz": chosen[0].rate_hz, "onset_s": chosen[0].onset_s}
    row["padded_s"] = max(one.padded_s for one in prepared)
    fired = firing(prepared[-1].v_mv[None], settings.rate_hz, settings.before_s).iloc[0]
    row |= {"n_spikes": int(fired["n_spikes"]), "last_spike_s": fired["last_s"]}
    return np.stack([one.v_mv for one in prepared]), row


def firing(traces_mv: np.ndarray, rate_hz: float = 4000.0, before_s: float = 0.1) -> pd.DataFrame:
    """When prepared sweeps `(n, n_samples)` fire: n_spikes, first_s and last_s from the onset, NaN without a spike."""
    rows = []
    for trace in traces_mv:
        times = spike_times(trace, rate_hz, before_s, STEP_S)
        rows.append((len(times), times[0] if len(times) else np.nan, times[-1] if len(times) else np.nan))
    return pd.DataFrame(rows, columns=["n_spikes", "first_s", "last_s"])


def typical_cells(labels: Sequence[str], values: Sequence[float]) -> dict[str, int]:
    """For each class the index of the cell whose value is nearest to the class's median (the first of equally near ones)."""
    groups = pd.Series(np.asarray(values, float)).groupby(np.asarray(labels))
    return {str(label): int((group - group.median()).abs().idxmin()) for label, group in groups}


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """The last sweep of each cell in numbers, by class: cells, and the medians of current_pa, spikes and last_spike_s.

    `table` is that of `extract` with the column label; last_spike_s counts from the onset of the step.

    Examples
    --------
    >>> from stslib import sweeps
    >>> table = pd.DataFrame({"label": "Sst", "partner_pa": [90.0, 110.0], "n_spikes": [4, 8], "last_spike_s": 0.9})
    >>> sweeps.summary(table.assign(rheobase_pa=50.0)).round(2).values.tolist()
    [['Sst', 2, 100.0, 6.0, 0.9]]
    """
    current_pa = table["partner_pa"].fillna(table["rheobase_pa"])
    groups = table.assign(current_pa=current_pa, spikes=table["n_spikes"].astype(float)).groupby("label")
    medians = groups[["current_pa", "spikes", "last_spike_s"]].median()
    medians.insert(0, "cells", groups.size())
    return medians.reindex([c for c in CLASSES if c in medians.index]).reset_index()
