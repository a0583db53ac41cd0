"""Scalograms at once at the size of a network's input, of one sweep or of a cohort.

The whole scalogram (6.9 MB a cell in the paper's code) never exists: see `stslib.scalograms.pixels`.
"""

from __future__ import annotations

import numpy as np
import torch

from stslib.scalograms.bank import Bank
from stslib.scalograms.chunks import Array, chunks, device, load, precision, result_array, side_by_side, store
from stslib.scalograms.pixels import Design, Resize, design, windows
from stslib.scalograms.settings import ImageSettings
from stslib.scalograms.transform import check, extend, measure, transformed
from stslib.support import parallel
from stslib.support.progress import progress

CHUNK_MB = 48.0  # working memory, about
CELLS_PER_JOB = 32  # cells that one process transforms at a time: a few MB to send, a second of work
LABEL = "Scalograms"
_DEFAULT = ImageSettings()


def cwt_resized(x: Array, bank: Bank, image: ImageSettings = _DEFAULT, label: str = "") -> Array:
    """The scalogram at a network's input size, without the full one.

    Equals `torch.nn.functional.interpolate(cwt(x, bank, ...), (height, width), mode="bilinear", align_corners=False,
    antialias=antialias)` to rounding. The paper's code resizes without `antialias`. Sweeps `(..., n_samples)` in mV at
    `bank.rate_hz` give `(..., height, width)` of their array type, device and precision, with the errors and warnings of
    `cwt`; `close_up` and `dtype` of the image are for `Preprocessing`. `label` names a progress bar.

    >>> sine = np.sin(2 * np.pi * 60 * np.arange(4800) / 4000)
    >>> cwt_resized(sine, Bank(), ImageSettings(height=32, width=48)).shape
    (32, 48)
    """
    return resized_into(None, x, bank, image, label)


def fill(
    images: np.ndarray, sweeps_mv: np.ndarray, bank: Bank, image: ImageSettings, n_jobs: int = 1, scheduler: str = ""
) -> None:
    """`cwt_resized` of every cell `(n_cells, c, n_samples)` into `images` `(n_cells, c, height, width)`, perhaps on disk.

    `n_jobs` processes do the work, or the workers of a Dask `scheduler`; the numbers do not depend on who does it.
    """
    if n_jobs == 1 and not scheduler:
        resized_into(images, sweeps_mv, bank, image, LABEL)
        return
    parts = [slice(k, k + CELLS_PER_JOB) for k in range(0, len(sweeps_mv), CELLS_PER_JOB)]
    jobs = ((np.array(sweeps_mv[part]), images.dtype.str, bank, image) for part in parts)
    done = parallel.run(_some_cells, jobs, n_jobs, scheduler)
    for part, values in zip(parts, progress(done, LABEL, total=len(parts)), strict=True):
        images[part] = values


def _some_cells(sweeps_mv: np.ndarray, dtype: str, bank: Bank, image: ImageSettings) -> np.ndarray:
    out = np.empty((*sweeps_mv.shape[:-1], image.height, image.width), dtype)
    resized_into(out, sweeps_mv, bank, image)
    return out


def resized_into(out: Array | None, x: Array, bank: Bank, image: ImageSettings, label: str = "") -> Array:
    """`cwt_resized` written to `out`, an array `(..., height, width)` of any type, or to a new array."""
    sweeps, plan = check(x, bank, image.output, image.padding, image.backend)
    linear, on = image.output == "coefficients", device(x)
    result = result_array(x, out, (image.height, image.width), linear and bank.mother.is_complex)
    rows = Resize(bank.n_frequencies, image.height, precision(x), image.antialias)
    columns = Resize(plan.n_samples, image.width, precision(x), image.antialias)
    pixels = design(bank, plan, rows, columns, linear, on) if image.backend == "fft" else None
    if pixels is not None:
        parts = chunks(sweeps, pixels.bytes_a_sweep, CHUNK_MB, torch.get_num_threads() if on == "cpu" else 1)
    else:
        parts, rows_of = transformed(sweeps, bank, plan, image.padding, image.backend)

    def work(part: slice) -> None:
        if pixels is None:
            resized = [columns(measure(values, image.output), -1) for _, values in rows_of(part)]
            store(result, part, rows(torch.cat(resized, dim=1), -2))
            return
        extended = extend(load(sweeps, part), plan, image.padding)
        _from_windows(extended, pixels, rows, columns, image.output, bank.mother.is_complex, result[part])

    side_by_side(work, parts, on == "cpu", label)
    return result.reshape(*x.shape[:-1], *result.shape[1:]) if out is None else out


def _from_windows(
    extended: torch.Tensor, pixels: Design, rows: Resize, columns: Resize, output: str, is_complex: bool, result: Array
) -> None:
    """The pixels of one chunk, group by group, into its part of the result."""
    resized = []
    for group, read in windows(extended, pixels):
        values = torch.bmm(read, group.kernel)  # (width, n, values)
        if is_complex:
            values = torch.view_as_complex(values.unflatten(-1, (-1, 2)))
        if output == "coefficients":
            store(result, (slice(None), group.rows), values.permute(1, 2, 0))
            continue
        low, high = measure(values, output).chunk(2, dim=-1)
        weight = torch.from_numpy(columns.pairs()[2]).to(low.device)[:, None, None]
        resized.append(torch.lerp(low, high, weight).permute(1, 2, 0))
    if resized:
        store(result, slice(None), rows(torch.cat(resized, dim=1), -2))
