"""The picture that `sts predict --figure` makes of a cell: its sweeps, its scalograms, and what the network looked at."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec

from stslib import explain
from stslib.cohort import CLASSES
from stslib.figures.explained import saliency_panel
from stslib.figures.panels import (
    FREQUENCY_LABEL,
    STEP_S,
    TIME_LABEL,
    amplitude_label,
    columns_of,
    house_style,
    limit_of,
    scalogram_panel,
    sweep_panel,
)
from stslib.figures.style import CLASS_COLOURS, new_figure, say_kind
from stslib.models.prediction import Predicted
from stslib.scalograms import Bank, cwt
from stslib.support import files
from stslib.support.progress import progress


@dataclass(frozen=True)
class View:
    """What one column of panels shows of each sweep: all of it, or a close-up of its first spike.

    Attributes
    ----------
    traces : (c, n_samples) array
        In mV.
    saliency : (c, h, w) array
        Saliency of the predicted class on their scalograms.
    bank : Bank
        Wavelet and frequencies.
    before_s : float
        Time before the step or the peak, in s.
    output, padding : str
        As in `stslib.scalograms.cwt`.
    """

    traces: np.ndarray
    saliency: np.ndarray
    bank: Bank
    before_s: float
    output: str
    padding: str


@dataclass(frozen=True)
class PredictedCell:
    """One cell of `predicted_cell`.

    Attributes
    ----------
    cell_id, predicted : str
        Its id, and the class of the highest probability.
    proba : (4,) array
        Calibrated probabilities.
    range_reason : str
        Why it lies outside of the training range, or "".
    traces : (c, n_samples) array
        Its prepared sweeps, in mV from rest.
    saliency : (c, h, w) array
        Saliency of the predicted class on each sweep's scalogram.
    stimuli_pa : tuple of float
        Current of each sweep; NaN where it is not known.
    spikes : View, optional
        Close-up of their first spikes, where the model has one.
    """

    cell_id: str
    predicted: str
    proba: np.ndarray
    range_reason: str
    traces: np.ndarray
    saliency: np.ndarray
    stimuli_pa: tuple[float, ...]
    spikes: View | None = None


@house_style
def predicted_cell(
    cell: PredictedCell,
    bank: Bank,
    kind: str,
    before_s: float = 0.1,
    output: str = "coefficients",
    padding: str = "zero",
) -> Figure:
    """Sweeps in mV against s over their scalograms over the saliency of the predicted class, and the four probabilities.

    Parameters
    ----------
    cell : PredictedCell
        The cell.
    bank : Bank
        Wavelet and frequencies of the model.
    kind : str
        What the cell is (`stslib.recordings.KINDS`).
    before_s : float
        Time before the step, in s.
    output, padding : str
        As in `stslib.scalograms.cwt`.
    """
    n_sweeps, spikes = len(cell.traces), cell.spikes
    per_sweep = 2 if spikes else 1  # columns
    figure = new_figure((4.1 if spikes is None else 5.6) * n_sweeps + 2.2, 7.2)
    grid = figure.add_gridspec(
        3, per_sweep * n_sweeps + 1, width_ratios=[1.0, 0.4][:per_sweep] * n_sweeps + [0.42], height_ratios=[0.85, 1, 1]
    )
    colour = CLASS_COLOURS[cell.predicted]
    low, high = float(cell.traces.min()), float(cell.traces.max())
    margin = 0.06 * ((high - low) or 1.0)
    duration_s = cell.traces.shape[1] / bank.rate_hz
    # One scale of saliency for all panels, so that it can be seen which of them counts.
    maps = [cell.saliency] if spikes is None else [cell.saliency, spikes.saliency]
    brightest = float(np.quantile(np.concatenate([one.ravel() for one in maps]), 0.995)) or 1.0
    whole = View(cell.traces, cell.saliency, bank, before_s, output, padding)
    views = [whole] if spikes is None else [whole, spikes]
    drawn: list[tuple[ScalarMappable, ScalarMappable]] = []
    for k in range(n_sweeps):
        for place, view in enumerate(views):
            column = [figure.add_subplot(grid[row, per_sweep * k + place]) for row in range(3)]
            step = view is whole and duration_s > STEP_S
            drawn.append(_column(column, view, k, colour, step, brightest))
            column[0].set_ylim(low - margin, high + margin)
            current = cell.stimuli_pa[k] if k < len(cell.stimuli_pa) else float("nan")
            if view is whole:
                column[0].set_title(f"Sweep at {current:g} pA" if np.isfinite(current) else f"Sweep {k + 1}")
                column[2].set_xlabel(TIME_LABEL if step else "Time from the peak (s)")
            else:
                column[0].set_title("its first spike")
                column[2].set_xlabel("From its peak (ms)")
                column[2].xaxis.set_major_formatter(lambda x, _: f"{1000 * x:g}")
            if k == 0:
                for ax in column[1:]:
                    ax.set_ylabel(FREQUENCY_LABEL if view is whole else "")
            if k and view is whole:
                for ax in column:
                    ax.tick_params(labelleft=False)
            if view is not whole:
                column[0].tick_params(labelleft=False)
            if k == 0 and view is whole:
                column[0].set_ylabel("Voltage from rest (mV)")
    figure.colorbar(drawn[0][0], cax=_bar(figure, grid[1, -1]), label=amplitude_label(bank, output))
    bar = figure.colorbar(drawn[-1][1], cax=_bar(figure, grid[2, -1]), ticks=[])
    several = n_sweeps * per_sweep > 1
    bar.set_label(f"saliency of {cell.predicted}\n(all panels on one scale)" if several else "saliency")
    _probabilities(figure, grid[0, -1], cell)
    title = f"Cell {cell.cell_id}: {cell.predicted}, calibrated probability {cell.proba.max():.2f}"
    figure.suptitle(title, fontsize=12)
    if cell.range_reason:
        reasons = cell.range_reason.split("; ")
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        figure.suptitle(f"{title}\nOutside of the training range, do not trust it: {reasons[0]}{more}", fontsize=10.5)
    return say_kind(figure, kind)


def _column(
    axes: Sequence[Axes], view: View, k: int, colour: str, step: bool, brightest: float
) -> tuple[ScalarMappable, ScalarMappable]:
    """Trace, scalogram and saliency of sweep `k`, one above the other."""
    above, middle, below = axes
    trace, duration_s = view.traces[k], view.traces.shape[1] / view.bank.rate_hz
    sweep_panel(above, trace, view.bank.rate_hz, view.before_s, colour, step=step)
    limit = limit_of(columns_of(cwt(np.asarray(view.traces, np.float32), view.bank, view.output, view.padding)))
    mesh = scalogram_panel(middle, trace, view.bank, view.before_s, view.output, view.padding, limit=limit)
    gradients = saliency_panel(below, view.saliency[k], view.bank, view.before_s, duration_s)
    gradients.set_clim(0, brightest / (float(view.saliency[k].max()) or 1.0))
    for ax in (above, middle):
        ax.tick_params(labelbottom=False)
    return mesh, gradients


def _bar(figure: Figure, place: SubplotSpec) -> Axes:
    """A narrow axis for a colour bar at the left of a field of the grid."""
    return figure.add_subplot(place.subgridspec(1, 2, width_ratios=[0.1, 1])[0])


def _probabilities(figure: Figure, place: SubplotSpec, cell: PredictedCell) -> None:
    ax = figure.add_subplot(place)
    positions = np.arange(len(CLASSES))[::-1]
    ax.barh(positions, cell.proba, color=[CLASS_COLOURS[name] for name in CLASSES], height=0.6)
    for name, position, value in zip(CLASSES, positions, cell.proba, strict=True):
        ax.text(0.02, position + 0.36, f"{name} {value:.2f}", fontsize=8, va="bottom")
    ax.set(xlim=(0, 1), ylim=(-0.5, len(CLASSES) - 0.1), yticks=[], xlabel="Probability")
    ax.spines["left"].set_visible(False)


def predicted_cells(done: Predicted) -> Iterator[tuple[str, Figure]]:
    """A picture of each classified cell: its sweeps, scalograms and saliency; gives `(cell_id, figure)`."""
    rows, model = done.table[done.table["predicted"] != ""], done.model
    network, transform = model.members[0]
    way = model.preprocessing
    before_s, width = way.sweeps.before_s, way.image.width
    for k, row in enumerate(rows.itertuples(index=False)):
        image, traces = done.images[k : k + 1], done.traces[k]
        winner = [CLASSES.index(str(row.predicted))]
        maps = np.stack([explain.saliency(network, transform, image, winner, c)[0] for c in range(image.shape[1])])
        view, output, padding = None, way.image.output, way.image.padding
        if close_up := way.image.close_up:
            spikes, bank = close_up.cut(traces, way.sweeps), close_up.bank(way.bank)
            view = View(spikes, maps[..., width:], bank, close_up.before_s, close_up.output, padding)
        proba = rows[[f"p:{c}" for c in CLASSES]].iloc[k].to_numpy(float)
        currents = (float(row.rheobase_pa), float(row.partner_pa))
        cell = PredictedCell(
            str(row.cell_id),
            str(row.predicted),
            proba,
            str(row.range_reason),
            traces,
            maps[..., :width],
            currents,
            view,
        )
        yield cell.cell_id, predicted_cell(cell, way.bank, done.kind, before_s, output, padding)


def save_predicted(done: Predicted, folder: Path) -> list[Path]:
    """Write the picture of each classified cell as PNG into `folder`; the name is the cell's id made safe for a file."""
    paths: list[Path] = []
    n_classified = int((done.table["predicted"] != "").sum())
    for cell_id, figure in progress(predicted_cells(done), "Figures", total=n_classified):
        path = folder / f"{re.sub(r'[^A-Za-z0-9._-]+', '_', cell_id).lstrip('.') or 'cell'}.png"
        while path in paths:  # two ids that differ only in what a file name cannot hold
            path = path.with_name(f"{path.stem}_.png")
        with files.atomic(path) as part:
            figure.savefig(part, format="png", dpi=130)
        paths.append(path)
    return paths
