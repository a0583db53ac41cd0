"""The two sweeps of every cell of a cohort, and what became of each cell."""

from __future__ import annotations

from collections.abc import Iterable, Sized

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from stslib.errors import ParameterError, StsError
from stslib.progress import progress
from stslib.recordings import Recording
from stslib.sweeps.choice import NoPair, choose_pair
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
) -> tuple[np.ndarray, pd.DataFrame]:
    """The two sweeps of every cell, and what became of each cell.

    Parameters
    ----------
    recordings : iterable of Recording
        The cells.
    offset_pa, tolerance_pa, repeats
        As for `choose_pair`.
    rate_hz, before_s, after_s, baseline
        As for `prepare`.
    n_jobs : int
        Worker processes (joblib; -1 is all cores). The result does not depend on it.
    total : int, optional
        Number of cells for the progress bar, where `recordings` has no length.

    Returns
    -------
    sweeps : ndarray of float32, shape (n_kept, 2, n_samples)
        Rheobase and partner in mV, of the cells that have both.
    table : DataFrame
        One row a cell, in order: cell_id, reason ("" if kept, else one of `REASONS`), detail, rheobase_pa, partner_pa,
        rheobase_sweep, partner_sweep, rheobase_spikes, partner_spikes, raw_rate_hz, onset_s, rest_mv, partner_rest_mv
        (potential before the step), padded_s (how long a value was held because the recording is too short).

    Raises
    ------
    ParameterError
        When a parameter makes no sense.
    """
    n_samples = round((before_s + STEP_S + after_s) * rate_hz)
    options = (offset_pa, tolerance_pa, repeats, rate_hz, before_s, after_s, baseline)
    if n_jobs == 1:
        results: Iterable[tuple[np.ndarray | None, dict[str, object]]] = (_one_cell(r, *options) for r in recordings)
    else:
        results = Parallel(n_jobs=n_jobs, return_as="generator")(delayed(_one_cell)(r, *options) for r in recordings)
    if total is None and isinstance(recordings, Sized):
        total = len(recordings)
    pairs, rows = [], []
    for pair, row in progress(results, "Sweeps", total=total):
        rows.append(row)
        if pair is not None:
            pairs.append(pair)
    array = np.stack(pairs) if pairs else np.empty((0, 2, n_samples), np.float32)
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
) -> tuple[np.ndarray | None, dict[str, object]]:
    row: dict[str, object] = {"cell_id": recording.cell_id, "reason": "", "detail": ""}
    try:
        pair = choose_pair(recording, offset_pa, tolerance_pa, repeats, rate_hz)
        prepared = [
            prepare_and_tell(s, rate_hz, before_s, after_s, baseline, STEP_S) for s in (pair.rheobase, pair.partner)
        ]
    except ParameterError:
        raise
    except NoPair as error:
        return None, row | {"reason": error.reason, "detail": str(error)}
    except StsError as error:  # chosen from what the source says of it, but the voltage cannot be read
        return None, row | {
            "reason": "bad_trace",
            "detail": f"cell {recording.cell_id} is left out: {error} (bad_trace)",
        }
    for name, sweep in (("rheobase", pair.rheobase), ("partner", pair.partner)):
        row |= {f"{name}_pa": sweep.stimulus_pa, f"{name}_sweep": sweep.number, f"{name}_spikes": sweep.n_spikes}
    row |= {"raw_rate_hz": pair.rheobase.rate_hz, "onset_s": pair.rheobase.onset_s}
    row |= {"rest_mv": prepared[0].rest_mv, "partner_rest_mv": prepared[1].rest_mv}
    row["padded_s"] = max(one.padded_s for one in prepared)
    return np.stack([one.v_mv for one in prepared]), row
