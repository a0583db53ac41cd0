"""Which sweeps of a cell: the one at its rheobase and the one 40 pA above it (paper, section III-B)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy.signal import find_peaks

from stslib import cohort
from stslib.recordings import Recording, Sweep
from stslib.support.errors import Excluded, StsError
from stslib.sweeps.resampling import fast_enough
from stslib.sweeps.settings import SweepSettings

# Why a cell has no such sweeps, and the meaning: some of `stslib.cohort.REASONS`.
_CODES = "no_long_square low_rate short_step bad_trace no_spiking_sweep no_partner_sweep no_action_potential"
REASONS = {code: cohort.REASONS[code] for code in _CODES.split()}

# A spike rises and falls by this much within 10 ms, at its fastest by this much (IPFX's default criterion), and is this
# wide at half of its height. An artefact is shorter, a jump over an unbalanced electrode does not return.
SPIKE_HEIGHT_MV, SPIKE_UPSTROKE_MV_PER_MS, SPIKE_WIDTH_S, SPIKE_REACH_S = 15.0, 20.0, (1e-4, 6e-3), 0.01
_DETECTION_HZ = 20_000.0  # faster sweeps are averaged down to this, or slightly above
_EARLIEST_S = 5e-4  # after the onset: what rises sooner is the current's own artefact
_SAME_STEP_PA = 0.5  # amplitudes closer than this are repeats of one step


class NoPair(Excluded):
    """A cell without the wanted sweeps; `reason` is one of `REASONS`."""


class SweepPair(NamedTuple):
    """The sweep at the rheobase and its partner at a fixed current above it."""

    rheobase: Sweep
    partner: Sweep


def spike_times(v_mv: np.ndarray, rate_hz: float, onset_s: float, duration_s: float) -> np.ndarray:
    """Times of the action potentials during the step, `(n_spikes,)` in s from its onset: when each rises fastest.

    They are found by their shape alone (see `SPIKE_HEIGHT_MV`), so that neither an offset of the potential nor an unbalanced
    electrode makes or hides one.
    """
    start = max(round((onset_s - SPIKE_REACH_S) * rate_hz), 0)
    v = np.asarray(v_mv[start : round((onset_s + duration_s + SPIKE_REACH_S) * rate_hz)], float)
    block = max(1, int(rate_hz / _DETECTION_HZ))
    v = v[: len(v) // block * block].reshape(-1, block).mean(axis=1)
    rate_hz /= block
    lag, rise = max(1, round(1e-4 * rate_hz)), round(3e-3 * rate_hz)
    if len(v) <= lag:
        return np.empty(0)
    slope = (v[lag:] - v[:-lag]) * rate_hz / 1000 / lag
    if not (slope >= SPIKE_UPSTROKE_MV_PER_MS).any():
        return np.empty(0)
    width = (max(SPIKE_WIDTH_S[0] * rate_hz, 1.15), SPIKE_WIDTH_S[1] * rate_hz)
    reach = 2 * round(SPIKE_REACH_S * rate_hz) + 1
    high = float(v.min()) + SPIKE_HEIGHT_MV  # lower ones need not be looked at
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of peaks that are none
        peaks, _ = find_peaks(v, height=high, prominence=SPIKE_HEIGHT_MV, wlen=reach, width=width)
    # Its own rise starts after the peak before it: a bump on the way down has none, two spikes in 3 ms have one each.
    starts = np.maximum(peaks - rise, np.r_[0, peaks[:-1]])
    steepest = [lo + int(np.argmax(slope[lo:peak])) for lo, peak in zip(starts, peaks, strict=True) if lo < peak]
    fast = np.array([k for k in steepest if slope[k] >= SPIKE_UPSTROKE_MV_PER_MS], int)
    times = (fast + lag / 2) / rate_hz + start * (1 / (rate_hz * block)) - onset_s
    return times[(times >= _EARLIEST_S) & (times < duration_s - 0.6 * lag / rate_hz)]


def counted(sweep: Sweep) -> Sweep:
    """The sweep with its number of spikes, which is counted from the voltage where the source does not state it."""
    if sweep.n_spikes is not None:
        return sweep
    times_s = spike_times(sweep.load()[0], sweep.rate_hz, sweep.onset_s, sweep.duration_s)
    return replace(sweep, n_spikes=len(times_s))


def counted_if_readable(sweep: Sweep) -> Sweep:
    """The sweep with its spikes counted, as it is where it cannot be read or has no current to fire at."""
    try:
        return counted(sweep) if sweep.stimulus_pa > 0 else sweep
    except StsError:
        return sweep


def choose_pair(recording: Recording, settings: SweepSettings = SweepSettings()) -> SweepPair:
    """The rheobase sweep of a cell and its partner: `choose_sweeps` for two sweeps."""
    return SweepPair(*choose_sweeps(recording, replace(settings, n_sweeps=2)))


def choose_sweeps(recording: Recording, settings: SweepSettings = SweepSettings()) -> tuple[Sweep, ...]:
    """The rheobase sweep of a cell and its partner `offset_pa` above it (paper, section III-B), their spikes counted.

    The rheobase is the lowest current above 0 pA with a spike, the partner the sweep nearest to `offset_pa` above it
    (the lower of two equally near), a third one as much higher again. `NoPair` when the cell has no such sweeps.
    """

    def refuse(reason: str, detail: str) -> NoPair:
        return NoPair(reason, f"cell {recording.cell_id} is excluded: {detail} ({reason})")

    single = settings.step_s == 0  # action potentials have no step; their onset is the peak
    sweeps = [s for s in recording.sweeps if (s.duration_s == 0 if single else s.stimulus_pa > 0)]
    if not sweeps:
        reason = "no_action_potential" if single else "no_long_square"
        raise refuse(reason, REASONS[reason])
    fastest_hz = max(s.rate_hz for s in sweeps)
    if not (sweeps := [s for s in sweeps if fast_enough(s.rate_hz, settings.rate_hz)]):
        raise refuse("low_rate", f"its sampling rate is {fastest_hz:g} Hz, below {settings.rate_hz:g} Hz")
    if single:
        return (sweeps[0],)
    longest_s = max(s.duration_s for s in sweeps)
    if not (sweeps := [s for s in sweeps if s.duration_s >= 0.99 * settings.step_s]):
        raise refuse("short_step", f"its longest step is {longest_s:g} s, below {settings.step_s:g} s")
    readable = [s for s in map(counted_if_readable, sweeps) if s.n_spikes is not None]
    readable.sort(key=lambda s: (s.stimulus_pa, s.number))
    if not readable:
        raise refuse("bad_trace", "none of its voltage traces can be read")
    if not (spiking := [s for s in readable if s.n_spikes]):
        raise refuse("no_spiking_sweep", f"no spike in {len(readable)} sweeps up to {readable[-1].stimulus_pa:g} pA")
    rheobase_pa = spiking[0].stimulus_pa
    chosen = [_at_current(spiking, rheobase_pa, settings.repeats)]
    for above in range(1, settings.n_sweeps):
        wanted_pa, tolerance_pa = rheobase_pa + above * settings.offset_pa, settings.tolerance_pa
        partners = [s for s in readable if abs(s.stimulus_pa - wanted_pa) <= tolerance_pa + 1e-9]
        if not partners:
            detail = f"rheobase {rheobase_pa:g} pA, no sweep within {tolerance_pa:g} of {wanted_pa:g} pA"
            raise refuse("no_partner_sweep", detail)
        nearest_pa = min((s.stimulus_pa for s in partners), key=lambda pa: (round(abs(pa - wanted_pa), 6), pa))
        chosen.append(_at_current(partners, nearest_pa, settings.repeats))
    return tuple(chosen)


def _at_current(sweeps: Sequence[Sweep], stimulus_pa: float, repeats: str) -> Sweep:
    """The first of the sweeps at `stimulus_pa`, or their average."""
    same = [s for s in sweeps if abs(s.stimulus_pa - stimulus_pa) <= _SAME_STEP_PA]
    first = min(same, key=lambda s: s.number)
    same = [s for s in same if (s.rate_hz, s.onset_s) == (first.rate_hz, first.onset_s)]
    if repeats == "first" or len(same) == 1:
        return first
    mean_spikes = round(float(np.mean([s.n_spikes for s in same])))
    return replace(first, reader=partial(_average, same), n_spikes=mean_spikes)


def _average(sweeps: Sequence[Sweep]) -> tuple[np.ndarray, np.ndarray]:
    loaded = [sweep.load() for sweep in sweeps]
    length = min(len(v_mv) for v_mv, _ in loaded)
    v_mv, i_pa = (np.mean([np.asarray(one[k][:length], float) for one in loaded], axis=0) for k in (0, 1))
    return v_mv, i_pa
