"""Which stimulus belongs to which response in an NWB 2 file: by its tables, by sweep numbers, by names, by order.

Tables: Rübel et al. 2022, eLife 11:e78362.
"""

from __future__ import annotations

import contextlib
import re
from typing import Any

import h5py

_TABLE = "general/intracellular_ephys/intracellular_recordings"
_SWEEP_TABLE = "general/intracellular_ephys/sweep_table"

#: What h5py raises where a file is damaged.
BROKEN = (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError, UnicodeError)
#: First sample and number of samples of a sweep in its series; None: all that follow.
Part = tuple[int, int | None]
WHOLE: Part = (0, None)


def sweep_table(file: h5py.File) -> dict[str, int]:
    """Sweep number of each series, by path, as the (older) SweepTable holds them; empty where there is no such table."""
    numbers: dict[str, int] = {}
    with contextlib.suppress(*BROKEN):
        table = file[_SWEEP_TABLE]
        stops = [int(n) for n in table["series_index"]]
        for number, start, stop in zip(table["sweep_number"], [0, *stops], stops, strict=False):
            numbers |= {str(file[ref].name): int(number) for ref in table["series"][start:stop] if ref}
    return numbers


def recordings_table(file: h5py.File) -> list[tuple[str, Part, str, Part]]:
    """Response and stimulus of each row of `intracellular_recordings`: path and part of either (path empty: none)."""
    with contextlib.suppress(*BROKEN):
        sides = (file[f"{_TABLE}/{side}"][()] for side in ("responses/response", "stimuli/stimulus"))
        return [(*_reference(file, *v), *_reference(file, *i)) for v, i in zip(*sides, strict=True)]
    return []


def _reference(file: h5py.File, start: int, count: int, series: h5py.Reference) -> tuple[str, Part]:
    """Path and part of a time series; a start or count below 0 means that there is none."""
    with contextlib.suppress(*BROKEN):
        if series and start >= 0 and count >= 0:
            return str(file[series].name).strip("/"), (int(start), int(count) or None)
    return "", WHOLE


def pair(
    responses: dict[str, Any], numbers: dict[str, int], stimuli: dict[str, h5py.Group], listed: dict[str, int]
) -> dict[str, str]:
    """Stimulus of each response: by the SweepTable (`listed`) or `sweep_number`, by numbers in the names, by their order."""
    groups = [g for g in responses.values() if g is not None]
    stored = {p: int(g.attrs["sweep_number"]) for p, g in stimuli.items() if "sweep_number" in g.attrs}
    stored |= {p: listed[f"/{p}"] for p in stimuli if f"/{p}" in listed}
    numbered = all("sweep_number" in g.attrs or g.name in listed for g in groups)
    if stored and numbered and len(set(stored.values())) == len(stored):
        by_number = {number: path for path, number in stored.items()}
        return {n: by_number[numbers[n]] for n in responses if numbers[n] in by_number}
    for key in (all_numbers, lambda name: all_numbers(name)[-1:], first_number):
        by_name = {key(path.rsplit("/", 1)[1]): path for path in stimuli}
        found = {n: by_name[key(n)] for n in responses if key(n) in by_name}
        if (
            len(by_name) == len(stimuli)
            and len(set(found.values())) == len(found) >= min(len(responses), len(stimuli)) > 0
        ):
            return found
    return dict(zip(responses, stimuli, strict=True)) if len(responses) == len(stimuli) else {}


def sweep_numbers(responses: dict[str, Any], listed: dict[str, int]) -> dict[str, int]:
    """Sweep number of each response: the file's own, else that number in the names in which they differ, else their order."""
    found = {n: listed.get(f"/acquisition/{n}", sweep_number(g, n)) for n, g in responses.items()}
    groups = [g for g in responses.values() if g is not None]
    if len(set(found.values())) == len(found) or all("sweep_number" in g.attrs for g in groups):
        return found
    for place in zip(*(all_numbers(n) for n in responses), strict=False):
        if len(set(place)) == len(responses):
            return dict(zip(responses, place, strict=True))
    return {n: k for k, n in enumerate(responses)}


def sweep_number(group: h5py.Group | None, name: str) -> int:
    """Number of one series, by its attribute, else by its name."""
    stored = None if group is None else group.attrs.get("sweep_number")
    return first_number(name) if stored is None else int(stored)


def all_numbers(name: str) -> tuple[int, ...]:
    """The numbers in a name."""
    return tuple(int(n) for n in re.findall(r"\d+", name))


def first_number(name: str) -> int:
    """The first number in a name, -1 where there is none."""
    return (all_numbers(name) or (-1,))[0]
