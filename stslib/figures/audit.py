"""Pictures of the audit: scores with intervals side by side, curves, reliability of two models, features read again."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from stslib.figures import style
from stslib.support.errors import StsError


@style.in_house_style
def dots(
    table: pd.DataFrame,
    kind: str,
    rows: str,
    panels: str = "",
    series: str = "",
    lines: Mapping[str, float] | None = None,
    xlabel: str = "balanced accuracy, 95 % interval",
) -> Figure:
    """Values with their intervals, one line a row of names, one panel a group.

    Parameters
    ----------
    table : DataFrame
        `value`, `low`, `high` (fractions), and the columns that `rows`, `panels` and `series` name; names keep their order.
    kind : str
        Which data they are about.
    rows, panels, series : str
        Columns: what stands on the vertical axis, what has a panel, what has a colour and marker. The last two may be empty.
    lines : mapping of words to value, optional
        Dotted vertical lines, such as chance.
    xlabel : str
        What the values are.

    Raises
    ------
    StsError
        An empty table, or more series than there are colours.
    """
    if table.empty:
        raise StsError("the table has no rows; nothing to draw")
    names = list(dict.fromkeys(table[rows]))
    groups = list(dict.fromkeys(table[panels])) if panels else [""]
    kinds = list(dict.fromkeys(table[series])) if series else [""]
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
        for k, name in enumerate(kinds):
            colour, marker = style.SERIES[k]
            part = mine[mine[series] == name] if series else mine
            at = np.array([names.index(v) for v in part[rows]]) + 0.22 * (k - (len(kinds) - 1) / 2)
            ends = [part["value"] - part["low"], part["high"] - part["value"]]
            ax.errorbar(part["value"], at, xerr=np.clip(ends, 0, None), fmt=marker, ms=5.5, color=colour, capsize=2.5,
                        label=str(name))  # fmt: skip
        ax.set(xlabel=xlabel, title=str(group), ylim=(len(names) - 0.5, -0.5))
        ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        ax.grid(axis="x", color="0.92")
        ax.set_axisbelow(True)
    axes[0].set_yticks(range(len(names)), [str(n) for n in names])
    if series:
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=min(len(kinds), 3), fontsize=8.5)
    return style.say_kind(figure, kind)


@style.in_house_style
def curves(tables: Mapping[str, pd.DataFrame], kind: str, x: str, xlabel: str, log: bool = False) -> Figure:
    """Balanced accuracy against a quantity, one line a model, with 95 % intervals.

    Parameters
    ----------
    tables : mapping of model name to DataFrame
        `value`, `low`, `high` and the column that `x` names.
    kind : str
        Which data they are about.
    x, xlabel, log
        The quantity: its column, its words with unit, and whether its axis is logarithmic.
    """
    figure = style.new_figure(6.2, 3.4)
    ax = figure.add_subplot()
    for (name, table), (colour, marker) in zip(tables.items(), style.SERIES, strict=False):
        ends = [table["value"] - table["low"], table["high"] - table["value"]]
        ax.errorbar(table[x], table["value"], yerr=np.clip(ends, 0, None), fmt=f"{marker}-", ms=5, lw=1.2, color=colour,
                    capsize=2.5, label=name)  # fmt: skip
    ax.set(xlabel=xlabel, ylabel="balanced accuracy,\n95 % interval")
    if log:
        ax.set_xscale("log")
        ticks = sorted({float(v) for t in tables.values() for v in t[x]})
        ax.set_xticks(ticks, [f"{v:,.0f}" for v in ticks])
        ax.minorticks_off()
    else:
        ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.grid(color="0.92")
    ax.legend(loc="best", fontsize=8.5)
    return style.say_kind(figure, kind)


@style.in_house_style
def features_read_again(table: pd.DataFrame, kind: str) -> Figure:
    """Strength of each feature for a class (mean |SHAP|), and beside it what the feature tells alone: class or rig.

    Times are hatched; a star marks what the paper names.

    Parameters
    ----------
    table : DataFrame
        From `stslib.audit.reread`, of one or more classes, in order.
    kind : str
        Which data they are about.
    """
    classes = list(dict.fromkeys(table["class"]))
    heights = [int((table["class"] == c).sum()) for c in classes]
    figure = style.new_figure(8.6, 1.2 + 0.33 * sum(heights) + 0.5 * len(classes))
    grid = figure.subplots(len(classes), 2, squeeze=False, sharex="col", height_ratios=heights)
    for (left, right), label in zip(grid, classes, strict=True):
        mine = table[table["class"] == label]
        at = np.arange(len(mine))
        timed = mine["feature"].str.contains("_t_").to_numpy()
        bars = left.barh(at, mine["mean_abs_shap"], 0.65, color=style.CLASS_COLOURS[label], edgecolor="black", lw=0.6)
        for bar, is_time in zip(bars, timed, strict=True):
            bar.set_hatch("////" if is_time else "")
        names = [
            f"{f.removesuffix('_long_square')}{' *' if p else ''}"
            for f, p in zip(mine["feature"], mine["paper"], strict=True)
        ]
        left.set_yticks(at, names)
        left.set(ylim=(len(mine) - 0.5, -0.5), title=label)
        for k, (column, words) in enumerate((("tells_class", "the class"), ("tells_rig", "the rig, within the class"))):
            colour, marker = style.SERIES[k]
            right.plot(mine[column], at, marker, ms=6, color=colour, label=words)
        right.axvline(0.5, color="0.5", lw=0.9, ls=":")
        right.set(ylim=(len(mine) - 0.5, -0.5), yticks=[], xlim=(0.48, 1.02))
        right.grid(axis="x", color="0.92")
    grid[-1][0].set_xlabel("mean |SHAP| (log-odds)")
    grid[-1][1].set_xlabel("area under the ROC curve, the feature alone")
    handles, labels = grid[0][1].get_legend_handles_labels()
    figure.legend(handles, labels, title="what the feature tells", loc="outside upper right", ncols=2, fontsize=8.5)
    return style.say_kind(figure, kind)
