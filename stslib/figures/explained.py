"""Pictures of what the models look at: saliency beside SHAP (paper Fig. 5), saliency by class, and the check of the maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from stslib.cohort import CLASSES
from stslib.explain import WINDOWS_S, mean_interval, normalised, top_features
from stslib.figures.panels import (
    FREQUENCY_LABEL,
    TIME_LABEL,
    amplitude_label,
    house_style,
    scalogram_panel,
    sweep_panel,
)
from stslib.figures.style import CLASS_COLOURS, new_figure, say_kind
from stslib.scalograms import Bank
from stslib.support.errors import StsError

_VALUE_COLOURS = "cividis"


@dataclass(frozen=True)
class ExplainedCell:
    """One cell of `explanation`.

    Attributes
    ----------
    label, cell_id : str
        Its class and id.
    predicted : str
        The winning class, whose score the saliency is about.
    probability : float
        Of its own class.
    v_mv : (n_samples,) array
        The sweep that is drawn, in mV.
    sweep_name : str
        Which one it is.
    saliency : (h, w) array
        Its map.
    """

    label: str
    cell_id: str
    predicted: str
    probability: float
    v_mv: np.ndarray
    sweep_name: str
    saliency: np.ndarray


@house_style
def explanation(
    rows: Sequence[ExplainedCell],
    values: np.ndarray,
    features: pd.DataFrame,
    bank: Bank,
    kind: str,
    before_s: float = 0.1,
    output: str = "coefficients",
    n_features: int = 5,
) -> Figure:
    """The paper's Fig. 5: for each cell its sweep, scalogram and saliency, beside the SHAP values of its class.

    Parameters
    ----------
    rows : sequence of ExplainedCell
        One cell a class.
    values : (n, n_features, 4) array
        SHAP values (`stslib.explain.shap_values`).
    features : (n, n_features) DataFrame
        The features that they belong to, columns in the same order.
    bank : Bank
        Wavelet and frequencies of the scalograms.
    kind : str
        What the cells are (`stslib.figures.style.KIND_WORDS`).
    before_s : float
        Time before the step, in s.
    output : str
        As in `stslib.scalograms.cwt`.
    n_features : int
        Number of features in the right panel.

    Raises
    ------
    StsError
        No cell to draw.
    """
    if not rows:
        raise StsError("there is no cell to draw; the test split holds none of these classes")
    figure = new_figure(11.0, 5.6 * len(rows))
    for part, row in zip(figure.subfigures(len(rows), 1, squeeze=False)[:, 0], rows, strict=True):
        grid = part.add_gridspec(3, 3, width_ratios=[1.5, 0.025, 1], height_ratios=[0.8, 1, 1])
        top = part.add_subplot(grid[0, 0])
        middle, bottom = (part.add_subplot(grid[k, 0], sharex=top) for k in (1, 2))
        said = "classified correctly" if row.predicted == row.label else f"taken for {row.predicted}"
        sweep_panel(top, row.v_mv, bank.rate_hz, before_s, CLASS_COLOURS[row.label])
        top.set_title(
            f"{row.label} cell {row.cell_id}, {row.sweep_name}\n"
            f"{said} (probability of {row.label}: {row.probability:.2f})"
        )
        top.set_ylabel("Voltage\nfrom rest (mV)")
        coefficients = scalogram_panel(middle, row.v_mv, bank, before_s, output)
        gradients = saliency_panel(bottom, row.saliency, bank, before_s, len(row.v_mv) / bank.rate_hz)
        bottom.set_xlabel(TIME_LABEL)
        words = (amplitude_label(bank, output), "saliency (of its maximum)")
        for k, (ax, mesh, label) in enumerate(zip((middle, bottom), (coefficients, gradients), words, strict=True)):
            ax.set_ylabel(FREQUENCY_LABEL, fontsize=9)
            bar = part.colorbar(mesh, cax=part.add_subplot(grid[k + 1, 1]))
            bar.set_label(label, fontsize=8.5)
        for ax in (top, middle):
            ax.tick_params(labelbottom=False)
        beeswarm(part.add_subplot(grid[:, 2]), values, features, row.label, n_features)
    return say_kind(figure, kind)


def saliency_panel(
    ax: Axes, saliency: np.ndarray, bank: Bank, before_s: float, duration_s: float
) -> mpl.cm.ScalarMappable:
    """One saliency map `(h, w)` on the axes of its scalogram, scaled to a maximum of 1."""
    height, width = saliency.shape
    rows = np.linspace(-0.5, bank.n_frequencies - 0.5, height + 1)
    edges_hz = np.interp(rows, np.arange(bank.n_frequencies), bank.frequencies_hz)
    edges_s = np.linspace(0, duration_s, width + 1) - before_s
    relative = saliency / (float(saliency.max()) or 1.0)
    # A few pixels hold the maximum; colours end at the 99.5th percentile so that the rest can be seen.
    limit = float(np.quantile(relative, 0.995)) or 1.0
    mesh = ax.pcolormesh(edges_s, edges_hz, relative, cmap="magma", vmin=0, vmax=limit, rasterized=True)
    ax.set_yscale("log" if bank.spacing == "log" else "linear")
    ax.set_xlim(-before_s, duration_s - before_s)
    ax.set_ylim(bank.frequencies_hz[0], bank.frequencies_hz[-1])
    for at_s in (0.0, 1.0):
        ax.axvline(at_s, color="white", lw=0.8, ls=":")
    return mesh


def beeswarm(ax: Axes, values: np.ndarray, features: pd.DataFrame, label: str, n_features: int = 5) -> None:
    """SHAP values of a class's strongest features: one point a cell, coloured by the feature's value, grey if missing."""
    top = top_features(values, features, label, n_features)
    colours = mpl.colormaps[_VALUE_COLOURS]
    shap_of_class = values[:, :, CLASSES.index(label)]
    for place, name in enumerate(top["feature"]):
        column = list(map(str, features.columns)).index(name)
        x, v = shap_of_class[:, column], features.iloc[:, column].to_numpy(dtype=float)
        low, high = np.nanquantile(v, [0.05, 0.95]) if np.isfinite(v).any() else (0.0, 1.0)
        shade = colours(np.clip((v - low) / ((high - low) or 1.0), 0, 1))
        shade[~np.isfinite(v)] = mpl.colors.to_rgba("0.7")
        ax.scatter(x, -place + _stacked(x, np.ptp(shap_of_class)), c=shade, s=13, lw=0)
    ax.axvline(0, color="0.5", lw=0.8, zorder=0)
    # Under each other: the published names are long, and beside the panel they would take half of it.
    ax.set_yticks([])
    for place, name in enumerate(top["feature"]):
        ax.annotate(name, (0.0, -place + 0.43), xycoords=("axes fraction", "data"), fontsize=8.5, va="center")
    ax.set_ylim(-len(top) + 0.5, 0.6)
    ax.spines["left"].set_visible(False)
    ax.set_xlabel("SHAP value (log-odds)")
    ax.set_title(f"LightGBM: what speaks for {label}")
    bar = ax.figure.colorbar(
        mpl.cm.ScalarMappable(mpl.colors.Normalize(0, 1), colours), ax=ax, ticks=[0, 1], pad=0.02, aspect=40
    )
    bar.ax.set_yticklabels(["low", "high"])
    bar.set_label("feature value (grey: missing)", labelpad=-12)


def _stacked(x: np.ndarray, span: float, n_bins: int = 60, half_height: float = 0.3) -> np.ndarray:
    """Heights that put points of nearly the same `x` beside each other: 0, up, down, up, ..."""
    bins = np.floor((x - x.min()) / (span or 1.0) * n_bins).astype(int)
    heights = np.zeros(len(x))
    most = max(np.bincount(bins).max(), 8)
    for bin_ in np.unique(bins):
        members = np.flatnonzero(bins == bin_)
        k = np.arange(len(members))
        heights[members] = ((k + 1) // 2) * np.where(k % 2, 1, -1) * 2 * half_height / most
    return heights


@house_style
def saliency_profiles(
    maps: np.ndarray,
    labels: Sequence[str] | np.ndarray,
    frequencies_hz: np.ndarray,
    times_s: np.ndarray,
    kind: str,
    random: np.ndarray | None = None,
    n_bootstrap: int = 200,
    seed: int = 2026,
) -> Figure:
    """Mean saliency of each class against time and against frequency; 1 is a map without preference, bands are 95 %.

    Parameters
    ----------
    maps : (n, h, w) array
        Saliency.
    labels : (n,) of str
        Classes.
    frequencies_hz, times_s : (h,), (w,) array
        The maps' axes (`stslib.explain.image_axes`).
    kind : str
        What the cells are.
    random : (n_random, n, h, w) array, optional
        Maps of untrained networks (`stslib.explain.random_maps`); their mean is drawn in grey.
    n_bootstrap, seed : int
        Resamples behind the bands, and their seed.
    """
    whole, names = normalised(maps), np.asarray(labels)
    figure = new_figure(10.0, 3.8)
    left, right = figure.subplots(1, 2, width_ratios=[1.5, 1])
    panels = (
        (left, times_s, whole.sum(axis=1) * maps.shape[2]),
        (right, frequencies_hz, whole.sum(axis=2) * maps.shape[1]),
    )
    unlearnt = None if random is None else np.nanmean([normalised(one) for one in random], axis=(0, 1))
    for ax, x, profile in panels:
        if unlearnt is not None:
            along_time = ax is left
            grey = unlearnt.sum(axis=0 if along_time else 1) * unlearnt.shape[1 if along_time else 0]
            ax.plot(x, grey, color="0.45", lw=1.5, ls="--", label="untrained networks, all cells")
        for label in CLASSES:
            part = profile[names == label]
            if not len(part):
                continue
            mean, low, high = np.array([mean_interval(v, n_bootstrap, seed)[:3] for v in part.T]).T
            ax.fill_between(x, low, high, color=CLASS_COLOURS[label], alpha=0.18, lw=0)
            ax.plot(x, mean, color=CLASS_COLOURS[label], lw=1.5, label=f"{label} ({len(part)} cells)")
        ax.axhline(1, color="0.5", lw=0.8, ls=":")
        ax.set_ylim(bottom=0)
    for start, _ in list(WINDOWS_S.values())[1:]:
        left.axvline(start, color="0.8", lw=0.8, zorder=0)
    left.set(xlabel=TIME_LABEL, ylabel="Saliency relative to the map's mean")
    right.set(xlabel=FREQUENCY_LABEL)
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=5, fontsize=8.5)
    return say_kind(figure, kind)


@house_style
def randomisation(check: pd.DataFrame, labels: Sequence[str] | np.ndarray, kind: str) -> Figure:
    """How much the maps of a trained network resemble maps without learning, and maps of other cells.

    Parameters
    ----------
    check : DataFrame
        From `stslib.explain.randomisation_check`.
    labels : (n,) of str
        Classes of its rows.
    kind : str
        What the cells are.
    """
    names = {
        "reinitialised": "trained network\nand re-initialised ones",
        "two_random": "two re-initialised\nnetworks",
        "another_cell": "trained network,\nanother cell's map",
    }
    figure = new_figure(7.6, 3.8)
    ax = figure.subplots()
    for place, column in enumerate(names):
        values = check[column].to_numpy()
        # Side by side within the group, in the order of their values: no random jitter.
        for k, label in enumerate(CLASSES):
            part = np.sort(values[np.asarray(labels) == label])
            x = place + (k - 1.5) * 0.2 + np.linspace(-0.06, 0.06, len(part))
            ax.plot(x, part, "o", ms=3.5, color=CLASS_COLOURS[label], mec="none")
        if np.isfinite(values).any():
            median = float(np.nanmedian(values))
            ax.plot([place - 0.42, place + 0.42], [median, median], color="0.15", lw=1.4)
            ax.annotate(f"{median:.2f}", (place + 0.43, median), fontsize=8.5, va="center")
    ax.axhline(0, color="0.5", lw=0.8, ls=":")
    ax.set_xticks(range(len(names)), list(names.values()))
    lowest = float(np.nanmin(check.to_numpy(), initial=0.0))
    ax.set(ylim=(min(-0.1, lowest - 0.05), 1.02), xlim=(-0.55, 2.7), ylabel="Spearman correlation of two maps")
    handles: list[Line2D] = [Line2D([], [], ls="", marker="o", ms=5, color=CLASS_COLOURS[c], label=c) for c in CLASSES]
    handles.append(Line2D([], [], color="0.15", lw=1.4, label="median"))
    figure.legend(handles=handles, loc="outside upper center", ncols=5, fontsize=8.5)
    return say_kind(figure, kind)
