"""From stored scalograms to a network's input (paper section III.B.b), with numbers measured on training cells only."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stslib.networks.architectures import ARCHITECTURES, IMAGENET_MEAN, IMAGENET_STD, check_size
from stslib.support.errors import DamagedFile, StsError, one_of

COMPRESSIONS = ("asinh", "none")
#: What a classifier reads of a cell. Scalograms: its images, their close-ups alone, or first spikes with sign and a column a
#: sample. Else the voltage of whole sweeps or of their first spikes, or numbers of spike times.
SCALOGRAMS = ("scalograms", "close_ups", "spike_scalograms")
READS = (*SCALOGRAMS, "sweeps", "first_spikes", "spike_times")
#: Which stored channel each of the three that a network sees is, by how many are stored. Two are the paper's case: the
#: rheobase channel comes again as the third (section III.B.b).
SEEN = {1: (0, 0, 0), 2: (0, 1, 0), 3: (0, 1, 2)}


@dataclass(frozen=True)
class InputTransform:
    """What makes stored scalograms `(n, c, h, w)`, c from 1 to 3, a network's input `(n, 3, height, width)`.

    `shrink`: `f(x / scale)` with asinh (it tames very large coefficients and keeps signs) or the identity, then a bilinear
    resize that averages what a pixel covers (`antialias`; it keeps a fast train's envelope) or reads single points.
    `finish`: `(z - mean) / std`, the channels of `SEEN`, then `z * gain + offset`, which pre-trained networks ask for.
    """

    height: int
    width: int
    compress: str
    antialias: bool
    scale: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    gain: tuple[float, ...] = (1.0, 1.0, 1.0)
    offset: tuple[float, ...] = (0.0, 0.0, 0.0)
    reads: str = "scalograms"  # one of `READS`

    @classmethod
    def fit(
        cls,
        x: np.ndarray,
        indices: np.ndarray,
        architecture: str,
        size: tuple[int, int] = (0, 0),
        compress: str = "asinh",
        antialias: bool = True,
        normalise: str = "own",
    ) -> InputTransform:
        """Measure the numbers on at most 512 of the cells `indices` of `x` `(n_cells, c, h, w)`: training cells.

        `size` is (height, width) in pixels, 0 as stored. `compress` "asinh" scales by the 90th percentile of the
        magnitudes. `normalise` "own" gives mean 0 and SD 1; "pretrained" makes three SDs to either side of that an
        image from 0 to 1, normalised as the pre-trained network asks; "none" changes nothing, as in the paper's code;
        "inception" is what torchvision's InceptionV3 does to its input with ImageNet weights (`transform_input`).
        """
        one_of("compress", compress, COMPRESSIONS)
        one_of("normalise", normalise, ("own", "pretrained", "none", "inception"))
        if x.ndim != 4 or x.shape[1] not in SEEN:
            raise StsError(f"the scalograms have shape {x.shape}; give (n_cells, 1 to 3 channels, height, width)")
        channels = x.shape[1]
        height, width = size[0] or x.shape[2], size[1] or x.shape[3]
        check_size(architecture, height, width)
        chosen = np.sort(np.asarray(indices))
        chosen = chosen[np.linspace(0, len(chosen) - 1, min(512, len(chosen))).astype(int)]
        sample = np.asarray(x[chosen])  # as stored: twice as long in float32
        low, high = torch.from_numpy(sample).transpose(0, 1).flatten(1).aminmax(dim=1)  # NaN where a single value is
        if not torch.isfinite(torch.stack([low, high])).all():
            raise StsError("the training scalograms hold NaN or infinite values; make them again (03_scalograms)")
        if (low == high).any():
            constant = int((low == high).int().argmax())
            raise StsError(f"channel {constant} of the training scalograms is constant; there is nothing to learn")
        scale: tuple[float, ...] = (1.0,) * channels
        if compress == "asinh":
            # Of a recording that is silent nearly everywhere the percentile is 0; its largest value then sets the scale.
            sizes = [np.abs(sample[:, channel].astype(np.float32)) for channel in range(channels)]
            scale = tuple(float(np.quantile(size, 0.9)) or float(size.max()) for size in sizes)
        transform = cls(height, width, compress, antialias, scale, (0.0,) * channels, (1.0,) * channels)
        if normalise == "none":
            return transform
        if normalise == "inception":  # from an image normalised as for the other networks to one by 0.5 and 0.5
            gain, offset = tuple(2 * s for s in IMAGENET_STD), tuple(2 * m - 1 for m in IMAGENET_MEAN)
            return dataclasses.replace(transform, gain=gain, offset=offset)
        z = torch.cat([transform.shrink(part) for part in np.array_split(sample, -(-len(sample) // 64))]).double()
        mean, std = z.mean((0, 2, 3)), z.std((0, 2, 3), unbiased=False)
        measured: dict[str, Any] = {"mean": mean, "std": std}
        if normalise == "pretrained":
            known = ARCHITECTURES[architecture]
            image_mean, image_std = np.array(known.mean), np.array(known.std)
            measured |= {"gain": 1 / (6 * image_std), "offset": (0.5 - image_mean) / image_std}
        measured = {name: tuple(values.tolist()) for name, values in measured.items()}
        return dataclasses.replace(transform, **measured)

    def shrink(self, x: np.ndarray | Tensor) -> Tensor:
        """First half, done once a fit: `(n, c, h, w)` of any float type to `(n, c, height, width)` float32."""
        z = torch.as_tensor(np.asarray(x) if isinstance(x, np.ndarray) else x).float() / _column(self.scale)
        if self.compress == "asinh":
            z = torch.asinh(z)
        if tuple(z.shape[-2:]) != (self.height, self.width):
            z = nn.functional.interpolate(
                z, (self.height, self.width), mode="bilinear", align_corners=False, antialias=self.antialias
            )
        return z

    def finish(self, z: Tensor) -> Tensor:
        """Second half, done on each batch: `(n, c, height, width)` to `(n, 3, height, width)`, channels last."""
        seen = list(SEEN[self.channels])
        # One factor and one addend a channel: this runs on every batch, and each pass over the images is felt.
        factor = _column(self.gain, z.device) / _column(self.std, z.device)[seen]
        addend = _column(self.offset, z.device) - _column(self.mean, z.device)[seen] * factor
        return z[:, seen].mul_(factor).add_(addend).contiguous(memory_format=torch.channels_last)

    def __call__(self, x: np.ndarray | Tensor) -> Tensor:
        """Both halves: `(n, c, h, w)` to `(n, 3, height, width)` float32."""
        return self.finish(self.shrink(x))

    @property
    def channels(self) -> int:
        """Number of stored channels, `c`."""
        return len(self.scale)

    def to_json(self) -> dict[str, Any]:
        """The numbers as plain JSON types."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> InputTransform:
        """The transform that `to_json` described; a field that is missing, unknown or wrong is a `DamagedFile`."""
        try:
            channels = len(fields["scale"])
            lengths = {"scale": channels, "mean": channels, "std": channels, "gain": 3, "offset": 3}
            values: Any = {name: tuple(map(float, v)) if name in lengths else v for name, v in fields.items()}
            transform = cls(**values)
            good = (
                channels in SEEN
                and all(len(values[name]) == n and np.isfinite(values[name]).all() for name, n in lengths.items())
                and all(isinstance(size, int) and size > 0 for size in (transform.height, transform.width))
                and transform.compress in COMPRESSIONS
                and transform.reads in READS
                and isinstance(transform.antialias, bool)
            )
            if not good:
                raise ValueError("a field has a wrong length or value")
        except (TypeError, ValueError, KeyError) as error:
            raise DamagedFile(f"the model's input transform is damaged ({error}); use an unaltered model") from error
        return transform


def _column(values: tuple[float, ...], device: torch.device | None = None) -> Tensor:
    return torch.tensor(values, device=device).view(-1, 1, 1)
