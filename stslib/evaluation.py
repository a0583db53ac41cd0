"""How good a classifier is: scores with bootstrap intervals, two models compared, calibration, the paper's numbers.

Scores are functions of the confusion matrix, and the confusion matrix of a bootstrap resample is a multinomial draw
from the observed one. So resamples are drawn as matrices, never as lists of cells: 2,000 of them take milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from stslib.cohort import CLASSES
from stslib.errors import ParameterError, StsError, one_of

LEVEL = 0.95
METRICS = ("balanced_accuracy", "weighted_f1", "accuracy", *(f"f1:{c}" for c in CLASSES))

#: Words for the metrics, for tables and axes.
METRIC_NAMES = {
    "balanced_accuracy": "balanced accuracy",
    "weighted_f1": "weighted F1",
    "accuracy": "accuracy",
    **{f"f1:{c}": f"F1 of {c}" for c in CLASSES},
}

#: What the paper reports (section IV.A and the abstract), as fractions. `relation` is ">" where it gives a bound only.
PAPER_RESULTS = pd.DataFrame(
    [
        ("mobilenet_v2", "holdout", "weighted_f1", 0.8972, "=", "IV.A"),
        ("inception_v3", "holdout", "weighted_f1", 0.9003, "=", "IV.A"),
        ("densenet121", "holdout", "weighted_f1", 0.8927, "=", "IV.A"),
        ("resnet18", "holdout", "weighted_f1", 0.8981, "=", "IV.A"),
        ("lightgbm", "holdout", "weighted_f1", 0.8900, "=", "IV.A"),
        ("inception_v3", "holdout", "balanced_accuracy", 0.9053, "=", "abstract"),
        *[
            (model, split, "balanced_accuracy", 0.88, ">", "IV.A, Fig. 4")
            for split in ("holdout", "cv")
            for model in ("mobilenet_v2", "resnet18", "densenet121", "inception_v3", "lightgbm")
            if (model, split) != ("inception_v3", "holdout")
        ],
        ("ophir", "cv", "weighted_f1", 0.877, "=", "IV.A (fewer than 2,000 cells, cross-validation)"),
        ("wang", "cv", "weighted_f1", 0.8875, "=", "IV.A (first action potential, Fourier)"),
    ],
    columns=["model", "split", "metric", "value", "relation", "where"],
)

#: Kinds of data whose scores may be set against the paper's: those of the paper's own cells.
COMPARABLE_DATA = ("published", "allen")


def predicted(proba: np.ndarray) -> np.ndarray:
    """Class of the highest probability, `(n,)` of str, from probabilities `(n, 4)` in the order of `CLASSES`."""
    return np.asarray(CLASSES, dtype=object)[np.argmax(proba, axis=1)]


def check_proba(labels: Sequence[str] | np.ndarray | pd.Series, proba: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels as class numbers `(n,)` and probabilities `(n, 4)`, or one line on what is wrong with them."""
    y = _numbers(labels, "label")
    p = np.asarray(proba, dtype=float)
    if p.shape != (len(y), len(CLASSES)):
        raise StsError(f"probabilities have shape {p.shape}; they must be ({len(y)}, {len(CLASSES)}), one row a cell")
    if not np.isfinite(p).all() or (p < -1e-6).any() or not np.allclose(p.sum(axis=1), 1, atol=1e-3):
        raise StsError("probabilities must be numbers from 0 to 1 that add up to 1 in each row")
    return y, p


def _numbers(labels: Sequence[str] | np.ndarray | pd.Series, what: str) -> np.ndarray:
    values = np.asarray(labels, dtype=object)
    if values.ndim != 1 or len(values) == 0:
        raise StsError(f"{what}s have shape {values.shape}; give one a cell, and at least one")
    index = {c: k for k, c in enumerate(CLASSES)}
    unknown = [v for v in values if v not in index]
    if unknown:
        raise StsError(f"{what} {unknown[0]!r} is unknown ({len(unknown)} of {len(values)}); use: {', '.join(CLASSES)}")
    return np.array([index[v] for v in values])


def _pair(labels: Any, *predictions: Any) -> list[np.ndarray]:
    y = _numbers(labels, "label")
    out = [y]
    for prediction in predictions:
        p = _numbers(prediction, "prediction")
        if len(p) != len(y):
            raise StsError(f"{len(p)} predictions for {len(y)} cells; give one a cell, in the same order")
        out.append(p)
    return out


# --- scores ---------------------------------------------------------------------------------------------------------


def confusion(labels: Any, predictions: Any) -> np.ndarray:
    """Confusion matrix `(4, 4)` of counts: rows are true classes, columns predicted ones, in the order of `CLASSES`."""
    y, p = _pair(labels, predictions)
    k = len(CLASSES)
    return np.bincount(y * k + p, minlength=k * k).reshape(k, k)


def scores_of(matrices: np.ndarray) -> dict[str, np.ndarray]:
    """All `METRICS` of confusion matrices.

    Parameters
    ----------
    matrices : (..., 4, 4) array
        Counts, rows true.

    Returns
    -------
    dict of metric to (...) array
        As scikit-learn defines them: balanced accuracy is the mean recall of the classes that occur among the true
        labels; weighted F1 weighs each class's F1 by its true count; the F1 of a class that neither occurs nor is
        predicted is 0.
    """
    m = np.asarray(matrices, dtype=float)
    hits = np.diagonal(m, axis1=-2, axis2=-1)
    true, said, n = m.sum(axis=-1), m.sum(axis=-2), m.sum(axis=(-2, -1))
    recall = hits / np.maximum(true, 1)
    f1 = 2 * hits / np.maximum(true + said, 1)
    found = {
        "balanced_accuracy": recall.sum(axis=-1) / np.maximum((true > 0).sum(axis=-1), 1),
        "weighted_f1": (f1 * true).sum(axis=-1) / n,
        "accuracy": hits.sum(axis=-1) / n,
    }
    return found | {f"f1:{c}": f1[..., k] for k, c in enumerate(CLASSES)}


def score(metric: str, labels: Any, predictions: Any) -> float:
    """One metric (a name of `METRICS`) of predicted classes."""
    one_of("metric", metric, METRICS)
    return float(scores_of(confusion(labels, predictions))[metric])


def bootstrap(
    labels: Any, predictions: Any, n_bootstrap: int = 2000, seed: int = 2026, stratified: bool = True
) -> dict[str, np.ndarray]:
    """Metrics of bootstrap resamples of the cells.

    Parameters
    ----------
    labels, predictions : (n,) of str
        True and predicted classes.
    n_bootstrap : int
        Number of resamples.
    seed : int
        Seed of the draw.
    stratified : bool
        True: every resample has as many cells of each class as the data (the holdout of the paper is stratified, so
        its class counts are not left to chance). False: the class counts vary too.

    Returns
    -------
    dict of metric to (n_bootstrap,) array
    """
    return scores_of(_resample(confusion(labels, predictions), n_bootstrap, seed, stratified))


def _resample(table: np.ndarray, n_bootstrap: int, seed: int, stratified: bool) -> np.ndarray:
    """Bootstrap draws of a table of counts whose first axis is the true class: `(n_bootstrap, *table.shape)`."""
    if n_bootstrap < 1:
        raise ParameterError(f"n_bootstrap is {n_bootstrap}; it must be at least 1")
    rng = np.random.default_rng(seed)
    rows = table.reshape(len(table), -1) if stratified else table.reshape(1, -1)
    drawn = []
    for row in rows:
        n = int(row.sum())
        drawn.append(rng.multinomial(n, row / n if n else np.full(row.size, 1 / row.size), size=n_bootstrap))
    return np.stack(drawn, axis=1).reshape(n_bootstrap, *table.shape)


def interval(values: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Percentile interval of bootstrap values that holds the share `level` of them."""
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)


def scores(
    labels: Any,
    proba: np.ndarray,
    model: str,
    data: str,
    split: str,
    n_bootstrap: int = 2000,
    seed: int = 2026,
    stratified: bool = True,
) -> list[dict[str, Any]]:
    """Metric records of a model on labelled cells, with 95 % bootstrap intervals.

    Parameters
    ----------
    labels : (n,) of str
    proba : (n, 4) array
        Probabilities in the order of `CLASSES`.
    model, data, split : str
        What the records say they are about, e.g. `"lightgbm"`, `"published"`, `"holdout"`.
    n_bootstrap, seed, stratified
        See `bootstrap`.

    Returns
    -------
    list of dict
        One record a metric of `METRICS`, with the keys `model, data, split, metric, value, low, high, n`. The F1 of a
        class that the labels lack is left out.

    Raises
    ------
    StsError
        Labels or probabilities that do not fit.
    """
    y, p = check_proba(labels, proba)
    names, said = np.asarray(CLASSES, dtype=object)[y], predicted(p)
    values = scores_of(confusion(names, said))
    resampled = bootstrap(names, said, n_bootstrap, seed, stratified)
    records = []
    for metric in METRICS:
        if metric.startswith("f1:") and metric[3:] not in names:
            continue
        low, high = interval(resampled[metric])
        records.append(_record(model, data, split, metric, float(values[metric]), low, high, len(y)))
    return records


def cv_records(
    fold_values: Mapping[str, Sequence[float]], model: str, data: str, n: int, split: str = "cv"
) -> list[dict[str, Any]]:
    """Metric records of a cross-validation: value is the mean over folds, low and high are mean -/+ one SD.

    The SD divides by the number of folds, as in the authors' code (scikit-learn's `std_test_score`). `fold_values`
    maps a metric to its value in each fold; `n` is the number of cells.
    """
    records = []
    for metric, values in fold_values.items():
        one_of("metric", metric, METRICS)
        mean, sd = float(np.mean(values)), float(np.std(values))
        records.append(_record(model, data, split, metric, mean, mean - sd, mean + sd, n))
    return records


def by_fold(labels: Any, proba: np.ndarray, folds: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, list[float]]:
    """Every metric in each fold, from out-of-fold probabilities `(n, 4)`; the F1 of a class that never occurs is left out.

    `folds` is that of `stslib.cohort.folds`, and row i of `proba` was given while cell i was held out.
    """
    y, p = check_proba(labels, proba)
    names, said = np.asarray(CLASSES, dtype=object)[y], predicted(p)
    present = [m for m in METRICS if not m.startswith("f1:") or m[3:] in names]
    each = [scores_of(confusion(names[out], said[out])) for _, out in folds]
    return {m: [float(found[m]) for found in each] for m in present}


def _record(model: str, data: str, split: str, metric: str, value: float, low: float, high: float, n: int) -> dict:
    keys = ("model", "data", "split", "metric", "value", "low", "high", "n")
    return dict(zip(keys, (model, data, split, metric, value, low, high, n), strict=True))


# --- two models on the same cells ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class McNemar:
    """McNemar's test of two classifiers on the same cells.

    Attributes
    ----------
    only_a, only_b : int
        Cells that only the first, only the second classifier has right.
    p_exact : float
        Two-sided p of the exact (binomial) test; the one to report when `only_a + only_b` is below about 25.
    chi2, p_chi2 : float
        Statistic with continuity correction (Edwards 1948) and its p on one degree of freedom.
    """

    only_a: int
    only_b: int
    p_exact: float
    chi2: float
    p_chi2: float


def mcnemar(labels: Any, pred_a: Any, pred_b: Any) -> McNemar:
    """Are two classifiers right equally often on the same cells?

    Parameters
    ----------
    labels, pred_a, pred_b : (n,) of str
        True classes and those that the two classifiers give, cell by cell in the same order.

    References
    ----------
    McNemar 1947, Psychometrika 12:153; Dietterich 1998, Neural Computation 10:1895.
    """
    y, a, b = _pair(labels, pred_a, pred_b)
    only_a = int(((a == y) & (b != y)).sum())
    only_b = int(((a != y) & (b == y)).sum())
    n = only_a + only_b
    if n == 0:
        return McNemar(0, 0, 1.0, 0.0, 1.0)
    chi2 = max(abs(only_a - only_b) - 1, 0) ** 2 / n
    exact = float(stats.binomtest(only_a, n, 0.5).pvalue)
    return McNemar(only_a, only_b, exact, float(chi2), float(stats.chi2.sf(chi2, 1)))


@dataclass(frozen=True)
class Difference:
    """Score of the first model minus that of the second, on the same cells, with a paired bootstrap interval."""

    metric: str
    value: float
    low: float
    high: float
    n: int


def bootstrap_difference(
    labels: Any,
    pred_a: Any,
    pred_b: Any,
    metric: str = "balanced_accuracy",
    n_bootstrap: int = 2000,
    seed: int = 2026,
    stratified: bool = True,
) -> Difference:
    """Difference of two models on the same cells; both are scored on the same resamples, so it is paired.

    Parameters
    ----------
    labels, pred_a, pred_b : (n,) of str
    metric : str
        A name of `METRICS`.
    n_bootstrap, seed, stratified
        See `bootstrap`.
    """
    one_of("metric", metric, METRICS)
    y, a, b = _pair(labels, pred_a, pred_b)
    k = len(CLASSES)
    joint = np.bincount((y * k + a) * k + b, minlength=k**3).reshape(k, k, k)
    drawn = _resample(joint, n_bootstrap, seed, stratified)
    differences = scores_of(drawn.sum(axis=3))[metric] - scores_of(drawn.sum(axis=2))[metric]
    value = scores_of(joint.sum(axis=2))[metric] - scores_of(joint.sum(axis=1))[metric]
    low, high = interval(differences)
    return Difference(metric, float(value), low, high, len(y))


# --- calibration ----------------------------------------------------------------------------------------------------


def calibration(labels: Any, proba: np.ndarray, n_bins: int = 10) -> tuple[pd.DataFrame, float]:
    """Reliability of the winning probability, and the expected calibration error.

    Parameters
    ----------
    labels : (n,) of str
    proba : (n, 4) array
    n_bins : int
        Bins of equal width on [0, 1]; a bin holds its upper edge.

    Returns
    -------
    table : DataFrame
        One row a bin that has cells: `low`, `high` (its edges), `confidence` (mean winning probability), `accuracy`,
        `n`.
    error : float
        Mean of |accuracy - confidence| over bins, weighted by their cells (Guo et al. 2017, ICML).
    """
    if n_bins < 1:
        raise ParameterError(f"n_bins is {n_bins}; it must be at least 1")
    y, p = check_proba(labels, proba)
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    bins = np.clip(np.ceil(confidence * n_bins - 1e-9).astype(int) - 1, 0, n_bins - 1)
    rows = []
    for k in np.unique(bins):
        here = bins == k
        rows.append((k / n_bins, (k + 1) / n_bins, confidence[here].mean(), right[here].mean(), int(here.sum())))
    table = pd.DataFrame(rows, columns=["low", "high", "confidence", "accuracy", "n"])
    return table, float((table["n"] * (table["accuracy"] - table["confidence"]).abs()).sum() / len(y))


# --- the paper's numbers --------------------------------------------------------------------------------------------


def paper_value(model: str, split: str, metric: str) -> tuple[float, str] | None:
    """The paper's number and its relation (`"="` or `">"`), or None where the paper gives none."""
    table = PAPER_RESULTS
    rows = table[(table["model"] == model) & (table["split"] == split) & (table["metric"] == metric)]
    return None if rows.empty else (float(rows["value"].iloc[0]), str(rows["relation"].iloc[0]))


def compare_with_paper(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Metric records beside the paper's numbers.

    Returns
    -------
    DataFrame
        Columns of the records, then `paper`, `relation`, `difference` (ours minus the paper's), `paper_in_interval` and
        `comparable`. The last three are empty, empty and False for data that are not the paper's cells (simulated,
        hybrid): a score on them says nothing about the paper's.
    """
    rows = []
    for record in records:
        base = str(record["model"]).split(":")[0]
        found = paper_value(base, str(record["split"]), str(record["metric"]))
        comparable = found is not None and record["data"] in COMPARABLE_DATA
        row = dict(record) | {"paper": found[0] if found else np.nan, "relation": found[1] if found else ""}
        row["comparable"] = comparable
        row["difference"] = record["value"] - found[0] if found and comparable and found[1] == "=" else np.nan
        inside = found and comparable and found[1] == "="
        row["paper_in_interval"] = bool(record["low"] <= found[0] <= record["high"]) if inside and found else None
        rows.append(row)
    return pd.DataFrame(rows)


def paper_sentence(records: Sequence[Mapping[str, Any]], model: str = "lightgbm", note: str = "") -> str:
    """One or two plain sentences that set a model's weighted F1 on the holdout beside the paper's, or say why not.

    Parameters
    ----------
    records : sequence of mapping
        Metric records that hold the model's weighted F1 on the holdout.
    model : str
        Its name in the records.
    note : str
        What else a reader must know of the comparison, such as another feature set.

    Raises
    ------
    StsError
        There is no such record.
    """
    wanted = ("holdout", "weighted_f1", model)
    found = next((r for r in records if (r["split"], r["metric"], r["model"]) == wanted), None)
    if found is None:
        raise StsError(f"no weighted_f1 of {model} on the holdout among {len(records)} records")
    ours = f"{100 * found['value']:.2f} % ({100 * found['low']:.2f} to {100 * found['high']:.2f} %)"
    known = paper_value(model.split(":")[0], "holdout", "weighted_f1")
    if known is None:
        return f"Weighted F1 on {found['n']:,} test cells: {ours}. The paper has no such number."
    theirs = f"{100 * known[0]:.2f} %"
    if found["data"] not in COMPARABLE_DATA:
        return (
            f"Weighted F1 on {found['n']:,} {found['data']} test cells: {ours}. The paper's {theirs} were measured on "
            f"1,118 real cells. {str(found['data']).capitalize()} cells are not those cells, so the two numbers cannot "
            "be compared."
        )
    place = "inside" if found["low"] <= known[0] <= found["high"] else "outside"
    end = f" {note}" if note else ""
    return (
        f"Weighted F1 on {found['n']:,} real test cells: {ours}. The paper's {theirs} lie {place} this interval.{end}"
    )
