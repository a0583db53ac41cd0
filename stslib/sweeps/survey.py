"""The long squares of a whole cohort, read once: which cells have both sweeps, and how often each sweep fires.

Counting spikes reads every trace. Notebook 01 does it and saves the table; the later ones take the counts from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from stslib.recordings import Recording
from stslib.support import parallel
from stslib.support.errors import ParameterError
from stslib.support.progress import progress
from stslib.sweeps.choice import NoPair, choose_pair, counted_if_readable
from stslib.sweeps.extraction import typical_cells
from stslib.sweeps.resampling import fast_enough
from stslib.sweeps.settings import SweepSettings

_PAIR = ["cell_id", "label", "rheobase_pa", "partner_pa", "rheobase_spikes", "partner_spikes"]


@dataclass(frozen=True)
class Survey:
    """The long squares of a cohort: the pairs of sweeps, why other cells have none, and every sweep that can be
    used.
    """

    pairs: pd.DataFrame  # a row a cell that has both sweeps, with the columns `_PAIR`
    reasons: dict[str, str]  # of each cell that lacks them, one of `stslib.sweeps.REASONS` ...
    details: dict[str, str]  # ... and a line that says more
    long_squares: pd.DataFrame  # a row a sweep that can be used: cell_id, number, stimulus_pa, n_spikes

    def pairs_of(self, cells: pd.DataFrame) -> pd.DataFrame:
        """`pairs` of the cells of a table, with the labels of that table."""
        return cells[["cell_id", "label"]].merge(self.pairs.drop(columns="label"), on="cell_id")

    def typical_cell(self, cells: pd.DataFrame, label: str = "Sst") -> str:
        """Id of the cell of a class (or of the first class) whose spikes in the second sweep are nearest to its median."""
        pairs = self.pairs_of(cells)
        index = typical_cells(pairs["label"], pairs["partner_spikes"])
        return str(pairs["cell_id"][index.get(label, next(iter(index.values())))])


def survey(
    recordings: Iterable[Recording],
    settings: SweepSettings = SweepSettings(),
    n_jobs: int = 1,
    scheduler: str = "",
    total: int | None = None,
) -> Survey:
    """Count the spikes of every long square and choose each cell's two sweeps; other cells get a reason.

    `n_jobs` and `scheduler` say where the traces are read (`stslib.support.parallel.run`); the result does not depend
    on it. `total` is the number of cells, for the progress bar.

    Examples
    --------
    >>> from stslib import io, sweeps
    >>> found = sweeps.survey(io.open_source("simulated", n_cells=4).recordings())
    >>> (found.pairs["partner_pa"] - found.pairs["rheobase_pa"]).tolist(), found.reasons
    ([40.0, 40.0, 40.0, 40.0], {})
    """
    surveyed = parallel.run(_survey_cell, ((recording, settings) for recording in recordings), n_jobs, scheduler)
    pairs: list[dict[str, object]] = []
    reasons, details, squares = {}, {}, []
    for cell_id, pair, reason, detail, rows in progress(surveyed, "Long squares", total=total):
        squares += rows
        if pair is not None:
            pairs.append({"cell_id": cell_id, **pair})
        else:
            reasons[cell_id], details[cell_id] = reason, detail
    table = pd.DataFrame(squares, columns=["cell_id", "number", "stimulus_pa", "n_spikes"])
    return Survey(pd.DataFrame(pairs, columns=_PAIR), reasons, details, table.astype({"n_spikes": "Int64"}))


def _survey_cell(
    recording: Recording, settings: SweepSettings
) -> tuple[str, dict[str, object] | None, str, str, list[tuple[str, int, float, int]]]:
    """One cell: its pair (or the reason why it has none) and its sweeps."""
    known = [counted_if_readable(s) for s in recording.sweeps]
    usable = [s for s in known if fast_enough(s.rate_hz, settings.rate_hz) and s.duration_s >= 0.99 * settings.step_s]
    rows = [(recording.cell_id, s.number, s.stimulus_pa, s.n_spikes) for s in usable if s.n_spikes is not None]
    try:
        pair = choose_pair(replace(recording, sweeps=tuple(known)), settings)
    except NoPair as error:
        return recording.cell_id, None, error.reason, str(error), rows
    chosen: dict[str, object] = {"label": recording.label or ""}
    for name, sweep in (("rheobase", pair.rheobase), ("partner", pair.partner)):
        chosen |= {f"{name}_pa": sweep.stimulus_pa, f"{name}_spikes": sweep.n_spikes}
    return recording.cell_id, chosen, "", "", rows


def with_counts(recordings: Iterable[Recording], long_squares: pd.DataFrame) -> Iterator[Recording]:
    """The recordings with the spike counts of a survey's `long_squares`, so that no trace is read to count them again.

    A sweep whose spikes neither its source nor the survey counted could not be read: it is left out.
    """
    counts = long_squares.dropna(subset="n_spikes").set_index(["cell_id", "number"])["n_spikes"].astype(int).to_dict()
    for recording in recordings:
        sweeps = []
        for sweep in recording.sweeps:
            if sweep.n_spikes is None and sweep.stimulus_pa > 0:
                sweep = replace(sweep, n_spikes=counts.get((recording.cell_id, sweep.number)))
            if sweep.n_spikes is not None or not sweep.stimulus_pa > 0:
                sweeps.append(sweep)
        yield replace(recording, sweeps=tuple(sweeps))


def count_partners(long_squares: pd.DataFrame, offsets_pa: Sequence[float], tolerance_pa: float = 5.0) -> pd.DataFrame:
    """How many cells have a partner at each current above the rheobase (the paper chose +40 pA for it, section III-B).

    Takes `long_squares` of a survey; returns offset_pa, n_cells (that have one), n_rheobase (with a rheobase), share.

    Examples
    --------
    >>> from stslib import sweeps
    >>> squares = pd.DataFrame({"cell_id": "a", "stimulus_pa": [50.0, 90.0], "n_spikes": [1, 6]})
    >>> sweeps.count_partners(squares, (20.0, 40.0))["n_cells"].tolist()
    [0, 1]
    """
    if not len(offsets_pa) or min(offsets_pa) <= tolerance_pa:
        raise ParameterError(f"offsets_pa is {list(offsets_pa)}; give more than the tolerance, {tolerance_pa:g} pA")
    positive = long_squares[long_squares["stimulus_pa"] > 0]
    fired = positive[positive["n_spikes"].fillna(0).astype(float) > 0]
    rheobase_pa = fired.groupby("cell_id")["stimulus_pa"].min()
    above_pa = (positive["stimulus_pa"] - positive["cell_id"].map(rheobase_pa)).astype(float)
    partners = [positive[np.abs(above_pa - offset_pa) <= tolerance_pa + 1e-9] for offset_pa in offsets_pa]
    table = pd.DataFrame({"offset_pa": list(offsets_pa), "n_rheobase": len(rheobase_pa)})
    table.insert(1, "n_cells", [cells["cell_id"].nunique() for cells in partners])
    return table.assign(share=table.n_cells / max(len(rheobase_pa), 1))
