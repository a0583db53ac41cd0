"""Measured times and memory: `results/bench.json`, which `make bench` writes and the book shows.

A record is `{"name", "work", "seconds", "peak_mb", "relative_error"}` and how it was taken: `cpu_seconds` (of all cores
together), `rounds`, `note`, `commit`, `machine`, `measured`. Records of one `work` did the same work side by side; the one
whose name begins with "stslib" is what the others are compared with.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from stslib.press.folders import results_folder
from stslib.support.errors import DamagedFile
from stslib.support.files import atomic

OURS = "stslib"
HOW = "make bench"


def path() -> Path:
    """Where the records lie: `bench.json` beside the runs."""
    return results_folder() / "bench.json"


def left_out_path() -> Path:
    """Where it is written what could not be measured, and why: `{"name", "work", "reason"}`."""
    return results_folder() / "bench_left_out.json"


def read(file: Path | None = None) -> list[dict[str, Any]]:
    """Records of `file` (by default `path()`), none where it does not exist (`DamagedFile` where it holds no records)."""
    file = file or path()
    if not file.is_file():
        return []
    try:
        records = json.loads(file.read_text(encoding="utf-8"))
        assert all(isinstance(r["name"], str) and isinstance(r["work"], str) for r in records)
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise DamagedFile(f"{file} is not a list of records; remove it and run: {HOW}") from error
    return list(records)


def add(record: dict[str, Any], file: Path | None = None) -> None:
    """Put a record into `file`; it takes the place of the one of the same name and work, all others stay."""
    file = file or path()
    records = [r for r in read(file) if (r["name"], r["work"]) != (record["name"], record["work"])]
    _write([*records, record], file)


def remove(name: str, work: str, file: Path) -> None:
    """Take the record of this name and work out of `file`, if it is there."""
    records = read(file)
    kept = [r for r in records if (r["name"], r["work"]) != (name, work)]
    if len(kept) < len(records):
        _write(kept, file)


def _write(records: list[dict[str, Any]], file: Path) -> None:
    with atomic(file) as part:
        part.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")


def works(records: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Records by work, each work's records from the fastest to the slowest."""
    names = dict.fromkeys(r["work"] for r in records)
    return {w: sorted((r for r in records if r["work"] == w), key=lambda r: r["seconds"]) for w in names}


def ratios(same_work: Sequence[dict[str, Any]]) -> list[float]:
    """How many times the time of this package's (fastest) record each record took; of the fastest where it has none."""
    ours = [r["seconds"] for r in same_work if r["name"].startswith(OURS)]
    base = min(ours or [r["seconds"] for r in same_work])
    return [r["seconds"] / base for r in same_work]


COLUMNS = ("time", "x stslib", "processor", "peak", "rel. error", "remark")


def cells(record: dict[str, Any], ratio: float) -> tuple[str, ...]:
    """A record in words: `COLUMNS`."""
    peak_mb, error = record["peak_mb"], record["relative_error"]
    note = record.get("note", "")
    if record.get("rounds", 5) < 5:
        note = f"{record['rounds']} round{'s' * (record['rounds'] > 1)}" + (f"; {note}" if note else "")
    return (
        _time(record["seconds"]),
        f"{ratio:.3g}",
        _time(record.get("cpu_seconds")),
        "" if peak_mb is None else f"{peak_mb:.0f} MB",
        "" if error is None else f"{error:.2g}",
        note,
    )


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def text(records: Sequence[dict[str, Any]]) -> str:
    """All records as a table for the terminal."""
    lines = []
    for work, same in works(records).items():
        rows = [cells(r, ratio) for r, ratio in zip(same, ratios(same), strict=True)]
        names = [r["name"] for r in same]
        lines.append(f"\n{work}\n" + pd.DataFrame(rows, index=names, columns=list(COLUMNS)).to_string())
    return "\n".join(lines)
