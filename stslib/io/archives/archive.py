"""What the archives of recordings have in common: their cell table, answers that are kept, cells one at a time."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pooch

from stslib import cohort
from stslib.io.archives.http import Http
from stslib.recordings import Recording
from stslib.support.errors import StsError
from stslib.support.files import atomic
from stslib.support.progress import progress

#: Columns of every archive's cell table; one more says what the rule for the label saw.
COLUMNS = ("cell_id", "label", "dataset", "donor", "split", "reason", "detail")


class ArchiveSource(ABC):
    """An archive as a source of cells: `allen` or `dandi`.

    Parameters
    ----------
    folder : path, optional
        Where answers and NWB files are kept; by default the user's cache.
    keep_nwb : bool
        Keep the NWB files.
    base_uri : str
        Address of the service.
    http : Http, optional
        The connection.
    """

    name: str
    kind = "real"
    dataset: str
    requests_per_cell: int

    def __init__(self, folder: str | Path, keep_nwb: bool, base_uri: str, http: Http | None) -> None:
        self.folder = Path(folder).expanduser() if folder else Path(pooch.os_cache("stslib")) / self.name
        self.keep_nwb, self.base_uri, self.http = keep_nwb, base_uri, http or Http()

    @abstractmethod
    def cells(self) -> pd.DataFrame:
        """Every cell: `COLUMNS` and one more."""

    @abstractmethod
    def recording(self, cell_id: str) -> Recording:
        """The long-square sweeps of one cell."""

    def recordings(self, cell_ids: Iterable[str] | None = None) -> Iterator[Recording]:
        """The recordings of `cell_ids`, in their order (by default of all cells that have a class), one at a time."""
        if cell_ids is None:
            table = self.cells()
            cell_ids = table.loc[table["reason"] == "", "cell_id"]
        for cell_id in progress(list(cell_ids), self.name):
            yield self.recording(cell_id)

    def table(self, rows: Iterable[Mapping[str, str]], seen: str) -> pd.DataFrame:
        """The cell table, by rising cell id; `seen` names the column beside `COLUMNS`."""
        whole = [{"dataset": self.dataset, "split": "", **row} for row in rows]
        return in_order(pd.DataFrame(whole, columns=[*COLUMNS, seen]))

    def kept_json(self, name: str, ask: Callable[[], Any]) -> Any:
        """An answer of the archive: kept in a file from the first time on; asked again where that is damaged."""
        path = self.folder / f"{self.name}_{name}.json"
        try:
            return json.loads(path.read_text())
        except (OSError, ValueError):
            answer = ask()
            with atomic(path) as part:
                part.write_text(json.dumps(answer))
            return answer


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    """A table by rising cell id."""
    return table.sort_values("cell_id", key=lambda ids: ids.astype("int64"), ignore_index=True)


def labelled(rule: Callable[[], str], what: str) -> dict[str, str]:
    """Label, reason and detail of a cell by a rule of `stslib.cohort`; `what` says what the rule saw."""
    try:
        label = rule()
    except StsError as error:
        return {"label": "", "reason": "unsure_label", "detail": str(error)}
    if label == cohort.UNSURE:
        return {"label": label, "reason": "unsure_label", "detail": what}
    return {"label": label, "reason": "", "detail": ""}
