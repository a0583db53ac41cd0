"""Fetching from the two archives, against a local server that speaks as they do. None of this has touched the live services."""

import dataclasses
import filecmp
import functools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from filelock import FileLock

from stslib import cohort
from stslib.io import open_source
from stslib.io.archives.cell_types import Allen
from stslib.io.archives.dandi import Dandi
from stslib.io.archives.fetch import Fetcher
from stslib.io.archives.fetched import Fetched
from stslib.io.archives.http import Http, NotThere
from stslib.io.archives.selection import choose_unread
from stslib.io.files import nwb
from stslib.io.files.traces import BadRecording
from stslib.support.errors import DamagedFile, MissingInput, ParameterError, StsError
from stslib.sweeps import SweepPair, SweepSettings, choose_pair, extract, prepare
from tests.io import standin
from tests.io.standin import Steps, family
from tests.io.standin_server import Archives, Misbehaviour

QUICK = {"pause_s": 0.005, "per_second": 1e6, "timeout_s": 0.5}
LINES = {1: "Pvalb-IRES-Cre", 2: "Sst-IRES-Cre", 3: "Vip-IRES-Cre", 4: "Cux2-CreERT2"}


@pytest.fixture(autouse=True)
def no_published_tables(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The published tables are an extra; the tests do without, and reach for no network."""
    monkeypatch.setenv("STS_DATA_MIRROR", str(tmp_path_factory.mktemp("mirror")))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A few recordings in both layouts, with rheobases of 50, 60 and 70 pA."""
    root = tmp_path_factory.mktemp("archive")
    made = {}
    for rheobase in (50, 60, 70):
        steps = family(rheobase, top_pa=rheobase + 50, rate_hz=10_000.0)
        old = [dataclasses.replace(s, description="Long Square", onset_s=1.02) for s in steps]
        made[f"old{rheobase}"] = standin.write_nwb1(root / f"old{rheobase}.nwb", old)
        made[f"new{rheobase}"] = standin.write_nwb2(root / f"new{rheobase}.nwb", steps)
    made["alone"] = standin.write_nwb2(root / "alone.nwb", family(50, top_pa=80, rate_hz=10_000.0))
    made["torn"] = root / "torn.nwb"
    made["torn"].write_bytes(made["old50"].read_bytes()[:40_000])
    return made


@pytest.fixture
def database(recordings: dict[str, Path]) -> Iterator[tuple[Archives, str]]:
    """A Cell Types Database of 13 cells: 8 good ones, and one of each kind that is excluded."""
    archives = Archives()
    lines = {9: "", 10: "Gad2-IRES-Cre"}
    for specimen in range(1, 14):
        rheobase = (50, 60, 70)[specimen % 3]
        steps = family(50, top_pa=80) if specimen == 11 else family(rheobase, top_pa=rheobase + 50)
        archives.add_cell(
            specimen, recordings["torn" if specimen == 13 else f"old{rheobase}"], steps,
            lines.get(specimen, LINES[1 + specimen % 4]), donor__id=specimen // 2, tau=10.0 + specimen,
            donor__species="Homo Sapiens" if specimen == 9 else "Mus musculus",
            rheobase_sweep_number=99 if specimen == 1 else rheobase // 10 + 2,
        )  # fmt: skip
    del archives.files[12]
    yield archives, archives.start()
    archives.stop()


@pytest.fixture
def dandiset(recordings: dict[str, Path], tmp_path: Path) -> Iterator[tuple[Archives, str, Path]]:
    """A dandiset of 6 files, and the metadata of 9 cells."""
    archives, rows = Archives(), []
    types = ["Pvalb Gpr149 Islr", "Sst Tac2 Myh4", "Vip Gpc3 Slc18a3", "L2/3 IT VISp Agmat", "Lamp5 Plch2 Dock5",
             "Sst Chodl"]  # fmt: skip
    for n in range(1, 10):
        rows.append((str(100 + n), str(500 + n), str(n // 2), "" if n == 7 else types[n % 6], "aspiny"))
        if n != 8:
            held = recordings["alone" if n == 9 else f"new{(50, 60, 70)[n % 3]}"]
            archives.assets[f"sub-{n}/sub-{n}_ses-{500 + n}_icephys.nwb"] = held
    metadata = tmp_path / "PatchSeq_metadata.csv"
    pd.DataFrame(rows, columns=standin.PATCH_SEQ_COLUMNS).to_csv(metadata, index=False)
    yield archives, archives.start(), metadata
    archives.stop()


def same(left: Path, right: Path) -> None:
    """The two folders of fetched cells are equal, byte for byte."""
    names, others = ([p.relative_to(at).as_posix() for p in sorted(at.rglob("*.*"))] for at in (left, right))
    names, others = ([n for n in found if n.endswith((".npz", ".csv"))] for found in (names, others))
    assert names and names == others and filecmp.cmpfiles(left, right, names, shallow=False)[0] == names


def fetch(archive: Allen | Dandi, folder: Path, workers: int = 4, **plan: int) -> pd.DataFrame:
    fetcher = Fetcher(folder)
    return fetcher.fetch(archive, fetcher.plan(archive, workers=workers, **plan), workers=workers)


def allen(url: str, folder: Path, keep_nwb: bool = False, **http: float) -> Allen:
    return Allen(folder, keep_nwb, url, Http(**{**QUICK, **http}))


def dandi(url: str, folder: Path, metadata: Path, keep_nwb: bool = False, **http: float) -> Dandi:
    return Dandi(folder, keep_nwb, url, metadata, Http(**{**QUICK, **http}))


def test_cell_types_database_is_fetched_with_every_cell_accounted_for(database, recordings, tmp_path):
    archives, url = database
    account = fetch(allen(url, tmp_path), tmp_path)
    reasons = account.set_index("cell_id")["reason"].to_dict()
    assert reasons == {
        **{str(n): "" for n in range(1, 9)}, "9": "not_mouse", "10": "unsure_label", "11": "no_partner_sweep",
        "12": "no_recording", "13": "unreadable_file",
    }  # fmt: skip
    assert account.loc[0, "label"] == "Sst" and account.loc[0, "dataset"] == "Clamp"
    excluded = account[account["status"] == "excluded"]
    assert (excluded["detail"] != "").all() and not excluded["detail"].str.contains("\n").any()
    # Of the cells that the tables alone exclude, no file travelled.
    asked = Counter(p.rsplit("/", 1)[1] for p in archives.paths("well_known_file_download"))
    assert set(asked) == {*map(str, range(1, 9)), "13"} and max(asked.values()) == 1
    assert not list(tmp_path.rglob("*.nwb")) and not list(tmp_path.rglob("*.part"))
    # The database's rheobase sweep is compared; the one wrong entry is reported.
    agrees = account.set_index("cell_id").loc[[str(n) for n in range(1, 9)], "rheobase_agrees"]
    assert agrees.tolist() == [False] + [True] * 7
    assert pd.read_csv(tmp_path / "features.csv")["tau"].tolist() == [10.0 + n for n in range(1, 14)]
    # The stored sweeps are those of the files.
    source = open_source("fetched", path=tmp_path)
    assert cohort.count_table(cohort.account(source.cells())).loc["all cells", "total"] == 13
    array, rows = extract(source.recordings())
    assert array.shape == (8, 2, 4800) and (rows["reason"] == "").all()
    for cell_id, rheobase in (("1", 60), ("2", 70), ("3", 50)):
        path = recordings[f"old{rheobase}"]
        direct = choose_pair(nwb.read_recording(nwb.open_path(path), path.name, cell_id))
        held = choose_pair(source.recording(cell_id))
        for a, b in ((direct.rheobase, held.rheobase), (direct.partner, held.partner)):
            assert (a.stimulus_pa, a.n_spikes, a.number) == (b.stimulus_pa, b.n_spikes, b.number)
            np.testing.assert_allclose(prepare(a), prepare(b), atol=1e-3)
    squares = Fetched(tmp_path).long_squares()
    assert len(squares[squares["cell_id"] == "3"]) == len(family(50, top_pa=100))
    # 2 x 4,800 float32 and a few hundred bytes of account.
    assert 38_400 < (tmp_path / "cells" / "1.npz").stat().st_size < 41_000
    with pytest.raises(ParameterError, match="excluded"):
        source.recording("11")


def test_keep_nwb_keeps_the_files_and_does_not_fetch_them_again(database, tmp_path):
    archives, url = database
    fetch(allen(url, tmp_path, keep_nwb=True), tmp_path)
    assert len(list((tmp_path / "nwb").glob("*.nwb"))) == 8
    archives.log.clear()
    assert len(allen(url, tmp_path, keep_nwb=True).recording("1").sweeps) == len(family(60, top_pa=110))
    assert not archives.paths("well_known_file_download")


def test_dandiset_is_fetched_by_byte_ranges_alone(dandiset, recordings, tmp_path):
    archives, url, metadata = dandiset
    account = fetch(dandi(url, tmp_path, metadata), tmp_path).set_index("cell_id")
    assert account["reason"].to_dict() == {
        **{str(100 + n): "" for n in range(1, 7)}, "107": "unsure_label", "108": "no_recording", "109": "no_partner_sweep"
    }  # fmt: skip
    assert account["label"].tolist()[:4] == ["Sst", "Vip/Lamp5", "Excitatory", "Vip/Lamp5"]
    assert all(asked for path, asked, status, _ in archives.log if path.startswith("/blobs/")), "a whole file travelled"
    source = Fetched(tmp_path)
    direct = choose_pair(nwb.read_recording(nwb.open_path(recordings["new60"]), "x", "101"))
    held = choose_pair(source.recording("101"))
    np.testing.assert_allclose(prepare(direct.partner), prepare(held.partner), atol=1e-3)
    assert held.rheobase.stimulus_pa == 60


def test_of_a_patch_seq_file_less_than_15_per_cent_is_transferred(tmp_path):
    """Sweeps at 50 kHz: voltage clamp, searches, ramps and a family."""
    held = standin.write_nwb2(tmp_path / "cell.nwb", standin.patch_seq())
    metadata = tmp_path / "metadata.csv"
    metadata.write_text(",".join(standin.PATCH_SEQ_COLUMNS) + "\n1,501,1,Sst Chodl,aspiny\n")
    archives = Archives(assets={"sub-1/sub-1_ses-501_icephys.nwb": held})
    account = fetch(dandi(archives.start(), tmp_path / "store", metadata), tmp_path / "store")
    archives.stop()
    assert account["status"].tolist() == ["kept"]
    sent = sum(n for path, _, _, n in archives.log if path.startswith("/blobs/"))
    assert sent < 0.15 * held.stat().st_size, f"{sent / held.stat().st_size:.1%}"


def test_whole_patch_seq_files_are_checked_by_their_sha256(dandiset, tmp_path):
    archives, url, metadata = dandiset
    archives.wrong_checksums = 2
    archive = dandi(url, tmp_path, metadata, keep_nwb=True)
    assert len(archive.recording("101").sweeps) == len(family(60, top_pa=110))
    assert archive.http.n_failures == 2 and len(archives.paths("/blobs/")) == 3
    archives.wrong_checksums = 10**6
    with pytest.raises(BadRecording, match="checksum is wrong"):
        archive.recording("102")
    assert [p.name for p in (tmp_path / "nwb").iterdir()] == ["101.nwb"]


def test_signed_addresses_that_expire_are_asked_for_again_and_a_server_without_ranges_is_named(dandiset, tmp_path):
    archives, url, metadata = dandiset
    archives.signed_for = 3
    account = fetch(dandi(url, tmp_path, metadata), tmp_path)
    assert (account["status"] == "kept").sum() == 6
    archives.ranges = False
    with pytest.raises(BadRecording, match="gives no byte ranges"):
        dandi(url, tmp_path, metadata).recording("101")


@pytest.mark.parametrize("which", ["allen", "dandi"])
def test_faults_and_the_number_of_workers_change_nothing_and_faults_are_counted(which, database, dandiset, tmp_path):
    archives, url = database if which == "allen" else dandiset[:2]

    def archive(folder: str) -> Allen | Dandi:
        make = allen if which == "allen" else functools.partial(dandi, metadata=dandiset[2])
        return make(url, tmp_path / folder, tries=12, timeout_s=0.2)

    fetch(archive("good"), tmp_path / "good", workers=1)
    archives.misbehaviour = Misbehaviour(share=0.4, stall_s=0.25)
    bad = archive("bad")
    account = fetch(bad, tmp_path / "bad", workers=6)
    same(tmp_path / "good", tmp_path / "bad")
    assert "fetch_failed" not in set(account["reason"])
    assert bad.http.n_failures >= archives.n_faults >= 15  # a slow machine may add some of its own


def test_a_cell_that_cannot_be_fetched_is_accounted_for_and_tried_again(database, tmp_path):
    archives, url = database
    archives.misbehaviour = Misbehaviour(always=r"well_known_file_download/3$", kinds=("500",))
    account = fetch(allen(url, tmp_path, tries=2), tmp_path).set_index("cell_id")
    assert account.loc["3", "reason"] == "fetch_failed" and "answer 500" in account.loc["3", "detail"]
    assert (account["status"] == "kept").sum() == 7
    archives.misbehaviour = Misbehaviour()
    n_requests = len(archives.log)
    again = allen(url, tmp_path)
    assert Fetcher(tmp_path).plan(again).todo == ["3"]
    account = fetch(again, tmp_path).set_index("cell_id")
    assert account.loc["3", "status"] == "kept"
    assert len(archives.log) - n_requests == 3  # sweeps, address and file of that one cell


def test_no_server_at_all_is_one_line(tmp_path):
    nowhere = "http://127.0.0.1:9"
    for archive in (allen(nowhere, tmp_path, tries=2), dandi(nowhere, tmp_path, tmp_path, tries=2)):
        with pytest.raises(StsError, match=r"^.*failed 2 times, at last: no connection.*$"):
            Fetcher(tmp_path / "store").plan(archive)


def test_a_download_goes_on_where_it_was_cut(recordings, tmp_path):
    thrice = Misbehaviour(share=1.0, most=3, kinds=("truncated",))
    archives, http = Archives(files={1: recordings["old50"]}, misbehaviour=thrice), Http(**QUICK)
    path = http.download(f"{archives.start()}/api/v2/well_known_file_download/1", tmp_path / "x.nwb")
    archives.stop()
    whole = recordings["old50"].read_bytes()
    assert path.read_bytes() == whole
    # Of each cut, at most the last block of 32 kB comes twice.
    assert sum(n for *_, n in archives.log) <= len(whole) + 3 * 32_768
    assert http.n_failures == 3 and archives.log[0][1] == "" and len(archives.log) == 4


def test_missing_answers_are_not_requested_twice_and_requests_keep_to_the_polite_rate():
    archives = Archives(cells=[{}])
    url = archives.start()
    http = Http(**(QUICK | {"per_second": 50}))
    with pytest.raises(NotThere, match="answer 404"):
        http.json(f"{url}/nothing")
    begun = time.monotonic()
    for _ in range(16):
        http.json(f"{url}/api/v2/data/query.json?q=model::ApiCellTypesSpecimenDetail")
    assert time.monotonic() - begun > 0.29
    archives.stop()
    assert len(archives.paths("/nothing")) == 1


def test_cells_come_side_by_side(recordings, tmp_path):
    """Eight workers have several requests under way at once, and never more than eight; one worker has one."""
    held = standin.padded(shutil.copyfile(recordings["old50"], tmp_path / "large.nwb"), 3_000_000)
    archives = Archives()
    for n in range(1, 25):
        archives.add_cell(n, held, family(50, top_pa=100))
    url, archives.latency_s, most = archives.start(), 0.1, {}
    for workers in (1, 8):
        archives.most_in_flight = 0
        archive = allen(url, tmp_path / str(workers), timeout_s=10)
        fetch(archive, tmp_path / str(workers), workers)
        most[workers] = archives.most_in_flight
    archives.stop()
    assert most[1] == 1 and 3 <= most[8] <= 8 and archive.http.n_bytes >= 24 * held.stat().st_size


def test_a_fetch_survives_kill_9_and_goes_on_without_fetching_anything_twice(database, tmp_path):
    archives, url = database
    fetch(allen(url, tmp_path / "whole"), tmp_path / "whole")
    archives.log.clear()
    archives.latency_s = 0.1
    script = """import sys; from stslib.io.archives import cell_types, fetch
a, s = cell_types.Allen(sys.argv[2], False, sys.argv[1]), fetch.Fetcher(sys.argv[2]); s.fetch(a, s.plan(a), workers=2)"""
    killed = tmp_path / "killed"
    for n_cells in (2, 5):  # killed twice, at two moments
        child = subprocess.Popen([sys.executable, "-c", script, url, str(killed)], stderr=subprocess.DEVNULL)
        until = time.monotonic() + 40
        while len(Fetcher(killed).finished()) < n_cells and time.monotonic() < until:
            time.sleep(0.01)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    finished = set(Fetcher(killed).finished())
    assert 5 <= len(finished) < 11
    archives.latency_s = 0.0
    before = archives.paths("well_known_file_download")
    fetch(allen(url, killed), killed)
    asked = archives.paths("well_known_file_download")
    assert not {path.rsplit("/", 1)[1] for path in asked[len(before) :]} & finished
    # Whole files: only the cells in work at a kill (two a kill) may have been asked for again.
    assert len(asked) - len(set(asked)) <= 4
    assert len(archives.paths("ApiCellTypesSpecimenDetail")) == 1
    same(tmp_path / "whole", killed)
    assert not list(killed.rglob(".part-*"))


def test_a_damaged_cell_is_one_line_and_is_fetched_again(database, tmp_path):
    archive = allen(database[1], tmp_path)
    fetch(archive, tmp_path)
    path = tmp_path / "cells" / "2.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DamagedFile, match=r"2\.npz is damaged"):
        Fetched(tmp_path).recording("2")
    assert Fetcher(tmp_path).plan(archive).todo == ["2"]
    fetch(archive, tmp_path)
    assert path.read_bytes() == whole


def test_plan_draws_a_part_that_a_larger_one_contains(database, dandiset, tmp_path):
    archive = allen(database[1], tmp_path)
    fetcher = Fetcher(tmp_path)
    small, large = fetcher.plan(archive, 3), fetcher.plan(archive, 6)
    assert len(small.todo) == 3 and len(large.todo) == 6 and set(small.todo) < set(large.todo)
    assert fetcher.plan(archive, 3).todo == small.todo
    fetch(archive, tmp_path, n_cells=3)
    assert len(fetcher.plan(archive, 6).todo) == 3
    assert "3 to fetch, about 60 MB" in str(small) and "2 excluded by their table" in str(small)
    # The estimate for the dandiset follows the sizes of its files.
    plan = Fetcher(tmp_path / "seq").plan(dandi(dandiset[1], tmp_path / "seq", dandiset[2]))
    assets = [dandiset[0].assets[f"sub-{n}/sub-{n}_ses-{500 + n}_icephys.nwb"] for n in (1, 2, 3, 4, 5, 6, 9)]
    assert plan.whole_bytes == sum(path.stat().st_size for path in assets)
    assert plan.n_bytes < plan.whole_bytes and plan.seconds > 0


def test_another_fetch_at_once_or_with_other_settings_is_refused(database, dandiset, tmp_path):
    archive = allen(database[1], tmp_path)
    fetch(archive, tmp_path, n_cells=1)
    fetcher = Fetcher(tmp_path)
    with FileLock(tmp_path / ".lock"), pytest.raises(StsError, match="another fetch is writing"):
        fetcher.fetch(archive, fetcher.plan(archive))
    with pytest.raises(ParameterError, match="use another folder"):
        fetcher.fetch(archive, fetcher.plan(archive, 1), SweepSettings(offset_pa=60))
    other = dandi(dandiset[1], tmp_path, dandiset[2])
    with pytest.raises(ParameterError, match="holds sweeps of allen"):
        fetcher.fetch(other, fetcher.plan(other))
    with pytest.raises(MissingInput, match="sts data fetch"):
        Fetched(tmp_path / "nowhere")


def test_two_folders_are_one_cohort(database, dandiset, tmp_path):
    fetch(allen(database[1], tmp_path / "a"), tmp_path / "a")
    fetch(dandi(dandiset[1], tmp_path / "b", dandiset[2]), tmp_path / "b")
    source = Fetched(f"{tmp_path / 'a'}{os.pathsep}{tmp_path / 'b'}")
    assert len(source.cells()) == 22 and set(source.cells()["dataset"]) == {"Clamp", "Seq"}
    assert len(list(source.recordings())) == 14 == len(cohort.kept(cohort.account(source.cells())))


@pytest.mark.mirror
def test_the_authors_split_can_be_laid_over_fetched_cells(database, tmp_path, mirror, monkeypatch):
    archives, url = database
    trained = 589764355  # a patch-clamp cell of the training split
    archives.cells[0]["specimen__id"] = trained
    archives.sweeps[trained], archives.files[trained] = archives.sweeps[1], archives.files[1]
    fetch(allen(url, tmp_path), tmp_path)
    monkeypatch.setenv("STS_DATA_MIRROR", str(mirror))
    source = Fetched(tmp_path, split="published")
    cells = source.cells().set_index("cell_id")
    assert cells.loc[str(trained), ["split", "reason"]].tolist() == ["train", ""]
    assert cells.loc["2", ["split", "reason"]].tolist() == ["", "not_in_split"]
    assert [r.cell_id for r in source.recordings()] == [str(trained)]


def chosen(path: Path) -> tuple[SweepPair, dict[int, int]]:
    return choose_unread(nwb.read_recording(nwb.open_path(path), "cell", "1", spikes="file"), SweepSettings())


@pytest.mark.parametrize(("lists", "more"), [(True, {}), (False, {3: 0, 4: 0, 5: 0})])
def test_spike_lists_save_traces_and_are_checked_against_the_voltage(tmp_path, lists, more):
    """A list that claims a spike where there is none does not move the rheobase; without lists more traces are read."""
    path = standin.write_nwb2(tmp_path / "cell.nwb", family(50, rate_hz=10_000.0), spike_lists=lists)
    if lists:
        with h5py.File(path, "r+") as file:
            group = file["processing/spikes/Sweep_6"]
            del group["timestamps"]
            group["timestamps"] = [0.7]
    pair, read = chosen(path)
    assert (pair.rheobase.stimulus_pa, pair.partner.stimulus_pa) == (50, 90)
    assert read == {**more, 6: 0, 7: 1, 11: 5}  # of twelve


def test_a_broken_partner_gives_way_to_its_repeat(tmp_path):
    sweeps = [Steps(1, 50, 1, rate_hz=10_000.0), Steps(2, 90, 3, rate_hz=10_000.0, stopped_s=1.0)]
    pair, _ = chosen(standin.write_nwb2(tmp_path / "cell.nwb", [*sweeps, Steps(3, 90, 4, rate_hz=10_000.0)]))
    assert pair.partner.number == 3 and pair.partner.n_spikes == 4
