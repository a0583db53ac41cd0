"""The paper's Fig. 1 (the pipeline) and Fig. 2 (spike trains of the four classes), drawn from this run's own cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Polygon, Rectangle

from stslib.cohort import CLASSES
from stslib.figures.panels import house_style, limit_of, scalogram_panel, sweep_panel
from stslib.figures.style import CLASS_COLOURS, new_figure, say_kind
from stslib.scalograms import Bank, ImageSettings, cwt_resized

_SIZE = 224  # of the drawn network input


@house_style
def pipeline(
    pair_mv: np.ndarray,
    kind: str,
    label: str = "",
    bank: Bank | None = None,
    before_s: float = 0.1,
    offset_pa: float = 40.0,
) -> Figure:
    """The paper's Fig. 1: two sweeps, their scalograms, the three-channel image, the network, the four probabilities.

    Sweeps, scalograms and image are those of the cell that is given; network and probabilities are a drawing.

    Parameters
    ----------
    pair_mv : ndarray, shape (2, n_samples)
        Rheobase and partner sweep of one cell in mV at `bank.rate_hz`, baseline taken away.
    kind : str
        What the data are (`stslib.recordings.KINDS`).
    label : str
        Class of the cell.
    bank : Bank, optional
        Wavelet and frequencies; the paper's by default.
    before_s : float
        Time before the step, in s.
    offset_pa : float
        Current of the partner above the rheobase.
    """
    bank = bank or Bank()
    figure = new_figure(11.5, 3.9)
    figure.set_layout_engine("none")  # a drawing: every part has its place
    names = ("rheobase", f"rheobase + {offset_pa:g} pA")
    for row, name in enumerate(names):
        bottom = (0.545, 0.165)[row]
        sweep, picture = figure.add_axes((0.052, bottom, 0.165, 0.265)), figure.add_axes((0.29, bottom, 0.165, 0.265))
        sweep_panel(sweep, pair_mv[row], bank.rate_hz, before_s, CLASS_COLOURS.get(label, "0.15"))
        sweep.set_ylim(float(pair_mv.min()) - 8, float(pair_mv.max()) + 8)
        sweep.set_ylabel("Voltage (mV)", fontsize=8)
        scalogram_panel(picture, pair_mv[row], bank, before_s)
        picture.set_ylabel("Pseudo-freq. (Hz)", fontsize=8)
        for ax in (sweep, picture):
            ax.tick_params(labelsize=7.5, labelbottom=row == 1)
            ax.set_title(name, fontsize=8.5, loc="left", color="0.35")
            if row == 1:
                ax.set_xlabel("Time from step onset (s)", fontsize=8)
    _draw_image(figure.add_axes((0.487, 0.13, 0.165, 0.70)), pair_mv, bank)
    _draw_network(figure.add_axes((0.682, 0.13, 0.155, 0.70)))
    _draw_probabilities(figure.add_axes((0.878, 0.20, 0.105, 0.60)), label)
    for left in (0.222, 0.458, 0.655, 0.842):
        _draw_arrow(figure.add_axes((left, 0.40, 0.028, 0.16)))
    for left, letter, title in (
        (0.052, "A", f"two sweeps, {bank.rate_hz / 1000:g} kHz"),
        (0.29, "B", "scalograms"),
        (0.487, "C", "3-channel image"),
        (0.682, "D", "convolutional network"),
        (0.878, "E", "cell type"),
    ):
        figure.text(left, 0.945, letter, fontsize=11, fontweight="bold", va="center")
        figure.text(left + 0.017, 0.945, title, fontsize=10, va="center")
    say_kind(figure, kind)
    cell = f"; one {label} cell" if label else ""
    figure.supxlabel(f"{figure.get_supxlabel()}{cell}. Network and probabilities are drawings.",
                     x=0.995, ha="right", fontsize=7.5, color="0.35")  # fmt: skip
    return figure


def _draw_image(ax: Axes, pair_mv: np.ndarray, bank: Bank) -> None:
    """The channels (rheobase, partner, rheobase again) as three cards one behind the other."""
    values = cwt_resized(np.asarray(pair_mv, np.float32), bank, ImageSettings(_SIZE, _SIZE))
    values = np.abs(values) if bank.mother.is_complex else values
    shift = 0.30 * _SIZE
    for depth, (channel, name) in enumerate(((0, "3: rheobase again"), (1, "2: + 40 pA"), (0, "1: rheobase"))):
        x, y = (2 - depth) * shift, (2 - depth) * shift
        ax.imshow(values[channel], cmap="RdBu_r", vmin=-limit_of(values), vmax=limit_of(values), origin="lower",
                  extent=(x, x + _SIZE, y, y + _SIZE), zorder=2 * depth, interpolation="bilinear")  # fmt: skip
        ax.add_patch(Rectangle((x, y), _SIZE, _SIZE, fill=False, lw=0.9, ec="0.2", zorder=2 * depth + 1))
        ax.text(x + 4, y + _SIZE - 6, name, fontsize=6.5, va="top", zorder=2 * depth + 1)
    ax.set_xlim(-2, _SIZE + 2 * shift + 2)
    ax.set_ylim(-40, _SIZE + 2 * shift + 2)
    ax.text(_SIZE / 2, -12, f"{_SIZE} x {_SIZE} pixels", ha="center", va="top", fontsize=7.5)
    ax.set_aspect("equal")
    ax.set_axis_off()


def _draw_network(ax: Axes) -> None:
    """Feature maps that shrink and grow deeper, then the fully connected layer."""
    x = 0.0
    for side, depth, shade in (
        (1.0, 0.10, "#D9E6F2"),
        (0.74, 0.16, "#B7CFE5"),
        (0.5, 0.24, "#8FB3D5"),
        (0.3, 0.34, "#6797C4"),
    ):
        slant = 0.28 * side
        front = [(x, -side / 2), (x + depth, -side / 2), (x + depth, side / 2), (x, side / 2)]
        top = [(x, side / 2), (x + slant * 0.6, side / 2 + slant * 0.5),
               (x + depth + slant * 0.6, side / 2 + slant * 0.5), (x + depth, side / 2)]  # fmt: skip
        edge = [(x + depth, -side / 2), (x + depth + slant * 0.6, -side / 2 + slant * 0.5),
                (x + depth + slant * 0.6, side / 2 + slant * 0.5), (x + depth, side / 2)]  # fmt: skip
        for face in (front, top, edge):
            ax.add_patch(Polygon(face, closed=True, fc=shade, ec="0.25", lw=0.8))
        x += depth + 0.6 * slant + 0.10
    nodes = np.linspace(-0.36, 0.36, 4)
    for y in nodes:
        ax.plot([x - 0.10, x + 0.18], [0, y], color="0.6", lw=0.6, zorder=0)
    for y, name in zip(nodes[::-1], CLASSES, strict=True):
        ax.plot(x + 0.18, y, "o", ms=7, mfc=CLASS_COLOURS[name], mec="0.25", mew=0.7)
    ax.text(0.45, -0.74, "feature extractor", ha="center", va="top", fontsize=7.5)
    ax.text(x + 0.14, -0.74, "dropout,\n4 neurons", ha="center", va="top", fontsize=7.5)
    ax.set_xlim(-0.05, x + 0.32)
    ax.set_ylim(-1.05, 0.85)
    ax.set_axis_off()


def _draw_probabilities(ax: Axes, label: str) -> None:
    """Four bars, longest for the cell's own class: a drawing, no result."""
    for row, name in enumerate(CLASSES):
        ax.barh(row, 0.82 if name == label else 0.06, color=CLASS_COLOURS[name], height=0.55)
        ax.text(0, row - 0.36, name, fontsize=8, va="bottom")
    ax.set_xlim(0, 1)
    ax.set_ylim(4.1, -1.1)
    ax.set_yticks([])
    ax.set_xticks([0, 1])
    ax.tick_params(labelsize=7.5)
    ax.set_xlabel("Probability (drawn)", fontsize=8)
    ax.spines["left"].set_visible(False)


def _draw_arrow(ax: Axes) -> None:
    ax.add_patch(FancyArrowPatch((0.02, 0.5), (0.98, 0.5), arrowstyle="-|>", mutation_scale=14, color="0.35", lw=1.4))
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.set_axis_off()


@house_style
def spike_trains(
    traces_mv: np.ndarray,
    labels: Sequence[str],
    kind: str,
    rate_hz: float = 4000.0,
    before_s: float = 0.1,
    offset_pa: float | None = 40.0,
    notes: Sequence[str] = (),
) -> Figure:
    """The paper's Fig. 2: one spike train of each class at the partner current.

    Parameters
    ----------
    traces_mv : ndarray, shape (n, n_samples)
        Sweeps in mV, baseline taken away.
    labels : sequence of str
        Class of each.
    kind : str
        What the data are (`stslib.recordings.KINDS`).
    rate_hz, before_s : float
        Sampling rate in Hz, time before the step in s.
    offset_pa : float or None
        Current above the rheobase, in pA; None where it is not known.
    notes : sequence of str, optional
        A line for each panel: the cell, its current, its spikes.
    """
    rows = -(-len(labels) // 2)
    figure = new_figure(9.0, 1.1 + 1.75 * rows)
    axes = figure.subplots(rows, 2, sharex=True, sharey=True, squeeze=False)
    for ax, trace, label, note in zip(axes.flat, traces_mv, labels, [*notes, *[""] * len(labels)], strict=False):
        sweep_panel(ax, trace, rate_hz, before_s, CLASS_COLOURS[label])
        ax.set_title(label, loc="left", color=CLASS_COLOURS[label], fontweight="bold")
        ax.set_title(note, loc="right", fontsize=8, color="0.35")
    for ax in list(axes.flat)[len(labels) :]:
        ax.set_axis_off()
    for ax in axes[-1]:
        ax.set_xlabel("Time from step onset (s)")
    for ax in axes[:, 0]:
        ax.set_ylabel("Voltage from\nrest (mV)")
    if offset_pa is not None:
        figure.suptitle(f"Response to rheobase + {offset_pa:g} pA", fontsize=11)
    return say_kind(figure, kind)
