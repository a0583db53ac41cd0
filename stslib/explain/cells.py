"""What the baseline rests on, by SHAP, and which cells to show (paper sections III.E and IV.B).

References
----------
.. [1] Lundberg & Lee 2017, A unified approach to interpreting model predictions, NeurIPS.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from stslib import baseline
from stslib.cohort import CLASSES
from stslib.support.errors import StsError, one_of

with warnings.catch_warnings():  # in a notebook without ipywidgets shap warns that its progress bar will be plain
    warnings.filterwarnings("ignore", message="IProgress not found")
    import shap

#: The cells that the paper's code shows (its notebook on saliency maps).
PAPER_CELLS = {
    "Pvalb": ("765881829",),
    "Sst": ("805642715", "759959254"),
    "Vip/Lamp5": ("681631284",),
    "Excitatory": ("599334696",),
}


def shap_values(model: baseline.Model, x: pd.DataFrame, threads: int = 1) -> np.ndarray:
    """SHAP values of the baseline: what each feature adds to each class's score, in log-odds before the softmax [1]_.

    Parameters
    ----------
    model : baseline.Model
        As `baseline.load` gives it.
    x : (n_cells, n_features) DataFrame
        Features of the cells; columns in any order.
    threads : int
        Threads of LightGBM.

    Returns
    -------
    (n_cells, n_features, 4) float64
        Features in the order of `model.features`, classes in that of `CLASSES`.

    Raises
    ------
    StsError
        A column is missing, or the values do not add up to the model's scores.
    """
    missing = [name for name in model.features if name not in x.columns]
    if missing:
        raise StsError(f"the features lack column {missing[0]!r}, which the model needs ({len(missing)} missing)")
    matrix = x[list(model.features)].to_numpy(dtype=float)
    with threadpool_limits(threads):  # TreeExplainer hands no number of threads to LightGBM
        explainer = shap.TreeExplainer(model.booster)
        values = np.asarray(explainer.shap_values(matrix, check_additivity=False), dtype=float)
    scores = np.asarray(model.booster.predict(matrix, raw_score=True, num_threads=threads))
    gap = np.abs(values.sum(axis=1) + np.asarray(explainer.expected_value) - scores).max()
    if gap > 1e-6 * max(1.0, np.abs(scores).max()):
        raise StsError(f"SHAP values miss the model's scores by up to {gap:.2g}; fit the model again (04_baseline)")
    return values


def top_features(values: np.ndarray, x: pd.DataFrame, label: str, n: int = 5) -> pd.DataFrame:
    """The `n` features with the largest mean |SHAP| for a class; `x` names the columns of `values`.

    Returns
    -------
    DataFrame
        class, feature, mean_abs_shap (log-odds), rank (from 1).
    """
    one_of("class", label, CLASSES)
    size = np.abs(values[:, :, CLASSES.index(label)]).mean(axis=0)
    order = np.argsort(-size, kind="stable")[:n]
    columns = {"class": label, "feature": [str(x.columns[k]) for k in order], "mean_abs_shap": size[order]}
    return pd.DataFrame(columns).assign(rank=np.arange(1, len(order) + 1))


def representative_cells(
    labels: Sequence[str] | np.ndarray, proba: np.ndarray, cell_ids: Sequence[str], split: Sequence[str]
) -> pd.DataFrame:
    """One test cell a class to look at, chosen without looking at its map.

    The paper's own cell where it is among the test cells, right or wrong. Else the correctly classified cell of median
    confidence (the lower one of two; ties by cell id); where none is correct, that of all test cells of the class.

    Parameters
    ----------
    labels, cell_ids, split : (n,) of str
        Class, id and part ("train" or "test") of each cell.
    proba : (n, 4) array
        Probabilities in the order of `CLASSES`.

    Returns
    -------
    DataFrame
        class, cell_id, position (in the arrays given), predicted, probability (of its own class), correct, chosen_as
        ("the paper's cell" or "median confidence"). A class without test cells has no row.
    """
    names, ids, rows = np.asarray(labels), [str(c) for c in cell_ids], []
    guess = np.argmax(proba, axis=1)
    for k, label in enumerate(CLASSES):
        members = np.flatnonzero((names == label) & (np.asarray(split) == "test"))
        if not len(members):
            continue
        known = [place for wanted in PAPER_CELLS[label] for place in members if ids[place] == wanted]
        correct = members[guess[members] == k]
        pool = sorted(correct if len(correct) else members, key=lambda place: (proba[place, k], ids[place]))
        place = known[0] if known else pool[(len(pool) - 1) // 2]
        how = "the paper's cell" if known else "median confidence"
        own, said = float(proba[place, k]), CLASSES[guess[place]]
        rows.append((label, ids[place], int(place), said, own, bool(guess[place] == k), how))
    columns = ["class", "cell_id", "position", "predicted", "probability", "correct", "chosen_as"]
    return pd.DataFrame(rows, columns=columns)
