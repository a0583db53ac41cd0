"""Does a feature know the cell or the rig? How well features predict the rig, apart from what the class gives away."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

from stslib import baseline, evaluation
from stslib.cohort import CLASSES
from stslib.support.errors import StsError

#: Features that the paper names first in its SHAP summary (section IV.B, Fig. 5), as columns of the published tables.
PAPER_TOP = {
    "Excitatory": ("fast_trough_t_long_square", "fast_trough_v_long_square", "trough_t_long_square"),
    "Pvalb": ("f_i_curve_slope", "adaptation"),
}


def rig_accuracy(
    x: pd.DataFrame, labels: Any, datasets: Any, n_folds: int = 3, n_bootstrap: int = 2000, seed: int = 2026
) -> dict[str, float]:
    """Balanced accuracy of predicting the data set (rig) of cells within each class, by cross-validated boosted trees.

    Every class weighs the same and is scored by itself, so features that know only the class score 0.5.
    `value`, its 95 % interval `low` and `high` (cells drawn within class and data set), and each class under its name.
    """
    y, rigs = np.asarray(labels, dtype=object), np.asarray(datasets, dtype=object)
    truth = (rigs == two_data_sets(rigs)[1]).astype(int)
    groups = np.array([f"{c}, {d}" for c, d in zip(y, rigs, strict=True)])
    counts = pd.Series(groups).value_counts()
    if counts.min() < n_folds:
        raise StsError(f"{counts.index[-1]}: {counts.min()} cells, fewer than {n_folds} folds; use fewer folds")
    weight = 1 / counts[groups].to_numpy()
    values, guess = x.to_numpy(dtype=float), np.empty(len(y), dtype=int)
    for fit, out in StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(groups, groups):
        model = HistGradientBoostingClassifier(random_state=seed, early_stopping=False)
        model.fit(values[fit], truth[fit], sample_weight=weight[fit] / weight[fit].mean())
        guess[out] = model.predict(values[out])
    rng = np.random.default_rng(seed)
    value, drawn = {}, []
    for label in sorted(set(y)):
        of_label = y == label
        if len(set(rigs[of_label])) < 2:
            raise StsError(f"class {label} occurs in one data set only, so the rig cannot be predicted within it")
        recalls = [(guess[of_label & (truth == d)] == d) for d in (0, 1)]
        value[str(label)] = float(np.mean([r.mean() for r in recalls]))
        drawn.append(np.mean([rng.binomial(len(r), r.mean(), n_bootstrap) / len(r) for r in recalls], axis=0))
    low, high = evaluation.interval(np.mean(drawn, axis=0))
    return {"value": float(np.mean(list(value.values()))), "low": low, "high": high, **value}


def two_data_sets(rigs: np.ndarray) -> list[str]:
    """Names of the two data sets of cells, in alphabetical order; another number of them is refused."""
    names = sorted(set(rigs))
    if len(names) != 2:
        raise StsError(f"the cells come from {len(names)} data sets ({', '.join(map(str, names))}); two are compared")
    return names


def shap_sizes(model: baseline.Model, x: pd.DataFrame) -> pd.DataFrame:
    """Mean |SHAP| by feature and class, in log-odds (exact TreeSHAP, Lundberg et al. 2020, Nat. Mach. Intell. 2:56)."""
    values = np.asarray(model.booster.predict(x[list(model.features)].to_numpy(dtype=float), pred_contrib=True))
    each = values.reshape(len(x), len(CLASSES), len(model.features) + 1)[:, :, :-1]  # the last is the mean score
    return pd.DataFrame(np.abs(each).mean(axis=0).T, index=list(model.features), columns=list(CLASSES))


def alone(feature: pd.Series, positive: np.ndarray) -> float:
    """Area under the ROC curve of one feature alone, the better way round, 0.5 to 1; missing values are left out."""
    known = feature.notna().to_numpy()
    if len(set(positive[known])) < 2:
        return float("nan")
    area = float(roc_auc_score(positive[known], feature[known]))
    return max(area, 1 - area)


def class_or_rig(
    sizes: pd.DataFrame, x: pd.DataFrame, labels: Any, datasets: Any, label: str, n: int = 6
) -> pd.DataFrame:
    """The `n` strongest features of a class, the others that the paper names, and the ROC area of each alone."""
    y, rigs = np.asarray(labels, dtype=object), np.asarray(datasets, dtype=object)
    size = sizes[label].sort_values(ascending=False)
    named, rank = PAPER_TOP.get(label, ()), {name: k + 1 for k, name in enumerate(size.index)}
    chosen = [*size.index[:n], *[f for f in named if rank.get(f, 0) > n]]
    mine, first = y == label, rigs == sorted(set(rigs))[0]
    rows = [(label, f, rank[f], size[f], f in named, alone(x[f], mine), alone(x[f][mine], first[mine])) for f in chosen]
    columns = ["class", "feature", "rank", "mean_abs_shap", "paper", "class_auc", "rig_auc"]
    return pd.DataFrame(rows, columns=columns)


def share_of_times(sizes: pd.DataFrame) -> pd.Series:
    """Share of each class's summed mean |SHAP| that falls on the times of the long square's first action potential."""
    timed = [f for f in sizes.index if "_t_" in f and f.endswith("long_square")]
    return sizes.loc[timed].sum() / sizes.sum()
