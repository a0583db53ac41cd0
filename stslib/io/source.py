"""What every source of cells gives: a cell table and the cells' recordings, in one form."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable, Iterator
from typing import Protocol, runtime_checkable

import pandas as pd

from stslib.recordings import Recording
from stslib.support.errors import ParameterError, one_of

#: Name of each source, the module that holds it and its class. The modules are imported when asked for.
SOURCES = {
    "simulated": ("stslib.io.simulated.source", "Simulated"),
    "published": ("stslib.io.published", "Published"),
    "store": ("stslib.io.hdf5", "Store"),
    "real_sweeps": ("stslib.io.archives.real_sweeps", "RealSweeps"),
    "files": ("stslib.io.files.folder", "Files"),
    "allen": ("stslib.io.archives.cell_types", "Allen"),
    "dandi": ("stslib.io.archives.dandi", "Dandi"),
    "fetched": ("stslib.io.archives.fetched", "Fetched"),
    "precomputed": ("stslib.io.precomputed", "Precomputed"),
}


@runtime_checkable
class Source(Protocol):
    """A place that cells come from.

    Attributes
    ----------
    name : str
        One of `SOURCES`.
    kind : str
        `simulated`, `hybrid` or `real` (`stslib.recordings.KINDS`).
    """

    name: str
    kind: str

    def cells(self) -> pd.DataFrame:
        """One row a cell: `cell_id` (str), `label`, `dataset`, `donor`, `split` (`""` where the source fixes none)."""
        ...

    def recording(self, cell_id: str) -> Recording:
        """The long-square sweeps of one cell."""
        ...

    def recordings(self, cell_ids: Iterable[str] | None = None) -> Iterator[Recording]:
        """The recordings of `cell_ids`, in their order (all cells by default), one at a time."""
        ...


def open_source(name: str, **options: object) -> Source:
    """The source called `name`, made with `options`.

    Parameters
    ----------
    name : str
        One of `SOURCES`.
    **options
        Handed to the source's class, such as `n_cells` and `seed` of `simulated`.

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
