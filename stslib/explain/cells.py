"""What the baseline rests on, by SHAP; which cells to show; and what maps and SHAP values say (paper sections III.E, IV.B)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from stslib.cohort import CLASSES
from stslib.explain.regions import mean_interval
from stslib.explain.saliency import Network
from stslib.support.errors import StsError

if TYPE_CHECKING:
    from stslib import baseline

#: The cells that the paper's code shows (its notebook on saliency maps).
PAPER_CELLS = {
    "Pvalb": ("765881829",), "Sst": ("805642715", "759959254"), "Vip/Lamp5": ("681631284",),
    "Excitatory": ("599334696",),
}  # fmt: skip
#: Features that the paper names for a class (section IV.B).
PAPER_FEATURES = {
    "Excitatory": ("fast_trough_t", "fast_trough_v", "trough_t"),
    "Pvalb": ("f_i_curve_slope", "adaptation"),
}


@dataclass(frozen=True)
class Shap:
    """SHAP values `(n, n_features, 4)` in log-odds, and the features `(n, n_features)` that they belong to."""

    values: np.ndarray
    features: pd.DataFrame

    def top(self, label: str, n: int = 5) -> pd.DataFrame:
        """A class's `n` features of the largest mean |SHAP|: class, feature, mean_abs_shap (log-odds), rank (from 1)."""
        size = np.abs(self.values[:, :, CLASSES.index(label)]).mean(axis=0)
        order = np.argsort(-size, kind="stable")[:n]
        named = {"class": label, "feature": self.features.columns[order].astype(str)}
        return pd.DataFrame({**named, "mean_abs_shap": size[order], "rank": np.arange(1, len(order) + 1)})

    def ranking(self) -> pd.DataFrame:
        """All features in the order of `top`, class after class."""
        return pd.concat([self.top(label, len(self.features.columns)) for label in CLASSES], ignore_index=True)


def shap_values(model: baseline.Model | str | Path, x: pd.DataFrame, threads: int = 1) -> Shap:
    """What each feature adds to each class's score in the baseline, in log-odds before the softmax (Lundberg & Lee 2017).

    Parameters
    ----------
    model, threads : the fitted baseline, or the folder that it was saved in, and threads of LightGBM
    x : (n_cells, n_features) DataFrame, columns in any order; a missing one is a `StsError`

    Examples
    --------
    >>> from stslib import baseline
    >>> labels = np.repeat(["Pvalb", "Sst", "Vip/Lamp5", "Excitatory"], 30)
    >>> x = pd.DataFrame({"noise": np.arange(120) % 7, "width": 1.0 * (labels == "Pvalb")})
    >>> shap_values(baseline.Learner(params={"n_estimators": 10}).fit(x, labels), x).top("Pvalb")["feature"][0]
    'width'
    """
    with warnings.catch_warnings():  # of no concern to a reader: a plain progress bar, colours of its own figures
        warnings.simplefilter("ignore")
        import shap

    from stslib import baseline

    if not isinstance(model, baseline.Model):
        model = baseline.load(model)
    missing = [name for name in model.features if name not in x.columns]
    if missing:
        raise StsError(f"the features lack column {missing[0]!r}, which the model needs ({len(missing)} missing)")
    features = x[list(model.features)]
    matrix = features.to_numpy(dtype=float)
    with threadpool_limits(threads):  # TreeExplainer hands no number of threads to LightGBM
        explainer = shap.TreeExplainer(model.booster)
        values = np.asarray(explainer.shap_values(matrix, check_additivity=False), dtype=float)
    scores = np.asarray(model.booster.predict(matrix, raw_score=True, num_threads=threads))
    gap = np.abs(values.sum(axis=1) + np.asarray(explainer.expected_value) - scores).max()
    if gap > 1e-6 * max(1.0, np.abs(scores).max()):
        raise StsError(f"SHAP values miss the model's scores by up to {gap:.2g}; fit the model again (04_baseline)")
    return Shap(values, features)


def representative_cells(
    labels: Sequence[str] | np.ndarray, proba: np.ndarray, cell_ids: Sequence[str] | np.ndarray
) -> pd.DataFrame:
    """One test cell a class to look at, chosen without looking at its map; a class without test cells has no row.

    The paper's own cell where it is a test cell, right or wrong. Else the correctly classified one of median confidence
    (the lower of two; ties by cell id), or where none is correct, that of all of the class.

    Parameters
    ----------
    labels, proba, cell_ids : of the test cells, (n,) of str, (n, 4) probabilities and (n,) of str

    Examples
    --------
    >>> proba = np.array([[0.9, 0.1, 0, 0], [0.6, 0.4, 0, 0], [0.8, 0.2, 0, 0], [0.3, 0.7, 0, 0]])
    >>> representative_cells(["Pvalb", "Pvalb", "Pvalb", "Sst"], proba, ["a", "b", "c", "d"])["cell_id"].tolist()
    ['c', 'd']
    """
    names, ids, rows = np.asarray(labels), [str(c) for c in cell_ids], []
    winners = np.argmax(proba, axis=1)
    for k, label in enumerate(CLASSES):
        members = np.flatnonzero(names == label)
        if not len(members):
            continue
        papers = [i for wanted in PAPER_CELLS[label] for i in members if ids[i] == wanted]
        correct = members[winners[members] == k]
        pool = sorted(correct if len(correct) else members, key=lambda i: (proba[i, k], ids[i]))
        i = papers[0] if papers else pool[(len(pool) - 1) // 2]
        how = "the paper's cell" if papers else "median confidence"
        rows.append((label, ids[i], int(i), CLASSES[winners[i]], float(proba[i, k]), bool(winners[i] == k), how))
    columns = ["class", "cell_id", "position", "predicted", "probability", "correct", "chosen_as"]
    return pd.DataFrame(rows, columns=columns)


def conclusion(
    network: Network,
    check: pd.DataFrame,
    statements: pd.DataFrame,
    shap: Shap,
    n_bootstrap: int = 2000,
    seed: int = 2026,
) -> str:
    """What the maps and SHAP values of a run say, in Markdown.

    Parameters
    ----------
    network, shap : Network, that the maps are of, and Shap of the baseline
    check, statements : DataFrame, `Maps.randomisation` and `Measured.statements`
    n_bootstrap, seed : resamples behind the interval, and their seed

    Examples
    --------
    >>> check = pd.DataFrame({"reinitialised": [0.2, 0.3], "two_random": [0.3, 0.3], "another_cell": [0.4, 0.5]})
    >>> found = pd.DataFrame({"statement": ["Pvalb: an example"], "n": [2], "verdict": ["undecided"]})
    >>> shap = Shap(np.ones((2, 1, 4)), pd.DataFrame({"adaptation": [0.0, 1.0]}))
    >>> print(conclusion(Network("resnet18", None, None, "simulated"), check, found, shap, 100).splitlines()[1])
      - Pvalb: an example (n = 2): **undecided**.
    """
    middle = check.median()
    value, low, high, _ = mean_interval((check["reinitialised"] - check["two_random"]).to_numpy(), n_bootstrap, seed)
    named = []
    for label, names in PAPER_FEATURES.items():
        top = [name.removesuffix("_long_square") for name in shap.top(label)["feature"]]
        again = [name for name in names if name in top]
        named.append(
            f"of the features that the paper names for {label} ({', '.join(names)}), {len(again)} of {len(names)} are among "
            f"the baseline's five strongest here{': ' + ', '.join(again) if again else ''}"
        )
    changes = middle["reinitialised"] < 0.5
    learnt = "most of a map changes when the weights do" if changes else "much of a map is there without learning"
    shared = "more" if middle["another_cell"] > middle["two_random"] else "no more"
    data = f"The cells are {network.data}."
    if network.data == "simulated":
        data += " The verdicts are about these networks and these cells, and neither confirm nor refute what the "
        data += "paper found on recordings."
    verdicts = "".join(f"\n  - {r.statement} (n = {r.n}): **{r.verdict}**." for r in statements.itertuples())
    return (
        f"- The paper's statements, on {network.data} cells and with {network.name} ({len(check)} test cells):{verdicts}\n"
        f"- The maps of the trained network correlate with those of untrained ones by {middle['reinitialised']:.2f} (median "
        f"over cells); two untrained networks correlate by {middle['two_random']:.2f} with each other (mean difference "
        f"{value:+.3f}, {low:+.3f} to {high:+.3f}). So {learnt}. The trained network's maps of two cells correlate by "
        f"{middle['another_cell']:.2f}: different cells have {shared} in common in it than the maps of "
        f"untrained networks have.\n- SHAP: {'; '.join(named)}.\n- {data}"
    )
