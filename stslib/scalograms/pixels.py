"""Scalograms at the size of a network's input; the whole one (6.9 MB a cell in the paper's code) never exists.

A bilinear resize reads two neighbouring samples a column, and only these are computed.

For a group of rows of similar scale the sweep is brought to about the lowest rate that holds their band (rows beyond the
Nyquist frequency are summed over the samples). Each column reads one window of that grid, in one small matrix product.
The grid's step divides the distance of two columns, so the windows lie at equal distances and need not be copied.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from scipy.fft import next_fast_len

from stslib.scalograms.bank import Bank
from stslib.scalograms.chunks import Array, chunks, device, load, precision, result_array, side_by_side, store
from stslib.scalograms.settings import ImageSettings
from stslib.scalograms.transform import Plan, check, extend, measure, transformed
from stslib.scalograms.wavelets import reaches

GROUP_RATIO = 2.0  # highest over lowest scale of a group: fewer groups, more multiplications
#: Of a wavelet's or a spectrum's largest value: what is left out in time and in frequency.
LEFT_OUT = {"float32": 5e-7, "float64": 1e-13}
CHUNK_MB = 48.0  # working memory, about
PARTS = 4  # so many at least, on any number of threads: the last bits of a product depend on how many sweeps it is of
KERNELS_MB = 256  # largest kernels that are cached; wider images are cheaper by FFT anyway


class Resize(NamedTuple):
    """A bilinear resize along one axis as torch does it, from `n_in` to `n_out` samples, in float32 or float64."""

    n_in: int
    n_out: int
    dtype: str
    antialias: bool = False

    def pairs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`(low, high, weight)`, each `(n_out,)`: output j is `(1 - weight[j]) * x[low[j]] + weight[j] * x[high[j]]`.

        The positions are rounded to `dtype` as torch rounds them, in float32 to a few ten-thousandths of a sample.
        """
        number = np.dtype(self.dtype).type
        half, scale = number(0.5), number(self.n_in) / number(self.n_out)
        position = np.maximum(scale * (np.arange(self.n_out).astype(number) + half) - half, number(0))
        low = np.minimum(position.astype(np.int64), self.n_in - 1)
        return low, np.minimum(low + 1, self.n_in - 1), np.clip(position - low.astype(number), 0, 1).astype(number)

    def __call__(self, values: torch.Tensor, axis: int) -> torch.Tensor:
        """Resize along the last axis (-1) or the one before it (-2)."""
        if self.antialias:  # averages over all inputs that an output covers, by a triangle
            scale = self.n_in / self.n_out
            distance = np.abs(np.arange(self.n_in)[:, None] + 0.5 - scale * (np.arange(self.n_out) + 0.5))
            triangle = np.maximum(1 - distance / max(scale, 1.0), 0)
            matrix = torch.from_numpy(triangle / triangle.sum(axis=0)).to(values.device, values.dtype)
            return values @ matrix if axis == -1 else matrix.T @ values
        low, high, weight = (torch.from_numpy(part).to(values.device) for part in self.pairs())
        share = (weight if axis == -1 else weight[:, None]).to(values.dtype)
        return torch.lerp(values.index_select(axis, low), values.index_select(axis, high), share)


class Group(NamedTuple):
    """Some rows of the result and what they are made of."""

    rows: slice
    n_grid: int  # length of the decimated sweep
    bins: slice  # of the sweep's spectrum: those that the rows' wavelets see
    first: int  # where on the grid the first column's window begins
    step: int  # and how much further on each next one does
    samples: torch.Tensor | None  # (width, window): windows of the sweep itself, where it is not decimated
    kernel: torch.Tensor  # (width, window, values)


class Design(NamedTuple):
    """How all pixels are computed."""

    n_fft: int
    before: int  # zeros put before the (padded) sweep, so that the first window begins on the grid
    groups: tuple[Group, ...]

    @property
    def bytes_a_sweep(self) -> int:
        """Working memory for one sweep in float32."""
        values = [group.kernel[:, 0].numel() for group in self.groups]
        windows = [group.samples.numel() for group in self.groups if group.samples is not None]
        return 4 * (3 * self.n_fft + 3 * max(group.n_grid for group in self.groups) + sum(windows) + 3 * sum(values))


class _Task(NamedTuple):
    bank: Bank
    rows: Resize
    columns: Resize
    linear: bool
    sources: np.ndarray  # rows of the full scalogram that a row of the result is made of: (n_rows, 2), or (n_rows, 1)
    n_fft: int
    offset: int  # where the sweep's first sample lies in what is transformed
    in_time: float
    in_rad: float
    device: str


@lru_cache(maxsize=4)
def design(bank: Bank, plan: Plan, rows: Resize, columns: Resize, linear: bool, device: str) -> Design | None:
    """How to compute `columns.n_out` x `rows.n_out` pixels.

    None where this way does not suit: a wavelet longer than the sweep or without a spectrum that ends, averages
    (`antialias`), an image nearly as wide as the sweep is long. Where pixels are coefficients themselves (`linear`),
    both resizes are part of the kernels; else these give every row at both samples of each column's pair.
    """
    mother, width = bank.mother, columns.n_out
    if mother.spectrum is None or columns.antialias or 2 * width > plan.n_samples:
        return None
    in_time, in_rad = reaches(bank.wavelet, LEFT_OUT[columns.dtype])
    longest = float(bank.scales.max())
    values = (rows.n_out if linear else 2 * bank.n_frequencies) * (2 if mother.is_complex else 1) * width
    kernel_bytes = values * 2 * in_time * in_rad / np.pi * GROUP_RATIO * np.dtype(columns.dtype).itemsize
    if in_time * longest >= plan.n_samples or kernel_bytes > KERNELS_MB * 2**20:
        return None
    before = 0 if plan.pad else math.ceil(in_time * longest) + 2
    # The period must be a whole number of grid steps, so it is a multiple of the samples after which columns repeat.
    unit = plan.n_samples // math.gcd(plan.n_samples, width)
    shortest_period = plan.n_samples + 2 * max(before, plan.pad) + 2
    n_fft = unit * next_fast_len(math.ceil(shortest_period / unit), real=True)
    sources = np.stack(rows.pairs()[:2], axis=1) if linear else np.arange(bank.n_frequencies)[:, None]
    task = _Task(bank, rows, columns, linear, sources, n_fft, plan.pad + before, in_time, in_rad, device)
    return Design(n_fft, before, tuple(_group(task, part) for part in _parts(task)))


def _parts(task: _Task) -> Iterator[slice]:
    """Neighbouring rows that need the same grid and have scales within `GROUP_RATIO`."""
    scales = task.bank.scales[task.sources]
    steps = [_step(task, float(scale)) for scale in scales.min(axis=1)]
    begin = 0
    for row in range(1, len(scales) + 1):
        if row == len(scales) or steps[row] != steps[begin] or scales[begin].max() > GROUP_RATIO * scales[row].min():
            yield slice(begin, row)
            begin = row


def _step(task: _Task, scale: float) -> int:
    """Grid points from one column to the next that hold a wavelet's band; 0 where it ends beyond the Nyquist frequency."""
    if task.in_rad / scale > np.pi:
        return 0
    step = max(1, math.ceil(task.columns.n_in / task.columns.n_out * task.in_rad / scale / np.pi))
    coarse = 2 ** max(step.bit_length() - 3, 0)  # so that there are not too many groups
    return -(-step // coarse) * coarse


def _group(task: _Task, part: slice) -> Group:
    """One group: where its columns' windows lie, and what they are multiplied by."""
    scales = task.bank.scales[task.sources[part]]
    mother, (low, high, _) = task.bank.mother, task.columns.pairs()
    width, spacing = task.columns.n_out, task.columns.n_in / task.columns.n_out
    reach = task.in_time * float(scales.max())
    step = _step(task, float(scales.min()))
    if step == 0:
        n_grid, grid, first = task.n_fft, 1.0, 0
        starts, window = low - math.ceil(reach), 2 * math.ceil(reach) + 2
        samples = torch.from_numpy((starts + task.offset)[:, None] + np.arange(window)).to(task.device)
    else:
        n_grid = round(task.n_fft / spacing * step)
        grid = spacing / step  # samples between two points of the grid
        columns = np.arange(width) * spacing  # the pairs of samples lie at most a column beside these
        first = math.floor((task.offset + (low - columns).min() - reach) / grid)
        window = math.ceil((task.offset + (high - columns).max() + reach) / grid) - first + 1
        starts, samples = first * grid - task.offset + columns, None
    kernel = torch.from_numpy(grid * _kernel(task, part, starts, np.arange(window) * grid))
    kernel = torch.view_as_real(kernel).flatten(-2) if kernel.is_complex() else kernel
    kernel = kernel.to(task.device, getattr(torch, task.columns.dtype)).contiguous()
    last_bin = math.ceil(task.in_rad / scales.min() * task.n_fft / (2 * np.pi)) + 1
    sees_constant = bool(mother.spectrum and np.abs(mother.spectrum(np.zeros(1)))[0] > 0)
    bins = slice(0 if sees_constant else 1, min(last_bin, n_grid // 2 + 1))
    return Group(part, n_grid, bins, first, step, samples, kernel)


def _kernel(task: _Task, part: slice, starts: np.ndarray, along: np.ndarray) -> np.ndarray:
    """What the columns' windows are multiplied by, `(width, window, n_rows)` where `linear`.

    Otherwise `(width, window, 2 * n_rows)`, rows at the first samples of the pairs, then at the second ones. Windows
    begin at `starts` `(width,)`, in samples of the sweep; their points lie at `along` `(window,)` from there on.
    """
    bank = task.bank
    low, high, weight = task.columns.pairs()
    needed, where = np.unique(task.sources[part], return_inverse=True)
    where = where.reshape(-1, task.sources.shape[1])
    ends = []
    for at in (low, high):
        # Seen from its sample, a column's window begins at one of few times, for the columns repeat.
        _, one, which = np.unique(np.round(starts - at, 6), return_index=True, return_inverse=True)
        times = (starts - at)[one][:, None] + along
        psi = np.stack([np.conj(bank.mother.psi(times / a)) / bank.factor(a) for a in bank.scales[needed]], axis=-1)
        if task.linear:
            share = task.rows.pairs()[2][part].astype(float)
            psi = psi[..., where[:, 0]] * (1 - share) + psi[..., where[:, 1]] * share
        ends.append(psi[which])
    if not task.linear:
        return np.concatenate(ends, axis=-1)
    share = weight.astype(float)[:, None, None]
    return ends[0] * (1 - share) + ends[1] * share


def windows(extended: torch.Tensor, plan: Design) -> Iterator[tuple[Group, torch.Tensor]]:
    """The groups, each with what the columns read: `(width, n, window)`, a view of the decimated sweeps."""
    count = len(extended)
    padded = torch.nn.functional.pad(extended, (plan.before, plan.n_fft - plan.before - extended.shape[-1]))
    spectrum = torch.fft.rfft(padded)
    for group in plan.groups:
        if group.samples is not None:
            yield group, padded[:, group.samples].transpose(0, 1)
            continue
        width, window, _ = group.kernel.shape
        band = spectrum.new_zeros((count, group.n_grid // 2 + 1))
        band[:, group.bins] = spectrum[:, group.bins]
        # irfft divides by its own length, the decimated sweep wants that of the sweep's transform.
        decimated = torch.fft.irfft(band, n=group.n_grid) * (group.n_grid / plan.n_fft)
        # The grid is a circle: windows that run over its end go on at its beginning.
        end = group.first + (width - 1) * group.step + window
        around = torch.cat([decimated[:, group.first :], decimated[:, : max(end - group.n_grid, 0)]], dim=1)
        yield group, around.as_strided((width, count, window), (group.step, around.shape[1], 1))


_DEFAULT = ImageSettings()


def cwt_resized(
    x: Array, bank: Bank, image: ImageSettings = _DEFAULT, label: str = "", out: Array | None = None
) -> Array:
    """The scalogram at a network's input size, without the full one.

    Equals `torch.nn.functional.interpolate(cwt(x, bank, ...), (height, width), mode="bilinear", align_corners=False,
    antialias=antialias)` to rounding; the paper's code resizes without. Sweeps `(..., n_samples)` in mV give `(...,
    height, width)` of their array type, device and precision, or fill `out` of any type, with the errors and warnings
    of `cwt`; `close_up` and `dtype` are for `Preprocessing`. `label` names a progress bar.

    >>> cwt_resized(torch.ones(4800), Bank(), ImageSettings(height=32, width=48)).numpy().shape
    (32, 48)
    """
    sweeps, plan = check(x, bank, image)
    linear, is_complex, on = image.output == "coefficients", bank.mother.is_complex, device(x)
    result = result_array(x, out, (image.height, image.width), linear and is_complex)
    rows = Resize(bank.n_frequencies, image.height, precision(x), image.antialias)
    columns = Resize(plan.n_samples, image.width, precision(x), image.antialias)
    pixels = design(bank, plan, rows, columns, linear, on) if image.backend == "fft" else None
    if pixels is not None:
        parts = chunks(sweeps, pixels.bytes_a_sweep, CHUNK_MB, PARTS if on == "cpu" else 1)
        weight = torch.from_numpy(columns.pairs()[2]).to(on)[:, None, None]
    else:
        parts, rows_of = transformed(sweeps, bank, plan, image.backend)

    def whole_rows(part: slice) -> None:
        resized = [columns(measure(values, image.output), -1) for _, values in rows_of(part)]
        store(result, part, rows(torch.cat(resized, dim=1), -2))

    def only_pixels(part: slice) -> None:
        assert pixels is not None
        resized = []
        for group, read in windows(extend(load(sweeps, part), plan), pixels):
            values = torch.bmm(read, group.kernel)  # (width, n, values)
            values = torch.view_as_complex(values.unflatten(-1, (-1, 2))) if is_complex else values
            if linear:
                store(result, (part, group.rows), values.permute(1, 2, 0))
            else:
                low, high = measure(values, image.output).chunk(2, dim=-1)
                resized.append(torch.lerp(low, high, weight).permute(1, 2, 0))
        if resized:
            store(result, part, rows(torch.cat(resized, dim=1), -2))

    side_by_side(only_pixels if pixels else whole_rows, parts, on == "cpu", label)
    return result.reshape(*x.shape[:-1], *result.shape[1:]) if out is None else out
