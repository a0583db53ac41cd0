"""The continuous wavelet transform of sweeps: the sweep's spectrum times the wavelet's, transformed back row by row."""

from __future__ import annotations

import inspect
import math
import threading
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pywt
import torch

from stslib.scalograms.bank import Bank
from stslib.scalograms.chunks import Array, chunks, device, load, precision, result_array, side_by_side, store
from stslib.scalograms.settings import ImageSettings
from stslib.support.errors import ParameterError, ScalogramWarning

N_BANDS = 6  # groups of rows that share a range of bins; more groups do not make it faster
CACHE_MB, PYWT_MB = 4.0, 32.0  # of a chunk, which in the processor's cache is faster; of PyWavelets' working memory
#: Of the largest value of a wavelet or a spectrum: what is taken to have ended, by precision.
NEGLIGIBLE = {"float32": 1e-9, "float64": 1e-16}
#: PyWavelets draws a wavelet at 2**10 points, as it did for the paper's code; newer versions would take 2**12.
_PYWT: dict[str, Any] = {"precision": 10} if "precision" in inspect.signature(pywt.cwt).parameters else {}
_SMALL_FACTORS = (1, 2, 4, 8, 16, 18, 20, 21, 24, 25, 27, 28, 30, 32)

Rows = Iterator[tuple[slice, torch.Tensor]]


class Plan(NamedTuple):
    """Lengths of one transform, in samples, and what is put on either side of the sweep."""

    n_samples: int
    pad: int
    padding: str


class Band(NamedTuple):
    """Neighbouring rows that are transformed together."""

    rows: slice
    n_fft: int  # long enough for the longest of their wavelets not to wrap around
    bins: slice  # outside of these their wavelets are negligible
    wavelets: torch.Tensor  # (n_rows, bins), what the sweep's spectrum is multiplied by; real where it can be


def cwt(x: Array, bank: Bank, output: str = "coefficients", padding: str = "zero", backend: str = "fft") -> Array:
    """Continuous wavelet transform, `W(f, t) = 1/sqrt(a) sum over k of x[k] conj(psi((k - t) / a))`.

    Sweeps `(..., n_samples)` in mV at `bank.rate_hz`, array or tensor, give `(..., n_frequencies, n_samples)` of their
    type, device and precision (at least float32), the lowest frequency first. `output`: coefficients (complex for a
    complex wavelet), magnitude (their absolute value) or energy (its square). `padding`: zero, edge (the end value goes
    on), reflect (mirrored about the end sample) or symmetric (that repeated), to one wavelet's half support and at most
    one sweep's length beyond the ends; then zeros follow. `backend`: fft (exact) or pywt (`pywt.cwt` as the paper's code
    calls it, with its error). `ParameterError` without finite numbers; `ScalogramWarning` where wavelets are wider.

    Examples
    --------
    >>> cwt(np.sin(2 * np.pi * 60 * np.arange(4800) / 4000), Bank()).shape
    (180, 4800)
    """
    sweeps, plan = check(x, bank, ImageSettings(output=output, padding=padding, backend=backend))
    is_complex = bank.mother.is_complex and output == "coefficients"
    result = result_array(x, None, (bank.n_frequencies, plan.n_samples), is_complex)
    parts, rows_of = transformed(sweeps, bank, plan, backend)

    def work(part: slice) -> None:
        for rows, values in rows_of(part):
            store(result, (part, rows), measure(values, output))

    side_by_side(work, parts, device(x) == "cpu")
    return result.reshape(*x.shape[:-1], *result.shape[1:])


def check(x: Array, bank: Bank, image: ImageSettings) -> tuple[Array, Plan]:
    """Refuse what cannot be transformed; give the sweeps as `(n_sweeps, n_samples)`, and the transform's lengths."""
    if not isinstance(x, np.ndarray | torch.Tensor):
        raise ParameterError(f"the sweeps are a {type(x).__name__}; give a NumPy array or a torch tensor")
    if not (x.dtype.kind in "fiu" if isinstance(x, np.ndarray) else not x.dtype.is_complex and x.dtype != torch.bool):
        raise ParameterError(f"the sweeps hold {x.dtype}; give real numbers (float32 or float64, in mV)")
    if x.ndim < 1 or x.shape[-1] < 2:
        raise ParameterError(f"the sweeps have shape {tuple(x.shape)}; give (..., n_samples) with at least 2 samples")
    if math.prod(x.shape) == 0:
        raise ParameterError(f"the sweeps have shape {tuple(x.shape)}: there are none; give at least one sweep")
    n_samples = int(x.shape[-1])
    if len(too_long := bank.frequencies_hz[bank.mother.support * bank.scales > n_samples]):
        warnings.warn(
            f"a sweep of {n_samples} samples ({n_samples / bank.rate_hz:.3g} s) is shorter than the {bank.wavelet} "
            f"wavelet at {too_long.min():g} to {too_long.max():g} Hz ({len(too_long)} of {bank.n_frequencies} rows): "
            "what is taken to lie beyond its ends counts in all of these rows", ScalogramWarning, stacklevel=3,
        )  # fmt: skip
    reach = bank.reach(slice(None), NEGLIGIBLE["float64"])
    pad = 0 if image.padding == "zero" else math.ceil(min(reach, n_samples))
    return x.reshape(-1, n_samples), Plan(n_samples, pad, image.padding)


def extend(chunk: torch.Tensor, plan: Plan) -> torch.Tensor:
    """The sweeps with what is taken to lie before and after them: `(n, n_samples + 2 pad)`."""
    if plan.pad == 0:
        return chunk
    indices = np.pad(np.arange(plan.n_samples), plan.pad, mode=plan.padding)  # type: ignore[call-overload]
    return chunk[:, torch.from_numpy(indices).to(chunk.device)]


def measure(values: torch.Tensor, output: str) -> torch.Tensor:
    """Coefficients themselves, their magnitude or their energy."""
    if output == "coefficients":
        return values
    magnitude = values.abs()
    return magnitude if output == "magnitude" else magnitude.square()


def transformed(sweeps: Array, bank: Bank, plan: Plan, backend: str) -> tuple[list[slice], Callable[[slice], Rows]]:
    """The chunks of the sweeps, and what gives a chunk's coefficients: groups of rows, `(n, n_rows, n_samples)` each.

    Several threads may call it at a time. Only the bins that a group's wavelets see are multiplied; others stay zero.
    """
    on, number, inside = device(sweeps), precision(sweeps), slice(plan.pad, plan.pad + plan.n_samples)
    if backend == "pywt":

        def by_pywt(part: slice) -> Rows:
            chunk = extend(load(sweeps, part), plan)
            coefficients, _ = pywt.cwt(chunk.cpu().numpy(), bank.scales, bank.wavelet, **_PYWT)
            values = np.moveaxis(coefficients, 0, 1)[..., inside]
            if bank.normalisation == "L1":
                values = values / np.sqrt(bank.scales)[:, None].astype(number)
            yield slice(0, bank.n_frequencies), torch.from_numpy(values).to(on)

        return chunks(sweeps, 32 * bank.n_frequencies * (plan.n_samples + 2 * plan.pad), PYWT_MB), by_pywt

    is_complex = bank.mother.is_complex
    forward, inverse = (torch.fft.fft, torch.fft.ifft) if is_complex else (torch.fft.rfft, torch.fft.irfft)
    bands, dtype = _bands(bank, plan, number, on), getattr(torch, number).to_complex()
    a_sweep = max(band.n_fft * (band.rows.stop - band.rows.start + 2) for band in bands) * (24 if is_complex else 16)
    own = threading.local()  # the products of each thread, used again for every chunk

    def by_fft(part: slice) -> Rows:
        chunk = extend(load(sweeps, part), plan)
        products: list[torch.Tensor] = getattr(own, "products", [])
        if not products or len(products[0]) != len(chunk):
            shapes = [(len(band.wavelets), band.n_fft if is_complex else band.n_fft // 2 + 1) for band in bands]
            products = own.products = [chunk.new_zeros((len(chunk), *shape), dtype=dtype) for shape in shapes]
        for band, product in zip(bands, products, strict=True):
            spectrum = forward(chunk, n=band.n_fft)
            torch.mul(spectrum[:, None, band.bins], band.wavelets, out=product[..., band.bins])
            yield band.rows, inverse(product, n=band.n_fft)[..., inside]

    return chunks(sweeps, a_sweep, CACHE_MB), by_fft


@lru_cache(maxsize=4)
def _bands(bank: Bank, plan: Plan, dtype: str, on: str) -> tuple[Band, ...]:
    """All rows in `N_BANDS` bands, for a precision and a device."""
    negligible, max_lag = NEGLIGIBLE[dtype], plan.n_samples + plan.pad - 1  # between a sample and a coefficient
    bands = []
    for members in np.array_split(np.arange(bank.n_frequencies), min(N_BANDS, bank.n_frequencies)):
        rows = slice(int(members[0]), int(members[-1]) + 1)
        # Beyond the lags that occur and the wavelet's reach, nothing can wrap around.
        enough = max_lag + math.ceil(min(bank.reach(rows, negligible), max_lag)) + 2
        unit = 2 ** max(enough.bit_length() - 5, 0)  # FFTs are fast at a large power of two times small factors
        n_fft = unit * next(factor for factor in _SMALL_FACTORS if unit * factor >= enough)
        values = _spectra(bank, rows, n_fft, max_lag, negligible)
        size = np.abs(values)
        seen = np.flatnonzero((size > negligible * size.max(axis=1, keepdims=True)).any(axis=0))
        bins = slice(int(seen[0]), int(seen[-1]) + 1)
        is_real = np.abs(values.imag).max() <= 1e-17 * np.abs(values.real).max()
        seen_values = torch.from_numpy((values.real if is_real else values)[:, bins].copy())
        kind = getattr(torch, dtype) if is_real else getattr(torch, dtype).to_complex()
        bands.append(Band(rows, n_fft, bins, seen_values.to(on, kind)))
    return tuple(bands)


def _spectra(bank: Bank, rows: slice, n_fft: int, max_lag: int, floor: float) -> np.ndarray:
    """Conjugate DFT of the sampled wavelet of each of `rows`, complex128 `(n_rows, n_bins)`.

    That is the analytic spectrum summed over its aliases. Where a wavelet is longer than the sweep, or has no spectrum
    that ends, it is sampled at the lags that occur (`-max_lag` to `max_lag`) and transformed.
    """
    mother, scales = bank.mother, bank.scales[rows]
    rad = 2 * np.pi * (np.fft.fftfreq(n_fft, 1.0) if mother.is_complex else np.fft.rfftfreq(n_fft, 1.0))
    lags, result = np.arange(-max_lag, max_lag + 1), np.empty((len(scales), len(rad)), np.complex128)
    fits = n_fft - max_lag > bank.reach(rows, floor)  # nothing above `floor` wraps around the transform's ends
    for row, scale in enumerate(scales):
        if fits and mother.spectrum:
            n_copies = math.ceil(mother.spectral_reach_rad / (2 * np.pi * scale) + 0.5)
            shifts = 2 * np.pi * np.arange(-n_copies, n_copies + 1)
            copies = (mother.spectrum(scale * (rad + shift)) for shift in shifts)
            values = scale * sum(copies, np.zeros(len(rad), np.complex128))
        else:
            sampled = np.zeros(n_fft, np.complex128)
            sampled[lags % n_fft] = mother.psi(lags / scale)
            values = np.fft.fft(sampled)[: len(rad)]
        result[row] = np.conj(values) / bank.factor(scale)
    return result
