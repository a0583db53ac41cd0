"""Makes the table that simulated cells are drawn from, out of the authors' tables: `python -m stslib.io.simulated.table`.

Only training cells of the paper's split are read. Cells of a class and rig are grouped by how they fire and by which troughs
follow their first action potential; of each group the table holds quantiles and rank correlations, no cell's own row.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import ndtri
from scipy.stats import rankdata

from stslib.io.published import Published

#: The drawn quantities. `first` is the time of the first threshold at the rheobase from the onset; voltages count from the
#: resting point named, times of an action potential's points from its peak, those of the later troughs from the fast one.
COLUMNS = (
    "rheobase_pa", "first_s", "threshold_mv", "height_mv", "peak_ms", "upstroke_downstroke_ratio",
    "fast_trough_mv", "fast_trough_ms", "trough_mv", "trough_ms", "slow_trough_mv", "slow_trough_ms",
    "latency_s", "avg_isi_ms", "adaptation", "f_i_hz_per_pa", "rest_mv", "resistance_mohm", "tau_ms", "sag", "sag_mv",
)  # fmt: skip
#: A group smaller than this joins the largest group of its class and rig with the same troughs, or the largest of all.
SMALLEST_GROUP = 14
MOST_LEVELS = 41
TRANSIENT = 0.25  # a train whose rate rises by less than this share of a sustained one's rate over 40 pA stops early

_ABOUT = {
    "about": "What simulated cells are drawn from: quantiles and rank correlations of the long-square features of the training "
    "cells of the paper's split. Groups of cells: class / rig / troughs after the first action potential-firing.",
    "source": "github smilies-polito/spike-train-scalograms @294842c, data/Split (Allen Cell Types Database and Patch-seq "
    "release; Gouwens et al. 2019, 2020); made by python -m stslib.io.simulated.table",
    "quantiles": "One row a column, at evenly spaced probabilities from 0 to 1; at most one for two cells.",
    "correlation": "Pearson correlations of the normal scores, per cent, lower triangle by rows; of a group of n cells they "
    "weigh n / (n + 20) beside those of its class and rig.",
    "one_spike, two_spikes": "Share of the cells that fire once or twice in the sweep 40 pA above the rheobase.",
}


def derived(published: pd.DataFrame) -> pd.DataFrame:
    """The `COLUMNS` of cells from their published features, with `group`."""
    t = published.rename(columns=lambda name: name.removesuffix("_long_square"))
    time_ms = {p: 1e3 * (t[f"{p}_t"] - t["threshold_t"]) for p in ("peak", "fast_trough", "trough", "slow_trough")}
    values = pd.DataFrame(
        {
            "rheobase_pa": t["threshold_i"].round(),
            "first_s": t["threshold_t"] - t["onset_s"],
            "threshold_mv": t["threshold_v"],
            "height_mv": t["peak_v"] - t["threshold_v"],
            "peak_ms": time_ms["peak"],
            "upstroke_downstroke_ratio": t["upstroke_downstroke_ratio"],
            "fast_trough_mv": t["fast_trough_v"] - t["threshold_v"],
            "fast_trough_ms": time_ms["fast_trough"] - time_ms["peak"],
            "latency_s": t["latency"],
            "avg_isi_ms": t["avg_isi"],
            "adaptation": t["adaptation"],
            "f_i_hz_per_pa": t["f_i_curve_slope"],
            "rest_mv": t["vrest"],
            "resistance_mohm": t["ri"],
            "tau_ms": t["tau"],
            "sag": t["sag"],
            "sag_mv": t["vm_for_sag"],
        }
    )
    for point in ("trough", "slow_trough"):
        values[f"{point}_mv"] = t[f"{point}_v"] - t["fast_trough_v"]
        values[f"{point}_ms"] = time_ms[point] - time_ms["fast_trough"]
    slow = np.where((values["slow_trough_ms"] - values["trough_ms"]).abs() < 0.1, "slow", "two")
    fast = np.where(values["trough_mv"] < -0.5, "last", "fast")
    troughs = pd.Series(np.where(values["slow_trough_ms"].notna(), slow, fast), values.index)
    rise = 0.04 * values["f_i_hz_per_pa"] * values["avg_isi_ms"]
    few = values["adaptation"].isna()
    firing = np.where(few, "few", np.where(rise < TRANSIENT, "transient", "sustained"))
    return values[list(COLUMNS)].assign(group=troughs + "-" + firing)


def merged(groups: pd.Series) -> pd.Series:
    """The groups of the cells of one class and rig, small ones joined to larger ones."""
    groups = groups.copy()
    for name, count in groups.value_counts().items():
        if count < SMALLEST_GROUP:
            sizes = groups.value_counts()
            alike = sizes[sizes.index.str.startswith(str(name).split("-")[0]) & (sizes >= SMALLEST_GROUP)]
            groups[groups == name] = (alike if len(alike) else sizes).index[0]
    return groups


def _scores(values: pd.DataFrame) -> pd.DataFrame:
    """Normal scores of each column; ties share a rank, missing values stay missing."""
    ranks = values.apply(lambda x: pd.Series(rankdata(x, nan_policy="omit"), x.index))
    return ranks.apply(lambda r: pd.Series(ndtri((r - 0.5) / max(r.notna().sum(), 1)), r.index))


def make(published: pd.DataFrame) -> dict[str, object]:
    """The table from features of training cells: `label`, `dataset`, `onset_s` and the published columns."""
    values = derived(published)
    groups: dict[str, object] = {}
    for (label, rig), rows in values.groupby([published["label"], published["dataset"]]):
        names = merged(rows["group"])
        parts = {name: part[list(COLUMNS)] for name, part in rows.groupby(names)}
        scores = {name: _scores(part) for name, part in parts.items()}
        pooled = pd.concat(scores.values()).corr().fillna(0.0)
        for name, part in parts.items():
            weight = len(part) / (len(part) + 20.0)
            own = scores[name].corr(min_periods=8)
            mixed = (weight * own + (1.0 - weight) * pooled).fillna(pooled).to_numpy()
            groups[f"{label}/{rig}/{name}".replace("Vip/Lamp5", "Vip-Lamp5")] = {
                "n_cells": len(part),
                "one_spike": round(float(part["avg_isi_ms"].isna().mean()), 3),
                "two_spikes": round(float((part["adaptation"].isna() & part["avg_isi_ms"].notna()).mean()), 3),
                "quantiles": [_quantiles(part[column]) for column in COLUMNS],
                "correlation": [round(100 * x) for x in mixed[np.tril_indices(len(COLUMNS), -1)]],
            }
    return {**_ABOUT, "columns": list(COLUMNS), "groups": groups}


def _quantiles(values: pd.Series) -> list[float]:
    """Quantiles at evenly spaced levels, four digits each; empty where nothing was measured."""
    known = values.dropna()
    if known.empty:
        return []
    levels = np.linspace(0.0, 1.0, min(MOST_LEVELS, max(9, len(known) // 2)))
    discrete = values.name == "rheobase_pa"
    found = np.quantile(known, levels, method="inverted_cdf") if discrete else np.quantile(known, levels)
    return [float(f"{x:.4g}") for x in found]


def main() -> None:
    """Write `population.json` beside this module."""
    source = Published()
    cells = source.cells().query("split == 'train'").drop(columns="dataset")
    table = make(cells.merge(source.features(), on="cell_id"))
    text = json.dumps(table, separators=(",", ":"), ensure_ascii=False).replace('"quantiles":[[', '\n"quantiles":[[')
    Path(__file__).with_name("population.json").write_text(text.replace('},"', '},\n"') + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
