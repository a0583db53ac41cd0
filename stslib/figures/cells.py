"""Figures of a cohort: how many cells of which class and rig, and its cells beside recorded and fitted ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from stslib.cohort import CLASSES
from stslib.figures.panels import TIME_LABEL
from stslib.figures.style import CLASS_COLOURS, house_style, label_data, new_figure
from stslib.recordings import Recording
from stslib.sweeps import counted


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


#: Quantities of the left panels: column of the measured features (a pair: their difference), of the table, words, factor.
_QUANTITIES = (
    (("threshold_i_long_square",), "rheobase_pa", "Rheobase (pA)", 1.0),
    (("peak_v_long_square", "threshold_v_long_square"), "height_mv", "Height of the spike (mV)", 1.0),
    (("fast_trough_t_from_threshold_long_square", "peak_t_from_threshold_long_square"), "fast_trough_ms",
     "Peak to fast trough (ms)", 1e3),
    (("avg_isi",), "avg_isi_ms", "Mean interspike interval (ms)", 1.0),
)  # fmt: skip


@house_style
def beside_real(
    measured: pd.DataFrame, reference: pd.DataFrame, recordings: dict[str, Sequence[Recording]], kind: str
) -> Figure:
    """Four features of each class beside the quartiles of real cells, and below them sweeps and first spikes by kind.

    `measured`: label and features (`audit.Realism`); `reference`: label, quantity, low, median, high of the paper's training
    cells; `recordings`: by kind (simulated, hybrid, real); drawn are those of the class of the first real one (else of the
    first of all) that are nearest to its spike count.

    Examples
    --------
    >>> from stslib import audit, figures, io
    >>> cells = io.open_cells({"source": "simulated", "n_cells": 4, "seed": 1})
    >>> measured = audit.Realism.of(cells, cells.cells).ours
    >>> recordings = {"simulated": list(cells.recordings())}
    >>> len(figures.beside_real(measured, cells.reference(), recordings, "simulated").axes)
    6
    """
    figure = new_figure(10.5, 6.2)
    grid = figure.add_gridspec(2, 1)
    above, below = grid[0].subgridspec(1, 4), grid[1].subgridspec(1, 2, width_ratios=(2.2, 1))
    for k, (columns, quantity, words, factor) in enumerate(_QUANTITIES):
        ax, known = figure.add_subplot(above[k]), measured[list(columns)].astype(float)
        values = factor * (known[columns[0]] - (known[columns[1]] if len(columns) > 1 else 0.0))
        sns.pointplot(
            measured.assign(value=values), x="label", y="value", order=CLASSES, hue="label", hue_order=CLASSES,
            palette=CLASS_COLOURS, estimator="median", errorbar=("pi", 50), linestyle="none", legend=False, ax=ax,
        )  # fmt: skip
        quartiles = reference[reference["quantity"] == quantity].set_index("label").loc[list(CLASSES)]
        low, median, high = quartiles[["low", "median", "high"]].to_numpy().T
        bars = (median - low, high - median)
        ax.errorbar(np.arange(4) + 0.22, median, bars, fmt="D", color="0.45", ms=5, mec="white", lw=2)
        ax.set(xlabel="", ylabel=words, ylim=(0, None))
        ax.set_xticks(range(4), ["Pvalb", "Sst", "Vip/\nLamp5", "Exc."])
    title = "Colour: these cells; grey: recorded cells of the paper's training set (median, quartiles)"
    figure.suptitle(title, fontsize=9.5)
    left, right = figure.add_subplot(below[0]), figure.add_subplot(below[1])
    like = next(iter(recordings.get("real") or next(iter(recordings.values()))))
    wanted = counted(like.sweeps[-1]).n_spikes or 0
    for place, (name, cells) in enumerate(recordings.items()):
        chosen = [counted(r.sweeps[-1]) for r in cells if r.label == like.label]
        chosen = sorted(chosen, key=lambda sweep: abs((sweep.n_spikes or 0) - wanted))[:6]
        colour = {"real": "0.1", "hybrid": "#E69F00"}.get(name, CLASS_COLOURS.get(like.label or "", "#0072B2"))
        for k, sweep in enumerate(chosen):
            v_mv, _ = sweep.load()
            t_s = np.arange(len(v_mv)) / sweep.rate_hz - sweep.onset_s
            if k == 0:
                shown = (t_s > -0.1) & (t_s < 1.1)
                words = f"{name}, {sweep.n_spikes} spikes"
                left.plot(t_s[shown], v_mv[shown] - 110 * place, color=colour, lw=0.6, label=words)
            peak = int(np.argmax(np.where((t_s > 0) & (t_s < 1), v_mv, -np.inf)))
            part = slice(max(peak - round(2e-3 * sweep.rate_hz), 0), peak + round(12e-3 * sweep.rate_hz))
            right.plot((t_s[part] - t_s[peak]) * 1e3, v_mv[part], color=colour, lw=0.8, alpha=0.7)
    left.set(xlabel=TIME_LABEL, ylabel="Voltage (mV), shifted by kind", ymargin=0.2)
    left.set_title(f"{like.label} cells with about {wanted} spikes")
    left.legend(fontsize=8, loc="lower left", ncols=3)
    right.set(xlabel="Time from the highest peak (ms)", ylabel="Voltage (mV)")
    right.set_title("Highest spikes of up to six cells a kind")
    return label_data(figure, kind)
