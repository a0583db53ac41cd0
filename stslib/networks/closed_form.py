"""Classifiers without epochs, fitted in closed form: ridge regression on the classes, of convolutions or of a kernel.

They read what networks read, scalograms or traces, and are saved as plain tensors like them. The penalty is the one of the
smallest leave-one-out error within the training cells, so no held-out cell chooses anything.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor, nn

from stslib.cohort import CLASSES
from stslib.support.errors import DamagedFile

PENALTIES = np.logspace(-3, 6, 19)
GAMMAS = (0.25, 1.0, 4.0)  # of the kernel, per squared distance that one SD in every number makes
N_THRESHOLDS = 119  # of each of the 84 kernels, as in MiniRocket's paper
CHUNK = 4_000_000  # numbers of one convolution, at most


def distinct(x: Tensor) -> Tensor:
    """Images `(n, 3, H, W)` without the channels that are the first one again (`networks.inputs.SEEN`)."""
    return x[:, :1] if torch.equal(x[:, 0], x[:, 1]) else x[:, :2] if torch.equal(x[:, 0], x[:, 2]) else x


def ridge(gram: Tensor, numbers: Tensor) -> tuple[float, Tensor, Tensor]:
    """Weights of the cells `(n, 4)` and an intercept, for their products `(n, n)` in float64 and classes `(n,)`.

    First comes the leave-one-out error of the best of `PENALTIES`, which the intercept has no part in; weights and
    intercept are scaled so that the softmax is most likely (Rifkin and Lippert 2007; Guo et al. 2017, ICML).
    """
    targets = 2 * nn.functional.one_hot(numbers, len(CLASSES)).double() - 1
    constant = 1e4 * gram.diagonal().mean()
    values, vectors = torch.linalg.eigh(gram + constant)
    found: list[tuple[float, Tensor, Tensor]] = []
    for penalty in PENALTIES:
        inverse = (vectors / (values.clamp(min=0) + penalty)) @ vectors.T
        weights = inverse @ targets
        residuals = weights / inverse.diagonal()[:, None]
        found.append((float(residuals.square().mean()), weights, targets - residuals))
    error, weights, without = min(found, key=lambda one: one[0])

    def loss(log_factor: float) -> float:
        return float(nn.functional.cross_entropy(math.exp(log_factor) * without, numbers))

    sharpness = math.exp(minimize_scalar(loss, bounds=(-2, 4), method="bounded").x)
    return error, sharpness * weights, sharpness * constant * weights.sum(0)


class ClosedForm(nn.Module):
    """A classifier whose tensors, called `NAMES`, are measured on training cells by `fit`, or read from a file."""

    NAMES: tuple[str, ...] = ()
    weights: Tensor
    intercept: Tensor

    def keep(self, **tensors: Tensor) -> None:
        """Hold these tensors, which are what is saved."""
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)

    def restore(self, state: Mapping[str, Tensor], name: str) -> None:
        """Take the tensors of a file; one that is missing, unknown or does not fit is a `DamagedFile`."""
        self.keep(**{key: tensor for key, tensor in state.items() if key in self.NAMES})
        if set(state) != set(self.NAMES) or not all(t.isfinite().all() for t in state.values()) or not self.fits():
            raise DamagedFile(f"the weights {name} do not hold what they should; make the model again")

    def fits(self) -> bool:
        """Whether the tensors have shapes that belong together."""
        raise NotImplementedError

    def fit(self, x: Tensor, numbers: Tensor, seed: int) -> None:
        """Measure the tensors on images `(n, 3, H, W)` of cells of these classes `(n,)`."""
        raise NotImplementedError


class Kernel(ClosedForm):
    """Ridge regression with a Gaussian kernel on all numbers of an image: near to a support vector machine."""

    NAMES = ("centres", "weights", "intercept", "gamma")
    centres: Tensor
    gamma: Tensor

    def fit(self, x: Tensor, numbers: Tensor, seed: int) -> None:
        """Choose the kernel's width and the penalty by leaving one out."""
        centres = distinct(x).flatten(1).double()
        distances, unit = torch.cdist(centres, centres).square(), centres.shape[1] * centres.var()
        tried = [(*ridge(torch.exp(-gamma * distances / unit), numbers), gamma / unit) for gamma in GAMMAS]
        _, weights, intercept, gamma = min(tried, key=lambda one: one[0])
        self.keep(centres=centres.float(), weights=weights.float(), intercept=intercept.float(), gamma=gamma.float())

    def fits(self) -> bool:
        """One weight a centre and class."""
        return self.weights.shape == (len(self.centres), len(CLASSES)) and self.centres.ndim == 2

    def forward(self, x: Tensor) -> Tensor:
        """Images `(n, 3, H, W)` to scores `(n, 4)`."""
        read = x.flatten(1)[:, : self.centres.shape[1]]
        scores: Tensor = (
            torch.exp(-self.gamma * torch.cdist(read, self.centres).square()) @ self.weights + self.intercept
        )
        return scores


class Rocket(ClosedForm):
    """MiniRocket (Dempster et al. 2021, KDD) over time, with the rows of all channels of an image as its channels.

    84 fixed kernels of length 9 at several dilations, each over a random choice of channels; the share of positive values
    at several thresholds is a feature; a ridge reads the standardised features.
    """

    NAMES = ("dilations", "mix", "biases", "mean", "scale", "weights", "intercept")
    dilations: Tensor
    mix: Tensor
    biases: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.kernels = torch.full((84, 1, 9), -1.0)
        for kernel, places in zip(self.kernels, itertools.combinations(range(9), 3), strict=True):
            kernel[0, list(places)] = 2.0

    def fit(self, x: Tensor, numbers: Tensor, seed: int) -> None:
        """Draw channels and thresholds, and fit the ridge."""
        series = distinct(x).flatten(1, 2).float()
        self._draw(series, np.random.default_rng(seed))
        features = self.features(series).double()
        mean, scale = features.mean(0), features.std(0).clamp(min=1e-6)
        z = (features - mean) / scale
        _, weights, intercept = ridge(z @ z.T, numbers)
        measured = {"mean": mean, "scale": scale, "weights": z.T @ weights, "intercept": intercept}
        self.keep(**{name: value.float() for name, value in measured.items()})

    def _draw(self, x: Tensor, rng: np.random.Generator) -> None:
        """A dilation for each threshold, short ones often; for each kernel and dilation its channels and thresholds."""
        n, n_channels, length = x.shape
        longest = math.log2(max(length - 1, 8) / 8)
        dilations = np.sort(np.logspace(0, longest, N_THRESHOLDS, base=2).astype(int))
        mix, biases = torch.zeros(N_THRESHOLDS, 84, n_channels), torch.zeros(N_THRESHOLDS, 84)
        self.keep(dilations=torch.from_numpy(dilations), mix=mix, biases=biases)
        for dilation, same in self._groups():
            counts = (2 ** rng.uniform(0, math.log2(min(n_channels, 9) + 1), 84)).astype(int)
            for kernel, count in enumerate(counts):
                mix[same, kernel, rng.permutation(n_channels)[:count, None]] = 1
            cells, levels = rng.integers(n, size=84), torch.from_numpy(rng.uniform(size=(84, len(same)))).float()
            summed = torch.einsum("kc,kcl->kl", mix[same[0]], x[torch.from_numpy(cells)])  # each from a cell of its own
            for kernel, one in enumerate(self._convolved(summed[None], dilation)[0]):
                biases[same, kernel] = torch.quantile(one, levels[kernel])

    def _groups(self) -> Iterator[tuple[int, Tensor]]:
        """Each dilation, and the positions of its thresholds."""
        for dilation in self.dilations.unique().tolist():
            yield int(dilation), torch.nonzero(self.dilations == dilation)[:, 0]

    def _convolved(self, summed: Tensor, dilation: int) -> Tensor:
        """Series of each kernel `(n, 84, length)` convolved with it."""
        return nn.functional.conv1d(summed, self.kernels.to(summed), padding=4 * dilation, dilation=dilation, groups=84)

    def features(self, x: Tensor) -> Tensor:
        """Shares of positive values `(n, n_features)`; every other kernel leaves the ends out, where zeros were added."""
        rows = []
        for part in x.split(max(1, CHUNK // (84 * x.shape[-1]))):
            columns = []
            for dilation, same in self._groups():
                whole = self._convolved(torch.einsum("kc,ncl->nkl", self.mix[same[0]], part), dilation)
                inner = whole[..., 4 * dilation : -4 * dilation] if x.shape[-1] > 8 * dilation else whole
                odd = torch.arange(84) % 2 == dilation % 2
                for bias in self.biases[same][..., None]:
                    columns.append((whole > bias).float().mean(-1))
                    columns[-1][:, odd] = (inner[:, odd] > bias[odd]).float().mean(-1)
            rows.append(torch.cat(columns, dim=1))
        return torch.cat(rows)

    def fits(self) -> bool:
        """Channels and a threshold for each dilation and kernel, and a weight a feature and class."""
        n = len(self.dilations)
        drawn = self.mix.ndim == 3 and self.mix.shape[:2] == self.biases.shape == (n, 84)
        return (
            drawn and self.mean.shape == self.scale.shape == (84 * n,) and self.weights.shape == (84 * n, len(CLASSES))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Images `(n, 3, H, W)` to scores `(n, 4)`."""
        features = self.features(x.flatten(1, 2)[:, : self.mix.shape[2]])
        scores: Tensor = ((features - self.mean) / self.scale) @ self.weights + self.intercept
        return scores


#: By the name that parameters and results use.
CLOSED_FORM: dict[str, type[ClosedForm]] = {"rocket": Rocket, "kernel": Kernel}
