"""A scalogram at once at the size of a network's input.

The inverse transform is evaluated only at the samples that a bilinear resize reads, as one matrix product over the bins
where the rows' wavelets have power, so that the whole scalogram (6.9 MB a cell in the paper's code) never exists.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch

from stslib.errors import ParameterError
from stslib.scalograms.bank import Bank, spectra
from stslib.scalograms.transform import (
    Array,
    Plan,
    check,
    chunks,
    filters,
    full,
    load,
    measure,
    result_array,
    spectrum_of,
    store,
    working_type,
)

N_BANDS = 12  # groups of rows that share a range of bins; more groups do not make it faster


class Blend(NamedTuple):
    """A bilinear resize along one axis, from `n_in` to `n_out` samples, worked out in `dtype` (`"float32"`, `"float64"`)."""

    n_in: int
    n_out: int
    dtype: str
    antialias: bool = False

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`(low, high, weight)`, each `(n_out,)`: output j is `(1 - weight[j]) * x[low[j]] + weight[j] * x[high[j]]`.

        The positions (`align_corners=False`) are rounded as torch rounds them for a tensor of `dtype`: float32 places them
        to a few ten-thousandths of a sample among 4,800, and exact positions would differ from torch's result by that.
        """
        number = np.dtype(self.dtype).type
        half = number(0.5)
        scale = number(self.n_in) / number(self.n_out)
        position = np.maximum(scale * (np.arange(self.n_out).astype(number) + half) - half, number(0))
        low = np.minimum(position.astype(np.int64), self.n_in - 1)
        return low, np.minimum(low + 1, self.n_in - 1), np.clip(position - low.astype(number), 0, 1).astype(number)

    def matrix(self, end: str = "both") -> np.ndarray:
        """The same as weights `(n_in, n_out)`; `end` `"low"` or `"high"` picks only that sample of each pair.

        With `antialias` each output is an average over all the inputs that it covers, weighted by a triangle, as torch
        does it.
        """
        weights = np.zeros((self.n_in, self.n_out))
        columns = np.arange(self.n_out)
        if not self.antialias:
            low, high, weight = self.arrays()
            first = 1 - weight.astype(float) if end == "both" else np.full(self.n_out, float(end == "low"))
            np.add.at(weights, (low, columns), first)
            np.add.at(weights, (high, columns), 1 - first)
            return weights
        scale = self.n_in / self.n_out
        reach = max(scale, 1.0)
        for column in columns:
            centre = scale * (column + 0.5)
            covered = slice(max(int(centre - reach + 0.5), 0), min(int(centre + reach + 0.5), self.n_in))
            distance = np.abs(np.arange(covered.start, covered.stop) + 0.5 - centre) / reach
            triangle = np.maximum(1 - distance, 0)
            weights[covered, column] = triangle / triangle.sum()
        return weights


def cwt_resized(
    x: Array,
    bank: Bank,
    height: int,
    width: int,
    output: str = "coefficients",
    padding: str = "zero",
    backend: str = "fft",
    antialias: bool = False,
    out: Array | None = None,
    chunk_mb: float = 32.0,
    label: str = "",
) -> Array:
    """The scalogram at a network's input size, without the full one.

    Equals `torch.nn.functional.interpolate(cwt(x, bank, ...), (height, width), mode="bilinear", align_corners=False,
    antialias=antialias)` to rounding. The paper's code resizes without `antialias`.

    Parameters
    ----------
    height, width : int
        Rows (frequency, row 0 the lowest) and columns (time) of the result.
    antialias : bool
        Average over all that a pixel covers. Without it a bilinear resize reads two samples a column, and what is narrower
        than a column is met by chance. Make it with magnitudes: coefficients of both signs average to nothing.
    x, bank, output, padding, backend, out, chunk_mb, label
        As for `cwt`; `out` has shape (..., height, width).

    Returns
    -------
    ndarray or tensor, shape (..., height, width)
        Array type, device and precision are those of `x`.

    Raises
    ------
    ParameterError
        As `cwt`, and when `height` or `width` is not a whole number above 0.

    Warns
    -----
    ScalogramWarning
        As `cwt`.
    """
    for name, value in (("height", height), ("width", width)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ParameterError(f"{name} is {value!r}; give a whole number of pixels above 0")
    sweeps, plan = check(x, bank, output, padding, backend)
    result = result_array(x, sweeps, out, (int(height), int(width)), output, bank)
    dtype = "float64" if working_type(sweeps) == torch.float64 else "float32"
    rows = Blend(bank.n_frequencies, int(height), dtype, antialias)
    columns = Blend(plan.n_samples, int(width), dtype, antialias)
    linear = output == "coefficients"
    few = _product_is_cheaper(plan.n_fft, width * (1 if linear else 2))
    if backend == "fft" and few and (linear or not antialias):  # a magnitude must be averaged over every sample
        n_bins = plan.n_fft if bank.mother.is_complex else plan.n_fft // 2 + 1
        a_band = 16 * math.ceil(bank.n_frequencies / N_BANDS) * n_bins
        for part in chunks(sweeps, a_band + 16 * (bank.n_frequencies + height) * width, chunk_mb, label):
            spectrum = spectrum_of(load(sweeps, part), bank, plan, padding)
            store(result, part, _resize(_at_columns(spectrum, bank, plan, columns, output), rows, -2))
    else:
        for part in chunks(sweeps, 32 * bank.n_frequencies * plan.n_fft, chunk_mb, label):
            values = measure(full(load(sweeps, part), bank, plan, padding, backend), output)
            store(result, part, _resize(_resize(values, columns, -1), rows, -2))
    return result.reshape(*x.shape[:-1], *result.shape[1:]) if out is None else out


def _product_is_cheaper(n_fft: int, n_columns: int) -> bool:
    """Whether a matrix product over the bins beats inverse FFTs; both counted in floating-point operations.

    A third of the bins hold a row's power in the paper's bank, and a matrix product runs about six times as many operations
    a second as an FFT does.
    """
    return 4 * (n_fft / 6) * n_columns < 6 * 5 * n_fft * math.log2(n_fft)


def _at_columns(spectrum: torch.Tensor, bank: Bank, plan: Plan, columns: Blend, output: str) -> torch.Tensor:
    """All rows of the scalogram, measured and resized in time: `(n, n_frequencies, width)`.

    Coefficients are linear in the sweep, so the two samples of a pair are blended before the product; a magnitude has to be
    taken of each first.
    """
    device, is_complex, linear = str(spectrum.device), bank.mother.is_complex, output == "coefficients"
    wavelets = filters(bank, plan, spectrum.dtype, device)
    ends = ("both",) if linear else ("low", "high")
    kernels = [_kernel(plan, columns, end, is_complex, spectrum.dtype, device) for end in ends]
    weight = torch.from_numpy(columns.arrays()[2]).to(spectrum.device)
    dtype = spectrum.dtype if is_complex and linear else spectrum.dtype.to_real()
    values = torch.empty((len(spectrum), bank.n_frequencies, columns.n_out), dtype=dtype, device=spectrum.device)
    for rows, bins in _bands(bank, plan, spectrum.dtype):
        product = spectrum[:, None, bins] * wavelets[None, rows, bins]
        if not is_complex:
            product = torch.view_as_real(product).flatten(-2)
            bins = slice(2 * bins.start, 2 * bins.stop)
        found = [measure(product @ kernel[bins], output) for kernel in kernels]
        values[:, rows] = found[0] if linear else torch.lerp(found[0], found[1], weight)
    return values


@lru_cache(maxsize=8)
def _kernel(plan: Plan, columns: Blend, end: str, is_complex: bool, dtype: torch.dtype, device: str) -> torch.Tensor:
    """The inverse DFT at the wanted samples, as a matrix.

    `end` says which sample of each pair: `"low"`, `"high"`, or `"both"` blended. Complex wavelets: `(n_bins, width)`.
    Real ones: `(2 n_bins, width)`, real and imaginary part of a bin in turn, and its mirror image counted in.
    """
    n_bins = plan.n_fft if is_complex else plan.n_fft // 2 + 1
    placed = np.zeros((plan.n_fft, columns.n_out))
    placed[plan.pad : plan.pad + plan.n_samples] = columns.matrix(end)
    kernel = np.fft.ifft(placed, axis=0)[:n_bins]  # the inverse DFT at each sample, times its share in each column
    if is_complex:
        return torch.from_numpy(kernel).to(device, dtype)
    kernel *= np.where((np.arange(n_bins) == 0) | (2 * np.arange(n_bins) == plan.n_fft), 1, 2)[:, None]
    parts = np.stack([kernel.real, -kernel.imag], axis=1).reshape(2 * n_bins, -1)
    return torch.from_numpy(parts).to(device, dtype.to_real())


@lru_cache(maxsize=8)
def _bands(bank: Bank, plan: Plan, dtype: torch.dtype) -> tuple[tuple[slice, slice], ...]:
    """Groups of neighbouring rows, each with the bins outside of which its wavelets are negligible."""
    values = np.abs(spectra(bank, plan.n_fft, plan.max_lag))
    negligible = 1e-9 if dtype == torch.complex64 else 1e-17
    groups = []
    for rows in np.array_split(np.arange(bank.n_frequencies), min(N_BANDS, bank.n_frequencies)):
        bins = np.flatnonzero((values[rows] > negligible * values[rows].max(axis=1, keepdims=True)).any(axis=0))
        groups.append((slice(int(rows[0]), int(rows[-1]) + 1), slice(int(bins[0]), int(bins[-1]) + 1)))
    return tuple(groups)


def _resize(values: torch.Tensor, blend: Blend, axis: int) -> torch.Tensor:
    """Resize along the last axis (-1) or the one before it (-2)."""
    if blend.antialias:
        matrix = torch.from_numpy(blend.matrix()).to(values.device, values.dtype)
        return values @ matrix if axis == -1 else matrix.T @ values
    low, high, weight = (torch.from_numpy(part).to(values.device) for part in blend.arrays())
    share = (weight if axis == -1 else weight[:, None]).to(values.dtype)
    return torch.lerp(values.index_select(axis, low), values.index_select(axis, high), share)
