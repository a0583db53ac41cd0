"""Figure of notebook 08: signals of one cell of each class, over the scalograms that a network reads."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure, SubFigure

from stslib.cohort import CLASSES
from stslib.figures.panels import FREQUENCY_LABEL
from stslib.figures.style import CLASS_COLOURS, RC, house_style, label_data, new_figure
from stslib.models.signals import Signals
from stslib.scalograms import Bank
from stslib.sweeps import typical_cells


@house_style
def signal_examples(cells: Signals) -> Figure:
    """Of each class the cell whose highest voltage is the median: its last sweep, and the scalogram that a network reads.

    Close-ups stand below, with the voltage that they show.

    Parameters
    ----------
    cells : Signals, from `models.prepare_signals`

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
    figure = new_figure(10.0, 8.4 if close_up else 4.4)
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
    return label_data(figure, cells.kind)


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
        above.plot(times, v_mv, color=CLASS_COLOURS[label], lw=0.8)
        above.set_title(label)
        edges_hz = spaced(bank.frequencies_hz[0], bank.frequency_max_hz, image.shape[0] + 1)
        columns = np.linspace(times[0], times[-1], image.shape[1] + 1)
        mesh = below.pcolormesh(columns, edges_hz, image, vmax=limit, rasterized=True, **colours)
        below.set_yscale(bank.spacing)
    figure.supxlabel(f"Time from {event} ({unit})", fontsize=RC["axes.labelsize"])
    axes[0, 0].set_ylabel("Voltage (mV)")
    axes[1, 0].set_ylabel(FREQUENCY_LABEL)
    return mesh, axes[1].tolist()
