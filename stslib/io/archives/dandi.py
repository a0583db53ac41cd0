"""The Patch-seq recordings (Gouwens et al. 2020) on the DANDI archive, dandiset 000020: NWB 2, read by byte ranges.

A file is 32 MB in the mean; the table of contents, the stimuli of the long squares and the two voltage traces are transferred.
The cells' metadata are not on DANDI: they come with the published tables (`stslib.io.published`). This was tested against
a local stand-in of the archive (`tests/io/standin_server.py`), with files that pynwb wrote, not yet against the archive itself.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from stslib import cohort
from stslib.io import published
from stslib.io.archives.archive import Archive, labelled
from stslib.io.archives.http import Http, NotThere
from stslib.io.archives.ranges import RemoteHdf5
from stslib.io.files import nwb
from stslib.io.files.traces import BadRecording
from stslib.recordings import Recording
from stslib.support.errors import StsError

BASE_URI = "https://api.dandiarchive.org"
DANDISET, VERSION = "000020", "0.210913.1639"

#: Part of a file that is transferred, for the estimate before a fetch: measured on files of the same layout.
PART_READ = 0.10
_SESSION = re.compile(r"_ses-([^_/]+)_icephys\.nwb$")


class Dandi(Archive):
    """The Patch-seq recordings as a source of cells; parameters as for `Archive`.

    With `keep_nwb` whole files are fetched and kept, checked by their sha256; else HDF5 is read by HTTP range requests.
    `metadata` names `PatchSeq_metadata.csv`; by default it is the published one.
    """

    name = "dandi"
    dataset = "Seq"
    requests_per_cell = 100

    def __init__(
        self,
        folder: str | Path = "",
        keep_nwb: bool = False,
        base_uri: str = BASE_URI,
        metadata: str | Path = "",
        http: Http | None = None,
    ) -> None:
        super().__init__(folder, keep_nwb, (base_uri or BASE_URI).rstrip("/"), http)
        self.metadata = metadata
        self._lock = threading.Lock()
        self._assets: dict[str, dict[str, Any]] | None = None
        self._sessions: dict[str, str] | None = None

    def cells(self) -> pd.DataFrame:
        """Every cell of the metadata table, with its transcriptomic type `t_type`."""
        rows = []
        assets = self.assets()
        for cell in self._metadata().to_dict("records"):
            t_type, dendrites = cell["T-type Label"], cell["dendrite_type"]
            row = {"cell_id": cell["cell_specimen_id"], "donor": cell["donor_id"], "t_type": t_type}
            seen = f"its T-type is {t_type or 'not known'}, its dendrites are {dendrites or 'not known'}"
            row |= labelled(partial(cohort.label_cell, t_type=t_type, dendrite_type=dendrites), seen)
            if not row["reason"] and cell["ephys_session_id"] not in assets:
                row["reason"], row["detail"] = "no_recording", f"dandiset {DANDISET} has no file of its session"
            rows.append(row)
        return self.table(rows, "t_type")

    def features(self) -> pd.DataFrame:
        """The authors' published features of Patch-seq cells, for DANDI has none; empty where there is no such table."""
        try:
            table = published.Published().features()
        except StsError:
            return pd.DataFrame({"cell_id": pd.Series(dtype=str)})
        return table[table["cell_id"].isin(set(self._metadata()["cell_specimen_id"]))].reset_index(drop=True)

    def rheobase_sweeps(self) -> dict[str, int]:
        """From the published features."""
        try:
            table = pd.read_csv(published.fetch("PatchSeq_EP_features.csv"), dtype={"cell_specimen_id": str})
        except StsError:
            return {}
        numbers = table.set_index("cell_specimen_id")["rheobase_sweep_num"].dropna()
        return {str(cell_id): int(n) for cell_id, n in numbers.items()}

    def assets(self) -> dict[str, dict[str, Any]]:
        """The files by session: asset_id, path, size in bytes. The listing is kept from the first time on."""
        with self._lock:
            if self._assets is None:
                listing = self.kept_json(f"{DANDISET}_{VERSION}", self._list)
                self._assets = {
                    found.group(1): asset for asset in listing if (found := _SESSION.search(str(asset["path"])))
                }
            return self._assets

    def outline(self, cell_id: str) -> Recording | None:
        """None: the sweeps are listed in the file alone."""
        return None

    @contextmanager
    def opened(self, cell_id: str) -> Iterator[Recording]:
        """The cell's recording, with the numbers of spikes that its file lists."""
        recording, remote = self._read(cell_id, "file")
        try:
            yield recording
        finally:
            if remote is not None:
                remote.close()

    def recording(self, cell_id: str) -> Recording:
        """The cell's long squares; a sweep's traces are transferred when they are read."""
        return self._read(cell_id, "count")[0]

    def size_bytes(self, cell_ids: Iterable[str]) -> tuple[int, int]:
        """Transferred bytes (an estimate), and the sizes that the archive lists."""
        whole = sum(int(self._asset(cell_id)["size"]) for cell_id in cell_ids)
        return (whole if self.keep_nwb else round(PART_READ * whole)), whole

    def _list(self) -> list[dict[str, Any]]:
        url = f"{self.base_uri}/api/dandisets/{DANDISET}/versions/{VERSION}/assets/?page_size=1000"
        assets = []
        while url:
            page = self.http.json(url)
            if not isinstance(page, dict) or not isinstance(page.get("results"), list):
                raise BadRecording("fetch_failed", f"{self.base_uri} gave no list of assets")
            assets += [{k: a[k] for k in ("asset_id", "path", "size")} for a in page["results"]]
            url = str(page.get("next") or "")
        return assets

    def _metadata(self) -> pd.DataFrame:
        path = Path(self.metadata) if self.metadata else published.fetch("PatchSeq_metadata.csv")
        return pd.read_csv(path, dtype=str, keep_default_na=False)

    def _asset(self, cell_id: str) -> dict[str, Any]:
        assets = self.assets()
        with self._lock:
            if self._sessions is None:
                table = self._metadata()
                self._sessions = dict(zip(table["cell_specimen_id"], table["ephys_session_id"], strict=True))
        session = self._sessions.get(cell_id, "")
        if session not in assets:
            raise NotThere(
                "no_recording", f"dandiset {DANDISET} has no file of cell {cell_id} (session {session or 'not known'})"
            )
        return assets[session]

    def _read(self, cell_id: str, spikes: str) -> tuple[Recording, RemoteHdf5 | None]:
        """The recording, and the remote file that its sweeps read, if it is not a whole file on disk."""
        asset = self._asset(cell_id)
        if self.keep_nwb:
            path = self._whole(cell_id, asset)
            return nwb.read_recording(nwb.open_path(path), path.name, cell_id, self.dataset, spikes=spikes), None
        address = f"{self.base_uri}/api/assets/{asset['asset_id']}/download/"
        remote = RemoteHdf5(self.http, address, int(asset["size"]))
        read = partial(nwb.read_recording, remote, str(asset["path"]), cell_id, self.dataset, spikes=spikes)
        recording = remote.work(read)
        sweeps = tuple(replace(s, reader=partial(remote.work, s.reader)) for s in recording.sweeps)
        return replace(recording, sweeps=sweeps), remote

    def _whole(self, cell_id: str, asset: dict[str, Any]) -> Path:
        path = self.folder / "nwb" / f"{cell_id}.nwb"
        if not path.exists():
            details = self.http.json(f"{self.base_uri}/api/assets/{asset['asset_id']}/")
            sha256 = str(details.get("digest", {}).get("dandi:sha2-256", ""))
            self.http.download(f"{self.base_uri}/api/assets/{asset['asset_id']}/download/", path, sha256)
        return path
