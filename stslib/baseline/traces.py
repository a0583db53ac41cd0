"""Comparators that read the voltage itself: raw first spikes, spike times alone, random convolutions (MiniRocket).

What a network on scalograms adds is its distance from these. Each chooses its settings by cross-validation inside the
cells that it learns from, so the score of its held-out cells is one of nested cross-validation.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.linear_model import RidgeClassifierCV
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from stslib import cohort
from stslib.cohort import CLASSES
from stslib.scalograms import CloseUp
from stslib.support.errors import MissingInput, one_of
from stslib.sweeps import SweepSettings
from stslib.sweeps.choice import spike_times

INNER_FOLDS = 3
PENALTIES = (1.0, 10.0, 100.0, 1000.0)  # C of a support vector machine
_EARLIEST_S = 1e-3  # added before a logarithm is taken of a time


@dataclass(frozen=True)
class HeldOut:
    """Probabilities `(n, 4)` of cells while a fold held them out, and what they cost."""

    proba: np.ndarray
    fit_s: float  # to choose settings and fit, mean of the folds
    classify_s: float  # to classify 1,000 cells


def first_spikes(sweeps_mv: np.ndarray, settings: SweepSettings) -> np.ndarray:
    """15 ms around the first spike of each prepared sweep, `(n, c, n_samples)` to `(n, c, n)`; an action potential whole."""
    return CloseUp().cut(sweeps_mv, settings) if settings.step_s else np.asarray(sweeps_mv)


def time_features(sweeps_mv: np.ndarray, settings: SweepSettings) -> np.ndarray:
    """Spike times of prepared sweeps as numbers, `(n, c, n_samples)` to `(n, 7 * c)`; the shape of a spike has no part.

    Of each sweep: logarithms of the number of spikes, the latency, the last spike's time, the first, last and mean
    interspike interval (0 without), and the variation of these.
    """
    rows = []
    for sweep in np.asarray(sweeps_mv).reshape(-1, sweeps_mv.shape[-1]):
        times = spike_times(sweep, settings.rate_hz, settings.before_s, settings.step_s)
        ends = (times[0], times[-1]) if len(times) else (settings.step_s, settings.step_s)
        row = [np.log1p(len(times)), *np.log(np.maximum(ends, 0) + _EARLIEST_S), 0.0, 0.0, 0.0, 0.0]
        if len(isi := np.diff(times)):
            row[3:] = [*np.log([isi[0], isi[-1], isi.mean()]), isi.std() / isi.mean()]
        rows.append(row)
    return np.reshape(rows, (len(sweeps_mv), -1))


def _all_sweeps(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1)


def _last_sweep(x: np.ndarray) -> np.ndarray:
    return np.asarray(x[:, -1])


def _svm_first_spike(inner: Any, seed: int) -> Any:
    sweeps = [FunctionTransformer(_last_sweep), FunctionTransformer(_all_sweeps)]
    steps = Pipeline([("sweeps", sweeps[0]), ("svc", SVC())])
    return GridSearchCV(steps, {"sweeps": sweeps, "svc__C": PENALTIES}, scoring="balanced_accuracy", cv=inner)


def _svm_spike_times(inner: Any, seed: int) -> Any:
    steps, grid = make_pipeline(StandardScaler(), SVC()), {"svc__C": PENALTIES, "svc__gamma": (0.01, 0.03, 0.1, 0.3)}
    return GridSearchCV(steps, grid, scoring="balanced_accuracy", cv=inner)


class _MiniRocket:
    """sktime's random convolutions, standardised, and a ridge; not a Pipeline, whose callbacks sktime's class lacks."""

    def __init__(self, inner: Any, seed: int) -> None:
        try:
            from sktime.transformations.rocket import MiniRocketMultivariate
        except ImportError as error:
            raise MissingInput("minirocket needs sktime; install it: pip install 'stslib[comparators]'") from error
        self.kernels = MiniRocketMultivariate(random_state=seed)
        self.ridge = make_pipeline(StandardScaler(), RidgeClassifierCV(np.logspace(-1, 5, 7)))

    def fit(self, x: np.ndarray, y: np.ndarray) -> _MiniRocket:
        self.ridge.fit(np.asarray(self.kernels.fit_transform(x)), y)
        self.classes_ = self.ridge.classes_
        return self

    def decision_function(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self.ridge.decision_function(np.asarray(self.kernels.transform(x))))


#: Each comparator by its name in records: what it reads, and the estimator that chooses its own settings.
COMPARATORS: dict[str, tuple[Callable[[np.ndarray, SweepSettings], np.ndarray], Callable[[Any, int], Any]]] = {
    "svm_first_spike": (first_spikes, _svm_first_spike),
    "svm_spike_times": (time_features, _svm_spike_times),
    "minirocket": (first_spikes, _MiniRocket),
}


def comparators_for(settings: SweepSettings) -> tuple[str, ...]:
    """The comparators that suit these sweeps: a single action potential has no spike times."""
    return tuple(name for name in COMPARATORS if settings.step_s or name != "svm_spike_times")


def held_out(
    name: str, sweeps_mv: np.ndarray, settings: SweepSettings, labels: Any, folds: Sequence[Any], seed: int = 2026
) -> HeldOut:
    """Probabilities of each fold's held-out cells by a comparator, whose settings only the fold's other cells choose.

    `sweeps_mv` are prepared sweeps `(n, c, n_samples)`; probabilities are a softmax of the decision, not calibrated.
    `StsError` where a class has too few cells for folds inside a fold, or sktime is missing.
    """
    one_of("comparator", name, COMPARATORS)
    read, make = COMPARATORS[name]
    x, y = read(sweeps_mv, settings).astype(np.float32), cohort.class_index(labels)
    proba, fit_s, classify_s = np.full((len(y), len(CLASSES)), np.nan), [], []
    for fit_idx, out in folds:
        inner = cohort.folds(np.asarray(labels, dtype=object)[fit_idx], INNER_FOLDS, seed)
        started = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a matrix near singular: the penalty is chosen among several
            model = make(inner, seed).fit(x[fit_idx], y[fit_idx])
            fitted = time.perf_counter()
            scores = model.decision_function(x[out])
        classify_s.append(1000 * (time.perf_counter() - fitted) / len(out))
        fit_s.append(fitted - started)
        if scores.ndim == 1:  # of two classes
            scores = np.stack([-scores, scores], axis=1)
        proba[out] = 0
        proba[np.ix_(out, model.classes_)] = softmax(3 * scores, axis=1)
    return HeldOut(proba, float(np.mean(fit_s)), float(np.mean(classify_s)))
