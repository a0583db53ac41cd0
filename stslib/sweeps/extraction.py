"""The two sweeps of every cell of a cohort, and what became of each cell."""

from __future__ import annotations

from collections.abc import Iterable, Sized

import numpy as np
import pandas as pd

from stslib.recordings import Recording
from stslib.support import parallel as cluster
from stslib.support.errors import ParameterError, StsError
from stslib.support.progress import progress
from stslib.sweeps.choice import NoPair, choose_sweeps
from stslib.sweeps.resampling import STEP_S, prepare_and_tell


def extract(
    recordings: Iterable[Recording],
    offset_pa: float = 40.0,
    tolerance_pa: float = 5.0,
    repeats: str = "first",
    rate_hz: float = 4000.0,
    before_s: float = 0.1,
    after_s: float = 0.1,
    baseline: str = "subtract",
    n_jobs: int = 1,
    total: int | None = None,
    n_sweeps: int = 2,
    step_s: float = STEP_S,
    scheduler: str = "",
) -> tuple[np.ndarray, pd.DataFrame]:
    """The two sweeps of every cell (or one, or three), and what became of each cell.

    Parameters
    ----------
    recordings : iterable of Recording
        The cells.
    offset_pa, tolerance_pa, repeats
        As for `choose_sweeps`.
    rate_hz, before_s, after_s, baseline
        As for `prepare`.
    n_jobs, scheduler
        Where the work is done (see `stslib.support.parallel.run`); the result does not depend on it.
    total : int, optional
        Number of cells for the progress bar, where `recordings` has no length.
    n_sweeps : int
        Sweeps of each cell, 1 to 3 (`choose_sweeps`).
    step_s : float
        Length of the step that is kept, in s; 0 for single action potentials, which are cut out around their peak.

    Returns
    -------
    sweeps : ndarray of float32, shape (n_kept, n_sweeps, n_samples)
        Rheobase and partner in mV, of the cells that have them.
    table : DataFrame
        One row a cell, in order: cell_id, reason ("" if kept, else one of `REASONS`), detail, rheobase_pa, partner_pa,
        rheobase_sweep, partner_sweep, rheobase_spikes, partner_spikes, raw_rate_hz, onset_s, rest_mv, partner_rest_mv
        (potential before the step), padded_s (how long a value was held because the recording is too short).

    Raises
    ------
    ParameterError
        When a parameter makes no sense.
    """
    n_samples = round((before_s + step_s + after_s) * rate_hz)
    if n_samples < 2:
        raise ParameterError(f"{before_s + step_s + after_s:g} s at {rate_hz:g} Hz are no sweep; keep more time")
    options = (offset_pa, tolerance_pa, repeats, rate_hz, before_s, after_s, baseline, n_sweeps, step_s)
    results = cluster.run(_one_cell, ((recording, *options) for recording in recordings), n_jobs, scheduler)
    if total is None and isinstance(recordings, Sized):
        total = len(recordings)
    pairs, rows = [], []
    for pair, row in progress(results, "Sweeps", total=total):
        rows.append(row)
        if pair is not None:
            pairs.append(pair)
    array = np.stack(pairs) if pairs else np.empty((0, n_sweeps, n_samples), np.float32)
    return array, pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS)


_COLUMNS = {
    "cell_id": str,
    "reason": str,
    "detail": str,
    "rheobase_pa": float,
    "partner_pa": float,
    "rheobase_sweep": "Int64",
    "partner_sweep": "Int64",
    "rheobase_spikes": "Int64",
    "partner_spikes": "Int64",
    "raw_rate_hz": float,
    "onset_s": float,
    "rest_mv": float,
    "partner_rest_mv": float,
    "padded_s": float,
}


def _one_cell(
    recording: Recording,
    offset_pa: float,
    tolerance_pa: float,
    repeats: str,
    rate_hz: float,
    before_s: float,
    after_s: float,
    baseline: str,
    n_sweeps: int,
    step_s: float,
) -> tuple[np.ndarray | None, dict[str, object]]:
    row: dict[str, object] = {"cell_id": recording.cell_id, "reason": "", "detail": ""}
    try:
        chosen = choose_sweeps(recording, n_sweeps, offset_pa, tolerance_pa, repeats, rate_hz, step_s)
        prepared = [prepare_and_tell(s, rate_hz, before_s, after_s, baseline, step_s) for s in chosen]
    except ParameterError:
        raise
    except NoPair as error:
        return None, row | {"reason": error.reason, "detail": str(error)}
    except StsError as error:  # chosen from what the source says of it, but the voltage cannot be read
        return None, row | {
            "reason": "bad_trace",
            "detail": f"cell {recording.cell_id} is left out: {error} (bad_trace)",
        }
    for name, sweep in zip(("rheobase", "partner"), chosen, strict=False):
        row |= {f"{name}_pa": sweep.stimulus_pa, f"{name}_sweep": sweep.number, f"{name}_spikes": sweep.n_spikes}
    row |= {"raw_rate_hz": chosen[0].rate_hz, "onset_s": chosen[0].onset_s}
    row |= {name: one.rest_mv for name, one in zip(("rest_mv", "partner_rest_mv"), prepared, strict=False)}
    row["padded_s"] = max(one.padded_s for one in prepared)
    return np.stack([one.v_mv for one in prepared]), row
