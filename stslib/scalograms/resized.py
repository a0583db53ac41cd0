"""A scalogram at once at the size of a network's input.

Only the samples that a bilinear resize reads are computed, so that the whole scalogram (6.9 MB a cell in the paper's code)
never exists: see `stslib.scalograms.decimated`.
"""

from __future__ import annotations

import torch

from stslib.scalograms import decimated
from stslib.scalograms.bank import Bank
from stslib.scalograms.bilinear import Blend, resize
from stslib.scalograms.chunks import Array, chunks, load, result_array, side_by_side, store, working_type
from stslib.scalograms.settings import ImageSettings
from stslib.scalograms.transform import check, coefficients, extend, measure

#: Working memory, about, in megabytes.
CHUNK_MB = 48.0
DEFAULT_IMAGE = ImageSettings()


def cwt_resized(x: Array, bank: Bank, image: ImageSettings = DEFAULT_IMAGE, label: str = "") -> Array:
    """The scalogram at a network's input size, without the full one.

    Equals `torch.nn.functional.interpolate(cwt(x, bank, ...), (height, width), mode="bilinear", align_corners=False,
    antialias=antialias)` to rounding. The paper's code resizes without `antialias`.

    Parameters
    ----------
    x : ndarray or tensor, shape (..., n_samples)
        Sweeps in mV at `bank.rate_hz`.
    bank : Bank
        Wavelet and frequencies.
    image : ImageSettings
        Size and kind of the image; its `close_up` and `dtype` are not used here, but by `Preprocessing.draw`.
    label : str
        Label of a progress bar; none is shown without.

    Returns
    -------
    ndarray or tensor, shape (..., height, width)
        Array type, device and precision are those of `x`.

    Raises
    ------
    ParameterError
        As `cwt`.

    Warns
    -----
    ScalogramWarning
        As `cwt`.

    Examples
    --------
    >>> sweep = np.sin(2 * np.pi * 60 * np.arange(4800) / 4000)
    >>> cwt_resized(sweep, Bank(), ImageSettings(height=32, width=48)).shape
    (32, 48)
    """
    return resized_into(None, x, bank, image, label)


def resized_into(out: Array | None, x: Array, bank: Bank, image: ImageSettings, label: str = "") -> Array:
    """`cwt_resized` written to `out`, an array `(..., height, width)` of any type, or to a new array."""
    output, padding, backend = image.output, image.padding, image.backend
    sweeps, plan = check(x, bank, output, padding, backend)
    result = result_array(x, sweeps, out, (image.height, image.width), output, bank)
    precision = "float64" if working_type(sweeps) == torch.float64 else "float32"
    rows = Blend(bank.n_frequencies, image.height, precision, image.antialias)
    columns = Blend(plan.n_samples, image.width, precision, image.antialias)
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
        parts = list(chunks(sweeps, design.bytes_a_sweep, CHUNK_MB, n_workers=n_workers))
        side_by_side(work, parts, label)
    else:
        kept: list[torch.Tensor] = []
        for part, group, values in coefficients(sweeps, bank, plan, padding, backend, CHUNK_MB, label):
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
