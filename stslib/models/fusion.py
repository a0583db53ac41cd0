"""Classifiers that answer together: which of them, and how far rarer classes are favoured, chosen on held-out cells."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stslib.cohort import CLASSES, class_index
from stslib.evaluation import confusion, predicted
from stslib.evaluation.metrics import scores_of

#: Exponents of the inverse share of a class: 0 takes the probabilities as they are, 1 would treat all classes alike.
BALANCES = (0.0, 0.3, 0.6)


@dataclass(frozen=True)
class Fusion:
    """A mean of probabilities: of which `members`, and by what factor on each class `(4,)`."""

    members: tuple[str, ...]
    factors: tuple[float, ...] = (1.0,) * len(CLASSES)

    def __call__(self, proba: Mapping[str, np.ndarray]) -> np.ndarray:
        """Probabilities `(n, 4)` from those of all classifiers by their names."""
        mean = np.mean([proba[name] for name in self.members], axis=0) * np.asarray(self.factors)
        return np.asarray(mean / mean.sum(axis=1, keepdims=True))


def candidates(names: Sequence[str], labels: np.ndarray) -> list[Fusion]:
    """Every set of classifiers, the largest first, with each of `BALANCES` for cells of these classes."""
    counts = np.bincount(class_index(labels), minlength=len(CLASSES))
    shares = np.where(counts, counts / len(labels), 1.0)
    factors = [tuple(float(f) for f in shares**-balance) for balance in BALANCES]
    sets = [c for n in range(len(names), 0, -1) for c in itertools.combinations(names, n)]
    return [Fusion(members, factor) for members in sets for factor in factors]


def choose(proba: Mapping[str, np.ndarray], labels: np.ndarray) -> Fusion:
    """The fusion of the highest balanced accuracy and weighted F1 together on held-out probabilities `(n, 4)` each."""

    def quality(fusion: Fusion) -> float:
        found = scores_of(confusion(labels, predicted(fusion(proba))))
        return float(found["balanced_accuracy"] + found["weighted_f1"])

    return max(candidates(list(proba), labels), key=quality)
