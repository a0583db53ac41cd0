"""Pictures of features: their spread in each class, and what the absolute times carry."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from stslib import features
from stslib.cohort import CLASSES
from stslib.figures import style


@style.house_style
def absolute_times(table: pd.DataFrame, labels: Any, kind: str) -> Figure:
    """The time of the first spike as it is published, and from the onset of the step, by data set and class.

    `table` has a row a cell, as `labels`: `dataset`, `onset_s`, and `threshold_t_long_square` in s from the sweep's start.

    Examples
    --------
    >>> from stslib import figures
    >>> table = pd.DataFrame({"dataset": ["Clamp", "Seq"], "onset_s": [1.0, 0.5], "threshold_t_long_square": [1.1, 0.6]})
    >>> len(figures.absolute_times(table, ["Sst", "Sst"], "simulated").axes)
    2
    """
    figure = style.new_figure(7.4, 3.1)
    axes = figure.subplots(1, 2, sharey=True)
    y, rows = np.asarray(labels), [(d, c) for d in sorted(table["dataset"].unique()) for c in CLASSES]
    rng = np.random.default_rng(0)  # seaborn's stripplot draws its jitter without a seed
    size = float(np.clip(6000 / max(len(table), 1), 2.5, 14))
    titles = {"as published: from the start of the sweep": 0.0, "from the onset of the step": table["onset_s"]}
    for ax, (title, start_s) in zip(axes, titles.items(), strict=True):
        time_s = table["threshold_t_long_square"] - start_s
        for at, (dataset, label) in enumerate(rows):
            here = ((table["dataset"] == dataset) & (y == label)).to_numpy()
            jitter, colour = at + rng.uniform(-0.3, 0.3, here.sum()), style.CLASS_COLOURS[label]
            ax.scatter(time_s[here], jitter, s=size, alpha=0.45, lw=0, color=colour, rasterized=True)
        ax.set(xlabel="time of the first spike's threshold (s)", title=title)
    axes[0].set_yticks(range(len(rows)), [f"{c}, {d}" for d, c in rows])
    axes[0].set_ylim(len(rows) - 0.5, -0.5)
    return style.label_data(figure, kind)


@style.house_style
def feature_distributions(x: pd.DataFrame, labels: Any, kind: str) -> Figure:
    """Spread of every feature in every class: median, quartiles, and 5 to 95 % of the cells.

    `x` `(n_cells, n_features)` has columns of `stslib.features.FEATURE_SETS`, `labels` `(n_cells,)` are the classes.

    Examples
    --------
    >>> from stslib import figures
    >>> figure = figures.feature_distributions(pd.DataFrame({"tau": [9.0, 20]}), ["Pvalb", "Sst"], "simulated")
    >>> len(figure.axes)
    4
    """
    rows = -(-x.shape[1] // 4)
    figure = style.new_figure(8.4, 1.3 * rows + 0.5)
    grid = figure.subplots(rows, 4, squeeze=False)
    median = {"color": "white", "linewidth": 1.4}
    for ax, (name, unit) in zip(grid.flat, features.describe(x, labels)[["feature", "unit"]].to_numpy(), strict=False):
        sns.boxplot(x=x[name].to_numpy(), y=np.asarray(labels), hue=np.asarray(labels), order=CLASSES, hue_order=CLASSES,
                    palette=style.CLASS_COLOURS, saturation=1, whis=(5, 95), showfliers=False, width=0.7, ax=ax,
                    legend=False, linecolor="black", linewidth=0.6, medianprops=median)  # fmt: skip
        ax.set_title(f"{name.removesuffix('_long_square')} ({unit.split(' from ')[0]})", fontsize=8.5)
        ax.set(yticks=[], ylabel="", xlabel="")
        ax.tick_params(labelsize=8)
        ax.spines["left"].set_visible(False)
    for ax in list(grid.flat)[x.shape[1] :]:
        ax.axis("off")
    handles = [Patch(fc=style.CLASS_COLOURS[c], ec="black", lw=0.6, label=c) for c in CLASSES]
    figure.legend(handles=handles, loc="outside upper center", ncols=4, fontsize=8.5)
    return style.label_data(figure, kind)
