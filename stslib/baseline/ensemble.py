"""The better baseline: the mean of boosted trees and a kernel classifier, on features relative to the cell's own scales.

Model name in the metric records: `lightgbm:ensemble`. Its settings were chosen by 3-fold cross-validation inside the
authors' training cells (balanced accuracy and weighted F1, folds of seeds other than the notebook's), among trees, extra
trees, a support vector machine, logistic regression, a multilayer perceptron, this kernel classifier, and means of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stslib.baseline import kernel, trees
from stslib.baseline.search import Learner

NAME = "lightgbm:ensemble"

#: Settings of the trees: slower and more random than LightGBM's own, and blind to how common a class is.
TREES: dict[str, Any] = {
    "learning_rate": 0.05, "n_estimators": 300, "num_leaves": 31, "min_child_samples": 10, "colsample_bytree": 0.3,
    "subsample": 0.8, "subsample_freq": 1, "reg_lambda": 1.0, "class_weight": "balanced",
}  # fmt: skip


@dataclass(frozen=True)
class Ensemble:
    """Fitted halves of the ensemble; its probabilities are their mean."""

    trees: trees.Model
    kernel: kernel.KernelModel

    def predict_proba(self, x: pd.DataFrame, threads: int = 1) -> np.ndarray:
        """Probabilities `(n_cells, 4)` in the order of `CLASSES`; the columns of `x` may come in any order."""
        return 0.5 * (trees.predict_proba(self.trees, x, threads) + self.kernel.predict_proba(x))


def fit_ensemble(
    x: pd.DataFrame, y: Sequence[str] | np.ndarray | pd.Series, seed: int = 2026, threads: int = 1
) -> Ensemble:
    """Fit both halves on the same cells (see `trees.fit` and `kernel.fit_kernel` for `x`, `y` and errors)."""
    filled = x.loc[:, x.notna().any()]  # a column that is empty in a small cohort tells nothing
    return Ensemble(trees.fit(filled, y, TREES, seed, threads), kernel.fit_kernel(filled, y))


def ensembled(seed: int = 2026, threads: int = 1) -> Learner:
    """The ensemble as a learner (see `stslib.baseline.held_out`)."""
    return lambda x, y, unseen: fit_ensemble(x, y, seed, threads).predict_proba(unseen, threads)


def save_ensemble(folder: str | Path, model: Ensemble) -> None:
    """Write an ensemble: the trees' two files and the kernel's one."""
    trees.save(folder, model.trees)
    kernel.save_kernel(folder, model.kernel)


def load_ensemble(folder: str | Path) -> Ensemble:
    """Read an ensemble that `save_ensemble` wrote (errors: see `trees.load` and `kernel.load_kernel`)."""
    return Ensemble(trees.load(folder), kernel.load_kernel(folder))
