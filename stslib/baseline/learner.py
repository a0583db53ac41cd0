"""The two baselines before they are fitted, and what is done with them inside the training cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stslib import cohort, evaluation
from stslib.baseline import kernel, trees
from stslib.cohort import CLASSES
from stslib.support.errors import one_of

if TYPE_CHECKING:
    import optuna

Folds = Sequence[tuple[np.ndarray, np.ndarray]]

#: The paper's boosted trees, and the mean of such and a kernel classifier; so they are named in the metric records.
MODELS = ("lightgbm", "lightgbm:ensemble")

#: Settings of the ensemble's trees, by cross-validation inside the authors' training cells: slower, more random.
ENSEMBLE_TREES: dict[str, Any] = {
    "learning_rate": 0.05, "n_estimators": 300, "num_leaves": 31, "min_child_samples": 10, "colsample_bytree": 0.3,
    "subsample": 0.8, "subsample_freq": 1, "reg_lambda": 1.0, "class_weight": "balanced",
}  # fmt: skip


@dataclass(frozen=True)
class Ensemble:
    """Fitted halves of the ensemble, whose probabilities are averaged."""

    trees: trees.Model
    kernel: kernel.KernelModel

    def predict_proba(self, x: pd.DataFrame, threads: int = 1) -> np.ndarray:
        """Probabilities `(n_cells, 4)` in the order of `CLASSES`."""
        return 0.5 * (self.trees.predict_proba(x, threads) + self.kernel.predict_proba(x))

    def save(self, folder: str | Path) -> None:
        """Write the trees' two files and the kernel's one."""
        self.trees.save(folder)
        self.kernel.save(folder)


@dataclass(frozen=True)
class Learner:
    """A baseline with its settings, to be fitted and tried on cells.

    Parameters
    ----------
    model, params : str, one of `MODELS`, and mapping, keys of `baseline.DEFAULTS`; the ensemble has its own
    seed, threads : int, of LightGBM; the result does not depend on the threads

    Examples
    --------
    >>> x, y = pd.DataFrame({"rate": [*range(60, 90), *range(10, 40)]}), ["Pvalb"] * 30 + ["Sst"] * 30
    >>> Learner("lightgbm", {"n_estimators": 20}).held_out(x, y, cohort.folds(y, 3)).shape
    (60, 4)
    """

    model: str = "lightgbm"
    params: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 2026
    threads: int = 1

    def __post_init__(self) -> None:
        one_of("model", self.model, MODELS)

    @classmethod
    def best_of(cls, trials: pd.DataFrame, seed: int = 2026, threads: int = 1) -> Learner:
        """LightGBM with the parameters of the best trial of a search (`stslib.training.trial_table`)."""
        row = int(np.argmax(trials["mean"].fillna(-np.inf)))
        params = {name: trials[name].iloc[row].item() for name in trees.DEFAULTS if name in trials}
        return cls("lightgbm", params, seed, threads)

    def fit(self, x: pd.DataFrame, y: Any) -> trees.Model | Ensemble:
        """Fit it to features `(n_cells, n_features)` and classes `(n_cells,)` (see `stslib.baseline.trees.fit`)."""
        if self.model == "lightgbm":
            return trees.fit(x, y, self.params, self.seed, self.threads)
        filled = x.loc[:, x.notna().any()]  # in a small cohort a column may be empty
        return Ensemble(trees.fit(filled, y, ENSEMBLE_TREES, self.seed, self.threads), kernel.fit_kernel(filled, y))

    def held_out(self, x: pd.DataFrame, y: Any, folds: Folds) -> np.ndarray:
        """Probabilities `(n_cells, 4)`: each fold's held-out cells by a model that never saw them; else NaN."""
        labels = np.asarray(y, dtype=object)
        proba = np.full((len(labels), len(CLASSES)), np.nan)
        for fit_idx, out_idx in folds:
            model = self.fit(x.iloc[fit_idx], labels[fit_idx])
            proba[out_idx] = model.predict_proba(x.iloc[out_idx], self.threads)
        return proba

    def assess(
        self, x: pd.DataFrame, cells: pd.DataFrame, folds: Folds, data: str
    ) -> tuple[trees.Model | Ensemble, evaluation.Predictions]:
        """A model of all training cells, and its predictions of `cells` (`cell_id`, `label`, `split`), the rows of `x`."""
        y, train = cells["label"].to_numpy(), (cells["split"] == "train").to_numpy()
        inside = self.held_out(x[train], y[train], folds)
        model = self.fit(x[train], y[train])
        outside = model.predict_proba(x[~train], self.threads)
        return model, evaluation.Predictions(self.model, data, cells, inside, outside, folds)

    def objective(self, x: pd.DataFrame, y: np.ndarray, folds: Folds) -> Callable[[optuna.Trial, int], float]:
        """Balanced accuracy of a fold's held-out cells with the setting of a trial (paper section III.C)."""

        def score(trial: optuna.Trial, fold: int) -> float:
            tried = replace(self, params=search_space(trial))
            out = folds[fold][1]
            proba = tried.held_out(x, y, [folds[fold]])[out]
            return evaluation.score("balanced_accuracy", y[out], evaluation.predicted(proba))

        return score

    def shuffled_scores(self, x: pd.DataFrame, y: Any, n_shuffles: int = 5, n_folds: int = 3) -> np.ndarray:
        """Cross-validated balanced accuracy on shuffled labels, `(n_shuffles,)`: 1/4, unless something leaks."""
        rng = np.random.default_rng(self.seed)
        scores = []
        for k in range(n_shuffles):
            shuffled = rng.permutation(np.asarray(y, dtype=object))
            proba = self.held_out(x, shuffled, cohort.folds(shuffled, n_folds, self.seed + k))
            scores.append(evaluation.score("balanced_accuracy", shuffled, evaluation.predicted(proba)))
        return np.array(scores)

    def compare_columns(
        self, sets: Mapping[str, pd.DataFrame], y: Any, folds: Folds, pair: tuple[str, str], n_bootstrap: int = 2000
    ) -> tuple[pd.DataFrame, evaluation.Comparison]:
        """Cross-validated scores of `sets` of columns of the same cells, and a `pair` of them compared cell by cell."""
        classes = {name: evaluation.predicted(self.held_out(x, y, folds)) for name, x in sets.items()}
        rows = []
        for name, found in classes.items():
            recall = evaluation.confusion_shares(y, found, 1)[0].diagonal()
            score = evaluation.with_interval(y, found, n_bootstrap, self.seed)
            rows.append((name, sets[name].shape[1], *score, *recall))
        table = pd.DataFrame(rows, columns=["columns", "features", "balanced accuracy", "low", "high", *CLASSES])
        first, second = (classes[name] for name in pair)
        return table, evaluation.compare(y, first, second, n_bootstrap=n_bootstrap, seed=self.seed)


def search_space(trial: optuna.Trial) -> dict[str, Any]:
    """Parameters of a trial, from the authors' search space (protocol, Baseline)."""
    # LightGBM ignores their `subsample` while `subsample_freq` is 0, its default; it is kept for a faithful search.
    whole, real = trial.suggest_int, trial.suggest_float
    return {
        "num_leaves": whole("num_leaves", 10, 100), "max_depth": whole("max_depth", 3, 12),
        "learning_rate": real("learning_rate", 1e-3, 0.2, log=True), "n_estimators": whole("n_estimators", 50, 300),
        "min_child_samples": whole("min_child_samples", 5, 30), "subsample": real("subsample", 0.5, 1.0),
        "colsample_bytree": real("colsample_bytree", 0.5, 1.0), "reg_alpha": real("reg_alpha", 0.0, 1.0),
        "reg_lambda": real("reg_lambda", 0.0, 1.0),
    }  # fmt: skip
