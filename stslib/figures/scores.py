"""Pictures of scores: all models (paper Fig. 4), confusion, calibration, a search, and those of the audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter
from scipy.stats import binomtest

from stslib import evaluation
from stslib.cohort import CLASSES
from stslib.figures import style
from stslib.support.errors import StsError

_CHANCE, _SPLITS = 1 / len(CLASSES), {"cv": "////", "nested_cv": "....", "holdout": ""}  # each split with its hatch
_PAPER: dict[str, Any] = {"ls": "", "ms": 4.5, "mfc": "white", "mec": "black", "mew": 0.9, "zorder": 5}
_PAPER_MARKS = {"=": ("D", "value"), ">": ("^", "more than")}


def _ends(scores: pd.DataFrame) -> np.ndarray:
    """Lengths of error bars `(2, n)` from the intervals of `stslib.evaluation` (seaborn would bootstrap its own)."""
    return np.clip([scores["value"] - scores["low"], scores["high"] - scores["value"]], 0, None)


@style.house_style
def balanced_accuracy_bars(records: Sequence[Mapping[str, Any]], kind: str, paper: bool = True) -> Figure:
    """Cross-validation, nested or not, beside holdout, a bar a split of each model (paper Fig. 4).

    Parameters
    ----------
    records : metric records of the splits `cv` and `nested_cv` (bar: one SD over folds), `holdout` (bar: 95 % interval)
    kind, paper : str, which data they are about; bool, mark the paper's values (diamond: a number, triangle: a lower bound)

    Examples
    --------
    >>> about = {"model": "lightgbm", "split": "holdout", "metric": "balanced_accuracy"}
    >>> figure = balanced_accuracy_bars([about | {"value": 0.9, "low": 0.88, "high": 0.92}], "simulated")
    >>> len(figure.axes)
    1
    """
    of_metric = [r for r in records if r["metric"] == "balanced_accuracy"]
    wanted = {(r["model"], r["split"]): r for r in of_metric if r["split"] in _SPLITS}
    if not wanted:
        raise StsError(f"no balanced_accuracy of cv or holdout among {len(records)} records; nothing to draw")
    models = style.in_order(model for model, _ in wanted)
    figure = style.new_figure(max(1.35 * len(models) + 1.8, 6.0), 3.8)
    ax = figure.add_subplot()
    splits = [split for split in _SPLITS if any(s == split for _, s in wanted)]
    of_model = {model: [split for split in splits if (model, split) in wanted] for model in models}
    known: dict[str, list[tuple[float, float]]] = {relation: [] for relation in _PAPER_MARKS}
    for (model, split), r in wanted.items():
        own, colour = of_model[model], style.model_colour(model)
        x = models.index(model) + 0.3 * (own.index(split) - (len(own) - 1) / 2)
        fill = "white" if _SPLITS[split] else colour
        ax.bar(x, r["value"], 0.27, color=fill, hatch=_SPLITS[split], edgecolor=colour, linewidth=1.1)
        ax.errorbar(x, r["value"], yerr=_ends(pd.DataFrame([r])), color="black", lw=1.1, capsize=3)
        box = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none"}
        ax.text(x, 0.05, f"{100 * r['value']:.1f}", ha="center", fontsize=9, bbox=box)
        if paper and (theirs := evaluation.paper_value(model, split, r["metric"])):
            known[theirs[1]].append((x + 0.11, theirs[0]))
    ax.axhline(_CHANCE, color="0.5", lw=0.9, ls=":")
    ax.text(-0.83, _CHANCE + 0.01, "chance", va="bottom", fontsize=8, color="0.4")
    ax.set(xlim=(-0.85, len(models) - 0.15), ylim=(0, 1.06), yticks=np.arange(0, 1.01, 0.2), ylabel="balanced accuracy")
    ax.set_xticks(range(len(models)), [style.model_name(m) for m in models])
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    cv: dict[str, Any] = {"facecolor": "white", "label": "cross-validation: mean, SD over folds"}
    keys = {"cv": cv, "nested_cv": cv | {"label": "nested cross-validation: mean, SD over folds"}}
    keys["holdout"] = {"facecolor": style.NEUTRAL, "label": "holdout, 95 % interval"}
    handles: list[Any] = [Patch(edgecolor=style.NEUTRAL, hatch=_SPLITS[split], **keys[split]) for split in splits]
    for relation, points in known.items():
        if points:
            mark, words = _PAPER_MARKS[relation]
            handles += ax.plot(*np.transpose(points), marker=mark, label=f"paper (real cells): {words}", **_PAPER)
    figure.legend(handles=handles, loc="outside upper center", ncols=2, fontsize=8.5)
    return style.label_data(figure, kind)


@style.house_style
def confusion_matrix(
    labels: Any, predictions: Any, kind: str, title: str = "", n_bootstrap: int = 0, seed: int = 2026
) -> Figure:
    """Confusion matrix: cells and their share of the true class (row) in each field, the F1 of each class below.

    Parameters
    ----------
    labels, predictions : (n,) of str, true and predicted classes
    kind, title : str, which data they are about; what was classified, by which model
    n_bootstrap, seed : int, resamples behind the 95 % intervals of shares and F1, and their seed; 0 for no intervals

    Examples
    --------
    >>> figure = confusion_matrix(["Pvalb", "Sst", "Sst"], ["Pvalb", "Sst", "Pvalb"], "simulated")
    >>> len(figure.axes)
    2
    """
    counts = evaluation.confusion(labels, predictions)
    share, low, high = evaluation.confusion_shares(labels, predictions, max(n_bootstrap, 1), seed)
    drawn = evaluation.bootstrap(labels, predictions, max(n_bootstrap, 1), seed)

    def percent(value: Any, low: Any, high: Any) -> str:
        return f"{100 * value:.1f} %" + (f"\n[{100 * low:.1f}, {100 * high:.1f}]" if n_bootstrap else "")

    true, texts = counts.sum(axis=1), np.full(counts.shape, "0", dtype=object)
    for at, n in np.ndenumerate(counts):
        if true[at[0]]:
            texts[at] = f"{n}\n{percent(share[at], low[at], high[at])}"
    names = []
    for label, metric in ((c, f"f1:{c}") for c in CLASSES):
        f1 = evaluation.score(metric, labels, predictions), *evaluation.interval(drawn[metric])
        names.append(f"{label}\nF1 {percent(*f1)}")
    figure = style.new_figure(6.4, 4.8)
    ax = figure.add_subplot()
    bar = {"shrink": 0.8, "format": PercentFormatter(1, decimals=0), "label": "share of the true class"}
    rows = [f"{c}\n(n = {n})" for c, n in zip(CLASSES, true, strict=True)]
    sns.heatmap(share, annot=texts, fmt="", annot_kws={"fontsize": 9}, cmap="Blues", vmin=0, vmax=1, square=True,
                cbar_kws=bar, xticklabels=names, yticklabels=rows, ax=ax)  # fmt: skip
    ax.tick_params(length=0, rotation=0, labelsize=9)
    ax.set(xlabel="predicted class", ylabel="true class", title=title)
    return style.label_data(figure, kind)


@style.house_style
def reliability(tables: Mapping[str, tuple[pd.DataFrame, float]], kind: str) -> Figure:
    """Reliability curves: how often a prediction is right, against its probability; one panel a model.

    Parameters
    ----------
    tables, kind : mapping of model name to (table, error), from `evaluation.calibration`; str, which data they are about

    Examples
    --------
    >>> curve = evaluation.calibration(["Sst"] * 9, np.tile([0.1, 0.9, 0, 0], (9, 1)))
    >>> len(reliability({"LightGBM": curve}, "simulated").axes)
    1
    """
    figure = style.new_figure(3.2 * len(tables) + 0.9, 3.9)
    axes = figure.subplots(1, len(tables), sharey=True, squeeze=False)[0]
    for ax, (name, (table, error)), (colour, marker) in zip(axes, tables.items(), style.SERIES, strict=False):
        ax.plot([0, 1], [0, 1], color="0.6", lw=1, ls="--")
        right = (table["accuracy"] * table["n"]).round().astype(int)
        ends = [binomtest(k, n).proportion_ci(method="wilson") for k, n in zip(right, table["n"], strict=True)]
        bars = np.abs(np.transpose(ends) - table["accuracy"].to_numpy())
        ax.errorbar(table["confidence"], table["accuracy"], yerr=bars, fmt=f"{marker}-", ms=5, lw=1.2, color=colour,
                    capsize=2.5)  # fmt: skip
        for row in table.itertuples():
            ax.annotate(f"{row.n}", (row.confidence, row.accuracy), (6, -10), textcoords="offset points", fontsize=8)
        ax.set(xlabel="mean probability of the predicted class", aspect="equal", xlim=(0.25, 1.03), ylim=(0, 1.05))
        ax.set_title(f"{name}\nexpected calibration error {100 * error:.1f} %", fontsize=9.5)
    axes[0].set_ylabel("share that is right (bar: 95 %, Wilson)")
    return style.label_data(figure, kind)


@style.house_style
def search_history(table: pd.DataFrame, kind: str) -> Figure:
    """Mean score of each trial of a search, with one SD over its folds, and the best so far.

    Parameters
    ----------
    table, kind : DataFrame, from `training.trial_table`: `slot`, `mean`, `sd`, `fold:0` ...; str, which data it is about

    Examples
    --------
    >>> table = pd.DataFrame({"slot": [0, 1], "mean": [0.7, 0.8], "sd": 0.01, "fold:0": [0.7, 0.8], "fold:1": [0.7, 0.8]})
    >>> len(search_history(table, "simulated").axes)
    1
    """
    figure = style.new_figure(6.4, 2.9)
    ax = figure.add_subplot()
    trial, colour = table["slot"] + 1, style.model_colour("lightgbm")
    ax.errorbar(trial, table["mean"], yerr=table["sd"], fmt="o", ms=4, color=colour, lw=1, label="trial")
    ax.step(trial, table["mean"].cummax(), where="post", color="black", lw=1.2, label="best so far")
    n_folds = table.columns.str.startswith("fold:").sum()
    ax.set(xlabel="trial", ylabel=f"balanced accuracy,\nmean and SD of {n_folds} folds")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.legend(loc="lower right", fontsize=8.5)
    return style.label_data(figure, kind)


@style.house_style
def score_dots(
    table: pd.DataFrame, kind: str, rows: str, panels: str = "", series: str = "",
    lines: Mapping[str, float] | None = None, xlabel: str = "balanced accuracy, 95 % interval",
) -> Figure:  # fmt: skip
    """Scores with their intervals, one line a row of names, one panel a group.

    Parameters
    ----------
    table, kind : DataFrame of `value`, `low`, `high` (fractions) and columns of names; str, which data they are about
    rows, panels, series : str, columns: what has a line, a panel, a colour (five at most); the last two may be empty
    lines, xlabel : mapping of words to value, dotted vertical lines, such as chance; str, what the values are

    Examples
    --------
    >>> table = pd.DataFrame({"set": ["times", "all"], "value": [0.5, 0.9], "low": [0.4, 0.8], "high": [0.6, 1.0]})
    >>> len(score_dots(table, "published", "set", lines={"chance": 0.5}).axes)
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
            ax.text(value, 1.01, words, transform=ax.get_xaxis_transform(), fontsize=8, color="0.4")
        for k, (name, (colour, marker)) in enumerate(zip(kinds, style.SERIES, strict=False)):
            part = mine[mine[series] == name] if series else mine
            at = np.array([names.index(v) for v in part[rows]]) + 0.22 * (k - (len(kinds) - 1) / 2)
            ax.errorbar(part["value"], at, xerr=_ends(part), fmt=marker, ms=5.5, color=colour, capsize=2.5, label=name)
        ax.set(xlabel=xlabel, title=str(group), ylim=(len(names) - 0.5, -0.5))
        ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        ax.grid(axis="x", color="0.92")
        ax.set_axisbelow(True)
    axes[0].set_yticks(range(len(names)), [str(n) for n in names])
    if series:
        found = axes[0].get_legend_handles_labels()
        figure.legend(*found, loc="outside upper center", ncols=min(len(kinds), 3), fontsize=8.5)
    return style.label_data(figure, kind)


@style.house_style
def score_curves(table: pd.DataFrame, kind: str, x: str, xlabel: str, log: bool = False, ylabel: str = "") -> Figure:
    """Balanced accuracy, or what `ylabel` says, against a quantity, one line a model, with 95 % intervals.

    Parameters
    ----------
    table, kind : DataFrame, `model`, `value`, `low`, `high` and the column `x`; str, which data they are about
    x, xlabel, log : the quantity: its column, its words with unit, and whether its axis is logarithmic

    Examples
    --------
    >>> table = pd.DataFrame({"model": "LightGBM", "n": [100, 900], "value": [0.7, 0.8], "low": 0.6, "high": 0.9})
    >>> len(score_curves(table, "published", "n", "cells learnt from", log=True).axes)
    1
    """
    figure = style.new_figure(6.2, 3.4)
    ax = figure.add_subplot()
    for (name, part), (colour, marker) in zip(table.groupby("model", sort=False), style.SERIES, strict=False):
        ax.errorbar(part[x], part["value"], yerr=_ends(part), fmt=f"{marker}-", ms=5, lw=1.2, color=colour, capsize=2.5,
                    label=name)  # fmt: skip
    ax.set(xlabel=xlabel, ylabel=f"{ylabel or 'balanced accuracy'},\n95 % interval")
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
    """Mean |SHAP| of features for a class, times hatched, the paper's starred; beside it what each predicts alone.

    Parameters
    ----------
    table, kind : DataFrame, from `audit.Audit.features_read_again`; str, which data it is about

    Examples
    --------
    >>> row = {"class": "Pvalb", "feature": "adaptation", "mean_abs_shap": 0.4, "class_auc": 0.8, "rig_auc": 0.6}
    >>> len(features_read_again(pd.DataFrame([row | {"paper": True}]), "published").axes)
    2
    """
    classes = table.groupby("class", sort=False)
    figure = style.new_figure(8.6, 1.2 + 0.33 * len(table) + 0.5 * len(classes))
    grid = figure.subplots(len(classes), 2, squeeze=False, sharex="col", height_ratios=classes.size())
    for (left, right), (label, mine) in zip(grid, classes, strict=True):
        at = np.arange(len(mine))
        hatches = np.where(mine["feature"].str.contains("_t_"), "////", "")
        left.barh(at, mine["mean_abs_shap"], 0.65, color=style.CLASS_COLOURS[str(label)], edgecolor="black", lw=0.6,
                  hatch=list(hatches))  # fmt: skip
        left.set_yticks(at, mine["feature"].str.removesuffix("_long_square") + np.where(mine["paper"], " *", ""))
        left.set(ylim=(len(mine) - 0.5, -0.5), title=label)
        columns = {"class_auc": "the class", "rig_auc": "the rig, within the class"}
        for (column, words), (colour, marker) in zip(columns.items(), style.SERIES, strict=False):
            right.plot(mine[column], at, marker, ms=6, color=colour, label=words)
        right.axvline(0.5, color="0.5", lw=0.9, ls=":")
        right.set(ylim=(len(mine) - 0.5, -0.5), yticks=[], xlim=(0.48, 1.02))
        right.grid(axis="x", color="0.92")
    grid[-1][0].set_xlabel("mean |SHAP| (log-odds)")
    grid[-1][1].set_xlabel("area under the ROC curve, the feature alone")
    found = grid[0][1].get_legend_handles_labels()
    figure.legend(*found, title="what the feature predicts", loc="outside upper right", ncols=2, fontsize=8.5)
    return style.label_data(figure, kind)
