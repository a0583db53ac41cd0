"""A scalogram at once at the size of a network's input.

Only the samples that a bilinear resize reads are computed, so that the whole scalogram (6.9 MB a cell in the paper's code)
never exists: see `stslib.scalograms.decimated`.
"""

from __future__ import annotations

import numpy as np
import torch

from stslib.scalograms import decimated
from stslib.scalograms.bank import Bank
from stslib.scalograms.bilinear import Blend, resize
from stslib.scalograms.chunks import Array, chunks, load, result_array, side_by_side, store, working_type
from stslib.scalograms.transform import check, coefficients, extend, measure
from stslib.support.errors import ParameterError


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
    chunk_mb: float = 48.0,
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
    precision = "float64" if working_type(sweeps) == torch.float64 else "float32"
    rows = Blend(bank.n_frequencies, int(height), precision, antialias)
    columns = Blend(plan.n_samples, int(width), precision, antialias)
    device = str(x.device) if isinstance(x, torch.Tensor) else "cpu"
    design = None
    if backend == "fft":
        design = decimated.design(bank, plan, rows, columns, output == "coefficients", working_type(sweeps), device)
    if design is not None:
        known = design

        def work(part: slice) -> None:
            extended = extend(load(sweeps, part), plan, padding)
            _from_windows(extended, known, rows, columns, bank.mother.is_complex, output, result, part)

        n_workers = torch.get_num_threads() if device == "cpu" else 1
        parts = list(chunks(sweeps, design.bytes_a_sweep, chunk_mb, n_workers=n_workers))
        side_by_side(work, parts, label)
    else:
        kept: list[torch.Tensor] = []
        for part, group, values in coefficients(sweeps, bank, plan, padding, backend, chunk_mb, label):
            kept.append(resize(measure(values, output), columns, -1))
            if group.stop == bank.n_frequencies:
                store(result, part, resize(torch.cat(kept, dim=1), rows, -2))
                kept = []
    return result.reshape(*x.shape[:-1], *result.shape[1:]) if out is None else out


def _from_windows(
    extended: torch.Tensor, design: decimated.Design, rows: Blend, columns: Blend, is_complex: bool, output: str,
    result: Array, part: slice,
) -> None:  # fmt: skip
    """Compute one chunk and write it where it belongs, group by group."""
    linear = output == "coefficients"
    kept = []
    for group, read in decimated.windows(extended, design):
        values = torch.bmm(read, group.kernel)  # (width, n, values)
        if is_complex:
            values = torch.view_as_complex(values.unflatten(-1, (-1, 2)))
        if linear:
            store(result, (part, group.rows), values.permute(1, 2, 0))
            continue
        low, high = measure(values, output).chunk(2, dim=-1)
        weight = torch.from_numpy(columns.arrays()[2]).to(low.device)[:, None, None]
        kept.append(torch.lerp(low, high, weight).permute(1, 2, 0))
    if kept:
        store(result, part, resize(torch.cat(kept, dim=1), rows, -2))
