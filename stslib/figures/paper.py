"""The paper's Fig. 1 (the pipeline) and Fig. 2 (spike trains of the four classes), drawn from this run's own cells."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Polygon, Rectangle

from stslib.cohort import CLASSES
from stslib.figures.panels import limit_of, scalogram_panel, sweep_panel
from stslib.figures.style import CLASS_COLOURS, house_style, label_data, new_figure
from stslib.recordings import Recording
from stslib.scalograms import Bank, ImageSettings, cwt_resized
from stslib.sweeps import SweepSettings, choose_sweeps, prepare, typical_cells

_SIZE = 224  # of the drawn network input


@house_style
def pipeline(
    recording: Recording, kind: str, settings: SweepSettings = SweepSettings(), bank: Bank | None = None
) -> Figure:
    """The paper's Fig. 1: a cell's two sweeps, scalograms and image (by default the paper's), network and probabilities.

    Network and probabilities are a drawing.

    Examples
    --------
    >>> from stslib import figures, io
    >>> recording = next(iter(io.open_source("simulated", n_cells=4).recordings()))
    >>> len(figures.pipeline(recording, "simulated").axes)
    7
    """
    bank, label = bank or Bank(rate_hz=settings.rate_hz), recording.label or ""
    pair_mv = np.stack([prepare(sweep, settings) for sweep in choose_sweeps(recording, settings)])
    figure = new_figure(11.5, 3.9)
    figure.set_layout_engine("none")  # a drawing: every part has its place
    for row, name in enumerate(("rheobase", f"rheobase + {settings.offset_pa:g} pA")):
        bottom = (0.545, 0.165)[row]
        sweep, picture = figure.add_axes((0.052, bottom, 0.165, 0.265)), figure.add_axes((0.29, bottom, 0.165, 0.265))
        sweep_panel(sweep, pair_mv[row], bank.rate_hz, settings.before_s, CLASS_COLOURS.get(label, "0.15"))
        sweep.set_ylim(float(pair_mv.min()) - 8, float(pair_mv.max()) + 8)
        scalogram_panel(picture, pair_mv[row], bank, settings.before_s)
        for ax, words in ((sweep, "Voltage (mV)"), (picture, "Pseudo-freq. (Hz)")):
            ax.set_ylabel(words, fontsize=8)
            ax.tick_params(labelsize=7.5, labelbottom=row == 1)
            ax.set_title(name, fontsize=8.5, loc="left", color="0.35")
            ax.set_xlabel("Time from step onset (s)" if row else "", fontsize=8)
    _draw_image(figure.add_axes((0.487, 0.13, 0.165, 0.70)), pair_mv, bank)
    _draw_network(figure.add_axes((0.682, 0.13, 0.155, 0.70)))
    _draw_probabilities(figure.add_axes((0.878, 0.20, 0.105, 0.60)), label)
    for x in (0.222, 0.458, 0.655, 0.842):
        arrow = FancyArrowPatch((x, 0.48), (x + 0.028, 0.48), arrowstyle="-|>", mutation_scale=14, color="0.35", lw=1.4)
        arrow.set_transform(figure.transFigure)
        figure.add_artist(arrow)
    titles = ((0.052, "A", f"two sweeps, {bank.rate_hz / 1000:g} kHz"), (0.29, "B", "scalograms"),
              (0.487, "C", "3-channel image"), (0.682, "D", "convolutional network"), (0.878, "E", "cell type"))  # fmt: skip
    for x, letter, title in titles:
        figure.text(x, 0.945, letter, fontsize=11, fontweight="bold", va="center")
        figure.text(x + 0.017, 0.945, title, fontsize=10, va="center")
    label_data(figure, kind)
    cell = f"; one {label} cell" if label else ""
    figure.supxlabel(f"{figure.get_supxlabel()}{cell}. Network and probabilities are drawings.",
                     x=0.995, ha="right", fontsize=7.5, color="0.35")  # fmt: skip
    return figure


def _draw_image(ax: Axes, pair_mv: np.ndarray, bank: Bank) -> None:
    """The channels (rheobase, partner, rheobase again) as three cards one behind the other."""
    values = cwt_resized(np.asarray(pair_mv, np.float32), bank, ImageSettings(_SIZE, _SIZE))
    values = np.abs(values) if bank.mother.is_complex else values
    limit, shift = limit_of(values), 0.30 * _SIZE
    for depth, (channel, name) in enumerate(((0, "3: rheobase again"), (1, "2: partner"), (0, "1: rheobase"))):
        at = (2 - depth) * shift
        ax.imshow(values[channel], cmap="RdBu_r", vmin=-limit, vmax=limit, origin="lower",
                  extent=(at, at + _SIZE, at, at + _SIZE), zorder=2 * depth, interpolation="bilinear")  # fmt: skip
        ax.add_patch(Rectangle((at, at), _SIZE, _SIZE, fill=False, lw=0.9, ec="0.2", zorder=2 * depth + 1))
        ax.text(at + 4, at + _SIZE - 6, name, fontsize=6.5, va="top", zorder=2 * depth + 1)
    ax.text(_SIZE / 2, -12, f"{_SIZE} x {_SIZE} pixels", ha="center", va="top", fontsize=7.5)
    ax.set(xlim=(-2, _SIZE + 2 * shift + 2), ylim=(-40, _SIZE + 2 * shift + 2), aspect="equal")
    ax.set_axis_off()


def _draw_network(ax: Axes) -> None:
    """Feature maps that shrink and grow deeper, then the fully connected layer."""
    x = 0.0
    layers = ((1.0, 0.10, "#D9E6F2"), (0.74, 0.16, "#B7CFE5"), (0.5, 0.24, "#8FB3D5"), (0.3, 0.34, "#6797C4"))
    for side, depth, shade in layers:
        dx, dy = 0.17 * side, 0.14 * side  # the block's slant, to the right and upwards
        front = np.array([(x, -side / 2), (x + depth, -side / 2), (x + depth, side / 2), (x, side / 2)])
        back = front + np.array([dx, dy])
        faces = front, [front[3], front[2], back[2], back[3]], [front[1], front[2], back[2], back[1]]
        for face in faces:
            ax.add_patch(Polygon(face, closed=True, fc=shade, ec="0.25", lw=0.8))
        x += depth + dx + 0.10
    for y, name in zip(np.linspace(0.36, -0.36, 4), CLASSES, strict=True):
        ax.plot([x - 0.10, x + 0.18], [0, y], color="0.6", lw=0.6, zorder=0)
        ax.plot(x + 0.18, y, "o", ms=7, mfc=CLASS_COLOURS[name], mec="0.25", mew=0.7)
    ax.text(0.45, -0.74, "feature extractor", ha="center", va="top", fontsize=7.5)
    ax.text(x + 0.14, -0.74, "dropout,\n4 neurons", ha="center", va="top", fontsize=7.5)
    ax.set(xlim=(-0.05, x + 0.32), ylim=(-1.05, 0.85))
    ax.set_axis_off()


def _draw_probabilities(ax: Axes, label: str) -> None:
    """Four bars, longest for the cell's own class: a drawing, no result."""
    for row, name in enumerate(CLASSES):
        ax.barh(row, 0.82 if name == label else 0.06, color=CLASS_COLOURS[name], height=0.55)
        ax.text(0, row - 0.36, name, fontsize=8, va="bottom")
    ax.set(xlim=(0, 1), ylim=(4.1, -1.1), yticks=[], xticks=[0, 1])
    ax.tick_params(labelsize=7.5)
    ax.set_xlabel("Probability (drawn)", fontsize=8)
    ax.spines["left"].set_visible(False)


@house_style
def spike_trains(
    sweeps_mv: np.ndarray, table: pd.DataFrame, kind: str, settings: SweepSettings = SweepSettings()
) -> Figure:
    """The paper's Fig. 2: the last sweep of a typical cell of each class; of up to eight cells, all are shown.

    `sweeps_mv` `(n_cells, n_sweeps, n_samples)` and `table` (with the column label) come from `sweeps.extract` with
    `settings`. Typical is the cell whose number of spikes is nearest to the median of its class.

    Examples
    --------
    >>> from stslib import figures
    >>> table = pd.DataFrame({"cell_id": ["a", "b"], "label": ["Sst", "Pvalb"], "rheobase_pa": 50.0, "n_spikes": [9, 40]})
    >>> len(figures.spike_trains(np.zeros((2, 2, 4800)), table.assign(partner_pa=90.0), "simulated").axes)
    2
    """
    typical = typical_cells(table.label, table.n_spikes)
    shown = [typical[label] for label in CLASSES if label in typical] if len(table) > 8 else range(len(table))
    rows = -(-len(shown) // 2)
    figure = new_figure(9.0, 1.1 + 1.75 * rows)
    axes = figure.subplots(rows, 2, sharex=True, sharey=True, squeeze=False)
    for ax, i in zip(axes.flat, shown, strict=False):
        cell, colour = table.iloc[i], CLASS_COLOURS[table.label.iloc[i]]
        current_pa = cell.rheobase_pa if np.isnan(cell.partner_pa) else cell.partner_pa
        sweep_panel(ax, sweeps_mv[i, -1], settings.rate_hz, settings.before_s, colour)
        ax.set_title(cell.label, loc="left", color=colour, fontweight="bold")
        note = f"cell {cell.cell_id}, {current_pa:g} pA, {cell.n_spikes} spikes"
        ax.set_title(note, loc="right", fontsize=8, color="0.35")
        ax.set(xlabel="Time from step onset (s)", ylabel="Voltage from\nrest (mV)")
    for ax in axes.flat[len(shown) :]:
        ax.remove()
    for ax in axes.flat:
        ax.label_outer()
    if settings.n_sweeps > 1:
        figure.suptitle(f"Response to rheobase + {(settings.n_sweeps - 1) * settings.offset_pa:g} pA", fontsize=11)
    return label_data(figure, kind)
