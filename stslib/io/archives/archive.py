"""What the archives of recordings have in common: a cell table, answers kept on disk, and cells opened one at a time."""

from __future__ import annotations

import inspect
import json
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pandas as pd
import pooch

from stslib import cohort
from stslib.io.archives.http import Http
from stslib.io.source import Source
from stslib.recordings import Recording
from stslib.support.errors import StsError, one_of
from stslib.support.files import atomic
from stslib.support.progress import progress

#: Columns of every archive's cell table; one more holds what the class was decided by (line, transcriptomic type).
COLUMNS = ("cell_id", "label", "dataset", "donor", "split", "reason", "detail")


class Archive(Source):
    """An archive as a source of cells: `allen` or `dandi`.

    Answers and, with `keep_nwb`, NWB files are kept in `folder`, by default the user's cache; `base_uri` is the service's
    address, `http` the connection.
    """

    kind = "real"
    dataset: str
    requests_per_cell: int

    def __init__(self, folder: str | Path, keep_nwb: bool, base_uri: str, http: Http | None) -> None:
        self.folder = Path(folder).expanduser() if folder else Path(pooch.os_cache("stslib")) / self.name
        self.keep_nwb, self.base_uri, self.http = keep_nwb, base_uri, http or Http()

    def __getstate__(self) -> dict[str, Any]:  # a worker process begins with its own locks and connections
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    @abstractmethod
    def features(self) -> pd.DataFrame:
        """The archive's own features, one row a cell."""

    @abstractmethod
    def rheobase_sweeps(self) -> dict[str, int]:
        """Number of the rheobase sweep of each cell, by the archive's own analysis; empty where there is none."""

    @abstractmethod
    def outline(self, cell_id: str) -> Recording | None:
        """Amplitudes and numbers of spikes without traces, or None where the archive has no table of sweeps."""

    @abstractmethod
    def opened(self, cell_id: str) -> AbstractContextManager[Recording]:
        """The cell's recording, for a while; BadRecording with `no_recording`, `fetch_failed` or what is wrong with it."""

    @abstractmethod
    def size_bytes(self, cell_ids: Iterable[str]) -> tuple[int, int]:
        """Bytes to transfer for these cells, and the size of their files (estimates)."""

    def readable(self) -> list[str]:
        """The cells that have a class and a recording."""
        table = self.cells()
        return list(table.loc[table["reason"] == "", "cell_id"])

    def recordings(self, cell_ids: Iterable[str] | None = None) -> Iterator[Recording]:
        """The recordings of `cell_ids`, in their order (by default of all that have a class), with a progress bar."""
        return super().recordings(progress(list(self.readable() if cell_ids is None else cell_ids), self.name))

    def table(self, rows: Iterable[Mapping[str, str]], decided_by: str) -> pd.DataFrame:
        """The cell table, by rising cell id; `decided_by` names the column beside `COLUMNS`."""
        whole = [{"dataset": self.dataset, "split": "", **row} for row in rows]
        return in_order(pd.DataFrame(whole, columns=[*COLUMNS, decided_by]))

    def kept_json(self, name: str, ask: Callable[[], Any]) -> Any:
        """An answer of the archive: stored in a file at the first request; requested again where that is damaged."""
        path = self.folder / f"{self.name}_{name}.json"
        try:
            return json.loads(path.read_text())
        except (OSError, ValueError):
            answer = ask()
            with atomic(path) as part:
                part.write_text(json.dumps(answer))
            return answer


def open_archive(
    name: str, folder: Path, keep_nwb: bool = False, base_uri: str = "", http: Http | None = None
) -> Archive:
    """The archive called `name` (`allen` or `dandi`); answers and NWB files that are kept lie in `folder`."""
    from stslib.io.archives.cell_types import Allen
    from stslib.io.archives.dandi import Dandi

    one_of("source", name, ("allen", "dandi"))
    return (Allen if name == "allen" else Dandi)(folder, keep_nwb, base_uri, http=http)


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    """A table by rising cell id."""
    return table.sort_values("cell_id", key=lambda ids: ids.astype("int64"), ignore_index=True)


def labelled(rule: Callable[[], str], decided_by: str) -> dict[str, str]:
    """Label, reason and detail of a cell by a rule of `stslib.cohort`; `decided_by` is the detail of an unclear one."""
    try:
        label = rule()
    except StsError as error:
        return {"label": "", "reason": "unsure_label", "detail": str(error)}
    if label == cohort.UNSURE:
        return {"label": label, "reason": "unsure_label", "detail": decided_by}
    return {"label": label, "reason": "", "detail": ""}
