"""How a scalogram becomes an image, and the close-up that may stand beside it to show the width of the first spike."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from stslib.scalograms.bank import Bank
from stslib.support.errors import ParameterError, one_of
from stslib.sweeps import SweepSettings, spike_times

OUTPUTS = ("coefficients", "magnitude", "energy")
_LARGEST_PX = 16384
_PEAK_WITHIN_S = 0.003  # after the spike's fastest rise


@dataclass(frozen=True)
class CloseUp:
    """A close-up: the scalogram of milliseconds around the peak of each sweep's first spike, with its own band."""

    before_s: float = 0.005  # before the peak
    after_s: float = 0.01
    frequency_min_hz: float = 100.0
    frequency_max_hz: float = 4000.0  # left out
    output: str = "coefficients"  # as in `cwt`; those of one spike keep their sign, for nothing is averaged away

    def __post_init__(self) -> None:
        for name in ("before_s", "after_s"):
            if not 0 < getattr(self, name) <= 0.5:
                raise ParameterError(f"{name} is {getattr(self, name)}; give 0.5 s or less, above 0")
        one_of("output", self.output, OUTPUTS)

    def bank(self, whole: Bank) -> Bank:
        """The wavelets of the close-up: those of the whole sweep, over its own band."""
        return replace(whole, frequency_min_hz=self.frequency_min_hz, frequency_max_hz=self.frequency_max_hz)

    def cut(self, sweeps_mv: np.ndarray, settings: SweepSettings) -> np.ndarray:
        """Voltage around first spikes, `(n, c, n_samples)` to `(n, c, n_close_up)`; beyond a sweep its end value."""
        n_before, n_after = round(self.before_s * settings.rate_hz), math.ceil(self.after_s * settings.rate_hz)
        window = np.arange(-n_before, n_after)
        flat = np.asarray(sweeps_mv).reshape(-1, sweeps_mv.shape[-1])
        indices = [np.clip(first_peak(v_mv, settings) + window, 0, len(v_mv) - 1) for v_mv in flat]
        cut = np.take_along_axis(flat, np.array(indices, dtype=np.int64).reshape(len(flat), len(window)), axis=1)
        return cut.reshape(*sweeps_mv.shape[:-1], len(window))


def first_peak(v_mv: np.ndarray, settings: SweepSettings) -> int:
    """Sample of the peak of a prepared sweep's first spike during the step; without a spike, of the highest value."""
    rate_hz, step_s = settings.rate_hz, settings.step_s
    start, length_s = round(settings.before_s * rate_hz), step_s
    if len(spikes_s := spike_times(v_mv, rate_hz, settings.before_s, step_s)):
        start, length_s = start + round(float(spikes_s[0]) * rate_hz), _PEAK_WITHIN_S
    return start + int(np.argmax(v_mv[start : start + max(1, round(length_s * rate_hz))]))


@dataclass(frozen=True)
class ImageSettings:
    """How a scalogram becomes the image that a network reads; `ParameterError` where a value is not a valid one.

    Examples
    --------
    >>> ImageSettings(height=96, width=96, output="magnitude").padding
    'zero'
    """

    height: int = 64  # rows (frequency, row 0 the lowest), pixels
    width: int = 512  # columns (time), pixels
    output: str = "coefficients"  # output, padding and backend as in `cwt`
    padding: str = "zero"
    backend: str = "fft"
    #: Average over all that a pixel covers; a bilinear resize reads two samples a column, and meets what is narrower by
    #: chance. For magnitudes: coefficients of both signs average to nothing.
    antialias: bool = False
    close_up: CloseUp | None = None  # to the right, in as many pixels: the image is then twice as wide
    dtype: str = "float16"  # in which images are stored; energies can leave the range of float16

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value <= _LARGEST_PX:
                raise ParameterError(f"{name} is {value!r}; give a whole number of pixels from 1 to {_LARGEST_PX}")
        one_of("output", self.output, OUTPUTS)
        one_of("padding", self.padding, ("zero", "edge", "reflect", "symmetric"))
        one_of("backend", self.backend, ("fft", "pywt"))
        one_of("dtype", self.dtype, ("float16", "float32"))
