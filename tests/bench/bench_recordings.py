"""Fetching 200 cells from the stand-in archives, each request 20 ms late, beside the ideal: reading alone, and the waiting.

The stand-in runs in a process of its own. "Ideal" reads the same files from the disk, one after the other, and adds the
latency of all requests divided by the cells at a time.
"""

import atexit
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from stslib.io.archives.cell_types import Allen
from stslib.io.archives.dandi import Dandi
from stslib.io.archives.fetch import Fetcher
from stslib.io.archives.fetched import COMPLETE
from stslib.io.archives.http import Http
from stslib.io.archives.selection import fetch_cell
from stslib.io.files import nwb
from stslib.recordings import Recording
from stslib.sweeps import SweepSettings
from tests.io import standin
from tests.io.standin import family
from tests.io.standin_server import Archives, Misbehaviour

N_CELLS, WORKERS, LATENCY_S, FILE_BYTES, N_FAULTS = 200, 8, 0.02, 3_000_000, 500
CLAMP = f"fetch {N_CELLS} cells of 3 MB (Cell Types Database), {WORKERS} at a time, 20 ms a request"
SEQ = f"fetch {N_CELLS} cells by byte ranges (DANDI), {WORKERS} at a time, 20 ms a request"
FAULTY = f"fetch {N_CELLS} cells, {N_FAULTS} faults of the network"
SHARE = "bytes of a Patch-seq-like file that travel"


@cache
def root() -> Path:
    """A folder for this process, removed at its end."""
    folder = Path(tempfile.mkdtemp(prefix="sts-bench-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def clamp_file() -> Path:
    """NWB 1 at 10 kHz, padded to 3 MB with noise."""
    steps = family(50, top_pa=100, description="Long Square", rate_hz=10_000.0)
    return standin.padded(standin.write_nwb1(root() / "clamp.nwb", steps), FILE_BYTES)


@cache
def seq_file(rate_hz: float = 10_000.0) -> Path:
    """NWB 2 with voltage clamp, searches, ramps and a family."""
    return standin.write_nwb2(root() / f"seq{rate_hz:g}.nwb", standin.patch_seq(rate_hz))


def archives(which: str, n_cells: int = N_CELLS, rate_hz: float = 10_000.0) -> Archives:
    """A stand-in with `n_cells` good cells; its table has their features, as that of the Cell Types Database does."""
    served = Archives(page_size=1000)
    for n in range(1, n_cells + 1):
        if which == "dandi":
            served.assets[f"sub-{n}/sub-{n}_ses-{n}_icephys.nwb"] = seq_file(rate_hz)
            continue
        served.add_cell(n, clamp_file(), family(50, top_pa=100), **{COMPLETE: 0.1})
    return served


def _serve(which: str, n_cells: int, connection: Any) -> None:
    served = archives(which, n_cells)
    served.latency_s = LATENCY_S
    connection.send(served.start())
    time.sleep(3600)


@cache
def address(which: str, n_cells: int = N_CELLS) -> str:
    """Address of a stand-in in a process of its own, which ends with this one."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_serve, args=(which, n_cells, there), daemon=True)
    process.start()
    return str(here.recv())


def opened(which: str, folder: Path, url: str, n_cells: int, **http: float) -> Allen | Dandi:
    connection = Http(**{"per_second": 1e6, "timeout_s": 30.0, **http})
    if which == "allen":
        return Allen(folder, False, url, connection)
    rows = [(n, n, n, "Sst Chodl", "aspiny") for n in range(1, n_cells + 1)]
    metadata = folder / "metadata.csv"
    pd.DataFrame(rows, columns=standin.PATCH_SEQ_COLUMNS).to_csv(metadata, index=False)
    archive = Dandi(folder, False, url, metadata, connection)
    archive.features = lambda: pd.DataFrame({"cell_id": [str(r[0]) for r in rows], COMPLETE: 0.1})  # type: ignore[method-assign]
    archive.rheobase_sweeps = dict  # type: ignore[method-assign]  # the published tables are no part of this
    return archive


def fetch(which: str, url: str, n_cells: int = N_CELLS, **http: float) -> tuple[pd.DataFrame, Allen | Dandi, Path]:
    folder = Path(tempfile.mkdtemp(dir=root()))
    archive, fetcher = opened(which, folder, url, n_cells, **http), Fetcher(folder)
    account = fetcher.fetch(archive, fetcher.plan(archive, n_cells), workers=WORKERS)
    assert (account["status"] == "kept").all() and len(account) == n_cells, account["reason"].value_counts()
    return account, archive, folder


class OnDisk:
    """The same files without a network."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def outline(self, cell_id: str) -> None:
        return None

    @contextmanager
    def opened(self, cell_id: str) -> Iterator[Recording]:
        yield nwb.read_recording(nwb.open_path(self.path), self.path.name, cell_id, spikes="file")


def ideal(path: Path, n_requests: float) -> None:
    """Read and prepare every cell, then wait as long as its requests must."""
    row = {"cell_id": "1", "label": "Sst", "dataset": "Clamp"}
    for _ in range(N_CELLS):
        assert fetch_cell(OnDisk(path), row, SweepSettings()).row["status"] == "kept"  # type: ignore[arg-type]
    time.sleep(N_CELLS * n_requests * LATENCY_S / WORKERS)


def inputs(which: str) -> tuple[str, str]:
    return which, address(which)


def clamp_ideal_inputs() -> tuple[Path, float]:
    return clamp_file(), 3.0


def seq_ideal_inputs() -> tuple[Path, float]:
    _, archive, _ = fetch("dandi", address("dandi"), 4)
    return seq_file(), archive.http.n_requests / 4


@pytest.mark.parametrize(
    ("name", "work", "function", "inputs", "rounds"),
    [
        ("sts data fetch", CLAMP, fetch, partial(inputs, "allen"), 5),
        ("ideal", CLAMP, ideal, clamp_ideal_inputs, 5),
        ("sts data fetch", SEQ, fetch, partial(inputs, "dandi"), 3),
        ("ideal", SEQ, ideal, seq_ideal_inputs, 3),
    ],
)
def bench_fetch(measure, name, work, function, inputs, rounds):
    measure(name, work, function, inputs, rounds=rounds)


def one_served() -> tuple[Archives, str]:
    served = archives("dandi", 1, 50_000.0)
    return served, served.start()


def share(served: Archives, url: str) -> float:
    """Bytes sent for one cell, as a part of its file."""
    served.log.clear()
    fetch("dandi", url, 1)
    return sum(n for path, _, _, n in served.log if path.startswith("/blobs/")) / seq_file(50_000.0).stat().st_size


def bench_share(measure):
    part = measure("byte ranges", SHARE, share, one_served, note=lambda part: f"{100 * part:.1f} % of the file travel")
    assert part < 0.15, f"{part:.1%}"


def with_faults() -> str:
    """Every cell ends in the folder although 500 requests fail, in the folder of a good network."""
    good = fetch("allen", address("allen"))[2]
    served = archives("allen")
    served.misbehaviour = Misbehaviour(share=0.5, most=N_FAULTS, stall_s=0.25)
    account, archive, folder = fetch("allen", served.start(), tries=30, timeout_s=0.2, pause_s=0.01)
    served.stop()
    same = all((folder / "cells" / p.name).read_bytes() == p.read_bytes() for p in (good / "cells").glob("*.npz"))
    assert served.n_faults == N_FAULTS and archive.http.n_failures >= N_FAULTS and same, (served.n_faults, same)
    return f"{served.n_faults} faults, {archive.http.n_failures} failed tries, {len(account)} of {N_CELLS} cells kept"


def bench_faults(measure):
    measure("sts data fetch", FAULTY, with_faults, rounds=1, note=str)
