"""Pictures of a cohort: how many cells of which class and rig, and how its cells compare with recorded and fitted ones."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from stslib.cohort import CLASSES
from stslib.figures.style import CLASS_COLOURS, RC, new_figure, say_kind
from stslib.io.simulated.population import statistics


def class_by_rig(cells: pd.DataFrame, kind: str) -> Figure:
    """Kept cells of each class: one bar a rig, with the test cells hatched at its top.

    Parameters
    ----------
    cells : DataFrame
        Columns label, dataset, status, split.
    kind : str
        What the cells are (`stslib.figures.style.KIND_WORDS`).
    """
    kept = cells[cells["status"] == "kept"]
    rigs = sorted(kept["dataset"].unique())
    counts = kept.groupby(["dataset", "label", "split"]).size()
    with mpl.rc_context(RC):
        figure = new_figure(7.0, 3.2)
        ax = figure.subplots()
        width = 0.8 / len(rigs)
        for place, rig in enumerate(rigs):
            x = np.arange(len(CLASSES)) + (place - (len(rigs) - 1) / 2) * width
            train, test = (np.array([counts.get((rig, c, part), 0) for c in CLASSES]) for part in ("train", "test"))
            colours = [mpl.colors.to_rgba(CLASS_COLOURS[c], 1.0 if place == 0 else 0.55) for c in CLASSES]
            ax.bar(x, train, 0.9 * width, color=colours)
            ax.bar(x, test, 0.9 * width, bottom=train, color=colours, hatch="////", edgecolor="white", lw=0)
            for at, height in zip(x, train + test, strict=True):
                ax.annotate(
                    f"{height:,}\n{rig}", (at, height), (0, 2), textcoords="offset points", ha="center", fontsize=8
                )
        ax.set_xticks(range(len(CLASSES)), CLASSES)
        ax.set_ylabel("Cells")
        ax.margins(y=0.18)
        hatched = Patch(facecolor="0.6", edgecolor="white", hatch="////", lw=0, label="test")
        ax.legend(handles=[Patch(color="0.6", label="train"), hatched], loc="upper right")
        return say_kind(figure, kind)


def beside_real(pairs: pd.DataFrame, kind: str) -> Figure:
    """Rheobase and spike count of each class, median and quartiles, beside those of recorded and of fitted cells.

    Parameters
    ----------
    pairs : DataFrame
        One row a cell: label, rheobase_pa, partner_spikes (in the sweep 40 pA above the rheobase).
    kind : str
        What the cells are.
    """
    panels = (
        ("rheobase_pa", "Rheobase (pA)", "recorded_rheobase_pa", "recorded cells of the paper's training set"),
        (
            "partner_spikes",
            "Spikes in 1 s at rheobase + 40 pA",
            "fitted_spikes_above",
            "models fitted to recorded cells",
        ),
    )
    with mpl.rc_context(RC):
        figure = new_figure(8.6, 3.4)
        for ax, (column, words, reference, source) in zip(figure.subplots(1, 2), panels, strict=True):
            for x, label in enumerate(CLASSES):
                ours = pairs.loc[pairs["label"] == label, column].quantile([0.25, 0.5, 0.75]).to_numpy()
                real = np.array(getattr(statistics()[label], reference))
                for place, (low, median, high), style in ((x - 0.12, ours, "o"), (x + 0.12, real, "D")):
                    colour = CLASS_COLOURS[label] if style == "o" else "0.45"
                    ax.plot([place, place], [low, high], color=colour, lw=2.5, solid_capstyle="butt")
                    ax.plot(place, median, style, color=colour, ms=6, mec="white", mew=0.7)
            ax.set_xticks(range(len(CLASSES)), CLASSES)
            ax.set_ylabel(words)
            ax.set_ylim(bottom=0)
            ax.set_title(f"colour: these cells\ngrey: {source}", fontsize=8.5, loc="left")
        return say_kind(figure, kind)
