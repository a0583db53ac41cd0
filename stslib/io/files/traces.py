"""What every file of sweeps needs: units, a sweep as it is in the file, and whether a voltage can be a membrane potential."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from stslib.recordings import Recording, Sweep
from stslib.support.errors import Excluded

_PREFIXES = {"": 1.0, "milli": 1e-3, "micro": 1e-6, "nano": 1e-9, "pico": 1e-12, "femto": 1e-15}
_SCALES = _PREFIXES | {"m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15}
#: To mV and to pA: units as people write them, in lower case, without spaces and accents, with u for micro.
TO_MV = {p + name: 1e3 * factor for p, factor in _SCALES.items() for name in ("v", "volt", "volts")}
TO_PA = {p + name: 1e12 * factor for p, factor in _SCALES.items() for name in ("a", "amp", "amps", "ampere", "amperes")}

#: Resting potentials that a neuron can have, in mV. Volts read as millivolts, or the other way round, lie far outside.
RESTING_MV = (-130.0, -15.0)
#: Below this rate, in Hz, an action potential is not resolved and a sweep cannot be brought to 4 kHz cleanly.
LOWEST_RATE_HZ = 8000.0
#: Length of a long square, in s (paper, section III-B).
LONG_STEP_S = 1.0

_STILL_S = 0.01  # a voltage that stays zero for longer was not recorded

Reader = Callable[[], tuple[np.ndarray, np.ndarray]]


class BadRecording(Excluded):
    """A recording, or one sweep of it, that cannot be used."""


@dataclass(frozen=True)
class Step:
    """A current step: amplitude in pA above the current before it, start and length in s from the start of the sweep."""

    level_pa: float
    onset_s: float
    duration_s: float

    def shape(self, n_samples: int, rate_hz: float) -> np.ndarray:
        """The step as a current `(n_samples,)` in pA."""
        t_s = np.arange(n_samples) / rate_hz - self.onset_s + 0.5 / rate_hz
        return np.where((t_s >= 0) & (t_s < self.duration_s), self.level_pa, 0.0)


@dataclass(frozen=True)
class RawSweep:
    """One sweep as a file holds it, before anything of it is believed.

    `stimulus` is its name or description; `reader` gives `(v_mv, i_pa)` on the time base of the voltage, unchecked. Without
    a step or a reader, `reason` and `detail` say why.
    """

    number: int
    stimulus: str = ""
    rate_hz: float = 0.0
    step: Step | None = None
    reader: Reader | None = None
    reason: str = ""
    detail: str = ""
    n_spikes: int | None = None
    channel: str = ""  # where a file records several voltages

    def without(self, reason: str, detail: str) -> RawSweep:
        """The sweep with the reason why it cannot be used; an earlier reason stays."""
        return replace(self, reason=self.reason or reason, detail=self.detail or detail)

    def sweep(self) -> Sweep:
        """The sweep, its voltage checked and cut to what was recorded when it is read."""
        assert self.step is not None and self.reader is not None
        reader = partial(_checked, self.reader, self.number, self.step, self.rate_hz)
        step = self.step
        return Sweep(self.number, step.level_pa, step.onset_s, step.duration_s, self.rate_hz, reader, self.n_spikes)


def _checked(reader: Reader, number: int, step: Step, rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    v_mv, i_pa = reader()
    check_resting(v_mv, number, step.onset_s, rate_hz)
    length = min(recorded(v_mv, number, step, rate_hz), len(i_pa))
    return v_mv[:length], i_pa[:length]


def scale(unit: str, factors: dict[str, float], what: str) -> float:
    """Factor from `unit` to mV or pA (`TO_MV`, `TO_PA`); BadRecording (`wrong_units`) names the series `what`."""
    if (plain := plain_unit(unit)) not in factors:
        example = "V or mV" if factors is TO_MV else "A, nA or pA"
        raise BadRecording("wrong_units", f"{what} has the unit {unit!r}; it must be one such as {example}")
    return factors[plain]


def text_of(value: bytes) -> str:
    """Text of bytes, which rigs write in UTF-8 or Latin-1, filled up with NUL bytes."""
    try:
        return value.decode("utf-8").strip("\0 ")
    except UnicodeDecodeError:
        return value.decode("latin-1").strip("\0 ")


def plain_unit(unit: str) -> str:
    """A unit in lower case, without accents, spaces, NUL bytes and brackets, with u for micro."""
    text = unicodedata.normalize("NFKD", str(unit).replace("µ", "u").replace("μ", "u"))
    return "".join(c for c in text.lower() if c.isascii() and c.isalpha())


def recorded(v_mv: np.ndarray, number: int, step: Step, rate_hz: float) -> int:
    """How many samples of `v_mv` (n_samples,) were really recorded; BadRecording (`bad_trace`) if not the whole step."""
    last = _recorded(v_mv, rate_hz)
    if last < round((step.onset_s + step.duration_s) * rate_hz) - 1:
        raise BadRecording("bad_trace", f"sweep {number} was stopped at {last / rate_hz:.3g} s, before its step ended")
    return last


def check_end(v_mv: np.ndarray, number: int, rate_hz: float) -> None:
    """Refuse (BadRecording, `bad_trace`) a sweep that was stopped, together with its stimulus."""
    if len(v_mv) - (last := _recorded(v_mv, rate_hz)) > _STILL_S * rate_hz:
        raise BadRecording("bad_trace", f"sweep {number} was stopped at {last / rate_hz:.3g} s, during its step")


def _recorded(v_mv: np.ndarray, rate_hz: float) -> int:
    """Recorded samples: an acquisition that is stopped fills the rest of the sweep with NaN, in older files with zeros."""
    last = last_finite(v_mv)
    zeros = last - int(np.flatnonzero(v_mv[:last])[-1]) - 1 if v_mv[:last].any() else last
    return last - zeros if zeros > _STILL_S * rate_hz else last


def check_resting(v_mv: np.ndarray, number: int, onset_s: float, rate_hz: float) -> None:
    """Refuse (BadRecording, `wrong_units`) a resting potential that no neuron has: a wrong unit or scale in the file."""
    before = v_mv[max(0, round((onset_s - 0.1) * rate_hz)) : max(1, round(onset_s * rate_hz))]
    before = before[np.isfinite(before)]
    if not len(before):
        return
    resting_mv = float(np.median(before))
    if not RESTING_MV[0] <= resting_mv <= RESTING_MV[1]:
        likely = [f for f in (1000, 100, 10, 0.1, 0.01, 0.001) if -100 <= resting_mv / f <= -40]
        words = "too large" if likely and likely[0] > 1 else "too small"
        hint = f"it looks {max(likely[0], 1 / likely[0]):g} times {words}; " if likely else ""
        raise BadRecording(
            "wrong_units",
            f"sweep {number}: the voltage before the step reads {resting_mv:.4g} mV, a resting potential lies between "
            f"{RESTING_MV[0]:g} and {RESTING_MV[1]:g}; {hint}correct the unit or the scale in the file",
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


def last_finite(x: np.ndarray) -> int:
    """Samples up to and with the last one that is a number."""
    finite = np.flatnonzero(np.isfinite(x))
    return int(finite[-1]) + 1 if len(finite) else 0


def is_recorded(i_pa: np.ndarray) -> bool:
    """Whether a current was recorded, with noise and hum: few samples are the same as the one before, as a command's are."""
    return bool(np.mean(np.diff(i_pa) == 0) < 0.5)
