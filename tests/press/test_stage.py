"""The run folder: whole files or none, damage noticed, missing things named with their maker."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stslib.press.folders import run_folder
from stslib.press.stage import METRIC_KEYS, begin, open_stage
from stslib.support import files
from stslib.support.errors import DamagedFile, MissingInput, StsError


@pytest.fixture
def stage(checkout):
    return begin("01_make", {"run": "default", "n_values": 5})


def test_everything_saved_comes_back(stage):
    table = stage.save_table("cells", pd.DataFrame({"cell_id": ["0123", "77"], "v_mv": [-70.125, np.nan]}))
    stage.save_array("sweeps", np.arange(6, dtype=np.float32).reshape(2, 3))
    stage.save_json("numbers", {"a": np.float64(0.1), "b": [np.int64(3)]})
    with stage.new_array("large", (3, 2), np.float16) as array:
        array[:] = 7
    stage.done()
    back = open_stage("default", "01_make")
    pd.testing.assert_frame_equal(back.load_table("cells"), table)
    sweeps = back.load_array("sweeps")
    assert isinstance(sweeps, np.memmap) and not sweeps.flags.writeable
    np.testing.assert_array_equal(sweeps, [[0, 1, 2], [3, 4, 5]])
    assert back.load_json("numbers") == {"a": 0.1, "b": [3]}
    assert (back.load_array("large") == 7).all()


def test_the_manifest_says_what_made_the_results(stage):
    stage.save_array("values", np.zeros(3))
    stage.done()
    written = json.loads((stage.path / "manifest.json").read_text())
    assert written["parameters"] == {"run": "default", "n_values": 5, "shape": "ramp", "gain": 1.0, "extra": False}
    assert written["outputs"]["values.npy"]["bytes"] == (stage.path / "values.npy").stat().st_size
    assert written["made_from"]["versions"]["numpy"] == np.__version__
    assert written["fingerprint"] == json.loads((stage.path / ".state.json").read_text())["fingerprint"]


@pytest.mark.parametrize("harm", ["truncate", "alter"])
@pytest.mark.parametrize("name", ["values.npy", "cells.csv", "numbers.json"])
def test_a_damaged_file_is_noticed(stage, name, harm):
    stage.save_array("values", np.zeros(300))
    stage.save_table("cells", pd.DataFrame({"cell_id": ["a"] * 50}))
    stage.save_json("numbers", list(range(50)))
    stage.done()
    path = stage.path / name
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] if harm == "truncate" else data[:-5] + bytes([data[-5] ^ 0xFF]) + data[-4:])
    back = open_stage("default", "01_make")
    load = {".npy": back.load_array, ".csv": back.load_table, ".json": back.load_json}
    with pytest.raises(DamagedFile, match=r"damaged.* sts run 01_make --force"):
        load[path.suffix](path.stem)


def test_a_pickle_in_disguise_is_refused(stage):
    np.save(stage.path / "evil.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DamagedFile):
        stage.load_array("evil")


def test_a_missing_result_names_its_notebook(stage, checkout):
    with pytest.raises(MissingInput, match="02_use needs the results of 01_make"):
        begin("02_use", {"run": "default"})
    stage.done()
    with pytest.raises(MissingInput, match="run notebook 01_make again"):
        begin("02_use", {"run": "default"}).input("01_make").load_array("values")


def test_nothing_half_written_stays_after_an_error(stage):
    stage.save_json("numbers", 1)
    with pytest.raises(ZeroDivisionError), stage.file("numbers.json") as path:
        path.write_text("half")
        _ = 1 / 0
    assert stage.load_json("numbers") == 1
    assert sorted(p.name for p in stage.path.iterdir()) == [".state.json", "numbers.json"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path):
    full = r"^cannot write .*disk is full \(\d+ MB free\).*$"
    with pytest.raises(StsError, match=full), files.atomic(tmp_path / "x.txt"):
        Path("/dev/full").write_text("x" * 100_000)
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_results_folder(checkout, monkeypatch):
    (checkout / "file").write_text("")
    monkeypatch.setenv("STS_RESULTS", str(checkout / "file" / "results"))
    with pytest.raises(StsError, match="cannot write"):
        begin("01_make", {})


def test_foreign_files_are_never_deleted(checkout):
    folder = checkout / "results" / "default" / "01_make"
    folder.mkdir(parents=True)
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(StsError, match="holds files that no run made"):
        begin("01_make", {})
    assert (folder / "thesis.txt").exists()


def test_scratch_outlives_a_restart_but_not_a_change(checkout):
    first = begin("01_make", {"n_values": 5})
    (first.scratch("study") / "trial").write_text("1")
    first.save_json("half", 1)
    again = begin("01_make", {"n_values": 5})
    assert (again.scratch("study") / "trial").exists() and not (again.path / "half.json").exists()
    assert not list(begin("01_make", {"n_values": 6}).scratch("study").iterdir())


@pytest.mark.parametrize("name", ["../elsewhere", "", "a/b", ".hidden"])
def test_a_run_name_cannot_leave_the_results_folder(checkout, name):
    with pytest.raises(StsError, match="run name"):
        run_folder(name)


def test_metric_records_have_one_form(stage):
    values = ("m", "simulated", "cv", "accuracy", 0.5, 0.4, 0.6, 10)
    record = dict(zip(METRIC_KEYS, values, strict=True))
    table = stage.metrics([record])
    assert table.loc[0, "value"] == 0.5
    assert json.loads((stage.path / "metrics.json").read_text()) == [record]
    with pytest.raises(StsError, match="exactly the keys"):
        stage.metrics([{"model": "m"}])


def test_a_stage_read_cannot_be_written(stage):
    stage.done()
    with pytest.raises(StsError, match="reading only"):
        open_stage("default", "01_make").save_json("x", 1)
