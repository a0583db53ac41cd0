"""The source of a run: opened from the parameters of notebook 1, and opened again by the notebooks after it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from stslib import cohort, sweeps
from stslib.io import Source, open_source
from stslib.io.precomputed import MADE_WITH, Precomputed
from stslib.recordings import Recording
from stslib.support.errors import ParameterError

#: Options of each source that are parameters of notebook 1.
OPTIONS: dict[str, tuple[str, ...]] = {
    "simulated": ("n_cells", "seed"),
    "published": (),
    "store": ("store_path",),
    "fetched": ("path", "split"),
    "files": ("path", "labels"),
    "precomputed": ("path", "labels"),
}
#: What metric records and figures call the cells of a source; the others say what they are (`Source.kind`).
DATA = {"published": "published", "fetched": "allen", "precomputed": "allen"}
#: These give no sweeps: tables of features, and scalograms.
WITHOUT_SWEEPS = ("published", "precomputed")
#: Simulated cells that stand in, by name, where a picture of a sweep is wanted and the source has none.
N_EXAMPLES = 120


class Finished(Protocol):
    """What is asked of a finished notebook 1 (`stslib.press.stage.Stage`)."""

    parameters: dict[str, Any]

    def load_table(self, name: str, **read_csv: Any) -> pd.DataFrame:
        """A table that it saved."""
        ...


@dataclass(frozen=True)
class Cells:
    """Cells with sweeps.

    Attributes
    ----------
    source : Source
        Gives their recordings, spikes counted.
    table : DataFrame
        The kept ones.
    long_squares : DataFrame
        Of every cell that was looked at (see `stslib.sweeps.Survey`).
    data : str
        What they are: `simulated`, `hybrid`, `real`, `allen`.
    """

    source: Source
    table: pd.DataFrame
    long_squares: pd.DataFrame
    data: str


def from_parameters(parameters: Mapping[str, Any]) -> Source:
    """The source that notebook 1 was given, with those of its parameters that concern it."""
    name = parameters["source"]
    return open_source(name, **{option: parameters[option] for option in OPTIONS[name]})


def data_of(source: Source) -> str:
    """What metric records and figures call the cells of a source."""
    return DATA.get(source.name, source.kind)


def inputs(parameters: Mapping[str, Any]) -> list[Path]:
    """The files and folders that notebook 1 reads: a change of one of them makes its results stale."""
    named = {option: str(parameters[option]) for option in OPTIONS[parameters["source"]] if option in _PATHS}
    paths = [Path(p).expanduser() for text in named.values() for p in text.split(os.pathsep) if p]
    return [p / "cells.csv" if parameters["source"] == "fetched" else p for p in paths]


_PATHS = ("path", "labels", "store_path")


def reopen(data: Finished) -> Source:
    """The source of a finished notebook 1; its recordings know how many spikes notebook 1 counted in each sweep."""
    source = from_parameters(data.parameters)
    if source.name in WITHOUT_SWEEPS:
        return source
    return _Counted(source, data.load_table("long_squares"))


def cells_with_sweeps(data: Finished) -> Cells:
    """The kept cells of a finished notebook 1 with their sweeps, or some simulated cells where its source has no sweeps."""
    source = reopen(data)
    if source.name in WITHOUT_SWEEPS:
        return example_cells(data.parameters["seed"])
    table = cohort.kept(data.load_table("cells", keep_default_na=False))
    return Cells(source, table, data.load_table("long_squares"), data_of(source))


def example_cells(seed: int) -> Cells:
    """Some simulated cells that have both sweeps."""
    source = open_source("simulated", n_cells=N_EXAMPLES, seed=seed)
    found = sweeps.survey(source.recordings())
    table = cohort.kept(cohort.account(source.cells(), found.reasons))
    return Cells(source, table, found.long_squares, data_of(source))


@dataclass(frozen=True)
class Ready:
    """Scalograms that need not be made.

    Attributes
    ----------
    source : Precomputed
        Reads them (`Precomputed.fill`).
    cell_ids : list of str
        The kept cells.
    data : str
        What they are.
    """

    source: Precomputed
    cell_ids: list[str]
    data: str


def ready_scalograms(data: Finished, asked: Mapping[str, Any]) -> Ready | None:
    """The ready-made scalograms of a finished notebook 1, or None where they are to be made from sweeps.

    Parameters
    ----------
    data : Finished
        Notebook 1.
    asked : mapping
        Parameters of notebook 3: wavelet, frequencies and so on.

    Raises
    ------
    ParameterError
        When something is asked for that they were not made with: they cannot be changed any more.
    """
    if data.parameters["source"] != Precomputed.name:
        return None
    for name, value in MADE_WITH.items():
        if asked[name] != value:
            raise ParameterError(f"{name} is {asked[name]!r}; the precomputed scalograms were made with {value!r}")
    source = Precomputed(data.parameters["path"], data.parameters["labels"])
    table = cohort.kept(data.load_table("cells", keep_default_na=False))
    return Ready(source, table["cell_id"].tolist(), data_of(source))


class _Counted:
    """A source whose recordings carry the counts of a survey."""

    def __init__(self, source: Source, long_squares: pd.DataFrame) -> None:
        self._source, self._long_squares = source, long_squares

    def __getattr__(self, name: str) -> Any:  # whatever else a source has, such as features of its own
        return getattr(self._source, name)

    def recording(self, cell_id: str) -> Recording:
        return next(self.recordings([cell_id]))

    def recordings(self, cell_ids: Iterable[str] | None = None) -> Iterator[Recording]:
        yield from sweeps.with_counts(self._source.recordings(cell_ids), self._long_squares)
