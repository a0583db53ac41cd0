"""`Ensemble`: several networks of one architecture that answer as one, with the mean of their probabilities."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn


class Ensemble(nn.Module):
    """Networks that were trained alike from different seeds; averaging takes away part of what is due to the seed.

    Parameters
    ----------
    members : iterable of nn.Module
        Of one architecture, for one input.
    """

    def __init__(self, members: Iterable[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        """Images `(n, 3, H, W)` to scores `(n, 4)`: logarithms of the mean probabilities, so that softmax gives these."""
        logs = torch.stack([torch.log_softmax(member(x), dim=1) for member in self.members])
        return torch.logsumexp(logs, dim=0) - math.log(len(self.members))
