"""Measured times and memory: `results/bench.json`, which `make bench` writes and the book shows.

A record is `{"name", "work", "seconds", "peak_mb", "relative_error"}` and how it was taken: `cpu_seconds` (of all cores
together), `rounds`, `note`, `commit`, `machine`, `measured`. Records of one `work` did the same work side by side.
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

COLUMNS = ("time", "x stslib", "processor", "peak", "rel. error", "remark")


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
        return list(records)
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise DamagedFile(f"{file} is not a list of records; remove it and run: make bench") from error


def add(record: dict[str, Any], file: Path | None = None) -> None:
    """Put a record into `file`; it takes the place of the one of the same name and work, all others stay."""
    file = file or path()
    _write([*_others(record["name"], record["work"], file), record], file)


def remove(name: str, work: str, file: Path) -> None:
    """Take the record of this name and work out of `file`, if it is there."""
    if len(others := _others(name, work, file)) < len(read(file)):
        _write(others, file)


def _others(name: str, work: str, file: Path) -> list[dict[str, Any]]:
    return [r for r in read(file) if (r["name"], r["work"]) != (name, work)]


def _write(records: list[dict[str, Any]], file: Path) -> None:
    with atomic(file) as part:
        part.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")


def tables(records: Sequence[dict[str, Any]]) -> dict[str, pd.DataFrame]:
    """The records of each work in words, from the fastest to the slowest: a row for each name, columns `COLUMNS`.

    Times are compared with that of this package's fastest record, or of the fastest where it has none.
    """
    made = {}
    for work in dict.fromkeys(r["work"] for r in records):
        same = sorted((r for r in records if r["work"] == work), key=lambda r: r["seconds"])
        ours = next((r for r in same if r["name"].startswith("stslib")), same[0])
        rows = [_in_words(r, r["seconds"] / ours["seconds"]) for r in same]
        made[work] = pd.DataFrame(rows, index=[r["name"] for r in same], columns=list(COLUMNS))
    return made


def _in_words(record: dict[str, Any], ratio: float) -> tuple[str, ...]:
    peak_mb, error, note = record["peak_mb"], record["relative_error"], record.get("note", "")
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
    return "\n".join(f"\n{work}\n{table.to_string()}" for work, table in tables(records).items())
