"""What notebooks ask of the sources: the cells that notebook 01 names, and the cells that it included, opened again.

A source's recordings are read when they are asked for, so that opening one is cheap.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from stslib import cohort, sweeps
from stslib.io.precomputed import MADE_WITH, Precomputed
from stslib.io.source import Source, open_source
from stslib.recordings import Recording
from stslib.support.errors import MissingInput, ParameterError
from stslib.support.files import mirror_path

#: Options of each source that are parameters of notebook 01.
OPTIONS: dict[str, tuple[str, ...]] = {
    "simulated": ("n_cells", "seed", "simulation"),
    "published": (),
    "store": ("path",),
    "fetched": ("path", "split"),
    "files": ("path", "labels", "n_jobs"),
    "precomputed": ("path", "labels"),
    "real_sweeps": (),
}
#: Options that name files or folders.
PATHS = ("path", "labels")
#: Simulated cells that stand in, by name, where a picture of a sweep is wanted and the source has none.
N_EXAMPLES = 120


class Finished(Protocol):
    """What is read of a finished notebook 01 (`stslib.press.stage.Stage`)."""

    parameters: dict[str, Any]

    def load_table(self, name: str, **read_csv: Any) -> pd.DataFrame:
        """A table that it saved."""
        ...


@dataclass(frozen=True)
class Cells:
    """Cells of one source, as `open_cells` and `reopen` give them.

    Attributes
    ----------
    source : Source
        Reads them.
    cells : DataFrame
        One row a cell: cell_id, label, dataset (rig), donor, split and what else the source knows. After `reopen` the
        included cells of notebook 01 only.
    long_squares : DataFrame or None
        One row a long square of every examined cell: cell_id, number, stimulus_pa, n_spikes; None before a survey.
    inputs : list of Path
        Files and folders that the source reads.
    note : str
        What else `summary` should say of them.
    """

    source: Source
    cells: pd.DataFrame
    long_squares: pd.DataFrame | None = None
    inputs: list[Path] = field(default_factory=list)
    note: str = ""

    @property
    def name(self) -> str:
        """Name of the source."""
        return self.source.name

    @property
    def kind(self) -> str:
        """What the voltages are: `simulated`, `hybrid` or `real`."""
        return self.source.kind

    @property
    def data(self) -> str:
        """Word for the data in metric records and figures: `simulated`, `hybrid`, `published`, `allen`, ..."""
        return self.source.data

    @property
    def has_sweeps(self) -> bool:
        """Whether the source has recordings; `published` and `precomputed` have tables and scalograms only."""
        return self.source.has_sweeps

    @property
    def ready_made(self) -> bool:
        """Whether the source has scalograms in place of sweeps (`draw_scalograms`)."""
        return self.name == Precomputed.name

    def recording(self, cell_id: str) -> Recording:
        """The long-square sweeps of one cell."""
        return next(self.recordings([cell_id]))

    def recordings(self, cell_ids: Iterable[str] | None = None) -> Iterator[Recording]:
        """Recordings of `cell_ids`, in their order, one at a time; by default of every cell that can be read.

        After `reopen` each sweep knows how many spikes notebook 01 counted in it.
        """
        if self.long_squares is None or not self.has_sweeps:
            return self.source.recordings(cell_ids)
        ids = self.cells["cell_id"] if cell_ids is None else cell_ids
        return sweeps.with_counts(self.source.recordings(ids), self.long_squares)

    def features(self) -> pd.DataFrame | None:
        """The source's own table of features, one row a cell, or None where they are to be measured on the recordings."""
        own = getattr(self.source, "features", None)
        return own() if own else None

    def resampling_quality(self, cell_id: str) -> np.ndarray | None:
        """Resampling quality of the raw second sweep, measured when the cell was fetched; None where sweeps are raw."""
        stored = getattr(self.source, "resampling_quality", None)
        return stored(cell_id) if stored else None

    def unused_labels(self) -> list[str]:
        """Cell ids of the user's label table that no file has."""
        unused = getattr(self.source, "unused_labels", None)
        return unused() if unused else []

    def summary(self) -> str:
        """How many cells there are, of how many donors, and what they are, in Markdown."""
        donors = self.cells["donor"].replace("", np.nan).nunique()
        origin = f"{donors:,} donors" if donors else "an unknown number of donors"
        lines = [f"{len(self.cells):,} cells from {origin}. Data: **{self.data}**."]
        if self.note:
            lines.append(self.note)
        if unused := self.unused_labels():
            lines.append(f"The label table names {len(unused)} cells that have no file, first {unused[0]}.")
        return "\n\n".join(lines)

    def reference(self) -> pd.DataFrame:
        """Quartiles of the paper's training cells (`stslib.io.simulated.population.reference`)."""
        from stslib.io.simulated.population import reference

        return reference()

    def real_training(self) -> pd.DataFrame | None:
        """Published features and labels of the paper's training cells, None where the tables are not at hand."""
        from stslib.io.published import training_features

        return training_features()

    def all_long_squares(self, found: sweeps.Survey) -> pd.DataFrame:
        """The source's own long squares where it has them (fetched recordings hold two sweeps only), else the survey's."""
        own = getattr(self.source, "long_squares", None)
        return own() if own else found.long_squares

    def count_partners(self, settings: sweeps.SweepSettings) -> pd.DataFrame:
        """How many cells have a partner at 20, 40, 60, 80 pA and at the offset of the settings (`sweeps.count_partners`)."""
        squares, offsets_pa = self.long_squares, sorted({20.0, 40.0, 60.0, 80.0, settings.offset_pa})
        squares = sweeps.survey(self.recordings(), settings).long_squares if squares is None else squares
        return sweeps.count_partners(squares, offsets_pa, settings.tolerance_pa)

    def example(self, label: str = "Sst") -> Recording:
        """A cell of a class (else the first cell) that was given as many sweeps as is usual for its class."""
        recordings = list(self.recordings())
        typical = sweeps.typical_cells([r.label or "" for r in recordings], [len(r.sweeps) for r in recordings])
        return recordings[typical.get(label, 0)]

    def with_sweeps(self, seed: int = 2026, settings: sweeps.SweepSettings = sweeps.SweepSettings()) -> Cells:
        """These cells where the source has sweeps, else 120 simulated cells that have both, for pictures of sweeps."""
        if self.has_sweeps:
            return self
        source = open_source("simulated", n_cells=N_EXAMPLES, seed=seed)
        found = sweeps.survey(source.recordings(), settings)
        table = cohort.kept(cohort.account(source.cells(), found.reasons))
        note = f"The source `{self.name}` has no sweeps: these simulated cells are shown instead."
        return Cells(source, table, found.long_squares, note=note)

    def draw_scalograms(self, images: np.ndarray, preprocessing: Any, sweeps_mv: np.ndarray, *workers: Any) -> None:
        """One resize of each cell's scalogram into `images` `(n_cells, 2, height, width)`: of `sweeps_mv`, or ready-made."""
        if not isinstance(self.source, Precomputed):
            preprocessing.fill(images, sweeps_mv, *workers)
            return
        made_with = vars(preprocessing.bank) | {"output": preprocessing.image.output}
        for name, value in MADE_WITH.items():
            if (asked := made_with[name]) != value:
                raise ParameterError(
                    f"{name} is {asked!r}; the precomputed scalograms were made with {value!r}, give that"
                )
        self.source.fill(images, self.cells["cell_id"].tolist())


def open_cells(parameters: Mapping[str, Any]) -> Cells:
    """Open the cells that the parameters of notebook 01 name.

    Parameters
    ----------
    parameters : `source`, one of `SOURCES`, and its options (`OPTIONS`), such as `n_cells` and `seed`; others are left alone

    Returns
    -------
    Cells : every cell of the source, also those that cannot be used (column `reason`)

    Raises
    ------
    ParameterError, MissingInput, DamagedFile : there is no such source; its files are not there, or cannot be read

    Examples
    --------
    >>> from stslib import io
    >>> opened = io.open_cells({"source": "simulated", "n_cells": 4, "seed": 1})
    >>> opened.data, len(opened.cells)
    ('simulated', 4)
    >>> recording = opened.recording(opened.cells.cell_id[0])
    >>> v_mv, i_pa = recording.sweeps[0].load()
    >>> v_mv.shape == i_pa.shape
    True
    """
    return replace(opened := _opened(parameters), cells=opened.source.cells())


def _opened(parameters: Mapping[str, Any]) -> Cells:
    """The source that the parameters name, none of its cells read yet."""
    name = parameters["source"]
    options = {option: parameters[option] for option in OPTIONS.get(name, ()) if option in parameters}
    source = open_source(name, **options)
    named = [str(options[option]) for option in PATHS if options.get(option)]
    if name == "fetched":
        named = [f"{folder}/cells.csv" for folder in named[0].split(os.pathsep) if folder]
    return Cells(source, pd.DataFrame(), inputs=[mirror_path(text).expanduser() for text in named])


def reopen(data: Finished) -> Cells:
    """Open the included cells of a finished notebook 01 again, with the spikes that it counted.

    Parameters
    ----------
    data : the finished notebook, `stage.input("01_data")`; its parameters and its tables `cells` and `long_squares` are read

    Returns
    -------
    Cells : the included ones, with a fresh index 0..n-1

    Raises
    ------
    MissingInput, DamagedFile : the source's files or the notebook's tables are gone or altered

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from stslib import cohort, io, sweeps
    >>> parameters = {"source": "simulated", "n_cells": 4, "seed": 1}
    >>> opened = io.open_cells(parameters)
    >>> found = sweeps.survey(opened.recordings())
    >>> tables = {"cells": cohort.account(opened.cells, found.reasons), "long_squares": found.long_squares}
    >>> data = SimpleNamespace(parameters=parameters, load_table=lambda name, **_: tables[name])  # as of a notebook
    >>> again = io.reopen(data)
    >>> all(sweep.n_spikes is not None for recording in again.recordings() for sweep in recording.sweeps)
    True
    """
    opened = _opened(data.parameters)
    included = cohort.kept(data.load_table("cells", keep_default_na=False))
    return Cells(opened.source, included, data.load_table("long_squares"), opened.inputs)


def mirrored(n_hybrid: int = 100) -> dict[str, list[Recording]]:
    """Recordings of the data mirror that `STS_DATA_MIRROR` names, to set beside other cells.

    Parameters
    ----------
    n_hybrid : hybrid cells, evenly chosen from the file; 0 leaves them out

    Returns
    -------
    dict : `real`, the six real sweeps, one a cell, and `hybrid`, where the mirror has them; empty without a mirror

    Examples
    --------
    >>> from stslib import io
    >>> set(io.mirrored(n_hybrid=2)) <= {"real", "hybrid"}
    True
    """
    found = {}
    for name, options in (("real_sweeps", {}), ("store", {"path": "mirror:hybrid/hybrid.h5"})):
        if name == "store" and not n_hybrid:
            continue
        try:
            source = open_source(name, **options)
        except MissingInput:
            continue
        ids = source.cells()["cell_id"]
        chosen = ids.iloc[np.unique(np.linspace(0, len(ids) - 1, n_hybrid).astype(int))] if name == "store" else ids
        found[source.kind] = list(source.recordings(chosen))
    return found
