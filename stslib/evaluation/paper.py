"""The paper's numbers, and measured ones beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from stslib.cohort import CLASSES
from stslib.support.errors import StsError

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
    table = PAPER_RESULTS
    rows = table[(table["model"] == model) & (table["split"] == split) & (table["metric"] == metric)]
    return None if rows.empty else (float(rows["value"].iloc[0]), str(rows["relation"].iloc[0]))


def compare_with_paper(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Metric records beside the paper's; the last two columns are empty for data that are not its cells."""
    rows = []
    for record in records:
        base = str(record["model"]).split(":")[0]
        value, relation = paper_value(base, str(record["split"]), str(record["metric"])) or (np.nan, "")
        comparable = bool(relation) and record["data"] in COMPARABLE_DATA
        exact = comparable and relation == "="
        inside = bool(record["low"] <= value <= record["high"]) if exact else None
        beside = {"paper": value, "relation": relation, "comparable": comparable}
        beside |= {"difference": record["value"] - value if exact else np.nan, "paper_in_interval": inside}
        rows.append(dict(record) | beside)
    return pd.DataFrame(rows)


def paper_sentence(records: Sequence[Mapping[str, Any]], note: str = "") -> str:
    """The baseline's weighted F1 on the holdout beside the paper's, or why they cannot be compared."""
    wanted = ("holdout", "weighted_f1", "lightgbm")
    found = next((r for r in records if (r["split"], r["metric"], r["model"]) == wanted), None)
    if found is None:
        raise StsError(f"no weighted_f1 of lightgbm on the holdout among {len(records)} records")
    real = found["data"] in COMPARABLE_DATA
    cells = f"{found['n']:,} {'real' if real else found['data']} test cells"
    ours = f"Weighted F1 on {cells}: {100 * found['value']:.2f} % ({100 * found['low']:.2f} to {100 * found['high']:.2f} %)."
    known = float(PAPER_RESULTS.query("model == 'lightgbm' and metric == 'weighted_f1'")["value"].item())
    theirs = f"The paper's {100 * known:.2f} %"
    if real:
        side = "inside" if found["low"] <= known <= found["high"] else "outside"
        return f"{ours} {theirs} lie {side} this interval. {note}".strip()
    return (
        f"{ours} {theirs} were measured on 1,118 real cells. {str(found['data']).capitalize()} cells are not those cells, "
        "so the two numbers cannot be compared."
    )


def baseline_conclusions(
    records: Sequence[Mapping[str, Any]], feature_set: str = "published", calibration_error: float = float("nan")
) -> str:
    """What the scores of the baseline mean, as a Markdown list.

    Parameters
    ----------
    records : metric records of `lightgbm` and, where there is one, `lightgbm:ensemble` (`Predictions.records`)
    feature_set : str, the columns that it was trained on; only `published` are the paper's
    calibration_error : float, expected calibration error on the test cells, as a fraction

    Examples
    --------
    >>> import numpy as np
    >>> from stslib import cohort, evaluation
    >>> labels, proba = np.repeat(cohort.CLASSES, 6), np.repeat(np.eye(4), 6, axis=0)
    >>> records = evaluation.cv_scores(labels, proba, cohort.folds(labels, 2), "lightgbm", "simulated")
    >>> records += evaluation.scores(labels, proba, "lightgbm", "simulated", "holdout", 100)
    >>> print(evaluation.baseline_conclusions(records, "published", 0.01).splitlines()[1])
    - Balanced accuracy: 100.0 % on the holdout (100.0 to 100.0 %), 100.0 % in cross-validation.
    """
    other = f"The features are not the paper's: this run uses the set {feature_set}."
    first = paper_sentence(records, "" if feature_set == "published" else other)
    by_score = {(r["model"], r["split"], r["metric"]): r for r in records}
    cv, held = (by_score["lightgbm", split, "balanced_accuracy"] for split in ("cv", "holdout"))
    of_classes = {c: by_score.get(("lightgbm", "holdout", f"f1:{c}")) for c in CLASSES}
    f1 = {c: r["value"] for c, r in of_classes.items() if r}
    best, hardest = max(f1, key=lambda c: f1[c]), min(f1, key=lambda c: f1[c])
    lines = [
        first,
        f"Balanced accuracy: {100 * held['value']:.1f} % on the holdout ({100 * held['low']:.1f} to "
        f"{100 * held['high']:.1f} %), {100 * cv['value']:.1f} % in cross-validation.",
    ]
    ensemble = [by_score.get(("lightgbm:ensemble", "holdout", m)) for m in ("weighted_f1", "balanced_accuracy")]
    if all(ensemble):
        f1_score, accuracy = (100 * r["value"] for r in ensemble if r)
        lines.append(
            f"The ensemble, on the same test cells: weighted F1 {f1_score:.1f} %, balanced accuracy {accuracy:.1f} %."
        )
    lines += [
        f"The class it predicts best is {best} (F1 {100 * f1[best]:.1f} %), the hardest is {hardest} "
        f"({100 * f1[hardest]:.1f} %).",
        f"Expected calibration error: {100 * calibration_error:.1f} %.",
        "A score alone does not show what was learnt: times that count from the start of the sweep also predict the rig. "
        "Whether that matters here is in the table above.",
    ]
    return "\n".join(f"- {line}" for line in lines)
