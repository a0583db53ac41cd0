"""The Allen Cell Types Database (Gouwens et al. 2019, patch-clamp): cells, features, and recordings in NWB 1.

AllenSDK puts the queries together (RMA, api.brain-map.org); the HTTP module carries them, with retries. This was tested
against a local stand-in of the service (`tests/io/standin_server.py`), not yet against the service itself.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from stslib import cohort
from stslib.io.archives.archive import Archive, in_order, labelled
from stslib.io.archives.http import Http, NotThere
from stslib.io.files import nwb
from stslib.io.files.traces import LONG_STEP_S, BadRecording
from stslib.recordings import Recording, Sweep
from stslib.support.errors import StsError

MOUSE = "mus musculus"

#: Mean size of a recording, in bytes, for the estimate before a fetch: the database has no sizes.
#: 38 GB for the 1,938 mouse cells.
MEAN_FILE_BYTES = 20_000_000
#: The table of sweeps has no sampling rates; the files have (50 or 200 kHz).
_NOMINAL_RATE_HZ = 50_000.0


class Allen(Archive):
    """The Cell Types Database as a source of cells; parameters as for `Archive`, `base_uri` by default AllenSDK's."""

    name = "allen"
    dataset = "Clamp"
    requests_per_cell = 3

    def __init__(
        self, folder: str | Path = "", keep_nwb: bool = True, base_uri: str = "", http: Http | None = None
    ) -> None:
        super().__init__(folder, keep_nwb, base_uri, http)
        self._lock = threading.Lock()
        self._api: Any = None

    def cells(self) -> pd.DataFrame:
        """Every cell of the database, with its transgenic `line`; human cells have the reason `not_mouse`."""
        rows = []
        for cell in self.kept_json("cells", lambda: self.api.list_cells_api()):
            line = cell.get("line_name") or ""
            row = {"cell_id": str(cell["specimen__id"]), "donor": str(cell.get("donor__id") or ""), "line": line}
            if str(cell.get("donor__species", "")).lower() != MOUSE:
                row |= {"label": "", "reason": "not_mouse", "detail": f"its species is {cell.get('donor__species')}"}
            else:
                row |= labelled(partial(cohort.label_cell, line), f"its line is {line or 'not known'}")
            rows.append(row)
        return self.table(rows, "line")

    def features(self) -> pd.DataFrame:
        """The database's electrophysiology features, one row a cell, with `cell_id` and the names of the published table."""
        table = pd.DataFrame(self.kept_json("ephys_features", lambda: self.api.get_ephys_features()))
        table.insert(0, "cell_id", table.pop("specimen_id").astype(str))
        return in_order(table)

    def rheobase_sweeps(self) -> dict[str, int]:
        """From the database's features."""
        table = self.features()
        if "rheobase_sweep_number" not in table:
            return {}
        numbers = pd.to_numeric(table.set_index("cell_id")["rheobase_sweep_number"], errors="coerce").dropna()
        return {str(cell_id): int(n) for cell_id, n in numbers.items()}

    def outline(self, cell_id: str) -> Recording | None:
        """The cell's long squares by the database's table of sweeps; None where it counts no spikes at all."""
        table = self.api.get_ephys_sweeps(int(cell_id))
        if not any(row.get("num_spikes") for row in table):
            return None
        sweeps = []
        for row in table:
            if row.get("stimulus_name") == "Long Square" and row.get("stimulus_absolute_amplitude") is not None:
                sweeps.append(
                    Sweep(
                        number=int(row["sweep_number"]),
                        stimulus_pa=round(float(row["stimulus_absolute_amplitude"]), 3),
                        onset_s=float(row.get("stimulus_start_time") or 0.0),
                        duration_s=float(row.get("stimulus_duration") or LONG_STEP_S),
                        rate_hz=_NOMINAL_RATE_HZ,
                        reader=_no_trace,
                        n_spikes=int(row.get("num_spikes") or 0),
                    )
                )
        return Recording(cell_id, self.dataset, self.kind, tuple(sweeps))

    @contextmanager
    def opened(self, cell_id: str) -> Iterator[Recording]:
        """The cell's recording; its NWB file is fetched if it is not there, and removed afterwards unless `keep_nwb`."""
        path = self._path(cell_id)
        self._download(cell_id, path)
        try:
            yield nwb.read_recording(nwb.open_path(path), path.name, cell_id, self.dataset, spikes="file")
        except BadRecording as error:
            if error.reason == "unreadable_file":
                path.unlink(missing_ok=True)  # the next fetch gets it afresh
            raise
        finally:
            if not self.keep_nwb:
                path.unlink(missing_ok=True)

    def recording(self, cell_id: str) -> Recording:
        """The cell's long squares; its NWB file is fetched and kept."""
        path = self._path(cell_id)
        self._download(cell_id, path)
        return nwb.read_recording(nwb.open_path(path), path.name, cell_id, self.dataset)

    def size_bytes(self, cell_ids: Iterable[str]) -> tuple[int, int]:
        """Estimates from the mean size of a file."""
        n_bytes = len(list(cell_ids)) * MEAN_FILE_BYTES
        return n_bytes, n_bytes

    @property
    def api(self) -> Any:
        """AllenSDK's `CellTypesApi`, whose requests go through `http`."""
        with self._lock:
            if self._api is None:
                self._api = _api(self.http, self.base_uri)
        return self._api

    def _download(self, cell_id: str, path: Path) -> None:
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.api.save_ephys_data(int(cell_id), str(path), strategy="create")
        except (StsError, OSError):
            raise
        except Exception as error:  # AllenSDK's own "has no ephys data"
            raise NotThere("no_recording", f"cell {cell_id}: {error}") from error

    def _path(self, cell_id: str) -> Path:
        return self.folder / "nwb" / f"{cell_id}.nwb"


def _no_trace() -> Any:
    raise StsError("this sweep is known by its table only; fetch the recording")


def _api(http: Http, base_uri: str) -> Any:
    # AllenSDK 2.16 imports this name from where numpy 1 had it.
    vars(np).setdefault("VisibleDeprecationWarning", np.exceptions.VisibleDeprecationWarning)
    from allensdk.api.queries.cell_types_api import CellTypesApi

    class OwnConnection(CellTypesApi):  # type: ignore[misc]
        """AllenSDK's queries on our connection: its own has no retries, and no timeout for queries."""

        def retrieve_parsed_json_over_http(self, url: str, post: bool = False) -> Any:
            answer = http.json(quote(url, ";/?:@&=+$,"))
            rows = answer.get("msg") if isinstance(answer, dict) else answer
            if not isinstance(answer, dict) or not answer.get("success", False) or not isinstance(rows, list):
                raise BadRecording("fetch_failed", f"the Cell Types Database refused a query: {str(rows)[:120]}")
            return answer

        def retrieve_file_over_http(self, url: str, file_path: str, zipped: bool = False) -> None:
            http.download(url, Path(file_path))

    return OwnConnection(base_uri or None)
