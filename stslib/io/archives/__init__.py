"""From an archive to a small folder of two sweeps a cell, with an account of every cell."""

from __future__ import annotations

from pathlib import Path

from stslib.io.archives.fetch import Plan, SweepStore
from stslib.io.archives.http import Http
from stslib.io.archives.selection import Archive, settle, take
from stslib.support.errors import one_of

__all__ = ["Archive", "Plan", "SweepStore", "archive", "settle", "take"]


def archive(name: str, folder: Path, keep_nwb: bool = False, base_uri: str = "", http: Http | None = None) -> Archive:
    """The archive called `name` (`allen` or `dandi`); answers and NWB files that are kept lie in `folder`."""
    from stslib.io.archives.cell_types import Allen
    from stslib.io.archives.dandi import Dandi

    one_of("source", name, ("allen", "dandi"))
    return (Allen if name == "allen" else Dandi)(folder, keep_nwb, base_uri, http=http)
