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
from stslib.sweeps.resampling import prepare_with_metadata
from stslib.sweeps.settings import SweepSettings


def extract(
    recordings: Iterable[Recording],
    settings: SweepSettings = SweepSettings(),
    n_jobs: int = 1,
    scheduler: str = "",
    total: int | None = None,
) -> tuple[np.ndarray, pd.DataFrame]:
    """The two sweeps of every cell (or one, or three), and what became of each cell.

    Parameters
    ----------
    recordings : iterable of Recording
        The cells.
    settings : SweepSettings
        Which sweeps, and what is kept of each.
    n_jobs, scheduler
        Where the work is done (see `stslib.support.parallel.run`); the result does not depend on it.
    total : int, optional
        Number of cells for the progress bar, where `recordings` has no length.

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
        When a sweep that was chosen is sampled below the wanted rate.
    """
    results = cluster.run(_one_cell, ((recording, settings) for recording in recordings), n_jobs, scheduler)
    if total is None and isinstance(recordings, Sized):
        total = len(recordings)
    pairs, rows = [], []
    for pair, row in progress(results, "Sweeps", total=total):
        rows.append(row)
        if pair is not None:
            pairs.append(pair)
    array = np.stack(pairs) if pairs else np.empty((0, settings.n_sweeps, settings.n_samples), np.float32)
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


def _one_cell(recording: Recording, settings: SweepSettings) -> tuple[np.ndarray | None, dict[str, object]]:
    row: dict[str, object] = {"cell_id": recording.cell_id, "reason": "", "detail": ""}
    try:
        chosen = choose_sweeps(recording, settings)
        prepared = [prepare_with_metadata(s, settings) for s in chosen]
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
