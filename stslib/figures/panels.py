"""Panels that several figures share: a sweep against time, a scalogram against time and frequency."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh

from stslib.scalograms import Bank, cwt
from stslib.sweeps import STEP_S

FREQUENCY_LABEL = "Pseudo-frequency (Hz)"
TIME_LABEL = "Time from step onset (s)"
_COLUMNS = 400  # of a drawn scalogram: no more than it has pixels


def sweep_panel(
    ax: Axes, v_mv: np.ndarray, rate_hz: float = 4000.0, before_s: float = 0.1, colour: str = "0.15", step: bool = True
) -> None:
    """A sweep in mV against s; a grey bar under it marks the step."""
    t = np.arange(len(v_mv)) / rate_hz - before_s
    ax.plot(t, v_mv, color=colour, lw=0.7)
    ax.set_xlim(t[0], t[-1])
    if step:
        ax.axvspan(0, STEP_S, ymin=0, ymax=0.025, color="0.6", lw=0)


def limit_of(values: np.ndarray) -> float:
    """Colour limit of a scalogram: the 99.5th percentile of its magnitude, so that one spike does not blacken the rest."""
    return float(np.quantile(np.abs(values), 0.995)) or 1.0


def columns_of(values: np.ndarray) -> np.ndarray:
    """The value furthest from zero in each of some 400 stretches of time, so that every spike is seen."""
    block = max(1, values.shape[-1] // _COLUMNS)
    kept = values[..., : values.shape[-1] // block * block].reshape(*values.shape[:-1], -1, block)
    at = np.abs(kept).argmax(axis=-1)
    return np.take_along_axis(kept, at[..., None], axis=-1)[..., 0]


def scalogram_image(
    ax: Axes, image: np.ndarray, bank: Bank, before_s: float, duration_s: float, limit: float = 0.0
) -> QuadMesh:
    """A real scalogram of any size over time and frequency; `limit` is where the colours end (0: from the data).

    Coefficients go from blue (below 0) over white to red, magnitudes from black to yellow.
    """
    signed, values = bool((image < 0).any()), columns_of(image)
    limit = limit or limit_of(values)
    rows = np.linspace(-0.5, bank.n_frequencies - 0.5, len(values) + 1) / bank.n_frequencies
    low, high = bank.frequency_min_hz, bank.frequency_max_hz
    edges_hz = low + (high - low) * rows if bank.spacing == "linear" else low * (high / low) ** rows
    edges_s = np.linspace(0, duration_s, values.shape[1] + 1) - before_s
    mesh = ax.pcolormesh(edges_s, edges_hz, values, cmap="RdBu_r" if signed else "magma",
                         vmin=-limit if signed else 0, vmax=limit, rasterized=True)  # fmt: skip
    ax.set(yscale=bank.spacing, ylim=(edges_hz[0], edges_hz[-1]), xlim=(edges_s[0], edges_s[-1]))
    return mesh


def scalogram_panel(
    ax: Axes, v_mv: np.ndarray, bank: Bank, before_s: float = 0.1, output: str = "coefficients", padding: str = "zero",
    limit: float = 0.0,
) -> QuadMesh:  # fmt: skip
    """`scalogram_image` of one sweep in mV; of complex coefficients the magnitude."""
    image = cwt(np.asarray(v_mv, np.float32), bank, output, padding)
    image = np.abs(image) if np.iscomplexobj(image) else image
    return scalogram_image(ax, image, bank, before_s, len(v_mv) / bank.rate_hz, limit)


def cone_of_influence(ax: Axes, bank: Bank, n_samples: int, before_s: float = 0.1) -> None:
    """Dashed lines: between them no wavelet reaches beyond the ends of the sweep."""
    for reach_s in (bank.edge_reach_s, n_samples / bank.rate_hz - bank.edge_reach_s):
        ax.plot(reach_s - before_s, bank.frequencies_hz, color="0.25", lw=1, ls="--")


def amplitude_label(bank: Bank, output: str = "coefficients") -> str:
    """What the colours of a scalogram mean."""
    word = {"coefficients": "coefficient", "magnitude": "magnitude", "energy": "energy"}[output]
    return f"{bank.wavelet} {word} (mV²)" if output == "energy" else f"{bank.wavelet} {word} (mV)"
