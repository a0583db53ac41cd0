"""The continuous wavelets, named, scaled and signed as PyWavelets has them, but as formulas, with their spectra."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pywt

from stslib.support.errors import ParameterError

_ORDERS = range(1, 9)
# How a wavelet may be named. B is the bandwidth, C the centre frequency, M the order of the spline.
_FAMILIES = {"cmorB-C": "cmor1.5-1.0", "shanB-C": "shan1.5-1.0", "fbspM-B-C": "fbsp2-1.5-1.0"}  # with an example each
NAMES = ("mexh", "morl", *(f"gaus{n}" for n in _ORDERS), *(f"cgau{n}" for n in _ORDERS), *_FAMILIES)
_LARGEST_CENTRE = 8.0  # PyWavelets, which gives the central frequency, draws 16 points a period of scale 1

Function = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Wavelet:
    """A mother wavelet. Times are in units of the scale, frequencies at scale 1."""

    name: str  # as in PyWavelets, for example "mexh" or "cmor1.5-1.0"
    is_complex: bool  # whether the wavelet, and so every coefficient, is complex
    psi: Function  # the wavelet at times t: (n,) -> (n,), float64 or complex128
    spectrum: Function | None  # the integral of psi(t) exp(-i w t) at angular frequencies w; None: dies away too slowly
    peak_rad: float  # angular frequency at which the spectrum is largest
    support: float  # width within which it is above 1e-4 of its largest value (shan, fbsp: 40, as PyWavelets draws)
    half_support: float  # time from the centre beyond which it is below 1e-16 of its largest (shan, fbsp: infinite)
    spectral_reach_rad: float  # angular frequency beyond which the spectrum is below 1e-16 of its largest value
    #: Distance from a step beyond which the power that it leaves stays below exp(-2) of its largest: the e-folding time
    #: of Torrence & Compo (1998, Bull. Am. Meteorol. Soc. 79:61), worked out for each wavelet.
    edge_reach: float

    @property
    def central_frequency(self) -> float:
        """Central frequency at scale 1 as `pywt.frequency2scale` takes it (0.25 for mexh): it names the rows."""
        return float(pywt.central_frequency(self.name))

    @property
    def peak_frequency(self) -> float:
        """Frequency at scale 1 at which the spectrum is largest (0.2251 for mexh)."""
        return abs(self.peak_rad) / (2 * math.pi)

    def ridge_frequency(self, normalisation: str) -> float:
        """Frequency at scale 1 of the sinusoid that is strongest in this row of all: L2 favours long wavelets."""
        if normalisation == "L1" or self.spectrum is None:
            return self.peak_frequency
        rad = np.linspace(0.5, 2, 30001) * self.peak_rad
        return float(abs(rad[np.argmax(np.sqrt(np.abs(rad)) * np.abs(self.spectrum(rad)))])) / (2 * math.pi)


@lru_cache(maxsize=64)
def wavelet(name: str) -> Wavelet:
    """The wavelet called `name`, one of `NAMES`; ParameterError where there is none, or its numbers make no sense."""
    root_2 = math.sqrt(2)
    if name == "mexh":
        scale = 2 / (math.sqrt(3) * math.pi**0.25)
        return _gaussian(
            name, False,
            lambda t: scale * (1 - t**2) * np.exp(-(t**2) / 2),
            lambda w: scale * math.sqrt(2 * math.pi) * w**2 * np.exp(-(w**2) / 2),
            peak_rad=root_2, width=root_2,
        )  # fmt: skip
    if name == "morl":
        return _gaussian(
            name, False,
            lambda t: np.cos(5 * t) * np.exp(-(t**2) / 2),
            lambda w: math.sqrt(math.pi / 2) * (np.exp(-((w - 5) ** 2) / 2) + np.exp(-((w + 5) ** 2) / 2)),
            peak_rad=5.0, width=root_2,
        )  # fmt: skip
    if name[:4] in ("gaus", "cgau") and name[4:] in map(str, _ORDERS):
        return _gaussian_derivative(name)
    for form, example in _FAMILIES.items():
        if form[:4] == name[:4]:
            return _with_numbers(name, form, example)
    raise ParameterError(f"wavelet is {name!r}; use one of: {', '.join(NAMES)}")


@lru_cache(maxsize=64)
def reaches(name: str, floor: float) -> tuple[float, float]:
    """Time from the centre, and angular frequency, beyond which it is below `floor` of its peak; rounded up."""
    mother = wavelet(name)
    assert mother.spectrum is not None
    times = np.linspace(0, mother.half_support, 20001)
    rad = np.linspace(-mother.spectral_reach_rad, mother.spectral_reach_rad, 40001)
    return _reach(mother.psi, times, floor) + times[1], _reach(mother.spectrum, rad, floor) + rad[1] - rad[0]


def _reach(function: Function, points: np.ndarray, floor: float = 1e-16) -> float:
    """Largest distance from zero among `points` where `function` is above `floor` of its largest value."""
    size = np.abs(function(points))
    return float(np.abs(points[size > floor * size.max()]).max())


def _edge_reach(psi: Function, times: np.ndarray) -> float:
    """Where the power of what a step leaves, the squared integral from t on, is last above exp(-2) of its largest."""
    values = psi(times)
    areas = (values[1:] + values[:-1]) / 2 * np.diff(times)
    beyond = np.abs(np.append(np.cumsum(areas[::-1])[::-1], 0)) ** 2
    return float(times[beyond > np.exp(-2) * beyond.max()].max())


def _gaussian(name: str, is_complex: bool, psi: Function, spectrum: Function, peak_rad: float, width: float) -> Wavelet:
    """Fill in the reaches of a wavelet whose envelope is a polynomial times `exp(-(t / width)**2)`."""
    times = np.linspace(0, 12 * width, 12001)
    rad = np.linspace(-60 / width, 60 / width, 12001) + (peak_rad if is_complex else 0)
    extents = (2 * _reach(psi, times, 1e-4), _reach(psi, times), _reach(spectrum, rad), _edge_reach(psi, times))
    return Wavelet(name, is_complex, psi, spectrum, peak_rad, *extents)


def _gaussian_derivative(name: str) -> Wavelet:
    """The derivatives of `exp(-t**2)` (gaus) and of `exp(-i t) exp(-t**2)` (cgau), with unit energy."""
    is_complex, order = name[0] == "c", int(name[4:])
    shift = -1.0 if is_complex else 0.0  # the carrier exp(-i t) moves the spectrum to -1
    # d/dt (p e) = (p' + p (-2 t + i shift)) e, so the polynomial is built up one derivative at a time.
    polynomial = np.polynomial.Polynomial([1.0 + 0j])
    for _ in range(order):
        polynomial = polynomial.deriv() + polynomial * np.polynomial.Polynomial([1j * shift, -2.0])
    # The energy of the derivative is sqrt(pi / 2) times the 2n-th moment of a normal variable about the carrier.
    terms = ((math.comb(2 * order, 2 * k), 2 * (order - k), math.prod(range(1, 2 * k, 2))) for k in range(order + 1))
    moment = sum(ways * shift**power * normal for ways, power, normal in terms)
    sign = 1 if is_complex else (-1) ** (order // 2)  # the signs that PyWavelets gives them
    scale = sign / math.sqrt(moment * math.sqrt(math.pi / 2))

    def psi(t: np.ndarray) -> np.ndarray:
        value = scale * polynomial(t) * np.exp(1j * shift * t - t**2)
        return value if is_complex else value.real

    def spectrum(w: np.ndarray) -> np.ndarray:
        return scale * (1j * w) ** order * math.sqrt(math.pi) * np.exp(-((w - shift) ** 2) / 4)

    peak_rad = (shift - math.sqrt(shift**2 + 8 * order)) / 2 if is_complex else math.sqrt(2 * order)
    return _gaussian(name, is_complex, psi, spectrum, peak_rad, 1.0)


def _with_numbers(name: str, form: str, example: str) -> Wavelet:
    """Complex Morlet, Shannon and frequency B-spline wavelets, by the numbers in their names."""
    words = name[4:].split("-")
    numbers = [float(word) for word in words if re.fullmatch(r"\d{1,6}(\.\d{1,9})?", word)]
    if len(numbers) != len(words) or len(words) != form.count("-") + 1 or min(numbers) <= 0:
        raise ParameterError(f"wavelet is {name!r}; write it as {form} with numbers above 0, for example {example}")
    bandwidth, centre = numbers[-2:]
    order = numbers[0] if form == "fbspM-B-C" else 1
    if order % 1:
        raise ParameterError(f"wavelet is {name!r}; the order of a B-spline is a whole number, for example {example}")
    # What holds as much of the constant as of its own frequency is no wavelet.
    is_flat = bandwidth * (math.pi * centre) ** 2 < math.log(2) if name[:4] == "cmor" else centre < bandwidth / 2
    if is_flat or centre > _LARGEST_CENTRE:
        what = f"at most {_LARGEST_CENTRE:g}" if centre > _LARGEST_CENTRE else "larger, it hardly oscillates"
        raise ParameterError(f"wavelet is {name!r}; its centre frequency must be {what}, for example {example}")
    peak_rad = 2 * math.pi * centre
    if name[:4] == "cmor":
        return _gaussian(
            name, True,
            lambda t: np.exp(1j * peak_rad * t - t**2 / bandwidth) / math.sqrt(math.pi * bandwidth),
            lambda w: np.exp(-bandwidth * (w - peak_rad) ** 2 / 4),
            peak_rad, width=math.sqrt(bandwidth),
        )  # fmt: skip

    def psi(t: np.ndarray) -> np.ndarray:
        return math.sqrt(bandwidth) * np.sinc(bandwidth * t / order) ** order * np.exp(1j * peak_rad * t)

    edge_reach = _edge_reach(psi, np.linspace(0, 100 * order / bandwidth, 200001))
    return Wavelet(name, True, psi, None, peak_rad, 40.0, math.inf, peak_rad + math.pi * bandwidth, edge_reach)
