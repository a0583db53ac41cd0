"""`Bank`: which wavelet at which frequencies."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from stslib.scalograms.wavelets import Wavelet, reaches, wavelet
from stslib.support.errors import ParameterError, one_of

_MOST_FREQUENCIES = 16384


@dataclass(frozen=True)
class Bank:
    """A wavelet at a set of frequencies. The defaults are the paper's (section III-B): 20, 21, ..., 199 Hz.

    The frequencies are pseudo-frequencies: the row called f Hz has the scale `central_frequency * rate_hz / f`, with
    PyWavelets' central frequency (0.25 for mexh). `ParameterError`: an unknown wavelet, or a band outside (0, Nyquist].

    Examples
    --------
    >>> [float(hz) for hz in Bank("mexh", 20, 200, n_frequencies=180).frequencies_hz[:3]]
    [20.0, 21.0, 22.0]
    """

    wavelet: str = "mexh"  # one of `stslib.scalograms.wavelets.NAMES`
    frequency_min_hz: float = 20.0
    frequency_max_hz: float = 200.0  # end of the band, itself left out
    n_frequencies: int = 180
    spacing: str = "linear"  # or log
    rate_hz: float = 4000.0  # of the sweeps
    #: L2: coefficients are `1/sqrt(a)` times the sum over `x psi`, a the scale in samples, as PyWavelets has it; L1: `1/a`
    #: times that sum, so that a sinusoid has the same height at every frequency.
    normalisation: str = "L2"

    def __post_init__(self) -> None:
        wavelet(self.wavelet)
        one_of("spacing", self.spacing, ("linear", "log"))
        one_of("normalisation", self.normalisation, ("L2", "L1"))
        if not (math.isfinite(self.rate_hz) and self.rate_hz > 0):
            raise ParameterError(f"rate_hz is {self.rate_hz}; give a sampling rate above 0 Hz")
        n_rows, most = self.n_frequencies, _MOST_FREQUENCIES
        if isinstance(n_rows, bool) or not 1 <= n_rows <= most or int(n_rows) != n_rows:
            raise ParameterError(f"n_frequencies is {n_rows}; give a whole number, at least 1, at most {most}")
        if not self.frequency_max_hz <= self.rate_hz / 2:
            raise ParameterError(
                f"frequency_max_hz is {self.frequency_max_hz}; a sweep at {self.rate_hz:g} Hz holds frequencies up to "
                f"{self.rate_hz / 2:g} Hz (Nyquist): lower the band or raise the rate"
            )
        if not 0 < self.frequency_min_hz < self.frequency_max_hz:
            raise ParameterError(
                f"frequency_min_hz is {self.frequency_min_hz} and frequency_max_hz {self.frequency_max_hz}; "
                "the minimum must be the lower, and above 0 Hz"
            )

    @property
    def mother(self) -> Wavelet:
        """The mother wavelet."""
        return wavelet(self.wavelet)

    @property
    def frequencies_hz(self) -> np.ndarray:
        """Pseudo-frequency of each row in Hz, rising: `(n_frequencies,)`."""
        rows = np.arange(self.n_frequencies)
        low, high = float(self.frequency_min_hz), float(self.frequency_max_hz)
        if self.spacing == "linear":
            return low + (high - low) * rows / self.n_frequencies
        return low * (high / low) ** (rows / self.n_frequencies)

    @property
    def scales(self) -> np.ndarray:
        """Scale of each row, in samples: `(n_frequencies,)`."""
        return self.mother.central_frequency * self.rate_hz / self.frequencies_hz

    @property
    def peak_frequencies_hz(self) -> np.ndarray:
        """Frequency in Hz to which each row answers most (its wavelet's spectrum is largest): `(n_frequencies,)`."""
        return self.mother.peak_frequency * self.rate_hz / self.scales

    @property
    def ridge_frequencies_hz(self) -> np.ndarray:
        """Frequency in Hz of the sinusoid whose ridge lies in each row with this normalisation: `(n_frequencies,)`."""
        return self.mother.ridge_frequency(self.normalisation) * self.rate_hz / self.scales

    @property
    def edge_reach_s(self) -> np.ndarray:
        """Width in s of each row's cone of influence, where coefficients depend on the padding: `(n_frequencies,)`."""
        return self.mother.edge_reach * self.scales / self.rate_hz

    def factor(self, scale: float) -> float:
        """What the sum over `x psi` is divided by."""
        return math.sqrt(scale) if self.normalisation == "L2" else scale

    def reach(self, rows: slice, floor: float) -> float:
        """Samples from the centre beyond which the longest wavelet of `rows` is below `floor` of its peak, or inf."""
        in_time = reaches(self.wavelet, floor)[0] if self.mother.spectrum else math.inf
        return in_time * float(self.scales[rows].max())
