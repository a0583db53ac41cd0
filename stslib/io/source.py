"""What every source of cells gives: a cell table and the cells' recordings, in one form."""

from __future__ import annotations

import importlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import NoReturn, TypeVar

import pandas as pd

from stslib.recordings import Recording
from stslib.support.errors import ParameterError, StsError, one_of

T = TypeVar("T")
#: Name of each source, the module that holds it and its class. The modules are imported when a source is opened.
SOURCES = {
    "simulated": ("stslib.io.simulated.source", "Simulated"),
    "published": ("stslib.io.published", "Published"),
    "store": ("stslib.io.hdf5", "Hdf5Cells"),
    "real_sweeps": ("stslib.io.real_sweeps", "RealSweeps"),
    "files": ("stslib.io.files.folder", "Files"),
    "allen": ("stslib.io.archives.cell_types", "Allen"),
    "dandi": ("stslib.io.archives.dandi", "Dandi"),
    "fetched": ("stslib.io.archives.fetched", "Fetched"),
    "precomputed": ("stslib.io.precomputed", "Precomputed"),
}


class Source(ABC):
    """Where cells come from.

    Attributes
    ----------
    name : str
        One of `SOURCES`.
    kind : str
        `simulated`, `hybrid` or `real` (`stslib.recordings.KINDS`).
    """

    name: str
    kind: str
    has_sweeps = True

    @property
    def data(self) -> str:
        """Word for the data in metric records and figures."""
        return self.kind

    @abstractmethod
    def cells(self) -> pd.DataFrame:
        """One row a cell: `cell_id` (str), `label`, `dataset`, `donor`, `split` (`""` where the source fixes none)."""

    @abstractmethod
    def recording(self, cell_id: str) -> Recording:
        """The long-square sweeps of one cell; ParameterError where there is no such cell."""

    def readable(self) -> Iterable[str]:
        """Ids of the cells that have a recording."""
        return list(self.cells()["cell_id"])

    def recordings(self, cell_ids: Iterable[str] | None = None) -> Iterator[Recording]:
        """The recordings of `cell_ids`, in their order (by default of all that can be read), one at a time."""
        for cell_id in self.readable() if cell_ids is None else cell_ids:
            yield self.recording(cell_id)


class WithoutSweeps(Source):
    """A source of tables or images, whose cells have no recordings."""

    holds: str
    has_sweeps = False

    def recording(self, cell_id: str) -> NoReturn:
        """Not possible: raises StsError."""
        raise StsError(
            f"source {self.name} has {self.holds} only, no recordings; use another source, such as simulated"
        )

    def recordings(self, cell_ids: Iterable[str] | None = None) -> NoReturn:
        """Not possible: raises StsError."""
        self.recording("")


def find_cell(cells: Mapping[str, T], cell_id: str, holder: object) -> T:
    """What `cells` hold of one cell; ParameterError where `holder` has no such cell."""
    if cell_id not in cells:
        example = next(iter(cells), "none")
        raise ParameterError(f"cell_id is {cell_id!r}; {holder} holds {len(cells)} cells such as {example!r}")
    return cells[cell_id]


def open_source(name: str, **options: object) -> Source:
    """The source called `name`, one of `SOURCES`, made with `options`, such as `n_cells` and `seed` of `simulated`.

    Raises
    ------
    ParameterError
        When there is no such source, or it has no such option.
    """
    one_of("source", name, SOURCES)
    module, class_name = SOURCES[name]
    made_by = getattr(importlib.import_module(module), class_name)
    known = inspect.signature(made_by).parameters
    for option in options:
        if option not in known:
            raise ParameterError(f"source {name!r} has no option {option!r}; it takes: {', '.join(known) or 'none'}")
    source: Source = made_by(**options)
    return source
