"""One cell of an archive: fetched, its two sweeps chosen with as few traces read as can be, and brought to one form."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import numpy as np
import pandas as pd

from stslib.features import MEASURED
from stslib.features.measurement import extract_one
from stslib.io.archives.fetched import TELLING, Outcome
from stslib.io.archives.http import Http
from stslib.io.files.folder import usable
from stslib.io.files.traces import BadRecording
from stslib.recordings import Recording, Sweep
from stslib.support.errors import ParameterError, StsError
from stslib.sweeps import NoPair, SweepPair, SweepSettings, choose_pair, count_spikes, judge, prepare

_SAME_STEP_PA = 0.5


class Archive(Protocol):
    """What the store asks of an archive (`stslib.io.archives.cell_types`, `stslib.io.archives.dandi`)."""

    name: str
    dataset: str
    requests_per_cell: int
    http: Http

    def cells(self) -> pd.DataFrame:
        """Every cell, with `reason` and `detail` where its table alone excludes it."""
        ...

    def features(self) -> pd.DataFrame:
        """The archive's own features."""
        ...

    def rheobase_sweeps(self) -> dict[str, int]:
        """Rheobase sweep of each cell, by the archive's own analysis."""
        ...

    def outline(self, cell_id: str) -> Recording | None:
        """Amplitudes and spike numbers without traces, where the archive has them."""
        ...

    def opened(self, cell_id: str) -> AbstractContextManager[Recording]:
        """The recording, for a while."""
        ...

    def size_bytes(self, cell_ids: Iterable[str]) -> tuple[int, int]:
        """Bytes that travel, and size of the files."""
        ...


def take(
    archive: Archive,
    row: dict[str, Any],
    settings: SweepSettings,
    rheobase_sweep: int | None = None,
    measure: bool = False,
) -> Outcome:
    """Fetch one cell, choose its two sweeps and bring them to one form. Whatever happens to the cell becomes its row.

    Parameters
    ----------
    archive : Archive
        Where the cell is.
    row : dict
        Its row of the archive's table.
    settings : SweepSettings
        How the sweeps are chosen, and what is kept of each.
    rheobase_sweep : int, optional
        The rheobase sweep by the archive's own analysis, to compare with.
    measure : bool
        Measure features, because no table has them (needs AllenSDK; without it there are none).

    Raises
    ------
    StsError
        Only when the disk cannot be written.
    """
    row = {key: row.get(key, "") for key in ("cell_id", "label", "dataset", "donor", "split")}
    row |= {"status": "excluded", "reason": "", "detail": ""}
    if rheobase_sweep is not None:
        row["table_rheobase_sweep"] = rheobase_sweep
    seen = np.empty((0, 3))
    try:
        outline = archive.outline(row["cell_id"])
        if outline is not None:
            seen = _seen(outline)
            choose_pair(outline, settings)  # a cell that cannot have both sweeps need not be fetched
        with archive.opened(row["cell_id"]) as recording:
            seen = _seen(recording)
            recording = usable(recording, f"the recording of cell {row['cell_id']}")
            pair, counted = settle(recording, settings)
            seen = _merge(_seen(recording), counted)
            sweeps = np.stack([_prepared(s, settings) for s in (pair.rheobase, pair.partner)])
            judged = judge(pair.partner).packed()
            features = _features(recording, seen) if measure else {}
    except (BadRecording, NoPair) as error:
        row |= {"reason": error.reason, "detail": _line(error)}
        return Outcome(row, np.empty((0, settings.n_samples), np.float32), seen)
    except ParameterError:
        raise
    except StsError as error:
        row |= {"reason": "bad_trace", "detail": _line(error)}
        return Outcome(row, np.empty((0, settings.n_samples), np.float32), seen)
    except OSError as error:
        raise StsError(
            f"cell {row['cell_id']} could not be written: {error.strerror or error}; make room and run again"
        ) from error
    row |= {
        "status": "kept",
        "rheobase_pa": pair.rheobase.stimulus_pa,
        "partner_pa": pair.partner.stimulus_pa,
        "rheobase_sweep": pair.rheobase.number,
        "partner_sweep": pair.partner.number,
        "rheobase_spikes": pair.rheobase.n_spikes,
        "partner_spikes": pair.partner.n_spikes,
        "raw_rate_hz": pair.rheobase.rate_hz,
        "onset_s": pair.rheobase.onset_s,
    }
    if rheobase_sweep is not None:
        row["rheobase_agrees"] = pair.rheobase.number == rheobase_sweep
    return Outcome(row, sweeps, seen, judged, features)


def settle(recording: Recording, settings: SweepSettings) -> tuple[SweepPair, dict[int, int]]:
    """The pair of sweeps, reading as few traces as can be.

    A file's list of spike times says which sweeps are silent; the others are read by rising current until one holds a
    spike. That is the rheobase, whatever the list says. Sweeps that cannot be read are passed over.

    Returns
    -------
    pair : SweepPair
        With both sweeps in memory and their spikes counted.
    counted : dict
        Spikes of each sweep that was read, by sweep number.

    Raises
    ------
    NoPair
        As `stslib.sweeps.choose_pair`.
    """
    counted: dict[int, int] = {}
    settled: list[Sweep] = [s for s in recording.sweeps if not s.stimulus_pa > 0]
    rheobase_pa, fault = math.inf, None
    for sweep in sorted((s for s in recording.sweeps if s.stimulus_pa > 0), key=lambda s: (s.stimulus_pa, s.number)):
        if sweep.n_spikes == 0 or sweep.stimulus_pa > rheobase_pa + _SAME_STEP_PA:
            settled.append(replace(sweep, n_spikes=sweep.n_spikes or 0))
            continue
        try:
            sweep = _counted(sweep)
        except StsError as error:
            fault = _bearable(error)
            continue
        counted[sweep.number] = n_spikes = sweep.n_spikes or 0
        settled.append(sweep)
        if n_spikes and math.isinf(rheobase_pa):
            rheobase_pa = sweep.stimulus_pa
    if fault is not None and not any(s.stimulus_pa > 0 for s in settled):
        raise fault
    while True:
        pair = choose_pair(replace(recording, sweeps=tuple(settled)), settings)
        try:
            partner = _counted(pair.partner)
        except StsError as error:
            _bearable(error)
            # Of an average, any of the sweeps may be the one that fails: all of that current go.
            width_pa = _SAME_STEP_PA if settings.repeats == "average" else 0.0
            gone = {s.number for s in settled if abs(s.stimulus_pa - pair.partner.stimulus_pa) <= width_pa and width_pa}
            settled = [s for s in settled if s.number not in gone | {pair.partner.number}]
            continue
        counted[partner.number] = partner.n_spikes or 0
        return SweepPair(pair.rheobase, partner), counted


def _counted(sweep: Sweep) -> Sweep:
    """The sweep in memory, its spikes counted.

    Raises
    ------
    StsError
        When it cannot be read.
    """
    v_mv, i_pa = sweep.load()
    n_spikes = count_spikes(v_mv, sweep.rate_hz, sweep.onset_s, sweep.duration_s)
    return replace(sweep, n_spikes=n_spikes, reader=partial(_held, v_mv, i_pa))


def _bearable(error: StsError) -> StsError:
    """The fault of one sweep, with which the others may go on; a failed fetch is a fault of the cell."""
    if isinstance(error, BadRecording) and error.reason == "fetch_failed":
        raise error
    return error


def _held(v_mv: np.ndarray, i_pa: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return v_mv, i_pa


def _prepared(sweep: Sweep, settings: SweepSettings) -> np.ndarray:
    """The sweep as it is stored: with its resting potential, which the store's reader may still want."""
    return prepare(sweep, replace(settings, baseline="keep"))


def _features(recording: Recording, seen: np.ndarray) -> dict[str, float]:
    """Features as the published tables define them; empty where they cannot be measured.

    The slope of the f-I curve needs the spikes of every sweep. Where the file does not list them it stays empty, for the
    other traces would have to travel only for it.
    """
    known = {int(number): int(n) for number, _, n in seen if not math.isnan(n)}
    positive = [s for s in recording.sweeps if s.stimulus_pa > 0]
    counted = tuple(replace(s, n_spikes=known[s.number]) for s in positive if s.number in known)
    try:
        row = extract_one(replace(recording, sweeps=counted), passive=False)
    except StsError:
        return {}
    found = {name: float(f"{row[name]:.7g}") for name in MEASURED if math.isfinite(row[name])}
    if len(counted) < len(positive):
        found.pop(TELLING, None)
    return found


def _seen(recording: Recording) -> np.ndarray:
    rows = [
        (s.number, s.stimulus_pa, math.nan if s.n_spikes is None else s.n_spikes)
        for s in sorted(recording.sweeps, key=lambda s: s.number)
    ]
    return np.asarray(rows, float).reshape(-1, 3)


def _merge(seen: np.ndarray, counted: dict[int, int]) -> np.ndarray:
    seen = seen.copy()
    for row in seen:
        row[2] = counted.get(int(row[0]), row[2])
    return seen


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
