"""Pictures of features: their spread in each class, and what the absolute times carry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from stslib.cohort import CLASSES
from stslib.figures import style


@style.in_house_style
def absolute_times(table: pd.DataFrame, kind: str, column: str = "threshold_t_long_square") -> Figure:
    """The time of the first spike as it is published, and from the onset of the step, by data set and class.

    Parameters
    ----------
    table : DataFrame
        One row a cell: `label`, `dataset`, `onset_s` and `column` (a time in s from the start of the sweep).
    kind : str
        Which data they are about.
    column : str
        Which time.
    """
    figure = style.new_figure(7.4, 3.1)
    axes = figure.subplots(1, 2, sharey=True)
    rows = [(d, c) for d in sorted(table["dataset"].unique()) for c in CLASSES]
    rng = np.random.default_rng(0)
    size = float(np.clip(6000 / max(len(table), 1), 2.5, 14))
    for ax, shift, title in (
        (axes[0], 0.0, "as published: from the start of the sweep"),
        (axes[1], table["onset_s"], "from the onset of the step"),
    ):
        time_s = table[column] - shift
        for place, (dataset, label) in enumerate(rows):
            here = (table["dataset"] == dataset) & (table["label"] == label)
            jitter = place + rng.uniform(-0.3, 0.3, int(here.sum()))
            ax.scatter(
                time_s[here], jitter, s=size, alpha=0.45, lw=0, color=style.CLASS_COLOURS[label], rasterized=True
            )
        ax.set(xlabel="time of the first spike's threshold (s)", title=title)
    axes[0].set(yticks=range(len(rows)), ylim=(len(rows) - 0.5, -0.5))
    axes[0].set_yticklabels([f"{c}, {d}" for d, c in rows])
    return style.say_kind(figure, kind)


@style.in_house_style
def feature_distributions(x: pd.DataFrame, labels: Any, units: Mapping[str, str], kind: str) -> Figure:
    """Spread of every feature in every class: median, quartiles, and 5 to 95 % of the cells.

    Parameters
    ----------
    x : (n_cells, n_features) DataFrame
        Features (`stslib.features.select`).
    labels : (n_cells,) of str
        Classes.
    units : mapping of feature to unit
        From `stslib.features.describe`.
    kind : str
        Which data they are about.
    """
    columns = 4
    rows = -(-x.shape[1] // columns)
    figure = style.new_figure(8.4, 1.3 * rows + 0.5)
    grid = figure.subplots(rows, columns, squeeze=False)
    truth = np.asarray(labels, dtype=object)
    for ax, feature in zip(grid.flat, x.columns, strict=False):
        values = [x[feature].to_numpy()[truth == c] for c in CLASSES]
        drawn = ax.boxplot(
            [v[np.isfinite(v)] for v in values],
            vert=False,
            whis=(5, 95),
            showfliers=False,
            widths=0.7,
            patch_artist=True,
        )
        for box, line, label in zip(drawn["boxes"], drawn["medians"], CLASSES, strict=True):
            box.set(facecolor=style.CLASS_COLOURS[label], edgecolor="black", linewidth=0.6)
            line.set(color="white", linewidth=1.4)
        unit = units.get(str(feature), "")
        short = {"s from the start of the sweep": "s", "s from the onset of the step": "s", "s from the threshold": "s"}
        ax.set_title(f"{str(feature).removesuffix('_long_square')} ({short.get(unit, unit)})", fontsize=8.5)
        ax.set(yticks=[], ylim=(4.6, 0.4))
        ax.tick_params(labelsize=8)
        ax.spines["left"].set_visible(False)
    for ax in list(grid.flat)[x.shape[1] :]:
        ax.axis("off")
    handles = [Patch(facecolor=style.CLASS_COLOURS[c], edgecolor="black", lw=0.6, label=c) for c in CLASSES]
    figure.legend(handles=handles, loc="outside upper center", ncols=4, fontsize=8.5)
    return style.say_kind(figure, kind)
