"""The continuous wavelets, named, scaled and signed as PyWavelets has them, with their spectra in closed form.

PyWavelets draws each wavelet on a grid and interpolates between the points. Here each is its formula, so that it can be
evaluated at any time and at any scale without that error.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pywt

from stslib.support.errors import ParameterError

#: How a wavelet may be named. B is the bandwidth, C the centre frequency, M the order of the spline.
NAMES = (
    "mexh",
    "morl",
    *(f"gaus{order}" for order in range(1, 9)),
    *(f"cgau{order}" for order in range(1, 9)),
    "cmorB-C",
    "shanB-C",
    "fbspM-B-C",
)

_SMALL = 1e-4  # of the largest value: where a wavelet can no longer be seen
_NEGLIGIBLE = 1e-16  # of the largest value: beyond this a wavelet or a spectrum is taken to have ended

Function = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Wavelet:
    """A mother wavelet.

    Attributes
    ----------
    name : str
        As in PyWavelets, for example `"mexh"` or `"cmor1.5-1.0"`.
    is_complex : bool
        Whether the wavelet, and so every coefficient, is complex.
    psi : callable
        The wavelet at times `t` (in units of the scale): `(n,) -> (n,)`, float64 or complex128.
    spectrum : callable or None
        Its Fourier transform, the integral of `psi(t) exp(-i w t)`, at angular frequencies `w`: `(n,) -> (n,)`. None for the
        wavelets that die away too slowly to be told by a spectrum (shan, fbsp): these are sampled in time.
    peak_rad : float
        Angular frequency at which the spectrum is largest.
    support : float
        Width within which the wavelet is above 1e-4 of its largest value (shan, fbsp: 40, as PyWavelets draws them).
    half_support : float
        Time from the centre beyond which the wavelet is below 1e-16 of its largest value (infinite for shan and fbsp).
    spectral_reach_rad : float
        Angular frequency beyond which the spectrum is below 1e-16 of its largest value.
    edge_reach : float
        Distance from a step beyond which the power that the step leaves stays below exp(-2) of its largest: the e-folding
        time as Torrence & Compo define it (1998, Bull. Am. Meteorol. Soc. 79:61), worked out for each wavelet.
    """

    name: str
    is_complex: bool
    psi: Function
    spectrum: Function | None
    peak_rad: float
    support: float
    half_support: float
    spectral_reach_rad: float
    edge_reach: float

    @property
    def central_frequency(self) -> float:
        """Central frequency at scale 1 as `pywt.frequency2scale` takes it (0.25 for mexh): it names the frequency axis."""
        return float(pywt.central_frequency(self.name))

    @property
    def peak_frequency(self) -> float:
        """Frequency at scale 1 at which the spectrum is largest (0.2251 for mexh)."""
        return abs(self.peak_rad) / (2 * math.pi)

    def ridge_frequency(self, normalisation: str) -> float:
        """Frequency at scale 1 of the sinusoid that is strongest in this row of all rows.

        In L1 that is `peak_frequency`. In L2 the factor `sqrt(a)` favours long wavelets, so that the ridge of a sinusoid
        lies at a lower row: for mexh `a w = sqrt(2.5)` instead of `sqrt(2)` (0.2516 instead of 0.2251).
        """
        if normalisation == "L1" or self.spectrum is None:
            return self.peak_frequency
        rad = np.linspace(0.5, 2, 30001) * self.peak_rad
        return float(abs(rad[np.argmax(np.sqrt(np.abs(rad)) * np.abs(self.spectrum(rad)))])) / (2 * math.pi)


@lru_cache(maxsize=64)
def wavelet(name: str) -> Wavelet:
    """The wavelet called `name`.

    Raises
    ------
    ParameterError
        When there is no such wavelet, or its bandwidth, centre frequency or order makes no sense.
    """
    if name == "mexh":
        return _mexican_hat()
    if name == "morl":
        return _real_morlet()
    if name[:4] in ("gaus", "cgau") and name[4:] in {str(order) for order in range(1, 9)}:
        return _gaussian_derivative(name)
    if name[:4] in ("cmor", "shan", "fbsp"):
        return _with_numbers(name)
    raise ParameterError(f"wavelet is {name!r}; use one of: {', '.join(NAMES)}")


@lru_cache(maxsize=64)
def reaches(name: str, floor: float) -> tuple[float, float]:
    """Time from the centre, and angular frequency, beyond which a wavelet stays below `floor` of its largest value.

    `floor` lies above 1e-16, where `Wavelet.half_support` and `spectral_reach_rad` end. Both are rounded up.
    """
    mother = wavelet(name)
    assert mother.spectrum is not None
    times = np.linspace(0, mother.half_support, 20001)
    rad = np.linspace(-mother.spectral_reach_rad, mother.spectral_reach_rad, 40001)
    return _reach(mother.psi, times, floor) + times[1], _reach(mother.spectrum, rad, floor) + rad[1] - rad[0]


def _gaussian(name: str, is_complex: bool, psi: Function, spectrum: Function, peak_rad: float, width: float) -> Wavelet:
    """Fill in the reaches of a wavelet whose envelope is a polynomial times `exp(-(t / width)**2)`."""
    times = np.linspace(0, 12 * width, 12001)
    rad = np.linspace(-60 / width, 60 / width, 12001) + (peak_rad if is_complex else 0)
    support, half_support, spectral_reach = 2 * _reach(psi, times, _SMALL), _reach(psi, times), _reach(spectrum, rad)
    edge_reach = _edge_reach(psi, times)
    return Wavelet(name, is_complex, psi, spectrum, peak_rad, support, half_support, spectral_reach, edge_reach)


def _edge_reach(psi: Function, times: np.ndarray) -> float:
    """Where the power of what a step leaves, the square of the integral from t on, is last above exp(-2) of its largest."""
    values = psi(times)
    pieces = (values[1:] + values[:-1]) / 2 * np.diff(times)
    beyond = np.abs(np.append(np.cumsum(pieces[::-1])[::-1], 0)) ** 2
    return float(times[beyond > np.exp(-2) * beyond.max()].max())


def _reach(function: Function, points: np.ndarray, floor: float = _NEGLIGIBLE) -> float:
    """Largest distance from zero among `points` where `function` is above `floor` of its largest value."""
    size = np.abs(function(points))
    return float(np.abs(points[size > floor * size.max()]).max())


def _mexican_hat() -> Wavelet:
    scale = 2 / (math.sqrt(3) * math.pi**0.25)

    def psi(t: np.ndarray) -> np.ndarray:
        return scale * (1 - t**2) * np.exp(-(t**2) / 2)

    def spectrum(w: np.ndarray) -> np.ndarray:
        return scale * math.sqrt(2 * math.pi) * w**2 * np.exp(-(w**2) / 2)

    return _gaussian("mexh", False, psi, spectrum, math.sqrt(2), math.sqrt(2))


def _real_morlet() -> Wavelet:
    def psi(t: np.ndarray) -> np.ndarray:
        return np.cos(5 * t) * np.exp(-(t**2) / 2)

    def spectrum(w: np.ndarray) -> np.ndarray:
        return math.sqrt(math.pi / 2) * (np.exp(-((w - 5) ** 2) / 2) + np.exp(-((w + 5) ** 2) / 2))

    return _gaussian("morl", False, psi, spectrum, 5.0, math.sqrt(2))


def _gaussian_derivative(name: str) -> Wavelet:
    """The derivatives of `exp(-t**2)` (gaus) and of `exp(-i t) exp(-t**2)` (cgau), with unit energy."""
    is_complex, order = name.startswith("c"), int(name[4:])
    shift = -1.0 if is_complex else 0.0  # the carrier exp(-i t) moves the spectrum to -1
    # d/dt (p e) = (p' + p (-2 t + i shift)) e, so the polynomial is built up one derivative at a time.
    polynomial = np.polynomial.Polynomial([1.0 + 0j])
    for _ in range(order):
        polynomial = polynomial.deriv() + polynomial * np.polynomial.Polynomial([1j * shift, -2.0])
    # The energy of the derivative is sqrt(pi / 2) times the 2n-th moment of a normal variable about the carrier.
    moment = sum(
        math.comb(2 * order, 2 * k) * shift ** (2 * order - 2 * k) * math.prod(range(1, 2 * k, 2))
        for k in range(order + 1)
    )
    sign = 1 if is_complex else (-1) ** (order // 2)  # the signs that PyWavelets gives them
    scale = sign / math.sqrt(moment * math.sqrt(math.pi / 2))

    def psi(t: np.ndarray) -> np.ndarray:
        value = scale * polynomial(t) * np.exp(1j * shift * t - t**2)
        return value if is_complex else value.real

    def spectrum(w: np.ndarray) -> np.ndarray:
        return scale * (1j * w) ** order * math.sqrt(math.pi) * np.exp(-((w - shift) ** 2) / 4)

    peak_rad = (shift - math.sqrt(shift**2 + 8 * order)) / 2 if is_complex else math.sqrt(2 * order)
    return _gaussian(name, is_complex, psi, spectrum, peak_rad, 1.0)


def _with_numbers(name: str) -> Wavelet:
    """The families whose names carry numbers: complex Morlet, Shannon, frequency B-spline."""
    family = name[:4]
    form, example, count = {
        "cmor": ("cmorB-C", "cmor1.5-1.0", 2),
        "shan": ("shanB-C", "shan1.5-1.0", 2),
        "fbsp": ("fbspM-B-C", "fbsp2-1.5-1.0", 3),
    }[family]
    try:
        numbers = [float(part) for part in name[4:].split("-")]
    except ValueError:
        numbers = []
    if len(numbers) != count or not all(0 < number < math.inf for number in numbers):
        raise ParameterError(f"wavelet is {name!r}; write it as {form} with numbers above 0, for example {example}")
    bandwidth, centre = numbers[-2:]
    if family == "cmor":
        return _complex_morlet(name, bandwidth, centre)
    order = 1 if family == "shan" else int(numbers[0])
    if family == "fbsp" and order != numbers[0]:
        raise ParameterError(f"wavelet is {name!r}; the order of a B-spline is a whole number, for example {example}")
    return _spline(name, order, bandwidth, centre)


def _complex_morlet(name: str, bandwidth: float, centre: float) -> Wavelet:
    peak_rad = 2 * math.pi * centre

    def psi(t: np.ndarray) -> np.ndarray:
        return np.exp(1j * peak_rad * t - t**2 / bandwidth) / math.sqrt(math.pi * bandwidth)

    def spectrum(w: np.ndarray) -> np.ndarray:
        return np.exp(-bandwidth * (w - peak_rad) ** 2 / 4)

    return _gaussian(name, True, psi, spectrum, peak_rad, math.sqrt(bandwidth))


def _spline(name: str, order: int, bandwidth: float, centre: float) -> Wavelet:
    peak_rad = 2 * math.pi * centre

    def psi(t: np.ndarray) -> np.ndarray:
        return math.sqrt(bandwidth) * np.sinc(bandwidth * t / order) ** order * np.exp(1j * peak_rad * t)

    times = np.linspace(0, 100 * order / bandwidth, 200001)
    band = peak_rad + math.pi * bandwidth
    return Wavelet(name, True, psi, None, peak_rad, 40.0, math.inf, band, _edge_reach(psi, times))
