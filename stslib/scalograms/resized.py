"""Scalograms at the size of a network's input; the whole one (6.9 MB a cell in the paper's code) never exists."""

from __future__ import annotations

import torch

from stslib.scalograms.bank import Bank
from stslib.scalograms.chunks import Array, chunks, device, load, precision, result_array, side_by_side, store
from stslib.scalograms.pixels import Resize, design, windows
from stslib.scalograms.settings import ImageSettings
from stslib.scalograms.transform import check, extend, measure, transformed

CHUNK_MB = 48.0  # working memory, about
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
        parts = chunks(sweeps, pixels.bytes_a_sweep, CHUNK_MB, torch.get_num_threads() if on == "cpu" else 1)
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
