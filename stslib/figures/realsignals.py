"""Figure of notebook 08: signals of one cell of each class, over the scalograms that a network reads."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure, SubFigure

from stslib.cohort import CLASSES
from stslib.figures.panels import FREQUENCY_LABEL, house_style
from stslib.figures.style import CLASS_COLOURS, RC, label_data, new_figure
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
    preprocessing, typical = cells.preprocessing, typical_cells(list(cells.labels), cells.traces.max(axis=(1, 2)))
    shown, close_up = {label: typical[label] for label in CLASSES if label in typical}, preprocessing.image.close_up
    images = {label: np.asarray(cells.images[k, -1], np.float32) for label, k in shown.items()}
    # As the networks' input transform does it: large coefficients are compressed by asinh.
    scale = float(np.quantile(np.abs(list(images.values())), 0.9)) or 1.0
    images = {label: np.arcsinh(image / scale) for label, image in images.items()}
    figure = new_figure(10.0, 8.4 if close_up else 4.4)
    parts = figure.subfigures(2 if close_up else 1, 1, squeeze=False)[:, 0]
    unit, event = ("s", "step onset") if preprocessing.sweeps.step_s else ("ms", "peak")
    panels = {label: (cells.traces[k, -1], images[label][:, : preprocessing.image.width]) for label, k in shown.items()}
    _rows(
        parts[0],
        panels,
        preprocessing.bank,
        preprocessing.sweeps.before_s,
        (unit, f"Time from {event} ({unit})", scale),
    )
    if close_up:
        spikes_mv = close_up.cut(cells.traces[list(shown.values())], preprocessing.sweeps)[:, -1]
        beside = [images[label][:, preprocessing.image.width :] for label in shown]
        panels = dict(zip(shown, zip(spikes_mv, beside, strict=True), strict=True))
        words = ("ms", "Time from the peak of the first spike (ms)", scale)
        _rows(parts[1], panels, close_up.bank(preprocessing.bank), close_up.before_s, words)
    return label_data(figure, cells.kind)


def _rows(
    figure: SubFigure,
    panels: dict[str, tuple[np.ndarray, np.ndarray]],
    bank: Bank,
    before_s: float,
    words: tuple[str, str, float],
) -> None:
    """Signals over their images, a column a class; `words` are the unit and label of time, and the scale of asinh."""
    unit, time_label, scale = words
    axes = figure.subplots(2, len(panels), sharex="all", sharey="row", height_ratios=(1, 1.3), squeeze=False)
    limit = max(float(np.abs(image).max()) for _, image in panels.values())
    signed = any(bool((image < 0).any()) for _, image in panels.values())
    colours: dict[str, Any] = {"cmap": "RdBu_r", "vmin": -limit} if signed else {"cmap": "magma", "vmin": 0}
    spaced, factor = np.linspace if bank.spacing == "linear" else np.geomspace, 1.0 if unit == "s" else 1000.0
    for (above, below), (label, (v_mv, image)) in zip(axes.T, panels.items(), strict=True):
        times = (np.arange(len(v_mv)) / bank.rate_hz - before_s) * factor
        above.plot(times, v_mv, color=CLASS_COLOURS[label], lw=0.8)
        above.set_title(label)
        edges_hz = spaced(bank.frequencies_hz[0], bank.frequency_max_hz, image.shape[0] + 1)
        columns = np.linspace(times[0], times[-1], image.shape[1] + 1)
        mesh = below.pcolormesh(columns, edges_hz, image, vmax=limit, rasterized=True, **colours)
        below.set_yscale(bank.spacing)
    figure.supxlabel(time_label, fontsize=RC["axes.labelsize"])
    axes[0, 0].set_ylabel("Voltage (mV)")
    axes[1, 0].set_ylabel(FREQUENCY_LABEL)
    figure.colorbar(mesh, ax=axes[1].tolist(), label=f"asinh({bank.wavelet} / {scale:.3g})")
