"""The paper's numbers, and measured ones beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

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
