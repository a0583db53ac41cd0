"""Trained on one data set, tested on the other: what carries over between two rigs, with and without adaptation.

`transfer:A->B`: all cells of A, then of B. `transfer-test:A->B`: A's training cells, then B's test cells, on which
nothing was chosen. No label of B is ever used in training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from stslib.audit.rigs import two_data_sets
from stslib.baseline import Learner
from stslib.baseline.kernel import Standard
from stslib.cohort import CLASSES, class_index

#: Shrinkage of the covariance and rounds of self-training, by the training cells of both data sets.
SHRINKAGE, ROUNDS = 0.5, 6
_FIRST_SHARE, _LAST_SHARE = 0.30, 0.86  # of each predicted class that is taken in, from the first to a seventh round
_FEWEST = 5


def directions(datasets: Any, train: np.ndarray) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Both ways between two data sets, first with all cells, then from training to test cells.

    Each by its name in the metric records: which cells are learnt from, known without labels, and scored.
    """
    rigs = np.asarray(datasets, dtype=object)
    names = two_data_sets(rigs)
    ways = [(f"{a}->{b}", rigs == a, rigs == b) for a, b in (names, names[::-1])]
    for way, here, there in ways:
        yield f"transfer:{way}", here, there, there
    for way, here, there in ways:
        yield f"transfer-test:{way}", here & train, there & train, there & ~train


def across(learner: Learner) -> Callable[[pd.DataFrame, Any, pd.DataFrame, pd.DataFrame], np.ndarray]:
    """A learner in the form of `adapted`, which takes no notice of the other data set's unlabelled cells."""
    return lambda x, y, unlabelled, unseen: learner.fit(x, y).predict_proba(unseen, learner.threads)


def _discriminant(values: np.ndarray, numbers: np.ndarray) -> LinearDiscriminantAnalysis:
    n = len(np.unique(numbers))
    return LinearDiscriminantAnalysis(solver="lsqr", shrinkage=SHRINKAGE, priors=np.full(n, 1 / n)).fit(values, numbers)


def _proba(model: LinearDiscriminantAnalysis, values: np.ndarray) -> np.ndarray:
    proba = np.zeros((len(values), len(CLASSES)))
    proba[:, model.classes_] = model.predict_proba(values)
    return proba


def adapted(
    x: pd.DataFrame, y: Any, unlabelled: pd.DataFrame, unseen: pd.DataFrame, rounds: int = ROUNDS
) -> np.ndarray:
    """Probabilities `(n, 4)` of `unseen` by a shrunken linear discriminant, self-trained on `unlabelled` cells.

    In each of `rounds` (0: none) the cells of which the model is surest join its training cells under the predicted label,
    30 % of each class at first, then more (Scudder 1965, IEEE Trans. Inf. Theory 11:363; Zou et al. 2018, ECCV).
    """
    standard = Standard.of(pd.concat([x, unlabelled]))  # one scale of ranks for both data sets
    n = len(standard.features)  # which values are missing predicts the rig, so the marks of gaps stay out
    known, other, wanted = (standard(part)[:, :n] for part in (x, unlabelled, unseen))
    numbers = class_index(y)
    model = _discriminant(known, numbers)
    for k in range(rounds):
        share = _FIRST_SHARE + (_LAST_SHARE - _FIRST_SHARE) * k / rounds
        proba = _proba(model, other)
        label, sure = proba.argmax(axis=1), proba.max(axis=1)
        taken = np.zeros(len(other), dtype=bool)
        for c in range(len(CLASSES)):
            mine = np.flatnonzero(label == c)
            count = max(int(len(mine) * share), min(_FEWEST, len(mine)))
            taken[mine[np.argsort(-sure[mine], kind="stable")[:count]]] = True
        model = _discriminant(np.vstack([known, other[taken]]), np.r_[numbers, label[taken]])
    return _proba(model, wanted)
