"""Training as pictures: the images that a network reads, the losses of the paper's Fig. 3, what each choice is worth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from stslib.cohort import CLASSES
from stslib.figures import style
from stslib.figures.panels import FREQUENCY_LABEL
from stslib.models.signals import Signals
from stslib.scalograms import Bank
from stslib.support.errors import StsError
from stslib.sweeps import typical_cells


@style.house_style
def losses(history: pd.DataFrame, kind: str) -> Figure:
    """Mean training and validation loss over the folds with bands of one SD, a panel a network (paper Fig. 3).

    A mean is drawn as far as every fold went; without an epoch it is an `StsError`.

    Parameters
    ----------
    history, kind : DataFrame from `training.history_table`, and which data they are about, such as `simulated`

    Examples
    --------
    >>> epochs = {"model": "resnet18", "fold": [0, 0, 1, 1], "epoch": [1, 2, 1, 2]}
    >>> loss = {"train_loss": [1.2, 0.8, 1.1, 0.9], "valid_loss": [1.3, 1.0, 1.2, 1.1]}
    >>> len(losses(pd.DataFrame({**epochs, **loss}), "simulated").axes)
    1
    """
    if history.empty:
        raise StsError("the training history is empty; nothing to draw")
    models = style.in_order(history["model"])
    columns = min(len(models), 4)
    figure = style.new_figure(max(2.3 * columns + 0.6, 4.2), 2.6 * -(-len(models) // columns) + 0.7)
    grid = figure.subplots(-(-len(models) // columns), columns, sharex=True, sharey=True, squeeze=False)
    for ax, model in zip(grid.flat, models, strict=False):
        own = history[history["model"] == model]
        whole = own[own.groupby("epoch")["fold"].transform("nunique") == own["fold"].nunique()]
        for column, dash in (("train_loss", "-"), ("valid_loss", "--")):
            sns.lineplot(
                whole, x="epoch", y=column, ax=ax, errorbar=_spread, ls=dash, lw=1.8,
                color=style.MODEL_COLOURS.get(model, "0.4"), err_kws={"alpha": 0.18, "lw": 0},
            )  # fmt: skip
        ax.axhline(np.log(4), color="0.6", lw=0.9, ls=":")
        ax.set(title=style.MODEL_NAMES.get(model, model), xlabel="epoch", ylabel="cross-entropy")
        ax.label_outer(remove_inner_ticks=False)
    for ax in list(grid.flat)[len(models) :]:
        ax.axis("off")
    # A single wild epoch at a high learning rate must not flatten all curves, so the axis may cut it.
    values = history[["train_loss", "valid_loss"]].to_numpy()
    top = max(1.25 * np.log(4), float(np.nanquantile(values, 0.97)))
    grid[0, 0].set_ylim(0, min(top, 1.05 * float(np.nanmax(values))))
    grid[0, 0].xaxis.get_major_locator().set_params(integer=True)
    handles: list[Artist] = [
        Line2D([], [], color="0.25", lw=1.8, label="training, mean of the folds"),
        Line2D([], [], color="0.25", lw=1.8, ls="--", label="validation, mean of the folds"),
        Patch(color="0.25", alpha=0.18, lw=0, label="one SD over the folds"),
        Line2D([], [], color="0.6", lw=0.9, ls=":", label="chance"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=4, fontsize=8.5)
    return style.label_data(figure, kind)


def _spread(values: pd.Series) -> tuple[float, float]:
    """One SD of the folds below and above their mean."""
    return values.mean() - values.std(ddof=0), values.mean() + values.std(ddof=0)


@style.house_style
def ablations(table: pd.DataFrame, kind: str) -> Figure:
    """Balanced accuracy of each variant of a network, a panel a group; a point is the mean of the folds, a bar one SD.

    Parameters
    ----------
    table, kind : DataFrame from `training.compare_variants` (an empty one is an `StsError`), and which data it is about

    Examples
    --------
    >>> table = pd.DataFrame({"group": "sweeps", "name": ["both", "first"], "mean": [0.8, 0.7], "sd": [0.02, 0.03]})
    >>> len(ablations(table, "simulated").axes)
    1
    """
    if table.empty:
        raise StsError("there is no variant to draw")
    groups = {str(group): rows for group, rows in table.groupby("group", sort=False)}
    sizes = [len(rows) for rows in groups.values()]
    figure = style.new_figure(7.2, 0.34 * sum(sizes) + 0.42 * len(groups) + 0.8)
    panels = figure.subplots(len(groups), 1, sharex=True, squeeze=False, height_ratios=sizes)[:, 0]
    for ax, (group, rows) in zip(panels, groups.items(), strict=True):
        heights = np.arange(len(rows))[::-1]
        colours = ["#D55E00"] + ["#0072B2"] * (len(rows) - 1)
        for height, mean, sd, colour in zip(heights, rows["mean"], rows["sd"], colours, strict=True):
            ax.errorbar(mean, height, xerr=sd, fmt="o", ms=5, color=colour, capsize=2.5, lw=1.2)
        ax.axvline(float(rows["mean"].iloc[0]), color="#D55E00", lw=0.8, ls=":")
        ax.axvline(0.25, color="0.6", lw=0.9, ls=":")
        ax.set_yticks(heights, list(rows["name"]))
        ax.set_ylim(-0.6, len(rows) - 0.4)
        ax.set_title(group, loc="left", fontsize=9.5)
    panels[-1].set_xlabel(
        "balanced accuracy in cross-validation, mean and one SD of the folds\n(orange: as in the run; grey: chance)"
    )
    return style.label_data(figure, kind)


@style.house_style
def signal_examples(cells: Signals) -> Figure:
    """Of each class the cell whose highest voltage is the median: its last sweep over the scalogram that a network reads.

    Close-ups stand below, with the voltage that they show; `cells` are from `models.prepare_signals`.

    Examples
    --------
    >>> from stslib.models import signals
    >>> len(signal_examples(signals.example()).subfigs[0].axes)
    5
    """
    preprocessing, image = cells.preprocessing, cells.preprocessing.image
    typical = typical_cells(list(cells.labels), cells.traces.max(axis=(1, 2)))
    labels = [label for label in CLASSES if label in typical]
    chosen, close_up = [typical[label] for label in labels], image.close_up
    images = np.asarray(cells.images[chosen, -1], np.float32)
    # As the networks' input transform does it: large coefficients are compressed by asinh.
    scale = float(np.quantile(np.abs(images), 0.9)) or 1.0
    whole, beside = np.split(np.arcsinh(images / scale), [image.width], axis=-1)
    figure = style.new_figure(10.0, 8.4 if close_up else 4.4)
    parts = figure.subfigures(2 if close_up else 1, 1, squeeze=False)[:, 0]
    event = "step onset" if preprocessing.sweeps.step_s else "peak"
    signals = dict(zip(labels, zip(cells.traces[chosen, -1], whole, strict=True), strict=True))
    drawn = [_rows(parts[0], signals, preprocessing.bank, preprocessing.sweeps.before_s, event)]
    if close_up:
        spikes_mv = close_up.cut(cells.traces[chosen], preprocessing.sweeps)[:, -1]
        signals = dict(zip(labels, zip(spikes_mv, beside, strict=True), strict=True))
        bank = close_up.bank(preprocessing.bank)
        drawn.append(_rows(parts[1], signals, bank, close_up.before_s, "the peak of the first spike"))
    for part, (mesh, below) in zip(parts, drawn, strict=True):
        part.colorbar(mesh, ax=below, label=f"asinh({preprocessing.bank.wavelet} / {scale:.3g})")
    return style.label_data(figure, cells.kind)


def _rows(
    figure: SubFigure, signals: dict[str, tuple[np.ndarray, np.ndarray]], bank: Bank, before_s: float, event: str
) -> tuple[QuadMesh, list[Axes]]:
    """Signals in mV over their images, a column a class, in s from the step onset or in ms from another event."""
    unit, factor = ("s", 1.0) if event == "step onset" else ("ms", 1000.0)
    axes = figure.subplots(2, len(signals), sharex="all", sharey="row", height_ratios=(1, 1.3), squeeze=False)
    limit = max(float(np.abs(image).max()) for _, image in signals.values())
    signed = any(bool((image < 0).any()) for _, image in signals.values())
    colours: dict[str, Any] = {"cmap": "RdBu_r", "vmin": -limit} if signed else {"cmap": "magma", "vmin": 0}
    spaced = np.linspace if bank.spacing == "linear" else np.geomspace
    for (above, below), (label, (v_mv, image)) in zip(axes.T, signals.items(), strict=True):
        times = (np.arange(len(v_mv)) / bank.rate_hz - before_s) * factor
        above.plot(times, v_mv, color=style.CLASS_COLOURS[label], lw=0.8)
        above.set_title(label)
        edges_hz = spaced(bank.frequencies_hz[0], bank.frequency_max_hz, image.shape[0] + 1)
        columns = np.linspace(times[0], times[-1], image.shape[1] + 1)
        mesh = below.pcolormesh(columns, edges_hz, image, vmax=limit, rasterized=True, **colours)
        below.set_yscale(bank.spacing)
    figure.supxlabel(f"Time from {event} ({unit})", fontsize=style.RC["axes.labelsize"])
    axes[0, 0].set_ylabel("Voltage (mV)")
    axes[1, 0].set_ylabel(FREQUENCY_LABEL)
    return mesh, axes[1].tolist()
