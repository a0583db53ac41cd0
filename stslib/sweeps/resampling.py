"""From a raw sweep to 4,800 samples at 4 kHz: 0.1 s, its own step of 1 s, and 0.1 s (paper, section III-B)."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.signal import firwin, kaiserord, resample_poly

from stslib.recordings import Sweep
from stslib.support.errors import ParameterError, StsError
from stslib.sweeps.settings import SweepSettings

REST_S = 0.1  # the resting potential is the mean of this time before the step, or of all that is kept before it
TRANSITION = 0.2  # the anti-aliasing filter falls over the last 20 % below the new Nyquist frequency


class Prepared(NamedTuple):
    """A prepared sweep, the time in s for which its first or last value had to be held, and its baseline in mV."""

    v_mv: np.ndarray
    padded_s: float
    rest_mv: float


def prepare(sweep: Sweep, settings: SweepSettings = SweepSettings()) -> np.ndarray:
    """Crop a sweep around its own step and resample it: `(n_samples,)` float32 in mV, 4,800 samples by default.

    A linear-phase FIR filter, flat to 80 % of the new Nyquist frequency and 80 dB down at it, moves no spike. Beyond
    the recording its first or last value is held; a sweep that ends within its step is refused (`StsError`).
    """
    return prepare_with_metadata(sweep, settings).v_mv


def prepare_with_metadata(sweep: Sweep, settings: SweepSettings = SweepSettings()) -> Prepared:
    """As `prepare`, with the time for which a value was held and the resting potential."""
    rate_hz, step_s = settings.rate_hz, settings.step_s
    if not fast_enough(sweep.rate_hz, rate_hz):
        raise ParameterError(f"rate_hz is {rate_hz}; sweep {sweep.number} has {sweep.rate_hz:g} Hz, give at most that")
    v_mv, i_pa = (np.asarray(signal, float) for signal in sweep.load())
    onset = round(sweep.onset_s * sweep.rate_hz)
    if onset < 0 or onset + 0.99 * step_s * sweep.rate_hz > len(v_mv):
        raise StsError(
            f"sweep {sweep.number}: its step starts at {sweep.onset_s:g} s and its voltage ends at "
            f"{len(v_mv) / sweep.rate_hz:g} s, before {step_s:g} s of it are over; leave the sweep out"
        )
    start = round((sweep.onset_s - settings.before_s) * sweep.rate_hz)
    stop = start + math.ceil(settings.n_samples * sweep.rate_hz / rate_hz)
    rest = slice(max(onset - round(max(settings.before_s, REST_S) * sweep.rate_hz), 0), max(onset, 1))
    still = np.abs(i_pa[rest] - np.median(i_pa[rest])) <= abs(sweep.stimulus_pa) / 2  # no test pulse
    rest_mv = float(v_mv[rest][still].mean() if still.any() else v_mv[rest].mean())
    if settings.baseline == "subtract":
        v_mv = v_mv - rest_mv
    # 64 more samples on either side, more than the filter reaches, keep it on recorded voltage; beyond that, values are held.
    up, down = _ratio(sweep.rate_hz, rate_hz)
    margin = -(-64 // up) * down
    wide = v_mv[np.clip(np.arange(start - margin, stop + margin), 0, len(v_mv) - 1)]
    skip = margin * up // down
    values = resample(wide, sweep.rate_hz, rate_hz)[skip : skip + settings.n_samples]
    missing = max(-start, 0) + max(stop - len(v_mv), 0)
    return Prepared(values.astype(np.float32), missing / sweep.rate_hz, rest_mv)


def fast_enough(from_hz: float, to_hz: float) -> bool:
    """Whether `from_hz` reaches `to_hz`; rates worked out from a rounded time step may miss it by a hair."""
    return 0 < to_hz <= 1.0001 * from_hz < math.inf


def resample(v_mv: np.ndarray, from_hz: float, to_hz: float) -> np.ndarray:
    """Bring a signal `(n_samples,)` from `from_hz` down to `to_hz`, first sample on first sample, its ends held."""
    if not fast_enough(from_hz, to_hz):
        raise ParameterError(f"cannot resample from {from_hz} Hz to {to_hz} Hz; give at most the sweep's, above 0 Hz")
    return _filtered(np.asarray(v_mv, float), *_ratio(from_hz, to_hz))


def round_trip(v_mv: np.ndarray, from_hz: float, to_hz: float) -> np.ndarray:
    """What is left of a sweep after resampling to `to_hz` and back to `from_hz`: shape and time as `v_mv`."""
    up, down = _ratio(from_hz, to_hz)
    return _filtered(resample(v_mv, from_hz, to_hz), down, up)[: len(v_mv)]


def reconstruction_error(v_mv: np.ndarray, from_hz: float, to_hz: float) -> tuple[float, float]:
    """What the round trip takes: RMS of the difference over the sweep's SD; how much lower its highest point is, in mV."""
    v = np.asarray(v_mv, float)
    back = round_trip(v, from_hz, to_hz)
    relative = float(np.sqrt(np.mean((v - back) ** 2)) / max(v.std(), np.finfo(float).tiny))
    return relative, float(v.max() - back.max())


def _ratio(from_hz: float, to_hz: float) -> tuple[int, int]:
    """`to_hz / from_hz` as whole numbers; fine enough to drift by less than a microsecond over a sweep."""
    ratio = min(Fraction(to_hz / from_hz).limit_denominator(4096), Fraction(1))
    return ratio.numerator, ratio.denominator


def _filtered(v_mv: np.ndarray, up: int, down: int) -> np.ndarray:
    """The signal at `up / down` times its rate, low-passed at the lower of the two Nyquist frequencies."""
    if up == down:
        return v_mv
    return np.asarray(resample_poly(v_mv, up, down, window=_low_pass(up, down), padtype="edge"))


@lru_cache(maxsize=32)
def _low_pass(up: int, down: int) -> np.ndarray:
    """Linear-phase low-pass at the up-sampled rate: flat to 80 % of the lower Nyquist frequency, 80 dB down at it."""
    nyquist = 1 / max(up, down)  # where the Nyquist frequency of the up-sampled signal is 1
    n_taps, beta = kaiserord(80.0, TRANSITION * nyquist)
    kernel = firwin(n_taps | 1, (1 - TRANSITION / 2) * nyquist, window=("kaiser", beta))
    # `resample_poly` multiplies by `up`; each of the `up` phases must then sum to one, or a constant comes out rippled.
    for phase in range(up):
        kernel[phase::up] /= up * kernel[phase::up].sum()
    return kernel
