"""The same fetch over a Dask cluster: one of two workers is killed in the middle, the store is whole and the same."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stslib.io import open_source
from stslib.io.archives.cell_types import Allen
from stslib.io.archives.fetch import Fetcher
from stslib.io.archives.http import Http
from stslib.scalograms import Bank, ImageSettings, Preprocessing
from stslib.support import parallel
from stslib.support.errors import StsError
from stslib.sweeps import SweepSettings, extract, survey
from tests.io import standin
from tests.io.standin import family
from tests.io.standin_server import Archives
from tests.io.test_archives import same

pytest.importorskip("distributed", reason="Dask is not installed: pip install 'dask[distributed]'")

N_CELLS = 30


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[str]]]]:
    """A scheduler and two workers, each a process of its own."""
    processes: list[subprocess.Popen[str]] = []
    environment = {**os.environ, "STS_DATA_MIRROR": str(tmp_path), "DASK_DISTRIBUTED__ADMIN__LOG_FORMAT": "%(message)s"}

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_" + arguments[0], *arguments[1:]],
            stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment,
        )  # fmt: skip
        processes.append(process)
        return process

    try:
        scheduler = start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-jupyter")
        assert scheduler.stderr is not None
        found = (re.search(r"tcp://127\.0\.0\.1:\d+", line) for line in scheduler.stderr)
        address = next((one.group() for one in found if one), "")
        assert address, "the scheduler did not say its address"
        for folder in ("w0", "w1"):
            options = f"--nthreads 2 --no-nanny --no-dashboard --local-directory {tmp_path / folder}"
            start("worker", address, *options.split())
        for process in processes:  # nobody reads on; a full pipe would stop them
            threading.Thread(target=lambda p=process: [None for _ in p.stderr], daemon=True).start()
        yield address, processes[1:]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_store_is_whole_and_the_same_when_a_worker_is_killed(cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("STS_DATA_MIRROR", str(tmp_path))
    held = standin.write_nwb1(tmp_path / "cell.nwb", family(50, top_pa=90, description="Long Square", rate_hz=10_000.0))
    archives = Archives()
    for n in range(1, N_CELLS + 1):
        archives.add_cell(n, held, family(50, top_pa=90), "Vip-IRES-Cre")
    url = archives.start()
    alone, together = tmp_path / "alone", tmp_path / "together"
    serial = Allen(alone, False, url, Http(per_second=1e6))
    Fetcher(alone).fetch(serial, Fetcher(alone).plan(serial), workers=1)
    address, workers = cluster
    archives.latency_s = 0.1
    archive, store = Allen(together, False, url, Http(per_second=1e6)), Fetcher(together)
    plan = store.plan(archive)

    def kill_one() -> None:
        until = time.monotonic() + 60
        while len(store.finished()) < 5 and time.monotonic() < until:
            time.sleep(0.01)
        os.kill(workers[0].pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    account = store.fetch(archive, plan, scheduler=address)
    killer.join()
    archives.stop()
    assert workers[0].wait(10) == -signal.SIGKILL and workers[1].poll() is None
    assert (account["status"] == "kept").all() and len(account) == N_CELLS
    same(alone, together)


def test_sweeps_and_scalograms_are_the_same_on_a_cluster_and_when_a_worker_is_killed(cluster):
    """What notebooks 1, 2 and 3 do with `scheduler`, beside what they do without it."""
    source = open_source("simulated", n_cells=60, seed=3)
    address, workers = cluster
    serial, spread = (survey(source.recordings(), scheduler=place) for place in ("", address))
    pd.testing.assert_frame_equal(serial.pairs, spread.pairs)
    pd.testing.assert_frame_equal(serial.long_squares, spread.long_squares)
    assert serial.reasons == spread.reasons
    ids = serial.pairs["cell_id"].tolist()
    traces, table = extract(source.recordings(ids))
    killer = threading.Timer(0.5, lambda: os.kill(workers[0].pid, signal.SIGKILL))
    killer.start()
    again, again_table = extract(source.recordings(ids), scheduler=address)
    killer.join()
    np.testing.assert_array_equal(traces, again)
    pd.testing.assert_frame_equal(table, again_table)
    assert workers[0].wait(10) == -signal.SIGKILL and workers[1].poll() is None
    preprocessing = Preprocessing(SweepSettings(), Bank(), ImageSettings(height=32, width=64))
    alone, on_cluster, by_two = np.zeros((3, len(ids), 2, 32, 64), np.float16)
    preprocessing.fill(alone, traces)
    preprocessing.fill(on_cluster, traces, scheduler=address)
    preprocessing.fill(by_two, traces, n_jobs=2)
    np.testing.assert_array_equal(alone, on_cluster)
    np.testing.assert_array_equal(alone, by_two)


def test_no_scheduler_is_one_line(monkeypatch):
    monkeypatch.setattr(parallel, "_CONNECT_S", 0.3)
    with pytest.raises(StsError, match=r"^no Dask scheduler answers at tcp://127\.0\.0\.1:9; .*scheduler$"):
        list(parallel.run(lambda: None, [()], 1, "tcp://127.0.0.1:9"))
