"""Figures of a cohort: how many cells of which class and rig, and its cells beside recorded and fitted ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from stslib.cohort import CLASSES
from stslib.figures.style import CLASS_COLOURS, house_style, label_data, new_figure


@house_style
def class_by_rig(cells: pd.DataFrame, kind: str) -> Figure:
    """Included cells of each class: one bar a rig, with the test cells hatched at its top.

    `cells` comes from `cohort.account` and `holdout_split`: label, dataset (the rig), status, split.

    Examples
    --------
    >>> from stslib import figures
    >>> cells = pd.DataFrame({"label": ["Sst", "Pvalb"], "dataset": "Seq", "status": "kept", "split": ["train", "test"]})
    >>> len(figures.class_by_rig(cells, "simulated").axes)
    1
    """
    included = cells[cells["status"] == "kept"]
    rigs = sorted(included["dataset"].unique())
    counts = included.groupby(["dataset", "split", "label"]).size().unstack(fill_value=0)
    counts = counts.reindex(pd.MultiIndex.from_product([rigs, ["train", "test"]]), columns=CLASSES, fill_value=0)
    figure = new_figure(7.0, 3.2)
    ax = figure.subplots()
    width = 0.8 / len(rigs)
    for position, rig in enumerate(rigs):
        x = np.arange(len(CLASSES)) + (position - (len(rigs) - 1) / 2) * width
        train, test = counts.loc[(rig, "train")].to_numpy(), counts.loc[(rig, "test")].to_numpy()
        colours = [to_rgba(CLASS_COLOURS[c], 1.0 if position == 0 else 0.55) for c in CLASSES]
        ax.bar(x, train, 0.9 * width, color=colours)
        bars = ax.bar(x, test, 0.9 * width, bottom=train, color=colours, hatch="////", edgecolor="white", lw=0)
        ax.bar_label(bars, [f"{n:,}\n{rig}" for n in train + test], padding=2, fontsize=8)
    ax.set_xticks(range(len(CLASSES)), CLASSES)
    ax.set(ylabel="Cells", ymargin=0.18)
    hatched = Patch(facecolor="0.6", edgecolor="white", hatch="////", lw=0, label="test")
    ax.legend(handles=[Patch(color="0.6", label="train"), hatched], loc="upper right")
    return label_data(figure, kind)


@house_style
def beside_real(pairs: pd.DataFrame, reference: pd.DataFrame, kind: str) -> Figure:
    """Rheobase and spike count of each class, median and quartiles, beside those of recorded and of fitted cells.

    `pairs` has a row a cell: label, rheobase_pa, partner_spikes (in the sweep 40 pA above it); `reference` a row a class:
    label and, as (quartile, median, quartile), recorded_rheobase_pa (of the paper's training set) and fitted_spikes_above
    (of models fitted to recorded cells).

    Examples
    --------
    >>> from stslib import cohort, figures
    >>> pairs = pd.DataFrame({"label": cohort.CLASSES, "rheobase_pa": [190.0, 90.0, 70.0, 110.0], "partner_spikes": 12})
    >>> quartiles = [(5.0, 10.0, 20.0)] * 4
    >>> reference = {"label": cohort.CLASSES, "recorded_rheobase_pa": quartiles, "fitted_spikes_above": quartiles}
    >>> len(figures.beside_real(pairs, pd.DataFrame(reference), "simulated").axes)
    2
    """
    panels = (
        ("rheobase_pa", "Rheobase (pA)", "recorded_rheobase_pa", "recorded cells of the paper's training set"),
        ("partner_spikes", "Spikes in 1 s, rheobase + 40 pA", "fitted_spikes_above", "models fitted to recorded cells"),
    )
    figure = new_figure(8.6, 3.4)
    for ax, (column, words, beside, source) in zip(figure.subplots(1, 2), panels, strict=True):
        sns.pointplot(
            pairs.astype({column: float}), x="label", y=column, order=CLASSES, hue="label", palette=CLASS_COLOURS,
            estimator="median", errorbar=("pi", 50), linestyle="none", legend=False, ax=ax,
        )  # fmt: skip
        low, median, high = np.array(reference.set_index("label").loc[list(CLASSES), beside].tolist()).T
        x = np.arange(len(CLASSES)) + 0.22
        ax.errorbar(x, median, (median - low, high - median), fmt="D", color="0.45", ms=6, mec="white", lw=2.5)
        ax.set(xlabel="", ylabel=words, ylim=(0, None))
        ax.set_title(f"colour: these cells\ngrey: {source}", fontsize=8.5, loc="left")
    return label_data(figure, kind)
