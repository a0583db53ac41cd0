"""`Bank`: which wavelet at which frequencies, and the spectra that turn a sweep into a scalogram."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np

from stslib.scalograms.wavelets import Wavelet, reaches, wavelet
from stslib.support.errors import ParameterError, one_of

SPACINGS = ("linear", "log")
NORMALISATIONS = ("L2", "L1")


@dataclass(frozen=True)
class Bank:
    """A wavelet at a set of frequencies. The defaults are the paper's (section III-B): 20, 21, ..., 199 Hz.

    The frequencies are pseudo-frequencies: the row called f Hz has the scale `central_frequency * rate_hz / f`, where
    the central frequency is the one PyWavelets gives (0.25 for mexh). The row answers most to `peak_frequencies_hz` (for
    mexh 10 % lower), and the ridge of a sinusoid lies in the row whose `ridge_frequencies_hz` is the sinusoid's.

    Attributes
    ----------
    wavelet : str
        One of `stslib.scalograms.NAMES`.
    frequency_min_hz, frequency_max_hz : float
        The band, in Hz; the minimum is its first row, the maximum is left out (a half-open band).
    n_frequencies : int
        Number of rows.
    spacing : str
        `"linear"` or `"log"`.
    rate_hz : float
        Sampling rate of the sweeps, in Hz.
    normalisation : str
        `"L2"`: coefficients are `1/sqrt(a)` times the sum over `x psi`, as in PyWavelets (a is the scale in samples).
        `"L1"`: `1/a` times that sum, so that a sinusoid has the same height at every frequency.

    Raises
    ------
    ParameterError
        When the wavelet is unknown or a frequency is not above 0 and at most half the rate.
    """

    wavelet: str = "mexh"
    frequency_min_hz: float = 20.0
    frequency_max_hz: float = 200.0
    n_frequencies: int = 180
    spacing: str = "linear"
    rate_hz: float = 4000.0
    normalisation: str = "L2"

    def __post_init__(self) -> None:
        wavelet(self.wavelet)
        one_of("spacing", self.spacing, SPACINGS)
        one_of("normalisation", self.normalisation, NORMALISATIONS)
        if not (math.isfinite(self.rate_hz) and self.rate_hz > 0):
            raise ParameterError(f"rate_hz is {self.rate_hz}; give a sampling rate above 0 Hz")
        if isinstance(self.n_frequencies, bool) or int(self.n_frequencies) != self.n_frequencies:
            raise ParameterError(f"n_frequencies is {self.n_frequencies!r}; give a whole number of rows")
        if self.n_frequencies < 1:
            raise ParameterError(f"n_frequencies is {self.n_frequencies}; give at least 1")
        if not self.frequency_min_hz > 0:
            raise ParameterError(f"frequency_min_hz is {self.frequency_min_hz}; give a frequency above 0 Hz")
        nyquist_hz = self.rate_hz / 2
        if not self.frequency_max_hz <= nyquist_hz:
            raise ParameterError(
                f"frequency_max_hz is {self.frequency_max_hz}; a sweep at {self.rate_hz:g} Hz holds frequencies up to "
                f"{nyquist_hz:g} Hz (Nyquist): lower the band or raise the rate"
            )
        if not self.frequency_min_hz < self.frequency_max_hz:
            raise ParameterError(
                f"frequency_min_hz is {self.frequency_min_hz} and frequency_max_hz {self.frequency_max_hz}; "
                "the minimum must be the lower"
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
        """Frequency in Hz to which each row answers most, where its wavelet's spectrum is largest: `(n_frequencies,)`."""
        return self.mother.peak_frequency * self.rate_hz / self.scales

    @property
    def ridge_frequencies_hz(self) -> np.ndarray:
        """Frequency in Hz of the sinusoid whose ridge lies in each row; depends on the normalisation: `(n_frequencies,)`."""
        return self.mother.ridge_frequency(self.normalisation) * self.rate_hz / self.scales

    @property
    def edge_reach_s(self) -> np.ndarray:
        """Time in s that an end of the sweep reaches into each row (`Wavelet.edge_reach`): `(n_frequencies,)`."""
        return self.mother.edge_reach * self.scales / self.rate_hz

    def too_long_hz(self, n_samples: int) -> np.ndarray:
        """Frequencies whose wavelet is wider than a sweep of `n_samples`."""
        return self.frequencies_hz[self.mother.support * self.scales > n_samples]

    def as_dict(self) -> dict[str, object]:
        """The bank as plain values, to be written down: `Bank(**bank.as_dict()) == bank`."""
        return asdict(self)


def cone_of_influence(bank: Bank, n_samples: int) -> np.ndarray:
    """Where the ends of a sweep disturb its scalogram.

    Returns
    -------
    ndarray of bool, shape (n_frequencies, n_samples)
        True within `Bank.edge_reach_s` of either end: what lies there depends on the padding. Further in, the power
        that a step at the end leaves has fallen to less than exp(-2) of its largest (Torrence & Compo 1998).

    Raises
    ------
    ParameterError
        When `n_samples` is below 1.
    """
    if n_samples < 1:
        raise ParameterError(f"n_samples is {n_samples}; give at least 1")
    to_nearest_end = np.minimum(np.arange(n_samples), np.arange(n_samples)[::-1]) / bank.rate_hz
    return to_nearest_end[None, :] < bank.edge_reach_s[:, None]


def longest_reach(bank: Bank, rows: slice, floor: float) -> float:
    """Samples from its centre beyond which the longest wavelet of `rows` stays below `floor` of its largest value.

    Infinite for a wavelet that has no such end (shan, fbsp).
    """
    in_time = reaches(bank.wavelet, floor)[0] if bank.mother.spectrum else math.inf
    return in_time * float(bank.scales[rows].max())


def spectra(bank: Bank, rows: slice, n_fft: int, max_lag: int, floor: float) -> np.ndarray:
    """What the spectrum of a sweep is multiplied by: the conjugate DFT of the sampled wavelet of each of `rows`.

    The DFT of the SAMPLED wavelet is the analytic spectrum summed over its aliases. Where a wavelet is longer than the
    sweep, or has no spectrum that ends, it is sampled at the lags that occur (`-max_lag` to `max_lag`) and transformed.

    Parameters
    ----------
    n_fft : int
        Length of the transform, more than twice `max_lag` or longer than `max_lag` and the wavelet's half support.
    max_lag : int
        Largest distance in samples between a sample of the sweep and a coefficient.
    floor : float
        Of a wavelet's largest value: what may wrap around the transform's ends.

    Returns
    -------
    ndarray, shape (n_rows, n_bins)
        Complex128; `n_bins` is `n_fft // 2 + 1` for a real wavelet, `n_fft` for a complex one.
    """
    mother, scales = bank.mother, bank.scales[rows]
    n_bins = n_fft if mother.is_complex else n_fft // 2 + 1
    rad = 2 * np.pi * (np.fft.fftfreq(n_fft, 1.0) if mother.is_complex else np.fft.rfftfreq(n_fft, 1.0))
    result = np.empty((len(scales), n_bins), np.complex128)
    fits = n_fft - max_lag > longest_reach(bank, rows, floor)
    for row, scale in enumerate(scales):
        values = _aliased(mother, scale, rad) if fits else _sampled(mother, scale, n_fft, max_lag)
        result[row] = np.conj(values) / (math.sqrt(scale) if bank.normalisation == "L2" else scale)
    return result


def _aliased(mother: Wavelet, scale: float, rad: np.ndarray) -> np.ndarray:
    """DFT of `psi(k / scale)` over all whole k: the analytic spectrum and its copies a sampling rate apart."""
    assert mother.spectrum is not None
    n_copies = math.ceil(mother.spectral_reach_rad / (2 * np.pi * scale) + 0.5)
    total = np.zeros(len(rad), np.complex128)
    for copy in range(-n_copies, n_copies + 1):
        total += mother.spectrum(scale * (rad + 2 * np.pi * copy))
    return scale * total


def _sampled(mother: Wavelet, scale: float, n_fft: int, max_lag: int) -> np.ndarray:
    """The same DFT over the lags that occur, from the wavelet's values in time."""
    if n_fft <= 2 * max_lag:
        raise ValueError(f"n_fft {n_fft} is too short for lags up to {max_lag}")
    lags = np.arange(-max_lag, max_lag + 1)
    values = np.zeros(n_fft, np.complex128)
    values[lags % n_fft] = mother.psi(lags / scale)
    transformed = np.fft.fft(values)
    return transformed if mother.is_complex else transformed[: n_fft // 2 + 1]
