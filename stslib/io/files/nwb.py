"""NWB 2 (the MIES layout of the Patch-seq files, and plain pynwb) and NWB 1 (the Cell Types Database) as sweeps.

The files are read with h5py alone: a file of 30 MB holds a hundred sweeps, and only what is needed is read, from a disk as
from the network. Layouts: Rübel et al. 2022, eLife 11:e78362 (NWB 2); AllenSDK 2.16, `core.nwb_data_set` (NWB 1).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import h5py
import numpy as np

from stslib.io.files.nwb_layout import (
    Series,
    each,
    is_old,
    list_new,
    list_old,
    pipeline,
    sampling_rate,
    starting_s,
    text,
)
from stslib.io.files.nwb_pairing import BROKEN, Part
from stslib.io.files.steps import on_time_base, with_steps
from stslib.io.files.traces import TO_MV, TO_PA, BadRecording, RawSweep, scale
from stslib.recordings import Recording
from stslib.support.errors import one_line

#: Gives the open file, as a context. It must survive pickling where sweeps are handed to worker processes.
Opener = Callable[[], AbstractContextManager[h5py.File]]

#: A stimulus whose description holds one of these is a long square (Allen Institute stimulus ontology), unless it is a search.
LONG_SQUARE_CODES = (
    "Long Square", "X1PS_SubThresh", "X3LP_Rheo", "X4PS_SupraThresh", "Y3LP_Rheo", "Y4PS_SupraThresh", "LP_Rheo",
    "PS_SubThresh", "PS_SupraThresh", "C1LSCOARSE", "C1LSFINEST", "C1LSCRESEP", "subthreshold", "Rheo_Supra_backu",
)  # fmt: skip
_SEARCH_CODE = "LP_Search"
#: Names of that ontology, as the Cell Types Database and MIES write them. Other descriptions are words, which decide nothing.
_CODE = re.compile(
    r"Long Square|Short Square.*|Square - .*|Ramp.*|Noise \d|Test|Unknown|C1LS[A-Z]+|[XY]\d[A-Z]+_\w+"
    r"|[A-Z][A-Za-z0-9]*(_[A-Za-z0-9]+)*_DA_\d+"
)


@runtime_checkable
class Ahead(Protocol):
    """An opener of a remote file: it learns which data will be read, and reading is repeated until all of them are here."""

    #: Results of earlier rounds.
    memo: dict[object, Any]

    def prefetch(self, data: h5py.Dataset) -> None:
        """All of `data` will be read."""


def open_path(path: Path | str) -> Opener:
    """Opener of a file on disk."""
    return partial(h5py.File, str(path), "r")


def read_recording(
    opener: Opener,
    name: str,
    cell_id: str,
    dataset: str = "files",
    label: str | None = None,
    kind: str = "real",
    spikes: str = "count",
) -> Recording:
    """The long-square current-clamp sweeps of one NWB file, its voltages unread: `list_sweeps` without those of no use.

    `name` is the file's, for messages. BadRecording: `unreadable_file`, `no_long_square` or `wrong_units`.
    """
    found = list_sweeps(opener, name, spikes)
    if not found:
        raise BadRecording("no_long_square", f"{name} holds no current-clamp sweep with a stimulus")
    good = [raw for raw in found if not raw.reason]
    if not good:
        wrong = next((raw for raw in found if raw.reason == "wrong_units"), None)
        kinds = ", ".join(sorted({raw.stimulus or "no description" for raw in found})[:4])
        words = f"{name} holds no long square; its {len(found)} sweeps are: {kinds}"
        raise BadRecording(wrong.reason, wrong.detail) if wrong else BadRecording("no_long_square", words)
    sweeps = sorted((raw.sweep() for raw in good), key=lambda s: s.number)
    return Recording(cell_id, dataset, kind, tuple(sweeps), label)


def list_sweeps(opener: Opener, name: str, spikes: str = "count", by_time: bool = True) -> list[RawSweep]:
    """Every sweep of one NWB file, with its step or why it has none; BadRecording where the file cannot be read.

    In a file that is described in the Allen Institute's codes, long squares are the sweeps that `LONG_SQUARE_CODES` name;
    elsewhere words decide nothing. Stimulus and response are set against each other by their starting times, or (not
    `by_time`) at their first samples. `spikes="file"` takes the number of spikes from the file's list of spike times and
    leaves out sweeps that the list does not have (they failed the archive's quality control).
    """
    remote = isinstance(opener, Ahead)
    memo: dict[object, Any] = opener.memo if isinstance(opener, Ahead) else {}
    with reading(opener, name) as file:
        old, listed = is_old(file, name), spikes == "file"
        every = partial(list_old, file, remote) if old else partial(list_new, file, name, listed, remote)
        found = _once(memo, ("series", listed), lambda: list(every()))
        if listed and any(s.spikes for s in found):
            found = [s for s in found if s.spikes]
        elif not listed:
            found = [replace(s, spikes="") for s in found]
        coded = sum(bool(_CODE.fullmatch(s.description)) for s in found) > len(found) / 2
        squares = {s for s in found if coded and _is_long_square(s.description)}
        others = set(found) - squares if squares else {s for s in found if coded and _SEARCH_CODE in s.description}

        def look(one: Series) -> list[RawSweep]:
            raw = RawSweep(one.number, one.description, reason=one.reason, detail=one.detail)
            if one in others:
                words = f"its stimulus is {one.description}, no long square of the Allen Institute's"
                return [raw.without("no_long_square", words)]
            try:
                return _raws(opener, file, old, raw, one, by_time and not remote, len(found) == 1)
            except BadRecording as error:
                return [raw.without(error.reason, str(error))]
            except BROKEN as error:
                if remote:
                    raise
                return [raw.without("bad_trace", f"sweep {one.number} cannot be read: {one_line(error)}")]

        lists = each(lambda one: _once(memo, (one, spikes), lambda: look(one)), found)
        return [raw for one in lists for raw in one]


def _is_long_square(description: str) -> bool:
    words = description.lower()
    return "search" not in words and any(code.lower() in words for code in LONG_SQUARE_CODES)


def _once(memo: dict[object, Any], key: object, read: Callable[[], Any]) -> Any:
    """The result of `read`, from `memo` where it was read before."""
    if key not in memo:
        memo[key] = read()
    return memo[key]


@contextmanager
def reading(opener: Opener, name: str) -> Iterator[h5py.File]:
    """The open file; BadRecording (`unreadable_file`) where h5py cannot read it."""
    try:
        with opener() as file:
            yield file
    except BROKEN as error:
        raise BadRecording("unreadable_file", f"{name} cannot be read as NWB: {one_line(error)}") from error


def _raws(
    opener: Opener, file: h5py.File, old: bool, raw: RawSweep, one: Series, by_time: bool, split: bool
) -> list[RawSweep]:
    """The sweep with its step and its readers; either side of it may be missing (`one.reason`)."""
    offset_s = _offset_s(file, one) if by_time and one.stimulus and not one.reason else 0.0
    if not one.reason or (one.voltage and not one.stimulus):
        rate_hz = sampling_rate(file[one.voltage], one.voltage)
        reader = partial(_read, opener, one, rate_hz, offset_s, old)
        n_spikes = int(file[one.spikes].shape[0]) if one.spikes else None
        raw = replace(raw, rate_hz=rate_hz, reader=reader, n_spikes=n_spikes)
    if not one.stimulus:
        return [raw]
    i_rate_hz = sampling_rate(file[one.stimulus], one.stimulus)
    i_pa = _values(opener, file, one.stimulus, TO_PA, old, one.stimulus_part)
    return with_steps(raw, i_pa, i_rate_hz, offset_s, split and raw.reader is not None)


def _read(opener: Opener, one: Series, rate_hz: float, offset_s: float, old: bool) -> tuple[np.ndarray, np.ndarray]:
    """Voltage in mV and current in pA of one sweep, NaN where it has no stimulus."""
    with reading(opener, one.voltage) as file:
        v_mv = _values(opener, file, one.voltage, TO_MV, old, one.voltage_part)
        if not one.stimulus:
            return v_mv, np.full_like(v_mv, np.nan)
        i_rate_hz = sampling_rate(file[one.stimulus], one.stimulus)
        i_pa = _values(opener, file, one.stimulus, TO_PA, old, one.stimulus_part)
    if (i_rate_hz, offset_s) == (rate_hz, 0.0) and len(i_pa) >= len(v_mv):
        return v_mv, i_pa[: len(v_mv)]
    return v_mv, on_time_base(i_pa, i_rate_hz, len(v_mv), rate_hz, offset_s)


def _offset_s(file: h5py.File, one: Series) -> float:
    """How much later than its response a stimulus starts; 0 where the two starting times have nothing to do with each other."""
    starts, lengths = [], []
    for path, (first, count) in ((one.voltage, one.voltage_part), (one.stimulus, one.stimulus_part)):
        rate_hz = sampling_rate(file[path], path)
        starts.append(starting_s(file[path]) + first / rate_hz)
        lengths.append((count or len(file[path]["data"]) - first) / rate_hz)
    offset_s = starts[1] - starts[0]
    return offset_s if 5e-5 < abs(offset_s) < min(lengths) else 0.0


def _values(opener: Opener, file: h5py.File, path: str, factors: dict[str, float], old: bool, part: Part) -> np.ndarray:
    """Data of a part of a series in mV or pA, float32."""
    data = file[path]["data"]
    unit = text(data.attrs.get("unit", ""))
    if old and not unit:  # early files of the Cell Types Database have none: SI
        unit = "V" if factors is TO_MV else "A"
    factor = scale(unit, factors, path)
    # NWB 1 files written before pipeline version 1.1 hold SI values beside a wrong `conversion` (AllenSDK).
    if not old or pipeline(file) >= (1, 1):
        factor *= float(data.attrs.get("conversion", 1.0))
    if isinstance(opener, Ahead):
        opener.prefetch(data)
    if data.ndim != 1 and data.size != max(data.shape, default=0):
        raise BadRecording("bad_trace", f"{path} holds data of the shape {data.shape}; it must be one row of numbers")
    first, count = part
    values = np.ravel(data[()])[first:] if data.ndim != 1 else data[first : None if count is None else first + count]
    values = np.asarray(values[:count], np.float64) * factor
    return (values + float(data.attrs.get("offset", 0.0)) * factor).astype(np.float32)
