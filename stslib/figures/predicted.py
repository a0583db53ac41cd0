"""The picture that `sts predict --figure` makes of a cell: its sweeps, its scalograms, and what the network looked at."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from stslib import explain
from stslib.cohort import CLASSES
from stslib.figures import panels
from stslib.figures.explained import saliency_panel
from stslib.figures.panels import FREQUENCY_LABEL, STEP_S, TIME_LABEL
from stslib.figures.style import CLASS_COLOURS, house_style, label_data, new_figure
from stslib.models.prediction import Predicted
from stslib.scalograms import Bank, cwt
from stslib.support import files
from stslib.support.progress import progress


@dataclass(frozen=True)
class View:
    """What a column of panels shows of each sweep: all of it, or a close-up of its first spike."""

    traces: np.ndarray  # (c, n_samples), mV
    saliency: np.ndarray  # (c, h, w), of the predicted class
    bank: Bank
    before_s: float  # the step, or the peak
    output: str
    padding: str
    voltage_label: str  # "" of a close-up


@house_style
def predicted_cell(done: Predicted, k: int) -> Figure:
    """Sweeps in mV over their scalograms over the saliency of the predicted class, of the `k`-th classified cell."""
    row, preprocessing = done.classified.iloc[k], done.model.preprocessing
    views, proba = _views(done, k), row[[f"p:{name}" for name in CLASSES]].to_numpy(float)
    traces, n_views, n_sweeps = views[0].traces, len(views), len(views[0].traces)
    figure = new_figure((5.6 if n_views > 1 else 4.1) * n_sweeps + 2.2, 7.2)
    widths = [1.0, 0.4][:n_views] * n_sweeps + [0.42]
    grid = figure.add_gridspec(3, len(widths), width_ratios=widths, height_ratios=[0.85, 1, 1])
    low, high = float(traces.min()), float(traces.max())
    margin = 0.06 * ((high - low) or 1.0)
    # One scale of saliency for all panels, so that it can be seen which of them counts.
    brightest = float(np.quantile(np.concatenate([view.saliency.ravel() for view in views]), 0.995)) or 1.0
    titles, meshes = [_sweep_title(row, name) for name in ("rheobase", "partner")], []
    for k_sweep in range(n_sweeps):
        for column, view in enumerate(views):
            axes = [figure.add_subplot(grid[line, n_views * k_sweep + column]) for line in range(3)]
            meshes.append(_column(axes, view, k_sweep, CLASS_COLOURS[row["predicted"]], brightest))
            axes[0].set_ylim(low - margin, high + margin)
            named = titles[k_sweep] if k_sweep < len(titles) and titles[k_sweep] else f"Sweep {k_sweep + 1}"
            axes[0].set_title(named if view.voltage_label else "its first spike")
    words = f"saliency of {row['predicted']}\n(all panels on one scale)" if len(meshes) > 1 else "saliency"
    amplitude = panels.amplitude_label(preprocessing.bank, preprocessing.image.output)
    for line, mesh, label in ((1, meshes[0][0], amplitude), (2, meshes[-1][1], words)):
        bar = figure.add_subplot(grid[line, -1].subgridspec(1, 2, width_ratios=[0.1, 1])[0])
        figure.colorbar(mesh, cax=bar, label=label, ticks=[] if line == 2 else None)
    _probabilities(figure.add_subplot(grid[0, -1]), proba)
    title, size = f"Cell {row['cell_id']}: {row['predicted']}, calibrated probability {proba.max():.2f}", 12.0
    if row["range_reason"]:
        reason, *others = row["range_reason"].split("; ")
        more = f" (and {len(others)} more)" if others else ""
        title, size = f"{title}\nOutside of the training range, do not trust it: {reason}{more}", 10.5
    if row["warning"]:
        title, size = f"{title}\nLook at its file first: {row['warning']}", 10.5
    figure.suptitle(title, fontsize=size)
    return label_data(figure, done.kind)


def _sweep_title(row: pd.Series, name: str) -> str:
    """Number, current, spikes and onset of a sweep; empty for an action potential, which has no current."""
    if not np.isfinite(float(row[f"{name}_pa"])):
        return ""
    words = f"Sweep {row[f'{name}_sweep']}: {row[f'{name}_pa']:g} pA from {row['onset_s']:g} s"
    return words if pd.isna(row[f"{name}_spikes"]) else f"{words}, spikes: {row[f'{name}_spikes']}"


def _views(done: Predicted, k: int) -> list[View]:
    """The whole sweeps of the `k`-th classified cell and, where the model has them, the close-ups."""
    preprocessing, traces = done.model.preprocessing, done.traces[k]
    winner = [CLASSES.index(str(done.classified["predicted"].iloc[k]))]
    sizes = explain.gradients(*done.model.members[0], done.images[k : k + 1], winner)[0]
    image, sweeps = preprocessing.image, preprocessing.sweeps
    unit = "Voltage (mV)" if sweeps.baseline == "keep" else "Voltage from rest (mV)"
    whole = View(
        traces, sizes[..., : image.width], preprocessing.bank, sweeps.before_s, image.output, image.padding, unit
    )
    if not (near := image.close_up):
        return [whole]
    spikes, beside, bank = near.cut(traces, sweeps), sizes[..., image.width :], near.bank(preprocessing.bank)
    return [whole, View(spikes, beside, bank, near.before_s, near.output, image.padding, "")]


def _column(axes: list[Axes], view: View, k: int, colour: str, brightest: float) -> tuple[ScalarMappable, Any]:
    """Trace, scalogram and saliency of sweep `k`, one above the other."""
    above, middle, below = axes
    duration_s, whole = view.traces.shape[1] / view.bank.rate_hz, bool(view.voltage_label)
    step = whole and duration_s > STEP_S
    panels.sweep_panel(above, view.traces[k], view.bank.rate_hz, view.before_s, colour, step=step)
    values = cwt(np.asarray(view.traces, np.float32), view.bank, view.output, view.padding)
    limit = panels.limit_of(panels.columns_of(values))
    mesh = panels.scalogram_panel(middle, view.traces[k], view.bank, view.before_s, view.output, view.padding, limit)
    height, width = view.saliency.shape[1:]
    pixels = explain.image_axes(view.bank, height, width, view.before_s, duration_s)
    gradients = saliency_panel(below, view.saliency[k], pixels, view.bank.spacing)
    gradients.set_clim(0, brightest / (float(view.saliency[k].max()) or 1.0))
    below.set_xlabel(TIME_LABEL if step else "Time from the peak (ms)" if whole else "From its peak (ms)")
    for ax, label in zip(axes, (view.voltage_label, FREQUENCY_LABEL, FREQUENCY_LABEL), strict=True):
        ax.tick_params(labelbottom=ax is below, labelleft=k == 0 if whole else ax is not above)
        ax.set_ylabel(label if whole and k == 0 else "")
    if not step:
        below.xaxis.set_major_formatter(lambda x, _: f"{1000 * x:g}")
    return mesh, gradients


def _probabilities(ax: Axes, proba: np.ndarray) -> None:
    positions = np.arange(len(CLASSES))[::-1]
    ax.barh(positions, proba, color=[CLASS_COLOURS[name] for name in CLASSES], height=0.6)
    for name, position, value in zip(CLASSES, positions, proba, strict=True):
        ax.text(0.02, position + 0.36, f"{name} {value:.2f}", fontsize=8, va="bottom")
    ax.set(xlim=(0, 1), ylim=(-0.5, len(CLASSES) - 0.1), yticks=[], xlabel="Probability")
    ax.spines["left"].set_visible(False)


def save_predicted(done: Predicted, folder: Path) -> list[Path]:
    """Write the picture of each classified cell as PNG into `folder`; the name is the cell's id made safe for a file."""
    paths: list[Path] = []
    for k, cell_id in progress(enumerate(done.classified["cell_id"]), "Figures", total=len(done.classified)):
        path = folder / f"{re.sub(r'[^A-Za-z0-9._-]+', '_', str(cell_id)).lstrip('.') or 'cell'}.png"
        while path in paths:  # two ids that differ only in what a file name cannot hold
            path = path.with_name(f"{path.stem}_.png")
        with files.atomic(path) as part:
            predicted_cell(done, k).savefig(part, format="png", dpi=130)
        paths.append(path)
    return paths
