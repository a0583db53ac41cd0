"""Ridge regression on the classes with a Gaussian kernel: it compares all features at once, where trees cut one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import linalg, optimize, special, stats
from sklearn.metrics.pairwise import rbf_kernel

from stslib.baseline.trees import matrix, numbered
from stslib.cohort import CLASSES
from stslib.support.errors import StsError
from stslib.support.files import atomic

#: Width of the kernel (per squared unit of the standardised features) and penalty, by cross-validation inside train.
GAMMA, PENALTY = 0.003, 0.1
_LIMIT = 3.0  # standard deviations; what lies beyond the training cells is taken as their edge


@dataclass(frozen=True)
class Standard:
    """Rank-normal standardisation: the values of a column become those of a normal distribution of the same ranks.

    `knots`: quantiles of the `features`, `(n_knots, n_features)`; `gaps`: columns with missing values, which each get one
    more, 1 where missing. Of a shared extreme scikit-learn's `QuantileTransformer` takes the end, this the middle rank.
    """

    features: tuple[str, ...]
    knots: np.ndarray
    gaps: np.ndarray

    @classmethod
    def of(cls, x: pd.DataFrame) -> Standard:
        """The standardisation of these cells; a column without any value is refused by its name."""
        values = matrix(x)
        if (empty := np.isnan(values).all(axis=0)).any():
            raise StsError(f"column {x.columns[int(np.argmax(empty))]} has no value in any of {len(x)} cells")
        knots = np.nanquantile(values, np.linspace(0, 1, 500), axis=0)
        return cls(tuple(map(str, x.columns)), knots, np.isnan(values).any(axis=0))

    def __call__(self, x: pd.DataFrame) -> np.ndarray:
        """Standardised features `(n_cells, n_features + number of gaps)`; a missing value becomes the median, 0."""
        values, levels = matrix(x, self.features), np.linspace(0, 1, len(self.knots))
        absent, out = np.isnan(values), np.zeros_like(values)
        for v, column, knots in zip(values.T, out.T, self.knots.T, strict=True):
            # From either side, so that a value that many cells share gets the middle of its ranks.
            rank = 0.5 * (np.interp(v, knots, levels) + 1 - np.interp(-v, -knots[::-1], levels))
            column[:] = np.nan_to_num(np.clip(stats.norm.ppf(rank), -_LIMIT, _LIMIT))
        return np.hstack([out, absent[:, self.gaps]])


@dataclass(frozen=True)
class KernelModel:
    """A fitted kernel classifier: standardised training cells `centres (n, d)` and their weights `(n, 4)`."""

    standard: Standard
    centres: np.ndarray
    weights: np.ndarray
    gamma: float
    sharpness: float

    def predict_proba(self, x: pd.DataFrame) -> np.ndarray:
        """Probabilities `(n_cells, 4)` in the order of `CLASSES`."""
        scores = rbf_kernel(self.standard(x), self.centres, self.gamma) @ self.weights
        return special.softmax(self.sharpness * scores, axis=1)

    def save(self, folder: str | Path) -> None:
        """Write it as arrays (`kernel.safetensors`); nothing is pickled."""
        from safetensors.numpy import save_file

        arrays = {
            "knots": self.standard.knots, "gaps": self.standard.gaps.astype(np.uint8), "centres": self.centres,
            "weights": self.weights, "numbers": np.array([self.gamma, self.sharpness]),
        }  # fmt: skip
        about = {"kind": "stslib kernel", "classes": "|".join(CLASSES), "features": "|".join(self.standard.features)}
        with atomic(Path(folder) / "kernel.safetensors") as path:
            save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, path, about)


def fit_kernel(x: pd.DataFrame, y: Any) -> KernelModel:
    """Fit the kernel classifier; cells of a rare class weigh more, by the root of its inverse share."""
    numbers, standard = numbered(x, y), Standard.of(x)
    centres = standard(x)
    targets = np.eye(len(CLASSES))[numbers] - 1 / len(CLASSES)
    weight = np.bincount(numbers, minlength=len(CLASSES))[numbers] ** -0.5
    system = rbf_kernel(centres, gamma=GAMMA)
    system[np.diag_indices_from(system)] += PENALTY * weight.mean() / weight
    weights, without = solve(system, targets)
    return KernelModel(standard, centres, weights, GAMMA, _sharpness(without, numbers))


def solve(system: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights `(n, 4)` of the cells, and their scores by a fit without each (Rasmussen and Williams 2006, 5.4.2)."""
    inverse = linalg.inv(system, overwrite_a=True, check_finite=False)
    weights = inverse @ targets
    return weights, targets - weights / np.diag(inverse)[:, None]


def _sharpness(scores: np.ndarray, numbers: np.ndarray) -> float:
    """The factor on the scores that makes the softmax most likely (Guo et al. 2017, ICML)."""

    def loss(log_factor: float) -> float:
        logs = special.log_softmax(np.exp(log_factor) * scores, axis=1)
        return float(-logs[np.arange(len(numbers)), numbers].mean())

    return float(np.exp(optimize.minimize_scalar(loss, bounds=(-2, 5), method="bounded").x))
