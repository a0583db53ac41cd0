"""The file of benchmark records: merged by name and work, whole or untouched, and shown with ratios."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stslib.press import benchmarks, pages
from stslib.press.folders import project_root
from stslib.press.pages.markup import render
from stslib.support.errors import DamagedFile

ROOT = project_root(Path(__file__).parent)


def record(name, work, seconds, **others):
    return {"name": name, "work": work, "seconds": seconds, "peak_mb": 12.0, "relative_error": None, **others}


def test_a_record_takes_the_place_of_its_namesake_and_leaves_the_others(tmp_path):
    file = tmp_path / "bench.json"
    for entry in (record("stslib", "a", 2.0), record("stslib", "b", 3.0), record("pywt", "a", 8.0)):
        benchmarks.add(entry, file)
    benchmarks.add(record("stslib", "a", 1.0), file)
    assert {(r["name"], r["work"]): r["seconds"] for r in json.loads(file.read_text())} == {
        ("stslib", "a"): 1.0, ("stslib", "b"): 3.0, ("pywt", "a"): 8.0,
    }  # fmt: skip
    benchmarks.remove("pywt", "a", file)
    assert len(benchmarks.read(file)) == 2 and list(tmp_path.iterdir()) == [file]


def test_a_damaged_file_is_named_and_kept(tmp_path):
    file = tmp_path / "bench.json"
    file.write_text('{"name": ')
    with pytest.raises(DamagedFile, match=r"bench\.json is not a list of records; remove it and run: make bench"):
        benchmarks.add(record("stslib", "a", 1.0), file)
    assert file.read_text() == '{"name": '


def test_text_compares_with_ours_and_says_few_rounds():
    shown = benchmarks.text([record("other", "a", 8.0, rounds=2, note="one core"), record("stslib", "a", 0.5)])
    ours, theirs = (next(line for line in shown.splitlines() if line.startswith(word)) for word in ("stslib", "other"))
    assert ours.split()[1:4] == ["500", "ms", "1"] and theirs.split()[1:4] == ["8", "s", "16"]
    assert "2 rounds; one core" in theirs


BENCH = """
import numpy as np

def inputs():
    return (20_000_000,)

def work(n):
    return np.ones(n)  # 160 MB

def bench_ones(measure):
    measure("stslib", "ones", work, inputs, rounds=1, error=lambda result: float(result.sum() != 2e7))

def bench_absent(measure):
    measure("absent", "ones", work, inputs, needs="no_such_library")
"""


def test_a_benchmark_leaves_a_record_with_its_memory_and_says_what_is_missing(tmp_path):
    """In a copy of the fixture, as `make bench` runs it."""
    folder = tmp_path / "tests" / "bench"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "bench" / "conftest.py", folder)
    (folder / "bench_ones.py").write_text(BENCH)
    options = ["-o", "python_files=bench_*.py", "-o", "python_functions=bench_*", "-p", "no:cacheprovider"]
    # As no worker of pytest-xdist: those measure nothing.
    apart = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_XDIST")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", str(folder), "-q", "-c", "/dev/null", "--rootdir", str(tmp_path), *options],
        cwd=ROOT, env=apart | {"STS_RESULTS": str(tmp_path / "results")}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = benchmarks.read(tmp_path / "results" / "bench.json")
    assert set(made) == {"name", "work", "seconds", "peak_mb", "relative_error", "cpu_seconds", "rounds", "note", "commit",
                         "machine", "measured"}  # fmt: skip
    assert 150 < made["peak_mb"] < 175 and made["relative_error"] == 0  # 152.6 MiB
    assert "absent (ones): ModuleNotFoundError: No module named 'no_such_library'" in done.stdout


def test_make_test_does_not_collect_benchmarks():
    command = [sys.executable, "-m", "pytest", "tests/bench", "--collect-only", "-q"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "no tests collected" in done.stdout


def test_the_books_page_shows_the_records_and_says_what_to_run_without(tmp_path, monkeypatch):
    monkeypatch.setenv("STS_RESULTS", str(tmp_path))
    assert "run `make bench`" in render("benchmarks", **pages.benchmarks_of_book())
    machine = {"machine": "some processor, 2 threads", "commit": "abc"}
    for entry in (record("stslib", "a", 0.5, **machine), record("other", "a", 8.0, **machine)):
        benchmarks.add({**entry, "relative_error": 0.12}, benchmarks.path())
    benchmarks.add({"name": "third", "work": "a", "reason": "ImportError: no"}, benchmarks.left_out_path())
    page = render("benchmarks", **pages.benchmarks_of_book())
    assert page.index("500\u00a0ms") < page.index("16")
    assert "Left out: third (`ImportError: no`)" in page
    assert "some processor, 2 threads, commit abc" in page
