"""Fixtures for benchmarks: `tests/bench/bench_*.py`, run by `make bench` and never by `make test`.

A benchmark is a function `bench_...` that asks for the fixture `measure`:

    def inputs():                       # at the top of the module: a fresh process imports it to measure memory
        return (np.zeros(1000),)

    def bench_sum(measure):
        measure("stslib", "sum of 1,000 numbers", np.sum, inputs, error=lambda result: abs(result))

Time is the median of the rounds (pytest-benchmark): one call a round, and one more before them where there are three or
more. Processor time is the work of all cores in a round, which other work on the machine changes little. Memory is how far
the resident memory of a fresh process rises above what it held with its libraries and inputs loaded, in one call, the
result included; processes that the call starts count as well (the largest of them).
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import platform
import resource
import statistics
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from stslib.press import benchmarks
from stslib.press.folders import project_root
from stslib.support.environment import git_commit

MEGABYTE = 2**20


@pytest.fixture
def measure(benchmark) -> Callable[..., Any]:
    """Measure one piece of work and put its record into results/bench.json; gives back what the work returned."""

    def run(
        name: str,
        work: str,
        function: Callable[..., Any],
        inputs: Callable[[], tuple] = tuple,
        *,
        rounds: int = 5,
        error: Callable[[Any], float] | None = None,
        note: str | Callable[[Any], str] = "",
        memory: bool = True,
    ) -> Any:
        """`function(*inputs())`; both are functions at the top of a module (or functools.partial of such).

        `error` takes the result and gives its relative error; so may `note`, for its text.
        Fewer than five `rounds` are said in the record.
        """
        peak_mb = peak_of(function, inputs) if memory else None
        spent: list[float] = []

        def timed(*arguments: Any) -> Any:
            before = _processor_seconds()
            result = function(*arguments)
            spent.append(_processor_seconds() - before)
            return result

        result = benchmark.pedantic(timed, args=inputs(), rounds=rounds, warmup_rounds=int(rounds >= 3))
        record = {
            "name": name,
            "work": work,
            "seconds": benchmark.stats.stats.median,
            "peak_mb": None if peak_mb is None else round(peak_mb, 1),
            "relative_error": None if error is None else float(error(result)),
            "cpu_seconds": statistics.median(spent[-rounds:]),
            "rounds": rounds,
            "note": note(result) if callable(note) else note,
            "commit": git_commit(project_root()),
            "machine": f"{_processor()}, {os.environ.get('OMP_NUM_THREADS', os.cpu_count())} threads",
            "measured": datetime.now(UTC).isoformat(timespec="minutes"),
        }
        benchmarks.add(record)
        benchmarks.remove(name, work, benchmarks.left_out_path())
        return result

    return run


@pytest.fixture
def library() -> Callable[..., Any]:
    """Import a library to compare with; where it cannot be, the benchmark is left out and the reason written down."""

    def load(module: str, name: str, work: str) -> Any:
        try:
            return import_module(module)
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            benchmarks.add({"name": name, "work": work, "reason": reason}, benchmarks.left_out_path())
            pytest.skip(f"{name} left out: {reason}")

    return load


def peak_of(function: Callable[..., Any], inputs: Callable[[], tuple]) -> float:
    """Megabytes that one call adds to a fresh process."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_report_peak, args=(there, function, inputs))
    process.start()
    there.close()
    try:
        return here.recv()
    except EOFError:
        raise RuntimeError(
            f"the process that measures the memory of {function} ended early (its error is above)"
        ) from None
    finally:
        process.join()


def _report_peak(pipe: Any, function: Callable[..., Any], inputs: Callable[[], tuple]) -> None:
    arguments = inputs()
    children = _largest_child_mb()
    with contextlib.suppress(OSError):  # not Linux: then a higher peak while loading would hide this one
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew from here
    before = _resident_mb("VmRSS")
    result = function(*arguments)
    after = _resident_mb("VmHWM")
    del result
    pipe.send(max(after - before, 0.0) + max(_largest_child_mb() - children, 0.0))


def _resident_mb(field: str) -> float:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:  # not Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEGABYTE
    return next(float(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def _processor_seconds() -> float:
    """Time that the cores have worked for this process and for those that it started and that have ended."""
    mine, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return mine.ru_utime + mine.ru_stime + children.ru_utime + children.ru_stime


def _largest_child_mb() -> float:
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


def pytest_terminal_summary(terminalreporter) -> None:
    """The table of all records, those of earlier runs too."""
    if records := benchmarks.read():
        terminalreporter.section("benchmarks (results/bench.json)")
        terminalreporter.write_line(benchmarks.text(records))
    for entry in benchmarks.read(benchmarks.left_out_path()):
        terminalreporter.write_line(f"left out: {entry['name']} ({entry['work']}): {entry['reason']}")
