"""What every file of sweeps needs: units, the current step in a stimulus, and whether a voltage can be a membrane potential."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stslib.recordings import Recording
from stslib.support.errors import Excluded

#: To mV and to pA. Units as they occur in NWB and ABF files, in lower case.
TO_MV = {"v": 1e3, "volt": 1e3, "volts": 1e3, "mv": 1.0, "millivolt": 1.0, "millivolts": 1.0, "uv": 1e-3}
TO_PA = {**dict.fromkeys(("a", "amp", "amps", "ampere", "amperes"), 1e12), "na": 1e3, "pa": 1.0, "picoamperes": 1.0}

#: Resting potentials that a neuron can have, in mV. Volts read as millivolts, or the other way round, lie far outside.
RESTING_MV = (-130.0, -15.0)
#: Below this rate, in Hz, an action potential is not resolved and a sweep cannot be brought to 4 kHz cleanly.
LOWEST_RATE_HZ = 8000.0
#: Shorter pulses, in s, are test pulses and short squares.
SHORTEST_STEP_S = 0.1
#: Length of a long square, in s (paper, section III-B).
LONG_STEP_S = 1.0

_SMALLEST_STEP_PA = 0.5
_STILL_S = 0.01  # time without any current at the beginning of a stimulus, at least


class BadRecording(Excluded):
    """A recording, or one sweep of it, that cannot be used."""


@dataclass(frozen=True)
class Step:
    """A current step: amplitude in pA above the current before it, start and length in s from the start of the sweep."""

    level_pa: float
    onset_s: float
    duration_s: float


def scale(unit: str, factors: dict[str, float], what: str) -> float:
    """Factor from `unit` to mV or pA (`TO_MV`, `TO_PA`); BadRecording (`wrong_units`) names the series `what`."""
    if (plain := plain_unit(unit)) not in factors:
        raise BadRecording("wrong_units", f"{what} has the unit {unit!r}; it must be one of: {', '.join(factors)}")
    return factors[plain]


def plain_unit(unit: str) -> str:
    """A unit in lower case, with u for micro."""
    return str(unit).strip("\0 ").lower().replace("µ", "u").replace("μ", "u")


def find_step(i_pa: np.ndarray, rate_hz: float) -> Step | None:
    """The longest square step of a stimulus.

    The level is measured from the current at the beginning (a holding current, often 0). Shorter pulses before the step,
    such as a test pulse, are passed over. A recorded current with noise on it is smoothed over 1 ms first.

    None where there is no step of at least 0.1 s, or the longest stimulus is not square (a ramp, noise). `i_pa`: (n_samples,).
    """
    i = np.asarray(i_pa, float)
    i = i[: _last_finite(i)]
    if len(i) < 2:
        return None
    still = i[: max(2, round(_STILL_S * rate_hz))]
    rest, noise = float(np.median(still)), float(np.std(still))
    deviation = i - rest
    if noise > 0:
        deviation = _smooth(deviation, max(1, round(1e-3 * rate_hz)))
        noise = float(np.std(deviation[: len(still)]))
    threshold = max(_SMALLEST_STEP_PA, 5 * noise)
    begin, end = _longest_run(np.abs(deviation) > threshold)
    if end - begin < SHORTEST_STEP_S * rate_hz:
        return None
    level = float(np.median(deviation[begin:end]))
    # With the level known, half of it marks the edges: a smoothed edge crosses half its height where the raw edge is.
    begin, end = _longest_run(deviation * np.sign(level) > abs(level) / 2)
    inside = deviation[begin:end]
    near = np.abs(inside - level) <= max(0.05 * abs(level), 4 * noise, _SMALLEST_STEP_PA)
    if len(inside) < SHORTEST_STEP_S * rate_hz or near.mean() < 0.95:
        return None
    return Step(round(level, 3), begin / rate_hz, (end - begin) / rate_hz)


def recorded(v_mv: np.ndarray, number: int, step: Step, rate_hz: float) -> int:
    """How many samples of `v_mv`, shape (n_samples,), were really recorded; BadRecording (`bad_trace`) if not the whole step.

    An acquisition that is stopped fills the rest of the sweep with NaN, in older files with zeros.
    """
    last = _last_finite(v_mv)
    zeros = last - int(np.flatnonzero(v_mv[:last])[-1]) - 1 if v_mv[:last].any() else last
    if zeros > _STILL_S * rate_hz:
        last -= zeros
    if last < round((step.onset_s + step.duration_s) * rate_hz):
        raise BadRecording("bad_trace", f"sweep {number} was stopped at {last / rate_hz:.3g} s, before its step ended")
    return last


def check_resting(v_mv: np.ndarray, number: int, onset_s: float, rate_hz: float) -> None:
    """Refuse (BadRecording, `wrong_units`) a resting potential that no neuron has: a wrong unit or scale in the file."""
    before = v_mv[max(0, round((onset_s - 0.1) * rate_hz)) : max(1, round(onset_s * rate_hz))]
    before = before[np.isfinite(before)]
    if not len(before):
        return
    resting_mv = float(np.median(before))
    if not RESTING_MV[0] <= resting_mv <= RESTING_MV[1]:
        raise BadRecording(
            "wrong_units",
            f"sweep {number}: the voltage before the step reads {resting_mv:.4g} mV, a resting potential lies between "
            f"{RESTING_MV[0]:g} and {RESTING_MV[1]:g}; correct the unit or the scale in the file",
        )


def usable(recording: Recording, name: str, lowest_rate_hz: float = LOWEST_RATE_HZ) -> Recording:
    """The recording without sweeps below `lowest_rate_hz` or with a step below 1 s; BadRecording when none is left."""
    fast = tuple(s for s in recording.sweeps if s.rate_hz >= lowest_rate_hz)
    if not fast:
        highest = max(s.rate_hz for s in recording.sweeps)
        raise BadRecording(
            "low_rate", f"{name} is sampled at {highest:g} Hz; action potentials need {lowest_rate_hz:g} Hz or more"
        )
    # A long square is one second; the last samples of a step may be lost to rounding.
    long = tuple(s for s in fast if s.duration_s >= 0.99 * LONG_STEP_S)
    if not long:
        longest = max(s.duration_s for s in fast)
        raise BadRecording(
            "short_step", f"the longest current step of {name} is {longest:.3g} s; it must be {LONG_STEP_S:g} s"
        )
    return Recording(recording.cell_id, recording.dataset, recording.kind, long, recording.label)


def _last_finite(x: np.ndarray) -> int:
    """Samples up to and with the last one that is a number."""
    finite = np.flatnonzero(np.isfinite(x))
    return int(finite[-1]) + 1 if len(finite) else 0


def _smooth(x: np.ndarray, width: int) -> np.ndarray:
    """Centred moving average over `width` samples; the ends are held."""
    width |= 1
    padded = np.pad(x, (width // 2 + 1, width // 2), mode="edge")
    total = np.cumsum(padded)
    return (total[width:] - total[:-width]) / width


def _longest_run(active: np.ndarray) -> tuple[int, int]:
    """First sample of the longest stretch of True, and the first after it; the earlier of two equal ones."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], active, [False]]).astype(np.int8)))
    if not len(edges):
        return 0, 0
    starts, stops = edges[::2], edges[1::2]
    longest = int(np.argmax(stops - starts))
    return int(starts[longest]), int(stops[longest])
