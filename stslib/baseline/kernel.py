"""A kernel classifier on standardised features: ridge regression on the classes with a Gaussian kernel, in closed form.

Trees cut features one at a time; a Gaussian kernel compares cells in all features at once, so that the two err on other
cells and their mean is better than either. The fit is one linear system, and the same system gives what each training
cell would get from a model without it. The probabilities are calibrated on those [1]_, with no further split.

References
----------
.. [1] Rasmussen and Williams 2006, Gaussian Processes for Machine Learning, section 5.4.2 (leave-one-out);
   Guo et al. 2017, On calibration of modern neural networks, ICML (one factor on the scores).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import linalg, optimize, special, stats

from stslib.baseline.trees import matrix
from stslib.cohort import CLASSES, class_index
from stslib.support.errors import DamagedFile, MissingInput, ParameterError, StsError

KERNEL_FILE = "kernel.safetensors"

#: Width of the kernel (per squared unit of the standardised features) and penalty, by cross-validation inside train.
DEFAULTS: dict[str, float] = {"gamma": 0.003, "penalty": 0.1}

_N_KNOTS = 500
_LIMIT = 3.0  # standard deviations; what lies beyond the training cells is taken as their edge


@dataclass(frozen=True)
class Standard:
    """Rank-normal standardisation: a column's values become those of a normal distribution of the same ranks.

    Attributes
    ----------
    features : tuple of str
        Columns, in this order.
    knots : (n_knots, n_features) array
        Quantiles of each column in the cells that it was made from, without labels.
    gaps : (n_features,) array of bool
        Columns with missing values among those cells; each gets one more column, 1 where it is missing.
    """

    features: tuple[str, ...]
    knots: np.ndarray
    gaps: np.ndarray

    @classmethod
    def of(cls, x: pd.DataFrame) -> Standard:
        """The standardisation of these cells.

        Raises
        ------
        StsError
            A column without any value (named), or with a value that is not a number.
        """
        values = matrix(x)
        empty = np.isnan(values).all(axis=0)
        if empty.any():
            raise StsError(f"column {x.columns[int(np.argmax(empty))]} has no value in any of {len(x)} cells")
        knots = np.nanquantile(values, np.linspace(0, 1, _N_KNOTS), axis=0)
        return cls(tuple(map(str, x.columns)), knots, np.isnan(values).any(axis=0))

    def __call__(self, x: pd.DataFrame) -> np.ndarray:
        """Standardised features `(n_cells, n_features + number of gaps)`; a missing value becomes the median, 0."""
        missing = [c for c in self.features if c not in x.columns]
        if missing:
            raise StsError(f"the features lack column {missing[0]!r}, which the model needs ({len(missing)} missing)")
        values = matrix(x[list(self.features)])
        absent = np.isnan(values)
        levels = np.linspace(0, 1, len(self.knots))
        out = np.zeros_like(values)
        for k, knots in enumerate(self.knots.T):
            here = ~absent[:, k]
            v = values[here, k]
            # From either side, so that a value that many cells share gets the middle of its ranks.
            rank = 0.5 * (np.interp(v, knots, levels) + 1 - np.interp(-v, -knots[::-1], levels))
            out[here, k] = np.clip(stats.norm.ppf(rank), -_LIMIT, _LIMIT)
        return np.hstack([out, absent[:, self.gaps].astype(float)])


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
        scores = _gaussian(self.standard(x), self.centres, self.gamma) @ self.weights
        return special.softmax(self.sharpness * scores, axis=1)


def _gaussian(a: np.ndarray, b: np.ndarray, gamma: float) -> np.ndarray:
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :] - 2 * a @ b.T
    return np.exp(-gamma * np.maximum(squared, 0))


def fit_kernel(
    x: pd.DataFrame, y: Sequence[str] | np.ndarray | pd.Series, params: Mapping[str, float] | None = None
) -> KernelModel:
    """Fit the kernel classifier; cells of a rare class weigh more, by the root of its inverse share.

    Parameters
    ----------
    x : (n_cells, n_features) DataFrame
        Numbers; missing values may be NaN.
    y : (n_cells,) of str
        Classes.
    params : mapping
        Values for keys of `DEFAULTS`.

    Raises
    ------
    ParameterError
        Unknown parameter, or one that is not above 0.
    StsError
        Data that do not fit together.
    """
    settings = {**DEFAULTS, **dict(params or {})}
    for name, value in settings.items():
        if name not in DEFAULTS:
            raise ParameterError(f"kernel parameter {name!r} is unknown; use: {', '.join(DEFAULTS)}")
        if not value > 0:
            raise ParameterError(f"kernel parameter {name} is {value}; it must be above 0")
    numbers = class_index(np.asarray(y, dtype=object))
    if len(numbers) != len(x):
        raise StsError(f"{len(numbers)} labels for {len(x)} rows of features; give one a cell")
    standard = Standard.of(x)
    centres = standard(x)
    targets = np.eye(len(CLASSES))[numbers] - 1 / len(CLASSES)
    weight = np.bincount(numbers, minlength=len(CLASSES))[numbers] ** -0.5
    system = _gaussian(centres, centres, settings["gamma"])
    system[np.diag_indices_from(system)] += settings["penalty"] * weight.mean() / weight
    weights, without = solve(system, targets)
    return KernelModel(standard, centres, weights, float(settings["gamma"]), _sharpness(without, numbers))


def solve(system: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the training cells, and the scores that each would get from a fit that leaves it out.

    Parameters
    ----------
    system : (n, n) array
        Kernel of the cells with the penalty on its diagonal; overwritten.
    targets : (n, 4) array
    """
    inverse = linalg.inv(system, overwrite_a=True, check_finite=False)
    weights = inverse @ targets
    return weights, targets - weights / np.diag(inverse)[:, None]


def _sharpness(scores: np.ndarray, numbers: np.ndarray) -> float:
    """The factor on the scores that makes the softmax most likely."""

    def loss(log_factor: float) -> float:
        logs = special.log_softmax(np.exp(log_factor) * scores, axis=1)
        return float(-logs[np.arange(len(numbers)), numbers].mean())

    return float(np.exp(optimize.minimize_scalar(loss, bounds=(-2, 5), method="bounded").x))


def save_kernel(folder: str | Path, model: KernelModel) -> None:
    """Write a kernel classifier as arrays (`kernel.safetensors`); nothing is pickled."""
    from safetensors.numpy import save_file

    from stslib.support.files import atomic

    arrays: dict[str, Any] = {
        "knots": model.standard.knots, "gaps": model.standard.gaps.astype(np.uint8), "centres": model.centres,
        "weights": model.weights, "numbers": np.array([model.gamma, model.sharpness]),
    }  # fmt: skip
    with atomic(Path(folder) / KERNEL_FILE) as path:
        save_file(
            {k: np.ascontiguousarray(v) for k, v in arrays.items()}, path,
            {"kind": "stslib kernel", "classes": "|".join(CLASSES), "features": "|".join(model.standard.features)},
        )  # fmt: skip


def load_kernel(folder: str | Path) -> KernelModel:
    """Read a kernel classifier that `save_kernel` wrote.

    Raises
    ------
    MissingInput, DamagedFile
        It is not there, or is not such a file.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(folder) / KERNEL_FILE
    if not path.is_file():
        raise MissingInput(f"{path} is not there; it is the kernel half of the ensemble")
    try:
        with safe_open(path, framework="np") as stored:
            said = stored.metadata() or {}
            a = {k: stored.get_tensor(k) for k in ("knots", "gaps", "centres", "weights", "numbers")}
        if said.get("kind") != "stslib kernel" or said.get("classes") != "|".join(CLASSES):
            raise DamagedFile(f"{path} is not a kernel classifier of these classes; save the model again")
        standard = Standard(tuple(said["features"].split("|")), a["knots"], a["gaps"].astype(bool))
        return KernelModel(standard, a["centres"], a["weights"], *map(float, a["numbers"]))
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise DamagedFile(f"{path} is not a kernel classifier; save the model again") from error
