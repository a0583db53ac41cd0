"""Figure of notebook 08: signals of one cell of each class, over the scalograms that a network reads."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from stslib.figures.style import CLASS_COLOURS, RC, new_figure, say_kind
from stslib.scalograms import Bank


def examples(
    cells: Mapping[str, tuple[np.ndarray, np.ndarray]], bank: Bank, kind: str, before_s: float, step_s: float
) -> Figure:
    """One cell of each class: the signal of its last channel, and that channel's scalogram as a network reads it.

    Parameters
    ----------
    cells : mapping
        Class to `(traces (c, n_samples) in mV, images (c, h, w))`.
    bank : Bank
        The wavelets.
    kind : str
        What the cells are (`stslib.figures.style.KIND_WORDS`).
    before_s, step_s : float
        Time before the step or the peak, and length of the step (0: an action potential), in s.
    """
    unit, factor = ("s", 1.0) if step_s else ("ms", 1000.0)
    event = "step onset" if step_s else "peak"
    frequencies = bank.frequencies_hz
    with mpl.rc_context(RC):
        figure = new_figure(10.0, 4.4)
        axes = figure.subplots(2, len(cells), sharex="all", sharey="row", height_ratios=(1, 1.3), squeeze=False)
        # As the networks' input transform does it: large coefficients are tamed by asinh.
        scale = float(np.quantile([np.abs(images[-1].astype(np.float32)) for _, images in cells.values()], 0.9)) or 1.0
        tamed = {label: np.arcsinh(images[-1].astype(np.float32) / scale) for label, (_, images) in cells.items()}
        limit = max(float(np.abs(image).max()) for image in tamed.values())
        drawn = None
        for (above, below), (label, (traces, _)) in zip(axes.T, cells.items(), strict=True):
            n = traces.shape[-1]
            times = (np.arange(n) / bank.rate_hz - before_s) * factor
            above.plot(times, traces[-1], color=CLASS_COLOURS[label], lw=0.8)
            above.set_title(label)
            image = tamed[label]
            signed = bool((image < 0).any())
            edges = np.geomspace(frequencies[0], bank.frequency_max_hz, image.shape[0] + 1)
            if bank.spacing == "linear":
                edges = np.linspace(frequencies[0], bank.frequency_max_hz, image.shape[0] + 1)
            columns = np.linspace(times[0], times[-1], image.shape[1] + 1)
            colours = (
                {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
                if signed
                else {"cmap": "magma", "vmin": 0, "vmax": limit}
            )
            drawn = below.pcolormesh(columns, edges, image, rasterized=True, **colours)
            below.set_yscale(bank.spacing)
            below.set_xlabel(f"Time from {event} ({unit})")
        axes[0, 0].set_ylabel("Voltage (mV)")
        axes[1, 0].set_ylabel("Pseudo-frequency (Hz)")
        if drawn is not None:
            figure.colorbar(drawn, ax=axes[1].tolist(), label=f"asinh({bank.wavelet} / {scale:.3g})")
        return say_kind(figure, kind)
