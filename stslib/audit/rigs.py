"""How well a set of features tells on which rig a cell was recorded, apart from what the cell's class gives away."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold

from stslib import evaluation
from stslib.support.errors import ParameterError, StsError


def rig_told(
    x: pd.DataFrame, labels: Any, datasets: Any, n_folds: int = 3, n_bootstrap: int = 2000, seed: int = 2026
) -> dict[str, float]:
    """Balanced accuracy of telling two data sets apart, within each class, by boosted trees in cross-validation.

    The classes have other shares in the two data sets, so a feature that tells the class tells something of the data set.
    Here every class weighs the same and is scored by itself: a feature set that knows the class and nothing of the rig
    scores 0.5.

    Parameters
    ----------
    x : (n_cells, n_features) DataFrame
        Features; NaN where a value is missing.
    labels, datasets : (n_cells,) of str
        Class and data set of each cell; two data sets.
    n_folds, n_bootstrap, seed
        Folds (stratified by class and data set), resamples, seed.

    Returns
    -------
    dict
        `value` (mean over classes of the mean recall of the two data sets), its 95 % interval `low` and `high` (cells
        drawn within class and data set), and the value of each class under its name.

    Raises
    ------
    StsError
        Not two data sets, or too few cells of a class in one of them.
    """
    y, rigs = np.asarray(labels, dtype=object), np.asarray(datasets, dtype=object)
    names = sorted(set(rigs))
    if len(names) != 2:
        raise StsError(f"the cells come from {len(names)} data sets ({', '.join(map(str, names))}); two are compared")
    if n_folds < 2:
        raise ParameterError(f"n_folds is {n_folds}; it must be at least 2")
    groups = np.array([f"{c}, {d}" for c, d in zip(y, rigs, strict=True)])
    counts = pd.Series(groups).value_counts()
    if counts.min() < n_folds:
        raise StsError(f"{counts.index[-1]}: {counts.min()} cells, fewer than {n_folds} folds; use fewer folds")
    weight = 1 / counts[groups].to_numpy()
    truth = (rigs == names[1]).astype(int)
    said = np.empty(len(y), dtype=int)
    values = x.to_numpy(dtype=float)
    for fit, out in StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(groups, groups):
        model = HistGradientBoostingClassifier(random_state=seed, early_stopping=False)
        said[out] = model.fit(values[fit], truth[fit], sample_weight=weight[fit] / weight[fit].mean()).predict(
            values[out]
        )
    rng = np.random.default_rng(seed)
    value, drawn = {}, []
    for label in sorted(set(y)):
        of_label = y == label
        if len(set(rigs[of_label])) < 2:
            raise StsError(f"class {label} occurs in one data set only, so nothing can be told within it")
        recalls = [(said[of_label & (truth == d)] == d) for d in (0, 1)]
        value[str(label)] = float(np.mean([r.mean() for r in recalls]))
        drawn.append(np.mean([rng.binomial(len(r), r.mean(), n_bootstrap) / len(r) for r in recalls], axis=0))
    low, high = evaluation.interval(np.mean(drawn, axis=0))
    return {"value": float(np.mean(list(value.values()))), "low": low, "high": high, **value}
