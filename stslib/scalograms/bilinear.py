"""A bilinear resize along one axis, as torch does it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch


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


def resize(values: torch.Tensor, blend: Blend, axis: int) -> torch.Tensor:
    """Resize along the last axis (-1) or the one before it (-2)."""
    if blend.antialias:
        matrix = torch.from_numpy(blend.matrix()).to(values.device, values.dtype)
        return values @ matrix if axis == -1 else matrix.T @ values
    low, high, weight = (torch.from_numpy(part).to(values.device) for part in blend.arrays())
    share = (weight if axis == -1 else weight[:, None]).to(values.dtype)
    return torch.lerp(values.index_select(axis, low), values.index_select(axis, high), share)
