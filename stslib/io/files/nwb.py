"""NWB 2 (the MIES layout of the Patch-seq files, and plain pynwb) and NWB 1 (the Cell Types Database) as `Recording`s.

The files are read with h5py alone: a file of 30 MB holds a hundred sweeps, and only what is needed is read, from a disk as
from the network. Layouts: Rübel et al. 2022, eLife 11:e78362 (NWB 2); AllenSDK 2.16, `core.nwb_data_set` (NWB 1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import h5py
import numpy as np

from stslib.io.files.nwb_layout import BROKEN, Series, each, is_old, list_new, list_old, pipeline, sampling_rate, text
from stslib.io.files.traces import TO_MV, TO_PA, BadRecording, Step, check_resting, find_step, recorded, scale
from stslib.recordings import Recording, Sweep
from stslib.support.errors import one_line

#: Gives the open file, as a context. It must survive pickling where sweeps are handed to worker processes.
Opener = Callable[[], AbstractContextManager[h5py.File]]

#: A stimulus whose description holds one of these is a long square (Allen Institute stimulus ontology) ...
LONG_SQUARE_CODES = (
    "Long Square", "X1PS_SubThresh", "X3LP_Rheo", "X4PS_SupraThresh", "Y3LP_Rheo", "Y4PS_SupraThresh", "LP_Rheo",
    "PS_SubThresh", "PS_SupraThresh", "C1LSCOARSE", "C1LSFINEST", "C1LSCRESEP", "subthreshold", "Rheo_Supra_backu",
)  # fmt: skip
#: ... unless it is a search for the rheobase, whose steps are shorter and of changing length.
SEARCH = "search"


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
    """The long-square current-clamp sweeps of one NWB file.

    Long squares are the sweeps whose stimulus description holds one of `LONG_SQUARE_CODES`. A file without any such
    description gives every sweep whose stimulus is one square step of 0.1 s or more. Searches are left out. Amplitude,
    onset and duration come from the stimulus trace.

    With `spikes="count"` the number of spikes is yet to be counted from the voltage; `"file"` takes it from the file's list
    of spike times, and leaves out sweeps that the list does not have (they failed the archive's quality control).
    `name` is the file's, for messages. BadRecording: `unreadable_file`, `no_long_square` or `wrong_units`.
    """
    memo: dict[object, Any] = opener.memo if isinstance(opener, Ahead) else {}
    with reading(opener, name) as file:
        old = is_old(file, name)
        listed = spikes == "file"
        found = _once(memo, ("series", listed), lambda: list(list_old(file) if old else list_new(file, name, listed)))
        if not found:
            raise BadRecording("no_long_square", f"{name} holds no current-clamp sweep with a stimulus")
        if spikes == "file" and any(s.spikes for s in found):
            found = [s for s in found if s.spikes]
        look = partial(_sweep, opener, name, file, old, spikes)
        sweeps = each(lambda one: _once(memo, (one, spikes), lambda: look(one)), long_squares(found))
        sweeps = [s for s in sweeps if s]
    if not sweeps:
        kinds = ", ".join(sorted({s.description or "no description" for s in found})[:4])
        raise BadRecording("no_long_square", f"{name} holds no long square; its {len(found)} sweeps are: {kinds}")
    return Recording(cell_id, dataset, kind, tuple(sorted(sweeps, key=lambda s: s.number)), label)


def _once(memo: dict[object, Any], key: object, read: Callable[[], Any]) -> Any:
    """The result of `read`, from `memo` where it was read before."""
    if key not in memo:
        memo[key] = read()
    return memo[key]


def long_squares(found: list[Series]) -> list[Series]:
    """The sweeps that may be long squares, by their description (see `read_recording`)."""
    others = [s for s in found if SEARCH not in s.description.lower()]
    named = [s for s in others if any(code.lower() in s.description.lower() for code in LONG_SQUARE_CODES)]
    return named or others


@contextmanager
def reading(opener: Opener, name: str) -> Iterator[h5py.File]:
    """The open file; BadRecording (`unreadable_file`) where h5py cannot read it."""
    try:
        with opener() as file:
            yield file
    except BROKEN as error:
        raise BadRecording("unreadable_file", f"{name} cannot be read as NWB: {one_line(error)}") from error


def _sweep(opener: Opener, name: str, file: h5py.File, old: bool, spikes: str, one: Series) -> Sweep | None:
    """The sweep, or None where its stimulus is no square step."""
    rate_hz = sampling_rate(file[one.voltage])
    i_pa = _values(opener, file, one.stimulus, TO_PA, old, one.n_samples)
    step = find_step(i_pa, sampling_rate(file[one.stimulus]))
    if step is None:
        return None
    n_spikes = None
    if spikes == "file" and one.spikes:
        n_spikes = int(file[one.spikes].shape[0])
    return Sweep(
        number=one.number,
        stimulus_pa=step.level_pa,
        onset_s=step.onset_s,
        duration_s=step.duration_s,
        rate_hz=rate_hz,
        reader=partial(_read, opener, name, one, step, rate_hz, old),
        n_spikes=n_spikes,
    )


def _read(
    opener: Opener, name: str, one: Series, step: Step, rate_hz: float, old: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Voltage in mV and current in pA of one sweep, without what was not recorded."""
    with reading(opener, name) as file:
        v_mv = _values(opener, file, one.voltage, TO_MV, old, one.n_samples)
        i_pa = _values(opener, file, one.stimulus, TO_PA, old, one.n_samples)
    check_resting(v_mv, one.number, step.onset_s, rate_hz)
    length = min(recorded(v_mv, one.number, step, rate_hz), len(i_pa))
    return v_mv[:length], i_pa[:length]


def _values(
    opener: Opener, file: h5py.File, path: str, factors: dict[str, float], old: bool, n_samples: int | None
) -> np.ndarray:
    """Data of a series in mV or pA, float32."""
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
    values = np.asarray(data[slice(n_samples)], np.float64) * factor
    return (values + float(data.attrs.get("offset", 0.0)) * factor).astype(np.float32)
