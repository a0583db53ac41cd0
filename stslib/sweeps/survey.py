"""The long squares of a whole cohort, looked at once: which cells have both sweeps, and how often each sweep fires.

Counting spikes reads every trace. Notebook 1 does it and keeps the table; whatever comes later takes the counts from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from stslib.recordings import Recording, Sweep
from stslib.support import parallel as cluster
from stslib.support.errors import ParameterError, StsError
from stslib.support.progress import progress
from stslib.sweeps.choice import NoPair, choose_pair, count_spikes
from stslib.sweeps.resampling import fast_enough
from stslib.sweeps.settings import SweepSettings


@dataclass(frozen=True)
class Survey:
    """What was found in the long squares of a cohort.

    Attributes
    ----------
    pairs : DataFrame
        One row a cell that has both sweeps: cell_id, label, rheobase_pa, partner_pa, rheobase_spikes, partner_spikes.
    reasons, details : dict
        Of each cell that lacks them: one of `stslib.sweeps.REASONS`, and a line that says more.
    long_squares : DataFrame
        One row a sweep that can be used: cell_id, number, stimulus_pa, n_spikes.
    """

    pairs: pd.DataFrame
    reasons: dict[str, str]
    details: dict[str, str]
    long_squares: pd.DataFrame


def survey(
    recordings: Iterable[Recording],
    settings: SweepSettings = SweepSettings(),
    n_jobs: int = 1,
    scheduler: str = "",
    total: int | None = None,
) -> Survey:
    """Count the spikes of every long square and choose each cell's two sweeps.

    Parameters
    ----------
    recordings : iterable of Recording
        The cells.
    settings : SweepSettings
        Which sweeps are chosen.
    n_jobs, scheduler
        Where the traces are read (see `stslib.support.parallel.run`); the result does not depend on it.
    total : int, optional
        Number of cells, for the progress bar.
    """
    found = cluster.run(_look, ((recording, settings) for recording in recordings), n_jobs, scheduler)
    pairs: list[dict[str, object]] = []
    reasons, details, squares = {}, {}, []
    for cell_id, pair, reason, detail, rows in progress(found, "Long squares", total=total):
        squares += [(cell_id, *row) for row in rows]
        if pair is not None:
            pairs.append({"cell_id": cell_id, **pair})
        else:
            reasons[cell_id], details[cell_id] = reason, detail
    columns = ["cell_id", "label", "rheobase_pa", "partner_pa", "rheobase_spikes", "partner_spikes"]
    table = pd.DataFrame(squares, columns=["cell_id", "number", "stimulus_pa", "n_spikes"])
    return Survey(pd.DataFrame(pairs, columns=columns), reasons, details, table.astype({"n_spikes": "Int64"}))


def _look(
    recording: Recording, settings: SweepSettings
) -> tuple[str, dict[str, object] | None, str, str, list[tuple[int, float, int]]]:
    """One cell: its pair (or the reason why it has none) and its sweeps."""
    known = [_counted(s) for s in recording.sweeps]
    usable = [s for s in known if fast_enough(s.rate_hz, settings.rate_hz) and s.duration_s >= 0.99 * settings.step_s]
    rows = [(s.number, s.stimulus_pa, s.n_spikes) for s in usable if s.n_spikes is not None]
    try:
        pair = choose_pair(replace(recording, sweeps=tuple(known)), settings)
    except NoPair as error:
        return recording.cell_id, None, error.reason, str(error), rows
    chosen: dict[str, object] = {"label": recording.label or ""}
    for name, sweep in (("rheobase", pair.rheobase), ("partner", pair.partner)):
        chosen |= {f"{name}_pa": sweep.stimulus_pa, f"{name}_spikes": sweep.n_spikes}
    return recording.cell_id, chosen, "", "", rows


def _counted(sweep: Sweep) -> Sweep:
    """The sweep with its spikes counted, as it is where it cannot be read or has no current to fire at."""
    if sweep.n_spikes is not None or not sweep.stimulus_pa > 0:
        return sweep
    try:
        v_mv, _ = sweep.load()
    except StsError:
        return sweep
    return replace(sweep, n_spikes=count_spikes(v_mv, sweep.rate_hz, sweep.onset_s, sweep.duration_s))


def with_counts(recordings: Iterable[Recording], long_squares: pd.DataFrame) -> Iterator[Recording]:
    """The recordings with the numbers of spikes that a survey found, so that no trace is read to count them again.

    A sweep whose spikes neither its source nor the survey counted could not be read: it is left out.

    Parameters
    ----------
    recordings : iterable of Recording
        The cells.
    long_squares : DataFrame
        Of `Survey`.
    """
    counted = long_squares.dropna(subset="n_spikes")
    known = {
        cell_id: dict(zip(rows["number"].astype(int), rows["n_spikes"].astype(int), strict=True))
        for cell_id, rows in counted.groupby("cell_id")
    }
    for recording in recordings:
        spikes = known.get(recording.cell_id, {})
        sweeps = [
            s if s.n_spikes is not None or not s.stimulus_pa > 0 else replace(s, n_spikes=spikes.get(s.number))
            for s in recording.sweeps
        ]
        yield replace(recording, sweeps=tuple(s for s in sweeps if s.n_spikes is not None or not s.stimulus_pa > 0))


def count_partners(long_squares: pd.DataFrame, offsets_pa: Sequence[float], tolerance_pa: float = 5.0) -> pd.DataFrame:
    """How many cells keep a partner at each current above the rheobase (the paper chose +40 pA for it, section III-B).

    Parameters
    ----------
    long_squares : DataFrame
        cell_id, stimulus_pa, n_spikes (missing where nobody counted), one row a sweep; of `survey`, say.
    offsets_pa : sequence of float
        Currents above the rheobase.
    tolerance_pa : float
        How far from that the partner may be.

    Returns
    -------
    DataFrame
        offset_pa, n_cells (with a rheobase and a partner), n_rheobase (with a rheobase), share.

    Raises
    ------
    ParameterError
        When an offset is not above the tolerance.
    """
    if not len(offsets_pa) or min(offsets_pa) <= tolerance_pa:
        raise ParameterError(
            f"offsets_pa is {list(offsets_pa)}; give offsets above the tolerance of {tolerance_pa:g} pA"
        )
    positive = long_squares[long_squares["stimulus_pa"] > 0]
    fired = positive[positive["n_spikes"].fillna(0).astype(float) > 0]
    rheobase_pa = fired.groupby("cell_id")["stimulus_pa"].min()
    above_pa = (positive["stimulus_pa"] - positive["cell_id"].map(rheobase_pa)).astype(float)
    n_cells = [
        int(positive.loc[np.abs(above_pa - offset_pa) <= tolerance_pa + 1e-9, "cell_id"].nunique())
        for offset_pa in offsets_pa
    ]
    table = pd.DataFrame({"offset_pa": list(offsets_pa), "n_cells": n_cells, "n_rheobase": len(rheobase_pa)})
    return table.assign(share=table.n_cells / max(len(rheobase_pa), 1))
