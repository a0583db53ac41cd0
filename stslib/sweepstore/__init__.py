"""From an archive to a small store of two sweeps a cell, with an account of every cell (layout: `stslib.sources.fetched`)."""

from __future__ import annotations

from pathlib import Path

from stslib.errors import one_of
from stslib.sources.http import Http
from stslib.sweepstore.choosing import Archive, Choice, settle, take
from stslib.sweepstore.store import Plan, SweepStore

__all__ = ["Archive", "Choice", "Plan", "SweepStore", "archive", "settle", "take"]


def archive(name: str, folder: Path, keep_nwb: bool = False, base_uri: str = "", http: Http | None = None) -> Archive:
    """The archive called `name` (`allen` or `dandi`); answers and NWB files that are kept lie in `folder`."""
    from stslib.sources.allen import Allen
    from stslib.sources.dandi import Dandi

    one_of("source", name, ("allen", "dandi"))
    return (Allen if name == "allen" else Dandi)(folder, keep_nwb, base_uri, http=http)
