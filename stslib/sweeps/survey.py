"""The long squares of a whole cohort, each read once: which cells have both sweeps, and how often each sweep fires."""

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
    """The long squares of a cohort: the pairs of sweeps, why other cells have none, and every sweep that can be used."""

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
    recordings: Iterable[Recording], settings: SweepSettings = SweepSettings(), n_jobs: int = 1, scheduler: str = "",
    total: int | None = None,
) -> Survey:  # fmt: skip
    """Count the spikes of every long square and choose each cell's two sweeps; other cells get a reason.

    `n_jobs` and `scheduler` say where the traces are read (`stslib.support.parallel.run`), which changes no result;
    `total` is the number of cells, for the progress bar.

    Examples
    --------
    >>> from stslib import io, sweeps
    >>> found = sweeps.survey(io.open_source("simulated", n_cells=4).recordings())
    >>> (found.pairs["partner_pa"] - found.pairs["rheobase_pa"]).tolist(), found.reasons
    ([40.0, 40.0, 40.0, 40.0], {})
    """
    surveyed = parallel.run(_survey_cell, ((recording, settings) for recording in recordings), n_jobs, scheduler)
    pairs, reasons, details, squares = [], {}, {}, []
    for cell_id, found, rows in progress(surveyed, "Long squares", total=total):
        squares += rows
        if isinstance(found, NoPair):
            reasons[cell_id], details[cell_id] = found.reason, str(found)
        else:
            pairs.append(found)
    table = pd.DataFrame(squares, columns=["cell_id", "number", "stimulus_pa", "n_spikes"])
    return Survey(pd.DataFrame(pairs, columns=_PAIR), reasons, details, table.astype({"n_spikes": "Int64"}))


def _survey_cell(recording: Recording, settings: SweepSettings) -> tuple[str, tuple[object, ...] | NoPair, list[tuple]]:
    """A cell's id, its pair (`_PAIR`) or why it has none, and a row of each of its sweeps that can be used."""
    cell_id, known = recording.cell_id, [counted_if_readable(s) for s in recording.sweeps]
    usable = [s for s in known if fast_enough(s.rate_hz, settings.rate_hz) and s.duration_s >= 0.99 * settings.step_s]
    rows = [(cell_id, s.number, s.stimulus_pa, s.n_spikes) for s in usable if s.n_spikes is not None]
    try:
        low, high = choose_pair(replace(recording, sweeps=tuple(known)), settings)
    except NoPair as error:
        return cell_id, error, rows
    currents_and_spikes = (low.stimulus_pa, high.stimulus_pa, low.n_spikes, high.n_spikes)
    return cell_id, (cell_id, recording.label or "", *currents_and_spikes), rows


def with_counts(recordings: Iterable[Recording], long_squares: pd.DataFrame) -> Iterator[Recording]:
    """The recordings with the spike counts of a survey's `long_squares`; a sweep that it could not read is left out."""
    counts = long_squares.dropna(subset="n_spikes").set_index(["cell_id", "number"])["n_spikes"].astype(int).to_dict()
    for recording in recordings:
        known = [
            replace(s, n_spikes=counts.get((recording.cell_id, s.number))) if s.n_spikes is None else s
            for s in recording.sweeps
        ]
        yield replace(recording, sweeps=tuple(s for s in known if s.n_spikes is not None or not s.stimulus_pa > 0))


def count_partners(long_squares: pd.DataFrame, offsets_pa: Sequence[float], tolerance_pa: float = 5.0) -> pd.DataFrame:
    """How many cells of a survey's `long_squares` have a partner at each current above the rheobase.

    Columns: offset_pa, n_cells (that have one), n_rheobase (with a rheobase), share.
    """
    if not len(offsets_pa) or min(offsets_pa) <= tolerance_pa:
        raise ParameterError(f"offsets_pa is {list(offsets_pa)}; give more than the tolerance, {tolerance_pa:g} pA")
    positive = long_squares[long_squares["stimulus_pa"] > 0]
    rheobase_pa = positive[positive["n_spikes"].fillna(0) > 0].groupby("cell_id")["stimulus_pa"].min()
    above_pa = (positive["stimulus_pa"] - positive["cell_id"].map(rheobase_pa)).astype(float)
    near = {offset_pa: np.abs(above_pa - offset_pa) <= tolerance_pa + 1e-9 for offset_pa in offsets_pa}
    n_cells = [positive.loc[rows, "cell_id"].nunique() for rows in near.values()]
    table = pd.DataFrame({"offset_pa": list(near), "n_cells": n_cells, "n_rheobase": len(rheobase_pa)})
    return table.assign(share=table["n_cells"] / max(len(rheobase_pa), 1))
