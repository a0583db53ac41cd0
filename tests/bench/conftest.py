"""The fixture of benchmarks: `tests/bench/bench_*.py`, run by `make bench` and never by `make test`.

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

import contextlib
import multiprocessing
import os
import platform
import re
import resource
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from stslib.press import benchmarks
from stslib.press.environment import git_commit
from stslib.press.folders import project_root


@pytest.fixture
def measure(benchmark) -> Callable[..., Any]:
    """Measure one piece of work and put its record into results/bench.json; gives back what the work returned."""

    def run(
        name: str, work: str, function: Callable[..., Any], inputs: Callable[[], tuple] = tuple, *,
        rounds: int = 5, memory: bool = True, needs: str = "",
        error: Callable[[Any], float] | None = None, note: str | Callable[[Any], str] = "",
    ) -> Any:  # fmt: skip
        """`function(*inputs())`; both are functions at the top of a module (or functools.partial of such).

        `error` takes the result and gives its relative error; so may `note`, for its text. A library that the work `needs`
        and that cannot be imported leaves the benchmark out, with the reason written down.
        """
        try:
            if needs:
                import_module(needs)
        except Exception as failure:
            reason = " ".join(f"{type(failure).__name__}: {failure}".split())
            benchmarks.add({"name": name, "work": work, "reason": reason}, benchmarks.left_out_path())
            pytest.skip(f"{name} left out: {reason}")
        peak_mb = peak_of(function, inputs, needs) if memory else None
        spent: list[float] = []

        def timed(*arguments: Any) -> Any:
            before = _processor_seconds()
            result = function(*arguments)
            spent.append(_processor_seconds() - before)
            return result

        result = benchmark.pedantic(timed, args=inputs(), rounds=rounds, warmup_rounds=int(rounds >= 3))
        record = {
            "name": name, "work": work, "seconds": benchmark.stats.stats.median,
            "peak_mb": None if peak_mb is None else round(peak_mb, 1),
            "relative_error": None if error is None else float(error(result)),
            "cpu_seconds": statistics.median(spent[-rounds:]), "rounds": rounds,
            "note": note(result) if callable(note) else note, "commit": git_commit(project_root()),
            "machine": f"{_processor()}, {os.environ.get('OMP_NUM_THREADS', os.cpu_count())} threads",
            "measured": datetime.now(UTC).isoformat(timespec="minutes"),
        }  # fmt: skip
        benchmarks.add(record)
        benchmarks.remove(name, work, benchmarks.left_out_path())
        return result

    return run


def peak_of(function: Callable[..., Any], inputs: Callable[[], tuple], needs: str = "") -> float:
    """Megabytes that one call adds to a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as fresh:
        return fresh.submit(_peak_here, function, inputs, needs).result()


def _peak_here(function: Callable[..., Any], inputs: Callable[[], tuple], needs: str) -> float:
    if needs:
        import_module(needs)
    arguments = inputs()
    children = _largest_child_mb()
    with contextlib.suppress(OSError):  # not Linux: then a higher peak while loading would hide this one
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew from here
    before = _resident_mb("VmRSS")
    result = function(*arguments)
    after = _resident_mb("VmHWM")
    del result
    return max(after - before, 0.0) + max(_largest_child_mb() - children, 0.0)


def _resident_mb(field: str) -> float:
    status = Path("/proc/self/status")
    if not status.exists():  # not Linux: bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return int(re.search(rf"{field}:\s+(\d+) kB", status.read_text()).group(1)) / 1024


def _processor_seconds() -> float:
    """Time that the cores have worked for this process and for those that it started and that have ended."""
    uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in uses)


def _largest_child_mb() -> float:
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*: (.+)", info.read_text()) if info.exists() else None
    return named.group(1).strip() if named else platform.machine()


def pytest_terminal_summary(terminalreporter) -> None:
    """The table of all records, those of earlier runs too."""
    if records := benchmarks.read():
        terminalreporter.section("benchmarks (results/bench.json)")
        terminalreporter.write_line(benchmarks.text(records))
    for entry in benchmarks.read(benchmarks.left_out_path()):
        terminalreporter.write_line(f"left out: {entry['name']} ({entry['work']}): {entry['reason']}")
