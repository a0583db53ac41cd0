"""The paper's numbers, and measured ones beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from stslib.cohort import CLASSES

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


def paper_value(model: str, split: str, metric: str) -> tuple[float, str] | None:
    """The paper's number and its relation (`"="` or `">"`), or None where the paper gives none."""
    rows = PAPER_RESULTS.query("model == @model and split == @split and metric == @metric")
    return None if rows.empty else (float(rows["value"].iloc[0]), str(rows["relation"].iloc[0]))


def baseline_conclusions(
    records: Sequence[Mapping[str, Any]], feature_set: str = "published", calibration_error: float = float("nan")
) -> str:
    """What the scores of the baseline mean, as a Markdown list.

    Parameters
    ----------
    records : metric records of `lightgbm` and, where there is one, `lightgbm:ensemble` (`Predictions.records`)
    feature_set, calibration_error : str, float, its columns, and its expected calibration error on the test cells

    Examples
    --------
    >>> from stslib import cohort, evaluation
    >>> labels, proba = np.repeat(CLASSES, 6), np.repeat(np.eye(4), 6, axis=0)
    >>> records = evaluation.cv_scores(labels, proba, cohort.folds(labels, 2), "lightgbm", "simulated")
    >>> records += evaluation.scores(labels, proba, "lightgbm", "simulated", "holdout", 100)
    >>> print(baseline_conclusions(records, "published", 0.01).splitlines()[1])
    - Balanced accuracy: 100.0 % on the holdout (100.0 to 100.0 %), 100.0 % in cross-validation.
    """
    found = {(r["model"], r["split"], r["metric"]): r for r in records}
    score = found["lightgbm", "holdout", "weighted_f1"]
    value, low, high = (f"{100 * score[key]:.2f}" for key in ("value", "low", "high"))
    known, _ = paper_value("lightgbm", "holdout", "weighted_f1") or (np.nan, "")
    real = score["data"] in COMPARABLE_DATA
    against = f"lie {'inside' if score['low'] <= known <= score['high'] else 'outside'} this interval."
    if not real:
        against = (
            f"were measured on 1,118 real cells. {score['data'].capitalize()} cells are not those cells, so the two "
            "numbers cannot be compared."
        )
    elif feature_set != "published":
        against += f" The features are not the paper's: this run uses the set {feature_set}."
    cv, held = (found["lightgbm", split, "balanced_accuracy"] for split in ("cv", "holdout"))
    of_classes = {c: found.get(("lightgbm", "holdout", f"f1:{c}")) for c in CLASSES}
    f1 = {c: 100 * r["value"] for c, r in of_classes.items() if r}
    best, hardest = max(f1, key=f1.__getitem__), min(f1, key=f1.__getitem__)
    lines = [
        f"Weighted F1 on {score['n']:,} {'real' if real else score['data']} test cells: {value} % ({low} to {high} %). "
        f"The paper's {100 * known:.2f} % {against}",
        f"Balanced accuracy: {100 * held['value']:.1f} % on the holdout ({100 * held['low']:.1f} to "
        f"{100 * held['high']:.1f} %), {100 * cv['value']:.1f} % in cross-validation.",
        f"The class it predicts best is {best} (F1 {f1[best]:.1f} %), the hardest is {hardest} ({f1[hardest]:.1f} %).",
        f"Expected calibration error: {100 * calibration_error:.1f} %.",
        "A score alone does not show what was learnt: times that count from the start of the sweep also predict the rig. "
        "Whether that matters here is in the table above.",
    ]
    if ("lightgbm:ensemble", "holdout", "accuracy") in found:
        both = (found["lightgbm:ensemble", "holdout", m]["value"] for m in ("weighted_f1", "balanced_accuracy"))
        text = "The ensemble, on the same test cells: weighted F1 {:.1f} %, balanced accuracy {:.1f} %."
        lines.insert(2, text.format(*(100 * v for v in both)))
    return "\n".join(f"- {line}" for line in lines)
