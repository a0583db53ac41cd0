"""Pictures of scores: balanced accuracy of all models (paper Fig. 4), confusion matrices, F1 by class, calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter
from scipy.stats import binomtest

from stslib.cohort import CLASSES
from stslib.evaluation import METRIC_NAMES, METRICS, confusion, confusion_shares, paper_value
from stslib.figures import style
from stslib.support.errors import StsError, one_of

#: Order of the models in the figures; models that are not here follow by name.
MODEL_ORDER = ("mobilenet_v2", "resnet18", "densenet121", "inception_v3", "compact", "lightgbm")
_CHANCE = 1 / len(CLASSES)
_NEUTRAL = "#6E6E6E"


def _models(records: Sequence[Mapping[str, Any]]) -> list[str]:
    found = {str(r["model"]) for r in records}
    return [m for m in MODEL_ORDER if m in found] + sorted(found - set(MODEL_ORDER))


def model_name(model: str) -> str:
    """How a model is written; a variant after `:` stays behind a line break."""
    base, _, variant = model.partition(":")
    name = style.MODEL_NAMES.get(base, base)
    variant = "(ImageNet)" if variant == "imagenet" else variant
    return f"{name}\n{variant}" if variant else name


def _colour(model: str) -> str:
    return style.MODEL_COLOURS.get(model.split(":")[0], _NEUTRAL)


@style.in_house_style
def balanced_accuracy_bars(
    records: Sequence[Mapping[str, Any]], kind: str, metric: str = "balanced_accuracy", paper: bool = True
) -> Figure:
    """Cross-validation beside holdout, one pair of bars a model (paper Fig. 4).

    Parameters
    ----------
    records : sequence of mapping
        Metric records (`stslib.evaluation.scores` and `cv_scores`): splits `cv` (error bar: one SD over folds) and
        `holdout` (error bar: 95 % bootstrap interval). A model may lack one of the two.
    kind : str
        Which data they are about: `simulated`, `hybrid`, `real` or `published`.
    metric : str
        A name of `METRICS`.
    paper : bool
        Mark the paper's values: a diamond for a number, an upward triangle where it gives a lower bound only.

    Raises
    ------
    StsError
        No record of that metric.
    """
    one_of("metric", metric, METRICS)
    wanted = [r for r in records if r["metric"] == metric and r["split"] in ("cv", "holdout")]
    if not wanted:
        raise StsError(f"no record of {metric} for cv or holdout among {len(records)} records; nothing to draw")
    models = _models(wanted)
    figure = style.new_figure(max(1.35 * len(models) + 1.8, 6.0), 3.8)
    ax = figure.add_subplot()
    # A pair of bars a model, or one in its middle where no model has the other.
    splits = [split for split in ("cv", "holdout") if any(r["split"] == split for r in wanted)]
    offsets = (-0.19, 0.19) if len(splits) == 2 else (0.0,)
    for place, model in enumerate(models):
        for offset, split in zip(offsets, splits, strict=True):
            record = next((r for r in wanted if r["model"] == model and r["split"] == split), None)
            if record is None:
                continue
            ends = [[record["value"] - record["low"]], [record["high"] - record["value"]]]
            look: dict[str, Any] = {"edgecolor": _colour(model), "linewidth": 1.1}
            look |= {"color": "white", "hatch": "////"} if split == "cv" else {"color": _colour(model)}
            x = place + offset
            ax.bar(x, record["value"], 0.35, **look)
            ax.errorbar(x, record["value"], yerr=ends, color="black", lw=1.1, capsize=3)
            box = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none"}
            ax.text(x, 0.05, f"{100 * record['value']:.1f}", ha="center", fontsize=9, bbox=box)
            found = paper_value(model, split, metric) if paper else None
            if found:
                _paper_mark(ax, x + 0.11, *found)
    ax.axhline(_CHANCE, color="0.5", lw=0.9, ls=":")
    ax.text(-0.83, _CHANCE + 0.01, "chance", va="bottom", fontsize=8, color="0.4")
    ax.set(xticks=range(len(models)), xlim=(-0.85, len(models) - 0.15), ylim=(0, 1.06), ylabel=METRIC_NAMES[metric])
    ax.set_xticklabels([model_name(m) for m in models])
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_yticks(np.arange(0, 1.01, 0.2))
    keys: dict[str, dict[str, Any]] = {
        "cv": {"facecolor": "white", "hatch": "////", "label": "cross-validation: mean, SD over folds"},
        "holdout": {"facecolor": _NEUTRAL, "label": "holdout, 95 % interval"},
    }
    handles: list[Any] = [Patch(edgecolor=_NEUTRAL, **keys[split]) for split in splits]
    if paper and any(paper_value(m, s, metric) for m in models for s in ("cv", "holdout")):
        handles.append(_mark_handle("D", "paper (real cells): value"))
        handles.append(_mark_handle("^", "paper (real cells): more than"))
    figure.legend(handles=handles, loc="outside upper center", ncols=2, fontsize=8.5)
    return style.say_kind(figure, kind)


def _paper_mark(ax: Axes, x: float, value: float, relation: str) -> None:
    marker = "D" if relation == "=" else "^"
    ax.plot(x, value, marker, ms=4.5, mfc="white", mec="black", mew=0.9, zorder=5)


def _mark_handle(marker: str, label: str) -> Line2D:
    return Line2D([], [], ls="", marker=marker, ms=4.5, mfc="white", mec="black", mew=0.9, label=label)


@style.in_house_style
def confusion_matrix(
    labels: Any, predictions: Any, kind: str, title: str = "", n_bootstrap: int = 0, seed: int = 2026
) -> Figure:
    """Confusion matrix with the number of cells and the share of the true class (row) in each field.

    Parameters
    ----------
    labels, predictions : (n,) of str
        True and predicted classes.
    kind : str
        Which data they are about.
    title : str
        What was classified, by which model.
    n_bootstrap, seed
        Resamples behind a 95 % interval of each share (see `stslib.evaluation.confusion_shares`); 0 for none.
    """
    counts = confusion(labels, predictions)
    if n_bootstrap:
        _, low, high = confusion_shares(labels, predictions, n_bootstrap, seed)
    rows = counts.sum(axis=1, keepdims=True)
    share = counts / np.maximum(rows, 1)
    figure = style.new_figure(5.9, 4.4)
    ax = figure.add_subplot()
    image = ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (i, j), n in np.ndenumerate(counts):
        colour = "white" if share[i, j] > 0.55 else "black"
        text = f"{n}\n{100 * share[i, j]:.1f} %" if rows[i, 0] else "0"
        if n_bootstrap and rows[i, 0]:
            text += f"\n[{100 * low[i, j]:.1f}, {100 * high[i, j]:.1f}]"
        ax.text(j, i, text, ha="center", va="center", color=colour, fontsize=9)
    names = list(CLASSES)
    ax.set(xticks=range(len(names)), yticks=range(len(names)), xlabel="predicted class", ylabel="true class")
    ax.set_xticklabels(names)
    ax.set_yticklabels([f"{c}\n(n = {n})" for c, n in zip(names, rows[:, 0], strict=True)])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=ax, shrink=0.8, format=PercentFormatter(1, decimals=0))
    bar.set_label("share of the true class")
    bar.outline.set_visible(False)  # type: ignore[operator]
    if title:
        ax.set_title(title)
    return style.say_kind(figure, kind)


@style.in_house_style
def class_f1(records: Sequence[Mapping[str, Any]], kind: str, split: str = "holdout") -> Figure:
    """F1 of each class with its 95 % interval, one point a model.

    Raises
    ------
    StsError
        No record of a class's F1 in that split.
    """
    wanted = [r for r in records if str(r["metric"]).startswith("f1:") and r["split"] == split]
    if not wanted:
        raise StsError(f"no record of f1:<class> for split {split!r} among {len(records)} records; nothing to draw")
    models = _models(wanted)
    single = len(models) == 1
    figure = style.new_figure(6.2, 3.0 if single else 3.4)
    ax = figure.add_subplot()
    for k, model in enumerate(models):
        offset = 0.13 * (k - (len(models) - 1) / 2)
        for place, label in enumerate(CLASSES):
            record = next((r for r in wanted if r["model"] == model and r["metric"] == f"f1:{label}"), None)
            if record is None:
                continue
            ends = [[record["value"] - record["low"]], [record["high"] - record["value"]]]
            colour = style.CLASS_COLOURS[label] if single else _colour(model)
            ax.errorbar(place + offset, record["value"], yerr=ends, fmt="o", ms=6, color=colour, capsize=3)
            if single:
                at = (place + offset, record["value"])
                ax.annotate(f"{100 * record['value']:.1f}", at, (9, 0), textcoords="offset points", va="center")
    ax.set(xticks=range(len(CLASSES)), xlim=(-0.5, len(CLASSES) - 0.4), ylabel="F1, 95 % interval")
    ax.set_xticklabels(CLASSES)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    low, high = min(r["low"] for r in wanted), max(r["high"] for r in wanted)
    ax.set_ylim(max(low - 0.1 * (high - low) - 0.02, 0), min(high + 0.1 * (high - low) + 0.02, 1.02))
    ax.grid(axis="y", color="0.92")
    ax.set_axisbelow(True)
    if not single:
        handles = [Line2D([], [], marker="o", color=_colour(m), label=model_name(m)) for m in models]
        figure.legend(handles=handles, loc="outside upper center", ncols=min(len(models), 5), fontsize=8.5)
    return style.say_kind(figure, kind)


@style.in_house_style
def reliability(tables: Mapping[str, tuple[pd.DataFrame, float]], kind: str) -> Figure:
    """Reliability curves: how often a prediction is right, against the probability it was given; one panel a model.

    Parameters
    ----------
    tables : mapping of model name to (table, error)
        From `stslib.evaluation.calibration`.
    kind : str
        Which data they are about.
    """
    figure = style.new_figure(3.2 * len(tables) + 0.9, 3.9)
    axes: Sequence[Axes] = figure.subplots(1, len(tables), sharey=True, squeeze=False)[0]
    for ax, (name, (table, error)), (colour, marker) in zip(axes, tables.items(), style.SERIES, strict=False):
        ax.plot([0, 1], [0, 1], color="0.6", lw=1, ls="--")
        right = (table["accuracy"] * table["n"]).round().astype(int)
        ends = np.array(
            [binomtest(k, n).proportion_ci(method="wilson") for k, n in zip(right, table["n"], strict=True)]
        )
        bars = np.abs(ends.T - table["accuracy"].to_numpy())
        ax.errorbar(table["confidence"], table["accuracy"], yerr=bars, fmt=f"{marker}-", ms=5, lw=1.2, color=colour,
                    capsize=2.5)  # fmt: skip
        for row in table.itertuples():
            ax.annotate(f"{row.n}", (row.confidence, row.accuracy), (6, -10), textcoords="offset points", fontsize=8)
        ax.set(xlabel="mean probability of the predicted class", aspect="equal", xlim=(0.25, 1.03), ylim=(0, 1.05))
        ax.set_title(f"{name}\nexpected calibration error {100 * error:.1f} %", fontsize=9.5)
    axes[0].set_ylabel("share that is right (bar: 95 %, Wilson)")
    return style.say_kind(figure, kind)


@style.in_house_style
def search_history(table: pd.DataFrame, kind: str) -> Figure:
    """Mean score of each trial of a search, with one SD over its folds, and the best so far.

    Parameters
    ----------
    table : DataFrame
        From `stslib.training.trial_table`.
    kind : str
        Which data they are about.
    """
    figure = style.new_figure(6.4, 2.9)
    ax = figure.add_subplot()
    ax.errorbar(table["slot"] + 1, table["mean"], yerr=table["sd"], fmt="o", ms=4, color=_colour("lightgbm"), lw=1)
    ax.step(table["slot"] + 1, table["mean"].cummax(), where="post", color="black", lw=1.2)
    ax.set(xlabel="trial", ylabel="balanced accuracy,\nmean and SD of 3 folds".replace("3", str(_n_folds(table))))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    handles = [
        Line2D([], [], marker="o", color=_colour("lightgbm"), ls="", label="trial"),
        Line2D([], [], color="black", label="best so far"),
    ]
    ax.legend(handles=handles, loc="lower right", fontsize=8.5)
    return style.say_kind(figure, kind)


def _n_folds(table: pd.DataFrame) -> int:
    return sum(str(c).startswith("fold:") for c in table.columns)
