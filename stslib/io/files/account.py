"""The account of one file: what became of each of its sweeps, and whether its currents and voltages fit together.

Nothing is believed before the voltage agrees: there is rest before a step, the voltage follows it at once and in its
direction, the input resistance is one that a cell can have, more current gives no fewer spikes.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from scipy.ndimage import uniform_filter1d

from stslib.io.files import traces
from stslib.io.files.traces import BadRecording, RawSweep
from stslib.recordings import Sweep
from stslib.support.errors import StsError, one_line
from stslib.sweeps import spike_times

# Signals are judged at 1 ms a sample; times that are named _MS are such samples.
MAINS_MS, SETTLING_MS = 20, 20  # rest is measured over whole cycles of the mains; after a test pulse
LEAST_REST_MS, SLOWEST_EDGE_MS = 10, 12
JUST_BEFORE_MS = 5  # a spike so shortly before the step may well be the step's
LATEST_RESPONSE_MS = 150  # half of the response must be there
TYPICAL_MV_PER_PA = 0.2  # 200 megohms; a cell has a 30th to 30 times that
#: Of a file whose sweeps have several reasons, the first of these: those sweeps came furthest.
_ORDER = " wrong_units bad_trace low_rate short_step incoherent no_long_square "


incoherent = partial(BadRecording, "incoherent")


@dataclass
class Row:
    """One line of the account: a sweep, and why it cannot be used (`reason` and `detail`, empty where it can)."""

    sweep: int | None = None
    stimulus: str = ""
    reason: str = ""
    detail: str = ""
    current_pa: float = math.nan
    onset_s: float = math.nan
    duration_s: float = math.nan
    rate_hz: float = math.nan
    n_spikes: int | None = None
    rest_mv: float = math.nan


@dataclass
class Account:
    """What became of a file: its sweeps, those that can be used, why it cannot be used, and what to look at."""

    rows: list[Row] = field(default_factory=list)
    sweeps: tuple[Sweep, ...] = ()
    reason: str = ""
    detail: str = ""
    warning: str = ""
    raws: tuple[RawSweep, ...] = ()  # all of them, as they were read

    @property
    def worth(self) -> tuple[bool, bool, int]:
        """By which one reading of a file is better than another: it can be used and fires, can be used, has most sweeps."""
        return not self.reason and any(s.n_spikes for s in self.sweeps), not self.reason, len(self.sweeps)


@dataclass(frozen=True, eq=False)
class Measured:
    """What the voltage of one sweep shows: `trace_mv` from rest, at 1 ms a sample, from the start of the sweep."""

    row: Row
    sweep: Sweep
    trace_mv: np.ndarray
    quiet_ms: int  # without current, before the step ...
    n_before: int  # ... and the spikes in that time
    deflection_mv: float  # late in the step
    clamped: bool  # as square as a command


def account(readings: Iterable[Sequence[RawSweep]], name: str) -> Account:
    """The account of the file `name` by the first of its readings that fits together; by the fullest, where none does.

    `readings` come best first: other channels, or other ways to pair and to time.
    """
    best = Account(reason="no_long_square", detail=f"{name} holds no sweeps")
    others: list[str] = []
    for raws in readings:
        channel, fires = raws[0].channel if raws else "", best.worth[0]
        if fires and channel in (best.raws[0].channel, *others):
            continue
        found = _account(raws, name)
        if fires and found.worth[0]:
            others.append(channel)
        elif not best.rows or found.worth > best.worth:
            best = found
        if best.worth[0] and not channel:  # a file of one cell
            break
    if others:
        words = f"{', '.join(others)} holds another cell, which is left out"
        best.warning = "; ".join(filter(None, [best.warning, words]))
    return best


def _account(raws: Sequence[RawSweep], name: str) -> Account:
    measured, rows = [], []
    for raw in sorted(raws, key=lambda r: r.number):
        rows.append(row := Row(raw.number, raw.stimulus, raw.reason, raw.detail, rate_hz=raw.rate_hz or math.nan))
        if raw.step:
            row.current_pa, row.onset_s, row.duration_s = raw.step.level_pa, raw.step.onset_s, raw.step.duration_s
        try:
            if not raw.reason:
                measured.append(_measure(raw, row))
        except StsError as error:
            row.reason, row.detail = getattr(error, "reason", "bad_trace"), str(error)
        except Exception as error:  # of a damaged sweep, whatever a library raises
            row.reason, row.detail = "bad_trace", f"sweep {raw.number} cannot be read: {one_line(error)}"
    found = Account(rows, raws=tuple(raws))
    try:
        found.warning = "; ".join(_check(measured, rows))
    except BadRecording as error:
        found.reason, found.detail = error.reason, f"{name}: {error}"
    found.sweeps = tuple(replace(m.sweep, n_spikes=m.row.n_spikes) for m in measured if not m.row.reason)
    if not found.sweeps and not found.reason:
        furthest = min(rows, key=lambda row: _ORDER.find(f" {row.reason} "), default=Row(reason="no_long_square"))
        found.reason, found.detail = (
            furthest.reason,
            f"{name}: none of its {len(rows)} sweeps can be used; {furthest.detail}",
        )
    return found


def _measure(raw: RawSweep, row: Row) -> Measured:
    """Spikes, rest and response of one sweep, filled into its row; BadRecording where it cannot be used."""
    assert raw.reader is not None
    sweep = raw.sweep()
    if not sweep.rate_hz >= traces.LOWEST_RATE_HZ:
        words = f"{sweep.rate_hz:g} Hz; action potentials need {traces.LOWEST_RATE_HZ:g} Hz or more"
        raise BadRecording("low_rate", f"it is sampled at {words}")
    if sweep.onset_s < LEAST_REST_MS / 1000:
        raise BadRecording("short_step", "it begins with its step: there is no rest before it")
    if sweep.duration_s < 0.99 * traces.LONG_STEP_S:
        traces.check_end(raw.reader()[0], raw.number, raw.rate_hz)
        must = f"it must be {traces.LONG_STEP_S:g} s"
        raise BadRecording("short_step", f"the longest current step is {sweep.duration_s:.3g} s; {must}")
    v_mv, i_pa = sweep.load()
    v, i = (_binned(x, sweep.rate_hz) for x in (v_mv, i_pa))
    on, off = round(1000 * sweep.onset_s), round(1000 * (sweep.onset_s + sweep.duration_s))
    start = _quiet_from(i[:on], float(np.median(i[on:off])) - sweep.stimulus_pa, abs(sweep.stimulus_pa))
    if on - start < LEAST_REST_MS:
        raise BadRecording("short_step", "there is no rest between the pulse before it and its step")
    cycles = min((on - start) // MAINS_MS, 5)
    row.rest_mv = rest_mv = round(float(np.median(v[on - cycles * MAINS_MS if cycles else start : on])), 2)
    row.n_spikes = len(spike_times(v_mv, sweep.rate_hz, sweep.onset_s, sweep.duration_s))
    quiet_ms = max(on - start - JUST_BEFORE_MS, 0)
    n_before = len(spike_times(v_mv, sweep.rate_hz, start / 1000, quiet_ms / 1000))
    late = (v - rest_mv)[on + (off - on) // 5 : off]
    deflection_mv, rise_mv = float(np.median(late)), float(np.median(v[on + 2 : on + 5])) - rest_mv
    square = abs(deflection_mv) >= 5 and float(np.std(late)) < 0.03 * abs(deflection_mv)
    clamped = square and rise_mv / deflection_mv > 0.9
    return Measured(row, sweep, v - rest_mv, quiet_ms, n_before, deflection_mv, clamped)


def _quiet_from(i_pa: np.ndarray, rest_pa: float, level_pa: float) -> int:
    """From which millisecond on only the resting current flows before a step; after a pulse, the voltage settles first."""
    away, least_pa = np.abs(i_pa - rest_pa), 0.05 * level_pa
    if traces.is_recorded(i_pa):  # noise and hum are no pulse
        away, least_pa = np.abs(uniform_filter1d(i_pa - rest_pa, MAINS_MS)), 0.5 * level_pa
    still = np.flatnonzero(away <= least_pa)
    if not len(still) or len(i_pa) - still[-1] > SLOWEST_EDGE_MS:
        return len(i_pa)
    pulses = np.flatnonzero(away[: still[-1]] > least_pa)
    return int(pulses[-1]) + 1 + SETTLING_MS if len(pulses) else 0


def _binned(x: np.ndarray, rate_hz: float) -> np.ndarray:
    """A signal at 1 ms a sample, each the mean of its millisecond."""
    edges = np.round(np.arange(int(1000 * len(x) / rate_hz) + 1) * rate_hz / 1000).astype(np.intp)
    return np.add.reduceat(np.asarray(x, float), edges[:-1]) / np.diff(edges) if len(edges) > 1 else np.zeros(0)


def _check(measured: list[Measured], rows: list[Row]) -> list[str]:
    """What to look at in a file; BadRecording where its sweeps do not fit together. Single sweeps get their own reason."""
    strongest_pa = max((abs(m.sweep.stimulus_pa) for m in measured), default=0.0)
    if not strongest_pa:
        return []
    square = [m for m in measured if abs(m.deflection_mv) >= 5]
    if len(square) > 1 and sum(m.clamped for m in square) > 0.6 * len(square):
        raise BadRecording("no_long_square", "voltage clamp: its voltage follows the command, not a membrane")
    large = [m for m in measured if abs(m.sweep.stimulus_pa) >= 0.2 * strongest_pa]
    silent = [m for m in large if not m.row.n_spikes] or large
    mv_per_pa = float(np.median([m.deflection_mv / m.sweep.stimulus_pa for m in silent]))
    _check_scale(mv_per_pa, max(abs(m.deflection_mv) for m in large))
    _check_times(large)
    _check_sweeps(large, mv_per_pa)
    good = [m for m in measured if not m.row.reason]
    return _check_silence(good) + _check_firing(good, rows)


def _check_scale(mv_per_pa: float, largest_mv: float) -> None:
    thousands = round(math.log10(mv_per_pa / TYPICAL_MV_PER_PA) / 3) if mv_per_pa > 0 and largest_mv >= 2 else 0
    if thousands:
        words = f"{1000.0 ** abs(thousands):g} times too {'small' if thousands > 0 else 'large'}"
        resistance = f"the input resistance would be {1000 * mv_per_pa:.3g} megohms"
        raise BadRecording(
            "wrong_units", f"its currents look {words}: {resistance}; correct the unit or scale in the file"
        )


def _check_times(measured: list[Measured]) -> None:
    """The voltage stands still before the step and moves with it, in the mean over sweeps (from 0.5 s before it to 0.98 s)."""
    at, aligned = np.arange(-500, 980), np.full((len(measured), 1480), np.nan)
    for m, trace in zip(measured, aligned, strict=True):
        place = at + round(1000 * m.sweep.onset_s)
        known = (place >= 0) & (place < len(m.trace_mv)) & (at >= -m.quiet_ms - JUST_BEFORE_MS)
        trace[known] = m.trace_mv[place[known]] * np.sign(m.sweep.stimulus_pa)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of milliseconds that no sweep has
        mean = np.nanmedian(aligned, axis=0)
    before, after = mean[:500][np.isfinite(mean[:500])], mean[500:]
    plateau_mv = float(np.nanmedian(mean[1000:]))
    if plateau_mv < 1:
        if plateau_mv < 0.2 and any(m.row.n_spikes for m in measured):
            raise incoherent("the voltage does not follow the current; which step belongs to which sweep?")
        return
    early_mv = [np.median(before[: max(len(before) // 2, 1)]), np.median(before[-10:])] if len(before) else [0.0]
    if max(np.abs(early_mv)) > 0.4 * plateau_mv:
        raise incoherent("the voltage moves before the current does; their times do not fit together")
    # A membrane is charged from the first millisecond on; what waits and then moves fast has another time.
    half, first = (np.flatnonzero(after > part * plateau_mv) for part in (0.5, 0.15))
    if not len(half) or half[0] > LATEST_RESPONSE_MS or first[0] > max(0.5 * half[0], 10):
        late = f" {first[0]} ms" if len(first) else ""
        raise incoherent(f"the voltage moves{late} after the current does; their times do not fit together")


def _check_sweeps(measured: list[Measured], mv_per_pa: float) -> None:
    """A sweep whose voltage goes the other way, or not at all, is left out; where that is common, so is the file."""
    wrong = [m for m in measured if m.deflection_mv * m.sweep.stimulus_pa < 0 and abs(m.deflection_mv) > 1]
    if len(wrong) > max(0.25 * len(measured), 1) or len(wrong) == len(measured):
        moves = f"a current of {wrong[0].sweep.stimulus_pa:g} pA moves the voltage by {wrong[0].deflection_mv:.3g} mV"
        share = f"({len(wrong)} of {len(measured)} sweeps go the wrong way)"
        raise incoherent(f"{moves} {share}: its sign or its sweep is wrong")
    for m in measured:
        expected_mv = mv_per_pa * abs(m.sweep.stimulus_pa)
        if m in wrong or (not m.row.n_spikes and max(10 * abs(m.deflection_mv), 4) < expected_mv):
            words = f"its voltage moves by {m.deflection_mv:.3g} mV, with its current by some {expected_mv:.3g} mV"
            m.row.reason, m.row.detail = "incoherent", words


def _check_silence(measured: list[Measured]) -> list[str]:
    """Before the step a cell does not fire."""
    if not (firing := [m for m in measured if m.n_before]):
        return []
    rate_hz = 1000 * sum(m.n_before for m in firing) / sum(m.quiet_ms for m in measured)
    words = f"{len(firing)} of {len(measured)} sweeps fire before their step ({rate_hz:.2g} spikes a second)"
    if len(firing) > max(1, 0.2 * len(measured)) and rate_hz > 0.5:
        raise BadRecording("fires_by_itself", f"{words}: a cell that fires by itself has no rheobase")
    return [words]


def _check_firing(measured: list[Measured], rows: list[Row]) -> list[str]:
    """More current gives no fewer spikes, and no sweep is lost where the rheobase may have been."""
    counts: dict[float, int] = {}
    for m in measured:
        pa = next((c for c in counts if abs(c - m.sweep.stimulus_pa) <= 0.5), m.sweep.stimulus_pa)
        counts[pa] = max(counts.get(pa, 0), m.row.n_spikes or 0)
    firing = sorted(pa for pa, n in counts.items() if n and pa > 0)
    if not firing:
        return []
    remarks, lowest_pa = [], firing[0]
    if silent := [pa for pa, n in sorted(counts.items()) if not n and pa > lowest_pa]:
        words = f"it fires at {lowest_pa:g} pA and not at {', '.join(f'{pa:g}' for pa in silent[:3])} pA"
        if silent[-1] >= lowest_pa + 30 or len(silent) > 2:
            raise incoherent(f"{words}; are its sweeps and currents paired rightly?")
        remarks.append(words)
    if fewer := [pa for pa in firing if pa <= lowest_pa + 60 and counts[pa] < counts[lowest_pa]]:
        remarks.append(
            f"it fires less at {fewer[0]:g} pA ({counts[fewer[0]]}) than at {lowest_pa:g} pA ({counts[lowest_pa]})"
        )
    highest_silent_pa = max((pa for pa, n in counts.items() if not n and pa < lowest_pa), default=0.0)
    for row in rows:
        pa = row.current_pa if math.isfinite(row.current_pa) else _between(row, rows)
        too_short = row.reason == "short_step" and row.duration_s < 0.99 * traces.LONG_STEP_S
        lost = row.reason not in ("", "no_long_square", "low_rate") and not too_short
        if lost and highest_silent_pa + 0.5 < pa < lowest_pa - 0.5:
            words = f"sweep {row.sweep} ({pa:g} pA), below the lowest current that fires, cannot be used"
            if counts[lowest_pa] > 1:  # at less current, it may well have fired
                raise BadRecording("uncertain_rheobase", f"{words} ({row.detail}), so the rheobase is not known")
            remarks.append(words)
    return remarks


def _between(row: Row, rows: list[Row]) -> float:
    """The current that a sweep without one has most likely had, from its neighbours'; NaN at the ends of a file."""
    known = [k for k, other in enumerate(rows) if math.isfinite(other.current_pa)]
    currents_pa = [rows[k].current_pa for k in known]
    return float(np.interp(rows.index(row), known, currents_pa, math.nan, math.nan)) if known else math.nan
