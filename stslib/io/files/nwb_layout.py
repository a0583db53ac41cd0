"""Where the sweeps are in an NWB file.

NWB 2: Rübel et al. 2022, eLife 11:e78362, in the layout that MIES writes and in that of pynwb. NWB 1: as AllenSDK 2.16 reads
the files of the Cell Types Database (`core.nwb_data_set`).
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import h5py
import numpy as np

from stslib.io.files import nwb_pairing as pairing
from stslib.io.files.nwb_pairing import BROKEN, WHOLE, Part, first_number
from stslib.io.files.traces import TO_PA, BadRecording, plain_unit, text_of
from stslib.support.errors import one_line

A = TypeVar("A")
B = TypeVar("B")

_MIES_NAME = re.compile(r"data_\d+_AD\d+$")
_PRESENTATION, _TEMPLATES = "stimulus/presentation", "stimulus/templates"
_CURRENT, _VOLTAGE = "CurrentClamp", "VoltageClamp"


@dataclass(frozen=True)
class Series:
    """One sweep in the file.

    `description` is the name or code of the stimulus; `voltage`, `stimulus` and `spikes` are paths in the file (empty where
    there is none for this sweep), of which the sweep is a part. `reason` and `detail` say why it is no current-clamp sweep.
    """

    number: int
    description: str
    voltage: str
    stimulus: str
    spikes: str = ""
    voltage_part: Part = WHOLE
    stimulus_part: Part = WHOLE
    reason: str = ""
    detail: str = ""


def is_old(file: h5py.File, name: str) -> bool:
    """Whether this is NWB 1."""
    if "nwb_version" in file.attrs:
        return text(file.attrs["nwb_version"]).startswith("1")
    if "nwb_version" in file or "acquisition/timeseries" in file:
        return True
    raise BadRecording("unreadable_file", f"{name} is HDF5 but not NWB: it has no nwb_version")


def list_new(file: h5py.File, name: str, listed: bool, strict: bool = False) -> Iterator[Series]:
    """Sweeps of an NWB 2 file; with `listed`, those of the list of spike times, if the file has one.

    A sweep that cannot be opened is a row of its own; with `strict` (files that are still on their way) it is an error.
    """
    names = list(file.get("acquisition", {}))
    spikes = set(file.get("processing/spikes", {}))
    mies = bool(names) and all(_MIES_NAME.match(n) for n in names)
    if listed and spikes and mies:  # the rest need not be opened
        names = [n for n in names if f"Sweep_{first_number(n)}" in spikes]
    groups = _open(file["acquisition"], names, strict) if names else {}
    kinds = {n: _type(g) if g is not None else _CURRENT for n, g in groups.items()}
    if not any(_CURRENT in kind or _VOLTAGE in kind for kind in kinds.values()):  # other series may hold the voltage
        kinds = {n: _CURRENT if kind in ("TimeSeries", "PatchClampSeries") else kind for n, kind in kinds.items()}
    known = {} if strict else {n: g for n, g in groups.items() if g is not None and _CURRENT in kinds[n]}
    currents = {n: g for n, g in known.items() if _unit(g) in TO_PA}
    responses = {n: g for n, g in groups.items() if _CURRENT in kinds[n] and n not in currents}
    stimuli = _stimuli(file, strict, mies)
    listed_numbers = {} if mies else pairing.sweep_table(file)
    numbers = pairing.sweep_numbers(responses, listed_numbers)
    twice = [k for k, times in Counter(numbers.values()).items() if times > 1]
    if twice:
        raise BadRecording("unreadable_file", f"{name} holds sweep {twice[0]} more than once; save one cell a file")
    electrodes = {_electrode(known[n]) for n in responses if n in known}
    if 1 < len(electrodes) < len(responses):
        shown = ", ".join(sorted(electrodes)[:3])
        words = f"{name} holds sweeps of several electrodes ({shown}); save one cell a file"
        raise BadRecording("unreadable_file", words)
    table = [] if mies else pairing.recordings_table(file)
    if table:
        yield from _from_table(table, responses, numbers)
    else:
        pairs = pairing.pair(responses, numbers, stimuli, listed_numbers)
        monitors = {pairing.sweep_number(g, n): f"acquisition/{n}" for n, g in currents.items()}
        for response, group in responses.items():
            stimulus = pairs.get(response) or monitors.get(numbers[response], "")
            at, number = f"Sweep_{numbers[response]}", numbers[response]
            listed_at = f"processing/spikes/{at}/timestamps" if at in spikes else ""
            yield _series(f"acquisition/{response}", group, stimulus, number, strict=strict, spikes=listed_at)
    clamped = {n: kind for n, kind in kinds.items() if _CURRENT not in kind and "Clamp" in kind}
    for response, kind in clamped.items() if not listed else ():
        words = "voltage clamp" if _VOLTAGE in kind else "recorded without current (I = 0)"
        number = pairing.sweep_number(groups[response], response)
        yield Series(number, _description(groups[response]), "", "", reason="no_long_square", detail=words)


def _series(
    path: str, group: h5py.Group | None, stimulus: str, number: int, strict: bool = False, **more: Any
) -> Series:
    """The sweep of a response, or why it is none."""
    reason, detail = "", ""
    if group is None or not (strict or "data" in group):
        what = "its link leads nowhere" if group is None else "it has no data"
        reason, detail = "bad_trace", f"{path} cannot be read: {what}"
    elif not stimulus:
        reason, detail = "no_long_square", f"no stimulus belongs to {path}; give a table of steps (steps.csv)"
    return Series(number, _description(group), path, stimulus, reason=reason, detail=detail, **more)


def _open(parent: h5py.Group, names: list[str], strict: bool) -> dict[str, h5py.Group | None]:
    """The groups by name, None for one that cannot be opened."""

    def get(name: str) -> h5py.Group | None:
        try:
            return parent[name]
        except BROKEN:
            if strict:
                raise
            return None

    return dict(zip(names, each(get, names), strict=True))


def each(function: Callable[[A], B], items: Iterable[A]) -> list[B]:
    """`function` of every item, also after one of them failed: a remote file then fetches all that was missing at once."""
    results, fault = [], None
    for item in items:
        try:
            results.append(function(item))
        except BROKEN as error:
            fault = fault or error
    if fault is not None:
        raise fault
    return results


def _stimuli(file: h5py.File, strict: bool, mies: bool) -> dict[str, h5py.Group]:
    """Current-clamp stimuli by path: those that were presented; where there are none, the templates."""
    for place in (_PRESENTATION, _TEMPLATES):
        parent = file.get(place, {})
        names = list(parent)
        if names and mies:  # by their names alone: they are not opened before they are needed
            return {f"{place}/{n}": parent for n in names}
        groups = _open(parent, names, strict) if names else {}
        found = {f"{place}/{n}": g for n, g in groups.items() if g is not None and _VOLTAGE not in _type(g)}
        if found:
            return found
    return {}


def _from_table(
    table: list[tuple[str, Part, str, Part]], responses: dict[str, Any], numbers: dict[str, int]
) -> Iterator[Series]:
    """The sweeps as the file's own table pairs them; responses that it does not name follow without a stimulus."""
    wanted = {f"acquisition/{n}": n for n in responses}
    rows = [row for row in table if row[0] in wanted]
    shared = len({row[0] for row in rows}) < len(rows)  # all sweeps in one series
    for k, (path, part, stimulus, stimulus_part) in enumerate(rows):
        number = k if shared else numbers[wanted[path]]
        group = responses[wanted[path]]
        yield _series(path, group, stimulus, number, voltage_part=part, stimulus_part=stimulus_part)
    for path in wanted.keys() - {row[0] for row in rows}:
        yield _series(path, responses[wanted[path]], "", numbers[wanted[path]] + (len(rows) if shared else 0))


def list_old(file: h5py.File, strict: bool = False) -> Iterator[Series]:
    """Sweeps of an NWB 1 file, as `list_new` gives them."""
    for name in file.get("acquisition/timeseries", {}):
        try:
            yield _old_series(file, name)
        except BROKEN as error:
            if strict:
                raise
            words = f"{name} cannot be read: {one_line(error)}"
            yield Series(first_number(name), "", "", "", reason="bad_trace", detail=words)


def _old_series(file: h5py.File, name: str) -> Series:
    """One sweep of an NWB 1 file; an `Experiment` epoch says where its valid part ends."""
    group, number = file[f"acquisition/timeseries/{name}"], first_number(name)
    stimulus_name = name if name in file[_PRESENTATION] else re.sub(r"_AD(\d+)$", r"_DA\1", name)
    ancestry = [text(a) for a in np.atleast_1d(group.attrs.get("ancestry", []))]
    if stimulus_name not in file[_PRESENTATION] or any(_VOLTAGE in a for a in ancestry):
        words = "voltage clamp" if any(_VOLTAGE in a for a in ancestry) else f"no stimulus belongs to {name}"
        return Series(number, "", "", "", reason="no_long_square", detail=words)
    # AllenSDK reads the stimulus name of a sweep here; MIES writes its own.
    texts = [g[key][()] for g in (file[_PRESENTATION][stimulus_name], group) for key in _DESCRIPTIONS if key in g]
    experiment, part = file.get(f"epochs/Experiment_{number}"), WHOLE
    if experiment is not None:
        part = (0, int(experiment["stimulus/idx_start"][()]) + int(experiment["stimulus/count"][()]))
    lists = [f"analysis/{key}/Sweep_{number}" for key in ("spike_times", "aibs_spike_times")]
    return Series(
        number=number,
        description=text(texts[0]) if texts else "",
        voltage=f"acquisition/timeseries/{name}",
        stimulus=f"{_PRESENTATION}/{stimulus_name}",
        spikes=next((path for path in lists if path in file), ""),
        voltage_part=part,
        stimulus_part=part,
    )


_DESCRIPTIONS = ("aibs_stimulus_name", "aibs_stimulus_description", "stimulus_description")


def pipeline(file: h5py.File) -> tuple[int, int]:
    """Version of the Allen Institute's pipeline that wrote an NWB 1 file, (0, 0) where it does not say.

    `general/generated_by` alternates keys and values.
    """
    if "general/generated_by" not in file:
        return 0, 0
    words = [text(w) for w in np.ravel(file["general/generated_by"][()])]
    version = dict(zip(words[::2], words[1::2], strict=False)).get("version", "0.0")
    numbers = [int(n) for n in re.findall(r"\d+", version)[:2]]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else (0, 0)


def sampling_rate(group: h5py.Group, path: str = "") -> float:
    """Sampling rate in Hz; BadRecording where it makes no sense."""
    if "starting_time" in group:
        rate_hz = float(group["starting_time"].attrs["rate"])
    else:
        t_s = np.asarray(group["timestamps"][:1000], float)
        rate_hz = float(1 / np.median(np.diff(t_s))) if len(t_s) > 1 and np.median(np.diff(t_s)) > 0 else 0.0
    if not 0 < rate_hz < np.inf:
        raise BadRecording("bad_trace", f"{path} has no sampling rate (it reads {rate_hz:g} Hz)")
    return rate_hz


def starting_s(group: h5py.Group) -> float:
    """Start of a series in s."""
    if "starting_time" in group:
        return float(np.ravel(group["starting_time"][()])[0])
    return float(group["timestamps"][0]) if "timestamps" in group and len(group["timestamps"]) else 0.0


def _description(group: h5py.Group | None) -> str:
    return text(group.attrs.get("stimulus_description", "")) if group is not None else ""


def _electrode(group: h5py.Group) -> str:
    link = group.get("electrode", getlink=True)
    return str(getattr(link, "path", "")).rsplit("/", 1)[-1]


def _unit(group: h5py.Group) -> str:
    with contextlib.suppress(*BROKEN):
        return plain_unit(text(group["data"].attrs.get("unit", "")))
    return ""


def _type(group: h5py.Group) -> str:
    return text(group.attrs.get("neurodata_type", ""))


def text(value: Any) -> str:
    """Text of an attribute or scalar: files hold bytes (not always UTF-8), str or arrays of one."""
    first = np.ravel(value)[0] if np.size(value) else ""
    return text_of(first) if isinstance(first, bytes) else str(first).strip("\0 ")
