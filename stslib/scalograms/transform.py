"""The continuous wavelet transform of sweeps: the sweep's spectrum times the wavelet's, transformed back row by row."""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pywt
import torch

from stslib.scalograms.bank import Bank, longest_reach, spectra
from stslib.scalograms.chunks import Array, chunks, load, result_array, side_by_side, store, working_type
from stslib.scalograms.settings import BACKENDS, OUTPUTS, PADDINGS
from stslib.support.errors import ParameterError, one_of

N_BANDS = 6  # groups of rows that share a range of bins; more groups do not make it faster
CHUNK_MB = 32.0  # working memory, about
CACHE_MB = 4.0  # chunks that stay in the processor's cache are faster
#: Of the largest value of a wavelet or a spectrum: what is taken to have ended, by precision.
NEGLIGIBLE = {torch.complex64: 1e-9, torch.complex128: 1e-16}


class ScalogramWarning(UserWarning):
    """Part of a scalogram that is computed but should be read with care."""


class Plan(NamedTuple):
    """Lengths of one transform, in samples."""

    n_samples: int
    pad: int  # samples put before and after the sweep

    @property
    def max_lag(self) -> int:
        """Largest distance between a sample and a coefficient."""
        return self.n_samples + self.pad - 1


class Band(NamedTuple):
    """Neighbouring rows that are transformed together."""

    rows: slice
    n_fft: int  # long enough for the longest of their wavelets not to wrap around
    bins: slice  # outside of these their wavelets are negligible
    wavelets: torch.Tensor  # (n_rows, bins), what the sweep's spectrum is multiplied by; real where it can be


def cwt(
    x: Array,
    bank: Bank,
    output: str = "coefficients",
    padding: str = "zero",
    backend: str = "fft",
    out: Array | None = None,
) -> Array:
    """Continuous wavelet transform of sweeps, `W(f, t) = 1/sqrt(a) sum over k of x[k] conj(psi((k - t) / a))`.

    Parameters
    ----------
    x : ndarray or tensor, shape (..., n_samples)
        Sweeps in mV at `bank.rate_hz`. float32 and float64 are kept, whole numbers and float16 become float32.
    bank : Bank
        Wavelet and frequencies.
    output : str
        `"coefficients"` (real, or complex for a complex wavelet), `"magnitude"` (their absolute value) or `"energy"` (its
        square).
    padding : str
        What is taken to lie beyond the sweep's ends: `"zero"`, `"edge"` (the end value goes on), `"reflect"` (mirrored about
        the end sample) or `"symmetric"` (mirrored, end sample repeated). The last three reach one wavelet's half support
        and at most one sweep's length, then zeros.
    backend : str
        `"fft"`: exact. `"pywt"`: `pywt.cwt` as the paper's code calls it, with its error (on the processor).
    out : ndarray or tensor, optional
        Where to write, shape (..., n_frequencies, n_samples): a memory map, or an array of another type such as float16.

    Returns
    -------
    ndarray or tensor, shape (..., n_frequencies, n_samples)
        Row 0 is the lowest frequency. Array type, device and precision are those of `x`.

    Raises
    ------
    ParameterError
        When `x` is empty, holds NaN, or has no samples, or an option is not among the valid ones.

    Warns
    -----
    ScalogramWarning
        When a wavelet is wider than the sweep; the frequencies are named.
    """
    sweeps, plan = check(x, bank, output, padding, backend)
    result = result_array(x, sweeps, out, (bank.n_frequencies, plan.n_samples), output, bank)
    on_cpu = not isinstance(sweeps, torch.Tensor) or sweeps.device.type == "cpu"
    if backend == "fft" and on_cpu:
        parts, rows_of = _by_fft(sweeps, bank, plan, padding, CHUNK_MB)

        def work(part: slice) -> None:
            for rows, values in rows_of(part):
                store(result, (part, rows), measure(values, output))

        side_by_side(work, list(parts), "")
    else:
        for part, rows, values in coefficients(sweeps, bank, plan, padding, backend, CHUNK_MB, ""):
            store(result, (part, rows), measure(values, output))
    return result.reshape(*x.shape[:-1], *result.shape[1:]) if out is None else out


# --- checking and chunking ------------------------------------------------------------------------------------------


def check(x: Array, bank: Bank, output: str, padding: str, backend: str) -> tuple[Array, Plan]:
    """Refuse what makes no sense; give the sweeps as `(n_sweeps, n_samples)` and the lengths of the transform."""
    one_of("output", output, OUTPUTS)
    one_of("padding", padding, PADDINGS)
    one_of("backend", backend, BACKENDS)
    if not isinstance(x, np.ndarray | torch.Tensor):
        raise ParameterError(f"the sweeps are a {type(x).__name__}; give a NumPy array or a torch tensor")
    is_number = x.dtype.kind in "fiu" if isinstance(x, np.ndarray) else not x.dtype.is_complex and x.dtype != torch.bool
    if not is_number:
        raise ParameterError(f"the sweeps hold {x.dtype}; give real numbers (float32 or float64, in mV)")
    if x.ndim < 1 or x.shape[-1] < 2:
        raise ParameterError(f"the sweeps have shape {tuple(x.shape)}; give (..., n_samples) with at least 2 samples")
    if math.prod(x.shape) == 0:
        raise ParameterError(f"the sweeps have shape {tuple(x.shape)}: there are none; give at least one sweep")
    n_samples = int(x.shape[-1])
    if len(too_long := bank.too_long_hz(n_samples)):
        warnings.warn(
            f"a sweep of {n_samples} samples ({n_samples / bank.rate_hz:.3g} s) is shorter than the {bank.wavelet} wavelet "
            f"at {too_long.min():g} to {too_long.max():g} Hz ({len(too_long)} of {bank.n_frequencies} rows): "
            "what is taken to lie beyond its ends counts in all of these rows",
            ScalogramWarning,
            stacklevel=3,
        )
    reach = longest_reach(bank, slice(None), NEGLIGIBLE[torch.complex128])
    pad = 0 if padding == "zero" else math.ceil(min(reach, n_samples))
    return x.reshape(-1, n_samples), Plan(n_samples, pad)


def check_output(bank: Bank, output: str) -> None:
    """Refuse complex coefficients where real numbers are to be saved.

    Raises
    ------
    ParameterError
        When `output` is `"coefficients"` and the bank's wavelet is complex.
    """
    if bank.mother.is_complex and output == "coefficients":
        raise ParameterError(
            f"output is 'coefficients' and {bank.wavelet} is complex; set output to magnitude or energy"
        )


def check_parameters(parameters: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse parameters of notebook 03 that make no sense together, before it runs; `others` are those of all notebooks.

    Raises
    ------
    ParameterError
        They give no bank of filters at the sampling rate of notebook 02, or no numbers that can be saved.
    """
    fields = ("wavelet", "frequency_min_hz", "frequency_max_hz", "n_frequencies", "spacing", "normalisation")
    bank = Bank(**{name: parameters[name] for name in fields}, rate_hz=others["02_sweeps"]["rate_hz"])
    check_output(bank, parameters["output"])


# --- the transform --------------------------------------------------------------------------------------------------


def extend(chunk: torch.Tensor, plan: Plan, padding: str) -> torch.Tensor:
    """The sweeps with what is taken to lie before and after them: `(n, n_samples + 2 pad)`."""
    if plan.pad == 0:
        return chunk
    return chunk[:, torch.from_numpy(np.pad(np.arange(plan.n_samples), plan.pad, mode=padding)).to(chunk.device)]  # type: ignore[call-overload]


@lru_cache(maxsize=4)
def _bands(bank: Bank, plan: Plan, dtype: torch.dtype, device: str) -> tuple[Band, ...]:
    """All rows in `N_BANDS` bands. `dtype` is the complex type of the spectra."""
    negligible = NEGLIGIBLE[dtype]
    bands = []
    for members in np.array_split(np.arange(bank.n_frequencies), min(N_BANDS, bank.n_frequencies)):
        rows = slice(int(members[0]), int(members[-1]) + 1)
        # Beyond the lags that occur and the wavelet's reach, nothing can wrap around.
        reach = math.ceil(min(longest_reach(bank, rows, negligible), plan.max_lag))
        n_fft = _fast_length(plan.max_lag + reach + 2)
        values = spectra(bank, rows, n_fft, plan.max_lag, negligible)
        size = np.abs(values)
        seen = np.flatnonzero((size > negligible * size.max(axis=1, keepdims=True)).any(axis=0))
        bins = slice(int(seen[0]), int(seen[-1]) + 1)
        is_real = np.abs(values.imag).max() <= 1e-17 * np.abs(values.real).max()
        kept = torch.from_numpy((values.real if is_real else values)[:, bins].copy())
        bands.append(Band(rows, n_fft, bins, kept.to(device, dtype.to_real() if is_real else dtype)))
    return tuple(bands)


def coefficients(
    sweeps: Array, bank: Bank, plan: Plan, padding: str, backend: str, chunk_mb: float, label: str
) -> Iterator[tuple[slice, slice, torch.Tensor]]:
    """All coefficients, piece by piece: which sweeps, which rows, and their values `(n, n_rows, n_samples)`.

    The rows of a chunk come one group after another, and all groups before the next chunk. Only the bins that a group's
    wavelets see are multiplied; the others stay zero in a product that is used again for every chunk.
    """
    inside = slice(plan.pad, plan.pad + plan.n_samples)
    if backend == "pywt":
        for part in chunks(sweeps, 32 * bank.n_frequencies * (plan.n_samples + 2 * plan.pad), chunk_mb, label):
            chunk = load(sweeps, part)
            by_pywt = _pywt(extend(chunk, plan, padding).cpu().numpy(), bank)
            yield part, slice(0, bank.n_frequencies), torch.from_numpy(by_pywt[..., inside]).to(chunk.device)
        return
    parts, rows_of = _by_fft(sweeps, bank, plan, padding, chunk_mb, label)
    for part in parts:
        for rows, values in rows_of(part):
            yield part, rows, values


def _by_fft(
    sweeps: Array, bank: Bank, plan: Plan, padding: str, chunk_mb: float, label: str = ""
) -> tuple[Iterator[slice], Callable[[slice], Iterator[tuple[slice, torch.Tensor]]]]:
    """The chunks of the sweeps, and what gives a chunk's rows with their values; several threads may call it at a time."""
    inside = slice(plan.pad, plan.pad + plan.n_samples)
    is_complex = bank.mother.is_complex
    forward, inverse = (torch.fft.fft, torch.fft.ifft) if is_complex else (torch.fft.rfft, torch.fft.irfft)
    dtype = torch.complex128 if working_type(sweeps) == torch.float64 else torch.complex64
    device = str(sweeps.device) if isinstance(sweeps, torch.Tensor) else "cpu"
    bands = _bands(bank, plan, dtype, device)
    a_sweep = max(band.n_fft * (band.rows.stop - band.rows.start + 2) for band in bands) * (24 if is_complex else 16)
    own = threading.local()  # the products of each thread, used again for every chunk

    def rows_of(part: slice) -> Iterator[tuple[slice, torch.Tensor]]:
        extended = extend(load(sweeps, part), plan, padding)
        products: list[torch.Tensor] = getattr(own, "products", [])
        if not products or len(products[0]) != len(extended):
            products = own.products = [
                extended.new_zeros((len(extended), *_product_shape(band, is_complex)), dtype=dtype) for band in bands
            ]
        for band, product in zip(bands, products, strict=True):
            spectrum = forward(extended, n=band.n_fft)
            torch.mul(spectrum[:, None, band.bins], band.wavelets, out=product[..., band.bins])
            yield band.rows, inverse(product, n=band.n_fft)[..., inside]

    return chunks(sweeps, a_sweep, min(chunk_mb, CACHE_MB), label), rows_of


def _fast_length(n: int) -> int:
    """A length of at least `n` that FFTs are fast at: a large power of two times a number of small factors."""
    unit = 2 ** max(n.bit_length() - 5, 0)
    return unit * next(m for m in (1, 2, 4, 8, 16, 18, 20, 21, 24, 25, 27, 28, 30, 32) if unit * m >= n)


def _product_shape(band: Band, is_complex: bool) -> tuple[int, int]:
    return band.rows.stop - band.rows.start, band.n_fft if is_complex else band.n_fft // 2 + 1


def _pywt(extended: np.ndarray, bank: Bank) -> np.ndarray:
    values, _ = pywt.cwt(extended, bank.scales, bank.wavelet)
    values = np.moveaxis(values, 0, 1)
    return values if bank.normalisation == "L2" else values / np.sqrt(bank.scales)[:, None].astype(extended.dtype)


def measure(values: torch.Tensor, output: str) -> torch.Tensor:
    """Coefficients as asked for: themselves, their magnitude or their energy."""
    if output == "coefficients":
        return values
    magnitude = values.abs()
    return magnitude if output == "magnitude" else magnitude.square()
