"""The picture that `sts predict --figure` makes of a cell: its sweeps, its scalograms, and what the network looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec

from stslib.cohort import CLASSES
from stslib.figures.explained import saliency_panel
from stslib.figures.signals.panels import (
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
from stslib.scalograms import Bank, cwt


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
    """

    cell_id: str
    predicted: str
    proba: np.ndarray
    range_reason: str
    traces: np.ndarray
    saliency: np.ndarray
    stimuli_pa: tuple[float, ...]


@house_style
def predicted_cell(
    cell: PredictedCell, bank: Bank, kind: str, before_s: float = 0.1, output: str = "coefficients"
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
    output : str
        As in `stslib.scalograms.cwt`.
    """
    n_sweeps = len(cell.traces)
    figure = new_figure(4.1 * n_sweeps + 2.2, 7.2)
    grid = figure.add_gridspec(3, n_sweeps + 1, width_ratios=[1.0] * n_sweeps + [0.42], height_ratios=[0.85, 1, 1])
    colour = CLASS_COLOURS[cell.predicted]
    low, high = float(cell.traces.min()), float(cell.traces.max())
    margin = 0.06 * ((high - low) or 1.0)
    limit = limit_of(columns_of(cwt(np.asarray(cell.traces, np.float32), bank, output)))
    duration_s = cell.traces.shape[1] / bank.rate_hz
    # One scale of saliency for all sweeps, so that it can be seen which of them counts.
    brightest = float(np.quantile(cell.saliency, 0.995)) or 1.0
    rows = []
    for k, trace in enumerate(cell.traces):
        top, middle, bottom = (figure.add_subplot(grid[row, k]) for row in range(3))
        rows.append((top, middle, bottom))
        sweep_panel(top, trace, bank.rate_hz, before_s, colour, step=duration_s > STEP_S)
        top.set_ylim(low - margin, high + margin)
        current = cell.stimuli_pa[k] if k < len(cell.stimuli_pa) else float("nan")
        top.set_title(f"Sweep at {current:g} pA" if np.isfinite(current) else f"Sweep {k + 1}")
        coefficients = scalogram_panel(middle, trace, bank, before_s, output, limit=limit)
        gradients = saliency_panel(bottom, cell.saliency[k], bank, before_s, duration_s)
        gradients.set_clim(0, brightest / (float(cell.saliency[k].max()) or 1.0))
        for ax in (top, middle):
            ax.tick_params(labelbottom=False)
        bottom.set_xlabel(TIME_LABEL if duration_s > STEP_S else "Time from the peak (s)")
        for ax in (top, middle, bottom) if k else ():
            ax.tick_params(labelleft=False)
    rows[0][0].set_ylabel("Voltage from rest (mV)")
    rows[0][1].set_ylabel(FREQUENCY_LABEL)
    rows[0][2].set_ylabel(FREQUENCY_LABEL)
    figure.colorbar(coefficients, cax=_bar(figure, grid[1, n_sweeps]), label=amplitude_label(bank, output))
    bar = figure.colorbar(gradients, cax=_bar(figure, grid[2, n_sweeps]), ticks=[])
    bar.set_label(f"saliency of {cell.predicted}\n(both sweeps on one scale)" if n_sweeps > 1 else "saliency")
    _probabilities(figure, grid[0, n_sweeps], cell)
    title = f"Cell {cell.cell_id}: {cell.predicted}, calibrated probability {cell.proba.max():.2f}"
    figure.suptitle(title, fontsize=12)
    if cell.range_reason:
        reasons = cell.range_reason.split("; ")
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        figure.suptitle(f"{title}\nOutside of the training range, do not trust it: {reasons[0]}{more}", fontsize=10.5)
    return say_kind(figure, kind)


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
