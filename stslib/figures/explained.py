"""Pictures of what the models look at: saliency beside SHAP (paper Fig. 5), saliency by class, and the check of the maps."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from stslib.cohort import CLASSES
from stslib.explain import Maps, Shap
from stslib.explain.regions import WINDOWS_S, ImageAxes, axes_of, mean_interval, normalised
from stslib.figures import panels
from stslib.figures.panels import FREQUENCY_LABEL, TIME_LABEL
from stslib.figures.style import CLASS_COLOURS, house_style, label_data, new_figure
from stslib.scalograms import Preprocessing
from stslib.support.errors import StsError

#: Columns of `Maps.randomisation` and what the figure calls them.
COMPARISONS = {
    "reinitialised": "trained network\nand re-initialised ones",
    "two_random": "two re-initialised\nnetworks",
    "another_cell": "trained network,\nanother cell's map",
}


@house_style
def explanation(
    cells: pd.DataFrame,
    traces_mv: np.ndarray,
    maps: Maps,
    shap: Shap,
    preprocessing: Preprocessing,
    kind: str,
    sweep: str = "max",
) -> Figure:
    """The paper's Fig. 5: for each cell its sweep, scalogram and saliency, beside the SHAP values of its class.

    `cells` are rows of `explain.representative_cells`, whose `position` counts in the arrays of all test cells: `traces_mv`
    `(n, 2, n_samples)`, `maps` and `shap`. `sweep` "rheobase" draws that sweep, any other the partner.

    Examples
    --------
    >>> from stslib import scalograms, sweeps
    >>> made = Preprocessing(sweeps.SweepSettings(), scalograms.Bank(), scalograms.ImageSettings(6, 60))
    >>> cells = pd.DataFrame({"class": ["Sst"], "cell_id": 7, "predicted": "Sst", "probability": 0.9, "position": 0})
    >>> maps, shap = Maps(np.ones((1, 6, 60)), np.ones((1, 6, 60))), Shap(np.ones((1, 1, 4)), pd.DataFrame({"a": [1]}))
    >>> len(explanation(cells, np.ones((1, 2, 4800)), maps, shap, made, "simulated").subfigs)
    1
    """
    if cells.empty:
        raise StsError("there is no cell to draw; the test split holds none of these classes")
    channel, before_s, axes = int(sweep != "rheobase"), preprocessing.sweeps.before_s, axes_of(preprocessing)
    drawn = f"rheobase + {preprocessing.sweeps.offset_pa:g} pA" if channel else "rheobase"
    figure = new_figure(11.0, 5.6 * len(cells))
    for part, row in zip(figure.subfigures(len(cells), 1, squeeze=False)[:, 0], cells.to_dict("records"), strict=True):
        label, v_mv = row["class"], np.asarray(traces_mv[row["position"], channel])
        grid = part.add_gridspec(3, 3, width_ratios=[1.5, 0.025, 1], height_ratios=[0.8, 1, 1])
        top = part.add_subplot(grid[0, 0])
        middle, bottom = (part.add_subplot(grid[k, 0], sharex=top) for k in (1, 2))
        outcome = "classified correctly" if row["predicted"] == label else f"taken for {row['predicted']}"
        panels.sweep_panel(top, v_mv, preprocessing.bank.rate_hz, before_s, CLASS_COLOURS[label])
        top.set_title(
            f"{label} cell {row['cell_id']}, {drawn}\n{outcome} (probability of {label}: {row['probability']:.2f})"
        )
        top.set_ylabel("Voltage\nfrom rest (mV)")
        coefficients = panels.scalogram_panel(middle, v_mv, preprocessing.bank, before_s, preprocessing.image.output)
        gradients = saliency_panel(bottom, maps.trained[row["position"]], axes, preprocessing.bank.spacing)
        bottom.set_xlabel(TIME_LABEL)
        words = (panels.amplitude_label(preprocessing.bank, preprocessing.image.output), "saliency (of its maximum)")
        for k, (ax, mesh, word) in enumerate(zip((middle, bottom), (coefficients, gradients), words, strict=True)):
            ax.set_ylabel(FREQUENCY_LABEL, fontsize=9)
            part.colorbar(mesh, cax=part.add_subplot(grid[k + 1, 1])).set_label(word, fontsize=8.5)
        for ax in (top, middle):
            ax.tick_params(labelbottom=False)
        beeswarm(part.add_subplot(grid[:, 2]), shap, label)
    return label_data(figure, kind)


def saliency_panel(ax: Axes, saliency: np.ndarray, axes: ImageAxes, spacing: str) -> mpl.cm.ScalarMappable:
    """One saliency map `(h, w)` on the axes of its scalogram, scaled to a maximum of 1."""
    relative = saliency / (float(saliency.max()) or 1.0)
    # A few pixels hold the maximum; colours end at the 99.5th percentile so that the rest can be seen.
    limit = float(np.quantile(relative, 0.995)) or 1.0
    times_s, hz = axes.time_edges_s, axes.frequency_edges_hz
    mesh = ax.pcolormesh(times_s, hz, relative, cmap="magma", vmin=0, vmax=limit, rasterized=True)
    ax.set_yscale("log" if spacing == "log" else "linear")
    ax.set(xlim=(times_s[0], times_s[-1]), ylim=(hz[0], hz[-1]))
    for at_s in (0.0, 1.0):
        ax.axvline(at_s, color="white", lw=0.8, ls=":")
    return mesh


def beeswarm(ax: Axes, shap: Shap, label: str, n_features: int = 5) -> None:
    """SHAP values of a class's strongest features: one point a cell, coloured by the feature's value, grey if missing."""
    top = list(shap.top(label, n_features)["feature"])
    colours, names = mpl.colormaps["cividis"], list(map(str, shap.features.columns))
    of_class = shap.values[:, :, CLASSES.index(label)]
    for row, name in enumerate(top):
        x, v = of_class[:, names.index(name)], shap.features.iloc[:, names.index(name)].to_numpy(dtype=float)
        low, high = np.nanquantile(v, [0.05, 0.95]) if np.isfinite(v).any() else (0.0, 1.0)
        shade = colours(np.clip((v - low) / ((high - low) or 1.0), 0, 1))
        shade[~np.isfinite(v)] = mpl.colors.to_rgba("0.7")
        ax.scatter(x, _stacked(x, np.ptp(of_class)) - row, c=shade, s=13, lw=0)
        # Under each other: the published names are long, and beside the panel they would take half of it.
        ax.annotate(name, (0.0, 0.43 - row), xycoords=("axes fraction", "data"), fontsize=8.5, va="center")
    ax.axvline(0, color="0.5", lw=0.8, zorder=0)
    ax.set(yticks=[], ylim=(0.5 - len(top), 0.6), xlabel="SHAP value (log-odds)")
    ax.set_title(f"LightGBM: what speaks for {label}")
    ax.spines["left"].set_visible(False)
    scale = mpl.cm.ScalarMappable(mpl.colors.Normalize(0, 1), colours)
    bar = ax.figure.colorbar(scale, ax=ax, ticks=[0, 1], pad=0.02, aspect=40)
    bar.ax.set_yticklabels(["low", "high"])
    bar.set_label("feature value (grey: missing)", labelpad=-12)


def _stacked(x: np.ndarray, span: float, n_bins: int = 60, half_height: float = 0.3) -> np.ndarray:
    """Heights that put points of nearly the same `x` beside each other: 0, up, down, up, ..."""
    bins = np.floor((x - x.min()) / (span or 1.0) * n_bins).astype(int)
    k = pd.Series(bins).groupby(bins).cumcount().to_numpy()
    return ((k + 1) // 2) * np.where(k % 2, 1, -1) * 2 * half_height / max(k.max() + 1, 8)


@house_style
def saliency_profiles(
    maps: Maps,
    labels: Sequence[str] | np.ndarray,
    preprocessing: Preprocessing,
    kind: str,
    n_bootstrap: int = 200,
    seed: int = 2026,
) -> Figure:
    """Mean saliency of each class against time and against frequency; 1 is a map without preference, bands are 95 %.

    Parameters
    ----------
    maps, labels : Maps, whose untrained networks' mean is drawn dashed, and (n,) of str, classes of the cells
    preprocessing, kind : how the scalograms were made, and what the cells are
    n_bootstrap, seed : resamples behind the bands, and their seed

    Examples
    --------
    >>> from stslib import scalograms, sweeps
    >>> made = Preprocessing(sweeps.SweepSettings(), scalograms.Bank(), scalograms.ImageSettings(6, 60))
    >>> maps = Maps(np.ones((4, 6, 60)), np.ones((2, 4, 6, 60)))
    >>> len(saliency_profiles(maps, ["Sst", "Sst", "Pvalb", "Pvalb"], made, "simulated", 100).axes)
    2
    """
    axes, names, whole = axes_of(preprocessing), np.asarray(labels), normalised(maps.trained)
    untrained = np.nanmean([normalised(one) for one in maps.untrained], axis=(0, 1))
    figure = new_figure(10.0, 3.8)
    in_time, in_frequency = figure.subplots(1, 2, width_ratios=[1.5, 1])
    for ax, x, rows in zip((in_time, in_frequency), (axes.times_s, axes.frequencies_hz), (1, 2), strict=True):
        profile, dashed = whole.sum(axis=rows) * len(x), untrained.sum(axis=rows - 1) * len(x)
        # profiles in units of the map's mean: the sum over the other axis, times the number of pixels along this one
        ax.plot(x, dashed, color="0.45", lw=1.5, ls="--", label="untrained networks, all cells")
        for label in CLASSES:
            if len(part := profile[names == label]):
                mean, low, high = np.array([mean_interval(v, n_bootstrap, seed)[:3] for v in part.T]).T
                ax.fill_between(x, low, high, color=CLASS_COLOURS[label], alpha=0.18, lw=0)
                ax.plot(x, mean, color=CLASS_COLOURS[label], lw=1.5, label=f"{label} ({len(part)} cells)")
        ax.axhline(1, color="0.5", lw=0.8, ls=":")
        ax.set_ylim(bottom=0)
    for start, _ in list(WINDOWS_S.values())[1:]:
        in_time.axvline(start, color="0.8", lw=0.8, zorder=0)
    in_time.set(xlabel=TIME_LABEL, ylabel="Saliency relative to the map's mean")
    in_frequency.set(xlabel=FREQUENCY_LABEL)
    figure.legend(*in_time.get_legend_handles_labels(), loc="outside upper center", ncols=5, fontsize=8.5)
    return label_data(figure, kind)


@house_style
def randomisation(check: pd.DataFrame, labels: Sequence[str] | np.ndarray, kind: str) -> Figure:
    """How much the maps of a trained network resemble maps without learning, and maps of other cells.

    Parameters
    ----------
    check, labels, kind : `Maps.randomisation`, (n,) of str, classes of its rows, and what the cells are

    Examples
    --------
    >>> check = pd.DataFrame({"reinitialised": [0.2, 0.3], "two_random": [0.3, 0.3], "another_cell": [0.4, 0.5]})
    >>> len(randomisation(check, ["Pvalb", "Sst"], "simulated").axes)
    1
    """
    figure = new_figure(7.6, 3.8)
    ax, names = figure.subplots(), np.asarray(labels)
    for group, column in enumerate(COMPARISONS):
        values = check[column].to_numpy()
        for k, label in enumerate(CLASSES):  # side by side, in the order of their values: no random jitter
            part = np.sort(values[names == label])
            x = group + (k - 1.5) * 0.2 + np.linspace(-0.06, 0.06, len(part))
            ax.plot(x, part, "o", ms=3.5, color=CLASS_COLOURS[label], mec="none")
        if np.isfinite(values).any():
            median = float(np.nanmedian(values))
            ax.plot([group - 0.42, group + 0.42], [median, median], color="0.15", lw=1.4)
            ax.annotate(f"{median:.2f}", (group + 0.43, median), fontsize=8.5, va="center")
    ax.axhline(0, color="0.5", lw=0.8, ls=":")
    ax.set_xticks(range(len(COMPARISONS)), list(COMPARISONS.values()))
    lowest = float(np.nanmin(check[list(COMPARISONS)].to_numpy(), initial=0.0))
    ax.set(ylim=(min(-0.1, lowest - 0.05), 1.02), xlim=(-0.55, 2.7), ylabel="Spearman correlation of two maps")
    handles = [Line2D([], [], ls="", marker="o", ms=5, color=CLASS_COLOURS[c], label=c) for c in CLASSES]
    handles.append(Line2D([], [], color="0.15", lw=1.4, label="median"))
    figure.legend(handles=handles, loc="outside upper center", ncols=5, fontsize=8.5)
    return label_data(figure, kind)
