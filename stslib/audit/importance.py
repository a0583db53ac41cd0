"""The paper's strongest features read again: do they tell the class, or the rig?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from stslib import baseline
from stslib.cohort import CLASSES
from stslib.support.errors import one_of

#: Features that the paper names first in its SHAP summary (section IV.B, Fig. 5), as columns of the published tables.
PAPER_TOP = {
    "Excitatory": ("fast_trough_t_long_square", "fast_trough_v_long_square", "trough_t_long_square"),
    "Pvalb": ("f_i_curve_slope", "adaptation"),
}


def shap_sizes(model: baseline.Model, x: pd.DataFrame) -> pd.DataFrame:
    """Mean |SHAP| of each feature (rows) for each class (columns), in log-odds, by LightGBM's own exact TreeSHAP [1]_.

    References
    ----------
    .. [1] Lundberg et al. 2020, From local explanations to global understanding with explainable AI for trees,
       Nat. Mach. Intell. 2:56.
    """
    values = np.asarray(model.booster.predict(x[list(model.features)].to_numpy(dtype=float), pred_contrib=True))
    each = values.reshape(len(x), len(CLASSES), len(model.features) + 1)[:, :, :-1]  # the last is the mean score
    return pd.DataFrame(np.abs(each).mean(axis=0).T, index=list(model.features), columns=list(CLASSES))


def alone(feature: pd.Series, positive: np.ndarray) -> float:
    """How well one feature alone orders cells: area under the ROC curve, the better way round, 0.5 to 1; missing left out."""
    known = feature.notna().to_numpy()
    if len(set(positive[known])) < 2:
        return float("nan")
    area = float(roc_auc_score(positive[known], feature[known]))
    return max(area, 1 - area)


def reread(model: baseline.Model, x: pd.DataFrame, labels: Any, datasets: Any, label: str, n: int = 6) -> pd.DataFrame:
    """The `n` strongest features of a class, and what each of them tells by itself.

    Parameters
    ----------
    model : baseline.Model
    x : (n_cells, n_features) DataFrame
    labels, datasets : (n_cells,) of str
    label : str
        The class.
    n : int
        How many features; those that the paper names follow where they are not among them.

    Returns
    -------
    DataFrame
        `class`, `feature`, `rank` (by mean |SHAP|), `mean_abs_shap`, `paper` (named by the paper), `tells_class` (area under
        the ROC curve of the feature alone, this class against the others), `tells_rig` (the same for the data set, among the
        cells of this class).
    """
    one_of("class", label, CLASSES)
    y, rigs = np.asarray(labels, dtype=object), np.asarray(datasets, dtype=object)
    size = shap_sizes(model, x)[label].sort_values(ascending=False)
    rank = {name: k + 1 for k, name in enumerate(size.index)}
    named = PAPER_TOP.get(label, ())
    chosen = [*size.index[:n], *[f for f in named if f in rank and rank[f] > n]]
    mine = y == label
    first = sorted(set(rigs))[0]
    rows = [
        (label, f, rank[f], size[f], f in named, alone(x[f], mine), alone(x[f][mine], rigs[mine] == first)) for f in chosen
    ]  # fmt: skip
    return pd.DataFrame(
        rows, columns=["class", "feature", "rank", "mean_abs_shap", "paper", "tells_class", "tells_rig"]
    )


def share_of_times(model: baseline.Model, x: pd.DataFrame) -> pd.Series:
    """Share of each class's summed mean |SHAP| that falls on the times of the first action potential in the long square."""
    sizes = shap_sizes(model, x)
    timed = [f for f in sizes.index if "_t_" in f and f.endswith("long_square")]
    return sizes.loc[timed].sum() / sizes.sum()
