"""Where the sweeps are in an NWB file.

NWB 2: Rübel et al. 2022, eLife 11:e78362, in the layout that MIES writes and in that of pynwb. NWB 1: as AllenSDK 2.16 reads
the files of the Cell Types Database (`core.nwb_data_set`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import h5py
import numpy as np

from stslib.io.files.traces import BadRecording

A = TypeVar("A")
B = TypeVar("B")

#: What h5py raises where a file is damaged.
BROKEN = (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError, UnicodeError)
_MIES_NAME = re.compile(r"data_\d+_AD\d+$")


@dataclass(frozen=True)
class Series:
    """One current-clamp sweep in the file.

    `description` is the name or code of the stimulus; `voltage`, `stimulus` and `spikes` are paths in the file (`spikes` is
    empty where it lists none for this sweep); `n_samples` are valid, where the file says so.
    """

    number: int
    description: str
    voltage: str
    stimulus: str
    spikes: str = ""
    n_samples: int | None = None


def is_old(file: h5py.File, name: str) -> bool:
    """Whether this is NWB 1."""
    if "nwb_version" in file.attrs:
        return text(file.attrs["nwb_version"]).startswith("1")
    if "nwb_version" in file or "acquisition/timeseries" in file:
        return True
    raise BadRecording("unreadable_file", f"{name} is HDF5 but not NWB: it has no nwb_version")


def list_new(file: h5py.File, name: str, listed: bool) -> Iterator[Series]:
    """Sweeps of an NWB 2 file; with `listed`, those of the list of spike times, if the file has one."""
    names = list(file.get("acquisition", {}))
    spikes = set(file.get("processing/spikes", {}))
    if listed and spikes and all(_MIES_NAME.match(n) for n in names):  # the rest need not be opened
        names = [n for n in names if f"Sweep_{_digits(n)}" in spikes]
    groups = dict(zip(names, each(lambda n: file["acquisition"][n], names), strict=True))
    kinds = each(_type, groups.values())
    responses = {n: g for (n, g), kind in zip(groups.items(), kinds, strict=True) if kind == "CurrentClampSeries"}
    stimuli = file.get("stimulus/presentation", {})
    numbers = {n: _number(g, n) for n, g in responses.items()}
    twice = [k for k, times in Counter(numbers.values()).items() if times > 1]
    if twice:
        raise BadRecording("unreadable_file", f"{name} holds sweep {twice[0]} more than once; save one cell a file")
    pairs = _pair(responses, stimuli)
    for response, group in responses.items():
        if response not in pairs:
            continue
        spike_list = f"Sweep_{numbers[response]}"
        yield Series(
            number=numbers[response],
            description=text(group.attrs.get("stimulus_description", "")),
            voltage=f"acquisition/{response}",
            stimulus=f"stimulus/presentation/{pairs[response]}",
            spikes=f"processing/spikes/{spike_list}/timestamps" if spike_list in spikes else "",
        )


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


def _pair(responses: dict[str, h5py.Group], stimuli: h5py.Group) -> dict[str, str]:
    """Stimulus of each response: by the number in the names, else by `sweep_number`, else by their order."""
    by_name = {_digits(n): n for n in stimuli}
    if len(by_name) == len(stimuli) and {_digits(n) for n in responses} <= set(by_name):
        return {n: by_name[_digits(n)] for n in responses}
    clamped = {n: g for n, g in stimuli.items() if _type(g) == "CurrentClampStimulusSeries"}
    if all("sweep_number" in g.attrs for g in (*responses.values(), *clamped.values())):
        by_number = {int(g.attrs["sweep_number"]): n for n, g in clamped.items()}
        found = {n: by_number.get(int(g.attrs["sweep_number"])) for n, g in responses.items()}
        return {n: stimulus for n, stimulus in found.items() if stimulus}
    return dict(zip(responses, clamped, strict=True)) if len(responses) == len(clamped) else {}


def _number(group: h5py.Group, name: str) -> int:
    return int(group.attrs["sweep_number"]) if "sweep_number" in group.attrs else _digits(name)


def list_old(file: h5py.File) -> Iterator[Series]:
    """Sweeps of an NWB 1 file; an `Experiment` epoch says where the valid part of its sweep ends."""
    epochs = file.get("epochs", {})
    for name, group in file.get("acquisition/timeseries", {}).items():
        stimulus_name = name if name in file["stimulus/presentation"] else re.sub(r"_AD(\d+)$", r"_DA\1", name)
        if stimulus_name not in file["stimulus/presentation"]:
            continue
        stimulus = file["stimulus/presentation"][stimulus_name]
        ancestry = [text(a) for a in np.atleast_1d(group.attrs.get("ancestry", []))]
        if any("VoltageClamp" in a for a in ancestry):
            continue
        number = _digits(name)
        # AllenSDK reads the stimulus name of a sweep here; MIES writes its own.
        texts = [g[key][()] for g in (stimulus, group) for key in _DESCRIPTIONS if key in g]
        experiment = epochs.get(f"Experiment_{number}")
        n_samples = None
        if experiment is not None:
            n_samples = int(experiment["stimulus/idx_start"][()]) + int(experiment["stimulus/count"][()])
        lists = [f"analysis/{key}/Sweep_{number}" for key in ("spike_times", "aibs_spike_times")]
        yield Series(
            number=number,
            description=text(texts[0]) if texts else "",
            voltage=f"acquisition/timeseries/{name}",
            stimulus=f"stimulus/presentation/{stimulus_name}",
            spikes=next((path for path in lists if path in file), ""),
            n_samples=n_samples,
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


def sampling_rate(group: h5py.Group) -> float:
    """Sampling rate in Hz."""
    if "starting_time" in group:
        return float(group["starting_time"].attrs["rate"])
    t_s = group["timestamps"][:1000]
    return float(1 / np.median(np.diff(t_s)))


def _type(group: h5py.Group) -> str:
    return text(group.attrs.get("neurodata_type", ""))


def _digits(name: str) -> int:
    """The first number in a name, -1 where there is none."""
    found = re.search(r"\d+", name)
    return int(found.group()) if found else -1


def text(value: Any) -> str:
    """Text of an attribute or scalar: files hold bytes, str or arrays of one."""
    first = np.ravel(value)[0] if np.size(value) else ""
    return first.decode("utf-8") if isinstance(first, bytes) else str(first)
