"""Pictures of scores: balanced accuracy of all models (paper Fig. 4), confusion matrix, calibration, a search.

The error bars are those of `stslib.evaluation`, so matplotlib draws them; seaborn's are its own bootstraps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter
from scipy.stats import binomtest

from stslib import evaluation
from stslib.cohort import CLASSES
from stslib.figures import style
from stslib.support.errors import StsError

_CHANCE = 1 / len(CLASSES)
_PAPER: dict[str, Any] = {"ls": "", "ms": 4.5, "mfc": "white", "mec": "black", "mew": 0.9, "zorder": 5}
_PAPER_MARKS = {"=": ("D", "value"), ">": ("^", "more than")}


@style.house_style
def balanced_accuracy_bars(records: Sequence[Mapping[str, Any]], kind: str, paper: bool = True) -> Figure:
    """Cross-validation beside holdout, one pair of bars a model (paper Fig. 4).

    Parameters
    ----------
    records : metric records of the splits `cv` (bar: one SD over folds), `holdout` (bar: 95 % interval), or one of them
    kind : str, which data they are about: `simulated`, `hybrid`, `real` or `published`
    paper : bool, mark the paper's values: a diamond for a number, an upward triangle for a lower bound

    Examples
    --------
    >>> from stslib import figures
    >>> about = {"model": "lightgbm", "split": "holdout", "metric": "balanced_accuracy"}
    >>> figure = figures.balanced_accuracy_bars([about | {"value": 0.9, "low": 0.88, "high": 0.92}], "simulated")
    >>> len(figure.axes)
    1
    """
    metric = "balanced_accuracy"
    wanted = {(r["model"], r["split"]): r for r in records if r["metric"] == metric and r["split"] in ("cv", "holdout")}
    if not wanted:
        raise StsError(f"no record of {metric} for cv or holdout among {len(records)} records; nothing to draw")
    models = style.in_order(model for model, _ in wanted)
    figure = style.new_figure(max(1.35 * len(models) + 1.8, 6.0), 3.8)
    ax = figure.add_subplot()
    # A pair of bars a model, or one in its middle where no model has the other.
    splits = [split for split in ("cv", "holdout") if any(s == split for _, s in wanted)]
    offsets = dict(zip(splits, (-0.19, 0.19) if len(splits) == 2 else (0.0,), strict=True))
    relations = set()
    for (model, split), r in wanted.items():
        x, colour = models.index(model) + offsets[split], style.model_colour(model)
        fill: dict[str, Any] = {"color": "white", "hatch": "////"} if split == "cv" else {"color": colour}
        ax.bar(x, r["value"], 0.35, edgecolor=colour, linewidth=1.1, **fill)
        ends = [[r["value"] - r["low"]], [r["high"] - r["value"]]]
        ax.errorbar(x, r["value"], yerr=ends, color="black", lw=1.1, capsize=3)
        box = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none"}
        ax.text(x, 0.05, f"{100 * r['value']:.1f}", ha="center", fontsize=9, bbox=box)
        if paper and (known := evaluation.paper_value(model, split, metric)):
            relations.add(known[1])
            ax.plot(x + 0.11, known[0], marker=_PAPER_MARKS[known[1]][0], **_PAPER)
    ax.axhline(_CHANCE, color="0.5", lw=0.9, ls=":")
    ax.text(-0.83, _CHANCE + 0.01, "chance", va="bottom", fontsize=8, color="0.4")
    ax.set(xlim=(-0.85, len(models) - 0.15), ylim=(0, 1.06), ylabel="balanced accuracy")
    ax.set_xticks(range(len(models)), [style.model_name(m) for m in models])
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_yticks(np.arange(0, 1.01, 0.2))
    keys: dict[str, dict[str, Any]] = {
        "cv": {"facecolor": "white", "hatch": "////", "label": "cross-validation: mean, SD over folds"},
        "holdout": {"facecolor": style.NEUTRAL, "label": "holdout, 95 % interval"},
    }
    handles: list[Any] = [Patch(edgecolor=style.NEUTRAL, **keys[split]) for split in splits]
    marks = [_PAPER_MARKS[relation] for relation in _PAPER_MARKS if relation in relations]
    handles += [Line2D([], [], marker=mark, label=f"paper (real cells): {words}", **_PAPER) for mark, words in marks]
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
    kind : str, which data they are about
    title : str, what was classified, by which model
    n_bootstrap, seed : int, resamples behind the 95 % intervals of shares and F1, and their seed; 0 for no intervals

    Examples
    --------
    >>> from stslib import figures
    >>> figure = figures.confusion_matrix(["Pvalb", "Sst", "Sst"], ["Pvalb", "Sst", "Pvalb"], "simulated")
    >>> len(figure.axes)
    2
    """
    counts = evaluation.confusion(labels, predictions)
    share, low, high = evaluation.confusion_shares(labels, predictions, max(n_bootstrap, 1), seed)
    drawn = evaluation.bootstrap(labels, predictions, max(n_bootstrap, 1), seed)
    true = counts.sum(axis=1)
    texts = np.full(counts.shape, "0", dtype=object)
    for (i, j), n in np.ndenumerate(counts):
        if true[i]:
            ends = f"\n[{100 * low[i, j]:.1f}, {100 * high[i, j]:.1f}]" if n_bootstrap else ""
            texts[i, j] = f"{n}\n{100 * share[i, j]:.1f} %{ends}"
    names = []
    for label in CLASSES:
        a, b = evaluation.interval(drawn[f"f1:{label}"])
        ends = f"\n[{100 * a:.1f}, {100 * b:.1f}]" if n_bootstrap else ""
        names.append(f"{label}\nF1 {100 * evaluation.score(f'f1:{label}', labels, predictions):.1f} %{ends}")
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
    tables : mapping of model name to (table, error), from `stslib.evaluation.calibration`
    kind : str, which data they are about

    Examples
    --------
    >>> import numpy as np
    >>> from stslib import evaluation, figures
    >>> curve = evaluation.calibration(["Sst"] * 9, np.tile([0.1, 0.9, 0, 0], (9, 1)))
    >>> len(figures.reliability({"LightGBM": curve}, "simulated").axes)
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
    table : DataFrame, from `stslib.training.trial_table`: `slot`, `mean`, `sd`, and `fold:0` and so on
    kind : str, which data they are about

    Examples
    --------
    >>> import pandas as pd
    >>> from stslib import figures
    >>> table = pd.DataFrame({"slot": [0, 1], "mean": [0.7, 0.8], "sd": 0.01, "fold:0": [0.7, 0.8], "fold:1": [0.7, 0.8]})
    >>> len(figures.search_history(table, "simulated").axes)
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
