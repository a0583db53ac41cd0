"""Two rigs: how well features predict them within a class, and what a model that learns from one scores on the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

from stslib import baseline, evaluation
from stslib.baseline.kernel import Standard
from stslib.cohort import CLASSES, class_index
from stslib.support.errors import StsError

#: Features that the paper names first in its SHAP summary (section IV.B, Fig. 5), as columns of the published tables.
PAPER_TOP = {
    "Excitatory": ("fast_trough_t_long_square", "fast_trough_v_long_square", "trough_t_long_square"),
    "Pvalb": ("f_i_curve_slope", "adaptation"),
}
#: Shrinkage of the covariance and rounds of self-training, by the training cells of both data sets.
SHRINKAGE, ROUNDS = 0.5, 6
_FIRST_SHARE, _LAST_SHARE = 0.30, 0.86  # of each predicted class that is taken in, from the first to a seventh round
_FEWEST = 5


def rig_accuracy(
    x: pd.DataFrame, y: np.ndarray, rigs: np.ndarray, n_folds: int = 3, n_bootstrap: int = 2000, seed: int = 2026
) -> dict[str, float]:
    """Cross-validated balanced accuracy of predicting the rig within each class: `value`, `low`, `high`, each class.

    Features that know only the class score 0.5. The ends of the interval hold 95 %.
    """
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
    sizes: pd.DataFrame, x: pd.DataFrame, y: np.ndarray, rigs: np.ndarray, label: str, n: int = 6
) -> pd.DataFrame:
    """The `n` strongest features of a class, the others that the paper names, and the ROC area of each alone."""
    size = sizes[label].sort_values(ascending=False)
    named, rank = PAPER_TOP.get(label, ()), {name: k + 1 for k, name in enumerate(size.index)}
    chosen = [*size.index[:n], *[f for f in named if rank.get(f, 0) > n]]
    mine, first = y == label, rigs == sorted(set(rigs))[0]
    rows = [(label, f, rank[f], size[f], f in named, alone(x[f], mine), alone(x[f][mine], first[mine])) for f in chosen]
    columns = ["class", "feature", "rank", "mean_abs_shap", "paper", "class_auc", "rig_auc"]
    return pd.DataFrame(rows, columns=columns)


def directions(datasets: np.ndarray, train: np.ndarray) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Both ways between two data sets, by name: which cells are learnt from, known without labels, and scored."""
    names = two_data_sets(datasets)
    ways = [(f"{a}->{b}", datasets == a, datasets == b) for a, b in (names, names[::-1])]
    for way, here, there in ways:  # all cells
        yield f"transfer:{way}", here, there, there
    for way, here, there in ways:  # from training to test cells, on which nothing was chosen
        yield f"transfer-test:{way}", here & train, there & train, there & ~train


def across(learner: baseline.Learner) -> Callable[[pd.DataFrame, Any, pd.DataFrame, pd.DataFrame], np.ndarray]:
    """A learner in the form of `adapted`, which takes no notice of the other data set's unlabelled cells."""
    return lambda x, y, unlabelled, unseen: learner.fit(x, y).predict_proba(unseen, learner.threads)


def adapted(
    x: pd.DataFrame, y: Any, unlabelled: pd.DataFrame, unseen: pd.DataFrame, rounds: int = ROUNDS
) -> np.ndarray:
    """Probabilities `(n, 4)` of `unseen` by a shrunken linear discriminant, self-trained on `unlabelled` cells.

    In each of `rounds` the cells of which it is surest, 30 % of each class at first, then more, join its training cells
    under the predicted label (Scudder 1965, IEEE Trans. Inf. Theory 11:363; Zou et al. 2018, ECCV).
    """
    standard = Standard.of(pd.concat([x, unlabelled]))  # one scale of ranks for both data sets
    n = len(standard.features)  # which values are missing predicts the rig, so the marks of gaps stay out
    known, other, wanted = (standard(part)[:, :n] for part in (x, unlabelled, unseen))
    numbers = class_index(y)
    values, learnt = known, numbers
    for k in range(rounds):
        share = _FIRST_SHARE + (_LAST_SHARE - _FIRST_SHARE) * k / rounds
        proba = _discriminant(values, learnt, other)
        label, sure = proba.argmax(axis=1), proba.max(axis=1)
        taken = np.zeros(len(other), dtype=bool)
        for c in range(len(CLASSES)):
            mine = np.flatnonzero(label == c)
            count = max(int(len(mine) * share), min(_FEWEST, len(mine)))
            taken[mine[np.argsort(-sure[mine], kind="stable")[:count]]] = True
        values, learnt = np.vstack([known, other[taken]]), np.r_[numbers, label[taken]]
    return _discriminant(values, learnt, wanted)


def _discriminant(values: np.ndarray, numbers: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    """Probabilities `(n, 4)` of unseen cells by a discriminant to which every class is as common."""
    classes, proba = np.unique(numbers), np.zeros((len(unseen), len(CLASSES)))
    priors = np.full(len(classes), 1 / len(classes))
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=SHRINKAGE, priors=priors).fit(values, numbers)
    proba[:, classes] = model.predict_proba(unseen)
    return proba
