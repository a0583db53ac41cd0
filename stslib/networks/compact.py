"""`Compact`: a network of our own for a few hundred cells, small enough to be trained many times on a processor.

The four networks of the paper end in an average over the whole map: what is seen counts, wherever it is. In a scalogram the
row is a frequency and the column a time, and both mean something. So this one averages over a coarse grid of four bands by
four stretches of time, and the last layer knows which is which.
"""

from __future__ import annotations

from torch import Tensor, nn

#: Filters of each stage; after a stage the map is halved. The first stage is one convolution of 5 x 5, the others two of 3 x 3.
CHANNELS = (16, 32, 64)
#: Bands and stretches of time that the last layer tells apart.
GRID = (4, 4)


class Compact(nn.Module):
    """Five convolutions in three stages, an average over a 4 x 4 grid, and a linear layer.

    Parameters
    ----------
    n_outputs : int
        Outputs of the last layer.
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
