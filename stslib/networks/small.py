"""Two small networks of ours: one for scalograms and one for voltage, to be trained many times on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Compact(nn.Module):
    """Five convolutions in three stages, an average over a 4 x 4 grid, and a linear layer of `n_outputs`.

    The paper's networks average over the whole map; in a scalogram the row is a frequency and the column a time, so
    this one averages over four bands by four stretches of time. It is small enough to be trained many times on a CPU.
    """

    def __init__(self, n_outputs: int = 1000) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for source, filters, side in ((3, 16, 5), (16, 32, 3), (32, 32, 3), (32, 64, 3), (64, 64, 3)):
            convolution = nn.Conv2d(source, filters, side, padding=side // 2, bias=False)
            layers += [convolution, nn.BatchNorm2d(filters), nn.ReLU()]
            if source in (3, filters):  # the last of a stage, after which the map is halved
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(4)
        self.fc = nn.Linear(64 * 4 * 4, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Images `(n, 3, H, W)` of at least 32 x 32 px to scores `(n, n_outputs)`."""
        scores: Tensor = self.fc(self.pool(self.features(x)).flatten(1))
        return scores


class Cnn1d(nn.Module):
    """A residual network on series in time, a channel a sweep: three blocks of two convolutions, and a linear layer.

    Each row of an image is a series; filters are one row high, and rows are averaged at the end. A sweep is one row.
    """

    def __init__(self, n_outputs: int = 1000) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_along(3, 32, 15, 4), nn.ReLU(), nn.MaxPool2d((1, 4), ceil_mode=True))
        sizes = ((32, 32), (32, 64), (64, 64))
        self.blocks = nn.ModuleList(nn.Sequential(*_along(a, b, 7), nn.ReLU(), *_along(b, b, 7)) for a, b in sizes)
        self.shortcuts = nn.ModuleList(nn.Sequential(*_along(a, b, 1)) for a, b in sizes)
        self.pool = nn.AdaptiveAvgPool2d((1, 8))
        self.fc = nn.Linear(64 * 8, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Images `(n, 3, H, W)` of at least 32 columns to scores `(n, n_outputs)`."""
        z = self.stem(x)
        for block, shortcut in zip(self.blocks, self.shortcuts, strict=True):
            z = nn.functional.max_pool2d(torch.relu(block(z) + shortcut(z)), (1, 4), ceil_mode=True)
        scores: Tensor = self.fc(self.pool(z).flatten(1))
        return scores


def _along(source: int, filters: int, length: int, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    """A convolution along rows, and batch normalisation."""
    padding, step = (0, length // 2), (1, stride)
    convolution = nn.Conv2d(source, filters, (1, length), stride=step, padding=padding, bias=False)
    return convolution, nn.BatchNorm2d(filters)


#: By the name that parameters and results use.
SMALL: dict[str, type[nn.Module]] = {"compact": Compact, "cnn_1d": Cnn1d}
