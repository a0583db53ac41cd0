"""Pictures of the audit: scores with intervals side by side, curves, and features that know the class or the rig."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from stslib.figures import style
from stslib.support.errors import StsError


@style.house_style
def score_dots(
    table: pd.DataFrame, kind: str, rows: str, panels: str = "", series: str = "",
    lines: Mapping[str, float] | None = None, xlabel: str = "balanced accuracy, 95 % interval",
) -> Figure:  # fmt: skip
    """Scores with their intervals, one line a row of names, one panel a group.

    Parameters
    ----------
    table : DataFrame, not empty: `value`, `low`, `high` (fractions) and the columns that follow; names keep their order
    kind : str, which data they are about
    rows, panels, series : str, columns: what has a line, a panel, a colour (five at most); the last two may be empty
    lines : mapping of words to value, dotted vertical lines, such as chance
    xlabel : str, what the values are

    Examples
    --------
    >>> import pandas as pd
    >>> from stslib import figures
    >>> table = pd.DataFrame({"set": ["times", "all"], "value": [0.5, 0.9], "low": [0.4, 0.8], "high": [0.6, 1.0]})
    >>> figure = figures.score_dots(table, "published", "set", lines={"chance": 0.5})
    >>> len(figure.axes)
    1
    """
    if table.empty:
        raise StsError("the table has no rows; nothing to draw")
    names, groups, kinds = (list(dict.fromkeys(table[c])) if c else [""] for c in (rows, panels, series))
    if len(kinds) > len(style.SERIES):
        raise StsError(f"{len(kinds)} series; a figure can keep {len(style.SERIES)} apart")
    figure = style.new_figure(3.2 + 2.9 * len(groups), 1.35 + 0.36 * len(names) * (1 + 0.35 * (len(kinds) > 2)))
    axes = figure.subplots(1, len(groups), sharex=True, sharey=True, squeeze=False)[0]
    for ax, group in zip(axes, groups, strict=True):
        mine = table[table[panels] == group] if panels else table
        for words, value in (lines or {}).items():
            ax.axvline(value, color="0.5", lw=0.9, ls=":")
            ax.annotate(words, (value, 1), (2, 2), xycoords=("data", "axes fraction"), textcoords="offset points",
                        fontsize=8, color="0.4")  # fmt: skip
        for k, (name, (colour, marker)) in enumerate(zip(kinds, style.SERIES, strict=False)):
            part = mine[mine[series] == name] if series else mine
            at = np.array([names.index(v) for v in part[rows]]) + 0.22 * (k - (len(kinds) - 1) / 2)
            ends = np.clip([part["value"] - part["low"], part["high"] - part["value"]], 0, None)
            ax.errorbar(part["value"], at, xerr=ends, fmt=marker, ms=5.5, color=colour, capsize=2.5, label=str(name))
        ax.set(xlabel=xlabel, title=str(group), ylim=(len(names) - 0.5, -0.5))
        ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        ax.grid(axis="x", color="0.92")
        ax.set_axisbelow(True)
    axes[0].set_yticks(range(len(names)), [str(n) for n in names])
    if series:
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=min(len(kinds), 3), fontsize=8.5)
    return style.label_data(figure, kind)


@style.house_style
def score_curves(table: pd.DataFrame, kind: str, x: str, xlabel: str, log: bool = False) -> Figure:
    """Balanced accuracy against a quantity, one line a model, with 95 % intervals.

    Parameters
    ----------
    table : DataFrame, `model`, `value`, `low`, `high` and the column that `x` names
    kind : str, which data they are about
    x, xlabel, log : the quantity: its column, its words with unit, and whether its axis is logarithmic

    Examples
    --------
    >>> import pandas as pd
    >>> from stslib import figures
    >>> table = pd.DataFrame({"model": "LightGBM", "n": [100, 900], "value": [0.7, 0.8], "low": 0.6, "high": 0.9})
    >>> len(figures.score_curves(table, "published", "n", "cells learnt from", log=True).axes)
    1
    """
    figure = style.new_figure(6.2, 3.4)
    ax = figure.add_subplot()
    for (name, part), (colour, marker) in zip(table.groupby("model", sort=False), style.SERIES, strict=False):
        ends = np.clip([part["value"] - part["low"], part["high"] - part["value"]], 0, None)
        ax.errorbar(part[x], part["value"], yerr=ends, fmt=f"{marker}-", ms=5, lw=1.2, color=colour, capsize=2.5,
                    label=name)  # fmt: skip
    ax.set(xlabel=xlabel, ylabel="balanced accuracy,\n95 % interval")
    if log:
        ax.set_xscale("log")
        ticks = sorted(table[x].unique())
        ax.set_xticks(ticks, [f"{v:,.0f}" for v in ticks])
        ax.minorticks_off()
    else:
        ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.grid(color="0.92")
    ax.legend(loc="best", fontsize=8.5)
    return style.label_data(figure, kind)


@style.house_style
def features_read_again(table: pd.DataFrame, kind: str) -> Figure:
    """Strength of each feature for a class (mean |SHAP|), and beside it what the feature predicts alone: class or rig.

    Times are hatched; a star marks what the paper names.

    Parameters
    ----------
    table : DataFrame, from `stslib.audit.Audit.features_read_again`, of one or more classes, in order
    kind : str, which data they are about

    Examples
    --------
    >>> import pandas as pd
    >>> from stslib import figures
    >>> row = {"class": "Pvalb", "feature": "adaptation", "mean_abs_shap": 0.4, "paper": True}
    >>> row |= {"class_auc": 0.8, "rig_auc": 0.6}
    >>> len(figures.features_read_again(pd.DataFrame([row]), "published").axes)
    2
    """
    classes = table.groupby("class", sort=False)
    heights = [len(mine) for _, mine in classes]
    figure = style.new_figure(8.6, 1.2 + 0.33 * sum(heights) + 0.5 * len(classes))
    grid = figure.subplots(len(classes), 2, squeeze=False, sharex="col", height_ratios=heights)
    for (left, right), (label, mine) in zip(grid, classes, strict=True):
        at = np.arange(len(mine))
        hatches = np.where(mine["feature"].str.contains("_t_"), "////", "")
        left.barh(at, mine["mean_abs_shap"], 0.65, color=style.CLASS_COLOURS[str(label)], edgecolor="black", lw=0.6,
                  hatch=list(hatches))  # fmt: skip
        stars = np.where(mine["paper"], " *", "")
        left.set_yticks(at, mine["feature"].str.removesuffix("_long_square") + stars)
        left.set(ylim=(len(mine) - 0.5, -0.5), title=label)
        columns = {"class_auc": "the class", "rig_auc": "the rig, within the class"}
        for (column, words), (colour, marker) in zip(columns.items(), style.SERIES, strict=False):
            right.plot(mine[column], at, marker, ms=6, color=colour, label=words)
        right.axvline(0.5, color="0.5", lw=0.9, ls=":")
        right.set(ylim=(len(mine) - 0.5, -0.5), yticks=[], xlim=(0.48, 1.02))
        right.grid(axis="x", color="0.92")
    grid[-1][0].set_xlabel("mean |SHAP| (log-odds)")
    grid[-1][1].set_xlabel("area under the ROC curve, the feature alone")
    handles, labels = grid[0][1].get_legend_handles_labels()
    figure.legend(handles, labels, title="what the feature predicts", loc="outside upper right", ncols=2, fontsize=8.5)
    return style.label_data(figure, kind)
