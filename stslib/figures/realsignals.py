"""Figure of notebook 08: signals of one cell of each class, over the scalograms that a network reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure, SubFigure

from stslib.figures.style import CLASS_COLOURS, RC, new_figure, say_kind
from stslib.scalograms import Bank, CloseUp


def examples(
    cells: Mapping[str, tuple[np.ndarray, np.ndarray]],
    bank: Bank,
    kind: str,
    before_s: float,
    step_s: float,
    close_up: CloseUp | None = None,
    spikes_mv: Mapping[str, np.ndarray] | None = None,
) -> Figure:
    """One cell of each class: the signal of its last channel, and that channel's scalogram as a network reads it.

    Parameters
    ----------
    cells : mapping
        Class to `(traces (c, n_samples) in mV, images (c, h, w))`, the close-up to the right where there is one.
    bank : Bank
        The wavelets.
    kind : str
        What the cells are (`stslib.figures.style.KIND_WORDS`).
    before_s, step_s : float
        Time before the step or the peak, and length of the step (0: an action potential), in s.
    close_up : CloseUp, optional
        What the close-ups show; their signal and scalogram come below.
    spikes_mv : mapping, optional
        Class to the voltage in the close-ups, `(c, n_close_up)` in mV; needed with `close_up`.
    """
    width = next(iter(cells.values()))[1].shape[-1] // (2 if close_up else 1)
    images = {label: np.asarray(images[-1], np.float32) for label, (_, images) in cells.items()}
    # As the networks' input transform does it: large coefficients are tamed by asinh.
    scale = float(np.quantile(np.abs(list(images.values())), 0.9)) or 1.0
    tamed = {label: np.arcsinh(image / scale) for label, image in images.items()}
    signals = {label: traces[-1] for label, (traces, _) in cells.items()}
    with mpl.rc_context(RC):
        figure = new_figure(10.0, 8.4 if close_up else 4.4)
        parts = figure.subfigures(2 if close_up else 1, 1, squeeze=False)[:, 0]
        unit, event = ("s", "step onset") if step_s else ("ms", "peak")
        whole = {label: image[:, :width] for label, image in tamed.items()}
        _rows(parts[0], signals, whole, bank, before_s, unit, f"Time from {event} ({unit})", scale)
        if close_up is not None and spikes_mv is not None:
            signals = {label: spikes_mv[label][-1] for label in cells}
            beside = {label: image[:, width:] for label, image in tamed.items()}
            words = "Time from the peak of the first spike (ms)"
            _rows(parts[1], signals, beside, close_up.bank(bank), close_up.before_s, "ms", words, scale)
        return say_kind(figure, kind)


def _rows(
    figure: SubFigure,
    signals: Mapping[str, np.ndarray],
    tamed: Mapping[str, np.ndarray],
    bank: Bank,
    before_s: float,
    unit: str,
    time_label: str,
    scale: float,
) -> None:
    """Signals over their images, a column a class."""
    axes = figure.subplots(2, len(signals), sharex="all", sharey="row", height_ratios=(1, 1.3), squeeze=False)
    limit = max(float(np.abs(image).max()) for image in tamed.values())
    signed = any(bool((image < 0).any()) for image in tamed.values())
    colours: dict[str, Any] = {"cmap": "magma", "vmin": 0, "vmax": limit}
    if signed:
        colours = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
    factor = 1.0 if unit == "s" else 1000.0
    drawn = None
    for (above, below), (label, v_mv) in zip(axes.T, signals.items(), strict=True):
        times = (np.arange(len(v_mv)) / bank.rate_hz - before_s) * factor
        above.plot(times, v_mv, color=CLASS_COLOURS[label], lw=0.8)
        above.set_title(label)
        image, low_hz = tamed[label], bank.frequencies_hz[0]
        spaced = np.linspace if bank.spacing == "linear" else np.geomspace
        edges = spaced(low_hz, bank.frequency_max_hz, image.shape[0] + 1)
        columns = np.linspace(times[0], times[-1], image.shape[1] + 1)
        drawn = below.pcolormesh(columns, edges, image, rasterized=True, **colours)
        below.set_yscale(bank.spacing)
    figure.supxlabel(time_label, fontsize=RC["axes.labelsize"])
    axes[0, 0].set_ylabel("Voltage (mV)")
    axes[1, 0].set_ylabel("Pseudo-frequency (Hz)")
    if drawn is not None:
        figure.colorbar(drawn, ax=axes[1].tolist(), label=f"asinh({bank.wavelet} / {scale:.3g})")
