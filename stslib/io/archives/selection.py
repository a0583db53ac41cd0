"""One cell of an archive: fetched, its two sweeps chosen with as few traces read as can be, and brought to one form."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from stslib.io.archives.archive import Archive
from stslib.io.archives.fetched import COMPLETE, FetchedCell
from stslib.io.files.traces import BadRecording, usable
from stslib.recordings import Recording, Sweep
from stslib.support.errors import Excluded, ParameterError, StsError
from stslib.sweeps import SweepPair, SweepSettings, choose_pair, prepare, spike_times, sweep_quality

#: Measures features of a recording whose spikes are counted; NaN where it does not allow one.
Measure = Callable[[Recording], Mapping[str, float]]
_SAME_STEP_PA = 0.5


def fetch_cell(
    archive: Archive,
    row: dict[str, Any],
    settings: SweepSettings,
    rheobase_sweep: int | None = None,
    measure: Measure | None = None,
) -> FetchedCell:
    """Fetch one cell, choose its two sweeps and bring them to one form. Every cell is accounted for.

    `row` is the cell's row of the archive's table, `rheobase_sweep` the one by the archive's own analysis, to compare with;
    `measure` measures the features, where no table has them. The sweeps keep their resting potential, whatever `settings`
    say. StsError only when the disk cannot be written.
    """
    row = {key: row.get(key, "") for key in ("cell_id", "label", "dataset", "donor", "split")}
    row |= {"status": "excluded", "reason": "", "detail": ""}
    if rheobase_sweep is not None:
        row["table_rheobase_sweep"] = rheobase_sweep
    long_squares = np.empty((0, 3))
    try:
        outline = archive.outline(row["cell_id"])
        if outline is not None:
            long_squares = _long_squares(outline)
            choose_pair(outline, settings)  # a cell that cannot have both sweeps need not be fetched
        with archive.opened(row["cell_id"]) as recording:
            long_squares = _long_squares(recording)
            recording = usable(recording, f"the recording of cell {row['cell_id']}")
            pair, counted = choose_unread(recording, settings)
            long_squares = _long_squares(recording, counted)
            stored = replace(settings, baseline="keep")
            sweeps = np.stack([prepare(sweep, stored) for sweep in (pair.rheobase, pair.partner)])
            resampling = sweep_quality(pair.partner).astype(np.float32)
            features = _features(recording, long_squares, measure) if measure else {}
    except ParameterError:
        raise
    except StsError as error:
        reason = error.reason if isinstance(error, Excluded) else "bad_trace"
        row |= {"reason": reason, "detail": " ".join(str(error).split())}
        return FetchedCell(row, np.empty((0, settings.n_samples), np.float32), long_squares)
    except OSError as error:
        why = error.strerror or error
        raise StsError(f"cell {row['cell_id']} could not be written: {why}; make room and run again") from error
    row |= {"status": "kept", "raw_rate_hz": pair.rheobase.rate_hz, "onset_s": pair.rheobase.onset_s}
    for name, sweep in (("rheobase", pair.rheobase), ("partner", pair.partner)):
        row |= {f"{name}_pa": sweep.stimulus_pa, f"{name}_sweep": sweep.number, f"{name}_spikes": sweep.n_spikes}
    if rheobase_sweep is not None:
        row["rheobase_agrees"] = pair.rheobase.number == rheobase_sweep
    return FetchedCell(row, sweeps, long_squares, resampling, features)


def choose_unread(recording: Recording, settings: SweepSettings) -> tuple[SweepPair, dict[int, int]]:
    """The pair of sweeps, reading as few traces as can be.

    A file's list of spike times says which sweeps are silent; the others are read by rising current until one holds a
    spike. That is the rheobase, also where the list disagrees. Sweeps that cannot be read are passed over.

    Returns the pair, both sweeps in memory and their spikes counted, and the spikes of each sweep that was read, by sweep
    number. NoPair as `stslib.sweeps.choose_pair`.
    """
    counted: dict[int, int] = {}
    known: list[Sweep] = [s for s in recording.sweeps if not s.stimulus_pa > 0]
    rheobase_pa, fault = math.inf, None
    for sweep in sorted((s for s in recording.sweeps if s.stimulus_pa > 0), key=lambda s: (s.stimulus_pa, s.number)):
        if sweep.n_spikes == 0 or sweep.stimulus_pa > rheobase_pa + _SAME_STEP_PA:
            known.append(replace(sweep, n_spikes=sweep.n_spikes or 0))
            continue
        try:
            sweep = _counted(sweep)
        except StsError as error:
            fault = _of_one_sweep(error)
            continue
        counted[sweep.number] = n_spikes = sweep.n_spikes or 0
        known.append(sweep)
        if n_spikes and math.isinf(rheobase_pa):
            rheobase_pa = sweep.stimulus_pa
    if fault is not None and not any(s.stimulus_pa > 0 for s in known):
        raise fault
    while True:
        pair = choose_pair(replace(recording, sweeps=tuple(known)), settings)
        try:
            partner = _counted(pair.partner)
        except StsError as error:
            _of_one_sweep(error)
            # Of an average, any of the sweeps may be the one that fails: all of that current are removed.
            width_pa = _SAME_STEP_PA if settings.repeats == "average" else 0.0
            gone = {s.number for s in known if abs(s.stimulus_pa - pair.partner.stimulus_pa) <= width_pa and width_pa}
            known = [s for s in known if s.number not in gone | {pair.partner.number}]
            continue
        counted[partner.number] = partner.n_spikes or 0
        return SweepPair(pair.rheobase, partner), counted


def _counted(sweep: Sweep) -> Sweep:
    """The sweep in memory, its spikes counted; StsError when it cannot be read."""
    v_mv, i_pa = sweep.load()
    n_spikes = len(spike_times(v_mv, sweep.rate_hz, sweep.onset_s, sweep.duration_s))
    return replace(sweep, n_spikes=n_spikes, reader=partial(_in_memory, v_mv, i_pa))


def _in_memory(v_mv: np.ndarray, i_pa: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return v_mv, i_pa


def _of_one_sweep(error: StsError) -> StsError:
    """The fault of one sweep, with which the others may go on; a failed fetch is a fault of the cell and is raised."""
    if isinstance(error, BadRecording) and error.reason == "fetch_failed":
        raise error
    return error


def _features(recording: Recording, long_squares: np.ndarray, measure: Measure) -> dict[str, float]:
    """Features as the published tables define them; empty where they cannot be measured.

    The slope of the f-I curve needs the spikes of every sweep. Where the file does not list them it stays empty, for the
    other traces would have to be transferred only for it.
    """
    known = {int(number): int(n) for number, _, n in long_squares if not math.isnan(n)}
    positive = [s for s in recording.sweeps if s.stimulus_pa > 0]
    counted = tuple(replace(s, n_spikes=known[s.number]) for s in positive if s.number in known)
    try:
        measured = measure(replace(recording, sweeps=counted))
    except StsError:
        return {}
    features = {name: float(f"{value:.7g}") for name, value in measured.items()}
    if len(counted) < len(positive) and COMPLETE in features:
        features[COMPLETE] = math.nan
    return features


def _long_squares(recording: Recording, counted: Mapping[int, int] | None = None) -> np.ndarray:
    """Number, amplitude in pA and spikes (NaN: not counted) of each sweep, `(n, 3)`; `counted` ones come first."""
    rows = []
    for sweep in sorted(recording.sweeps, key=lambda s: s.number):
        n_spikes = (counted or {}).get(sweep.number, sweep.n_spikes)
        rows.append((sweep.number, sweep.stimulus_pa, math.nan if n_spikes is None else n_spikes))
    return np.asarray(rows, float).reshape(-1, 3)
