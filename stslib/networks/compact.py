"""Our own modules: a small network for a few hundred cells, and networks that answer together."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

#: Filters of each stage; after a stage the map is halved. The first stage is one convolution of 5 x 5, the others two of 3 x 3.
CHANNELS = (16, 32, 64)
#: Bands and stretches of time that the last layer distinguishes.
GRID = (4, 4)


class Compact(nn.Module):
    """Five convolutions in three stages, an average over a 4 x 4 grid, and a linear layer of `n_outputs`.

    The paper's networks average over the whole map; in a scalogram the row is a frequency and the column a time, so
    this one averages over four bands by four stretches of time. It is small enough to be trained many times on a
    processor.
    """

    def __init__(self, n_outputs: int = 1000) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for channels in CHANNELS:
            for source in (before,) if before == 3 else (before, channels):
                side = 5 if source == 3 else 3
                convolution = nn.Conv2d(source, channels, side, padding=side // 2, bias=False)
                layers += [convolution, nn.BatchNorm2d(channels), nn.ReLU()]
            layers.append(nn.MaxPool2d(2))
            before = channels
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(GRID)
        self.fc = nn.Linear(before * GRID[0] * GRID[1], n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Images `(n, 3, H, W)` of at least 32 x 32 px to scores `(n, n_outputs)`."""
        scores: Tensor = self.fc(self.pool(self.features(x)).flatten(1))
        return scores


class Ensemble(nn.Module):
    """Networks of one architecture that answer as one; averaging takes away part of what is due to a seed."""

    def __init__(self, members: Iterable[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        """Images `(n, 3, H, W)` to scores `(n, 4)`: logarithms of the mean probabilities, so that softmax gives these."""
        logs = torch.stack([torch.log_softmax(member(x), dim=1) for member in self.members])
        return torch.logsumexp(logs, dim=0) - math.log(len(self.members))
