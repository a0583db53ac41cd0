"""Figures of notebook 03: what wavelets see, and how exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from stslib.figures import panels
from stslib.figures.panels import FREQUENCY_LABEL, limit_of
from stslib.figures.style import CLASS_COLOURS, house_style, label_data, new_figure
from stslib.scalograms import Bank, cwt

_ORANGE, _BLUE, _GREEN = "#D55E00", "#0072B2", "#009E73"
_SHOWN_HZ, _GAP_S, _TONES_HZ = (20.0, 60.0, 180.0), 0.025, (70.0, 110.0)  # of `compare_wavelets`: rows, pulses, tones


@house_style
def scalograms(
    traces: Mapping[str, np.ndarray], images: Mapping[str, np.ndarray], bank: Bank, kind: str,
    before_s: float = 0.0, scale: str = "", cone: bool = False,
) -> Figure:  # fmt: skip
    """Signals over their scalograms, side by side; or several scalograms of one signal, one under the other.

    `traces` holds by name `(n_samples,)` in mV at `bank.rate_hz`, one for each of `images` or for all; `images` by name
    `(height, width)` from `cwt` or `cwt_resized`, over the band and the signal. `before_s` is the time before the step's
    onset, `scale` the image whose colours hold for all (by default each has its own); `cone` draws dashed lines,
    outside of which the ends have a say.

    Examples
    --------
    >>> sine, bank = np.sin(2 * np.pi * 60 * np.arange(4800) / 4000), Bank(n_frequencies=30)
    >>> len(scalograms({"sine": sine}, {"sine": cwt(sine, bank)}, bank, "a formula").axes)  # with a colour bar
    3
    """
    shapes = {name: np.abs(image) if np.iscomplexobj(image) else np.asarray(image) for name, image in images.items()}
    limits = {name: limit_of(panels.columns_of(image)) for name, image in shapes.items()}
    n_rows = 2 if len(traces) == len(images) else 1 + len(images)
    figure = new_figure(max(7.5, 2.8 * len(traces)), 4.2 if n_rows == 2 else 1.5 + 1.7 * len(images))
    heights = [1] + [1.6] * (n_rows - 1)
    axes = figure.subplots(n_rows, len(traces), sharex=True, sharey="row", squeeze=False, height_ratios=heights)
    for ax, (name, trace) in zip(axes[0], traces.items(), strict=True):
        colour = CLASS_COLOURS.get(name.split(" ")[0], "0.15")
        panels.sweep_panel(ax, trace, bank.rate_hz, before_s, colour, step=before_s > 0)
        ax.set_title(name, fontsize=9.5)
        ax.set_ylabel("Signal (mV)")
    for ax, (name, image) in zip(axes[1:].T.ravel(), shapes.items(), strict=True):
        duration_s = len(traces.get(name, next(iter(traces.values())))) / bank.rate_hz
        mesh = panels.scalogram_image(ax, image, bank, before_s, duration_s, limits[scale or name])
        if cone:
            panels.cone_of_influence(ax, bank, round(duration_s * bank.rate_hz), before_s)
        word = "Coefficient" if (image < 0).any() else "Magnitude"
        figure.colorbar(mesh, ax=ax, label=f"{word} (mV)" if n_rows > 2 or ax is axes[-1, -1] else "", pad=0.02)
        if n_rows > 2:
            ax.text(0.008, 0.93, name, transform=ax.transAxes, fontsize=8.5, va="top",
                    bbox={"color": "white", "alpha": 0.8, "pad": 2})  # fmt: skip
        ax.set(xlabel=panels.TIME_LABEL if before_s else "Time (s)")
        ax.set(ylabel=FREQUENCY_LABEL if n_rows == 2 else "Pseudo-freq. (Hz)")
    for ax in axes.flat:
        ax.label_outer()
    return label_data(figure, kind)


@house_style
def compare_wavelets(banks: Sequence[Bank]) -> Figure:
    """What each wavelet trades between time and frequency, a column a bank.

    From above: the wavelet in some rows; its spectrum in these rows, with their names dashed; and, as magnitudes, two
    pulses close in time and two tones close in frequency, both marked by triangles.

    Examples
    --------
    >>> len(compare_wavelets([Bank(n_frequencies=30), Bank("cmor10-1.0", n_frequencies=30)]).axes)
    8
    """
    figure = new_figure(3.4 * len(banks), 8.4)
    axes = figure.subplots(4, len(banks), squeeze=False, sharey="row")
    for (above, below, first, second), bank in zip(axes.T, banks, strict=True):
        mother = bank.mother
        for colour, frequency_hz in zip((_BLUE, _GREEN, _ORANGE), _SHOWN_HZ, strict=True):
            scale_s = mother.central_frequency / frequency_hz
            t, hz = np.linspace(-0.15, 0.15, 6001), np.linspace(0, 600, 2401)
            psi = mother.psi(t / scale_s)
            above.plot(1000 * t, psi.real / np.abs(psi).max(), color=colour, lw=1.2, label=f"{frequency_hz:g} Hz")
            if mother.spectrum is not None:
                size = np.abs(mother.spectrum(np.sign(mother.peak_rad) * 2 * np.pi * hz * scale_s))
                below.plot(hz, size / size.max(), color=colour, lw=1.2)
            below.axvline(frequency_hz, color=colour, lw=0.8, ls="--")
        above.set(title=bank.wavelet, xlabel="Time (ms)")
        below.set(xlabel="Frequency (Hz)", xlim=(0, 600))
        t = np.arange(round(bank.rate_hz)) / bank.rate_hz  # 1 s, so that the longest wavelet fits; the middle is shown
        at_s = np.array([0.5 - _GAP_S / 2, 0.5 + _GAP_S / 2])
        pulses = np.sum([np.exp(-(((t - one) / 0.0006) ** 2)) for one in at_s], axis=0)
        tones = np.sum([np.sin(2 * np.pi * tone_hz * t) for tone_hz in _TONES_HZ], axis=0)
        for ax, x in ((first, pulses), (second, tones)):
            magnitude = cwt(x, bank, "magnitude", padding="reflect")
            panels.scalogram_image(ax, magnitude, bank, 0.5, 1.0, limit_of(magnitude))
            ax.set(xlabel="Time (s)", xlim=(-0.25, 0.25))
        first.plot(at_s - 0.5, [0.97, 0.97], "v", color="#56B4E9", ms=4, transform=first.get_xaxis_transform())
        second.plot([0.97, 0.97], _TONES_HZ, "<", color="#56B4E9", ms=4, transform=second.get_yaxis_transform())
    axes[0, 0].legend(title="row", fontsize=8, title_fontsize=8, loc="upper right")
    axes[0, 0].set_ylabel("Wavelet (peak = 1)")
    axes[1, 0].set_ylabel("Spectrum (peak = 1)")
    axes[2, 0].set_ylabel(f"Two pulses {1000 * _GAP_S:g} ms apart\n{FREQUENCY_LABEL}")
    axes[3, 0].set_ylabel(f"Tones of {_TONES_HZ[0]:g} and {_TONES_HZ[1]:g} Hz\n{FREQUENCY_LABEL}")
    return label_data(figure, "formulas (no cell)")


@house_style
def bank_response(bank: Bank, sine_hz: float = 60.0) -> Figure:
    """How strongly each row answers to each frequency, and all rows to a sinusoid of `sine_hz`, in L1 and in L2.

    Examples
    --------
    >>> len(bank_response(Bank(n_frequencies=30)).axes)  # with a colour bar
    3
    """
    hz = np.linspace(1, min(2.5 * bank.frequency_max_hz, bank.rate_hz / 2), 500)
    mother, rows_hz = bank.mother, bank.frequencies_hz
    figure = new_figure(9.5, 3.8)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1.5, 1])
    if mother.spectrum is not None:
        rad = np.sign(mother.peak_rad) * 2 * np.pi * hz / bank.rate_hz
        size = np.abs(mother.spectrum(np.outer(bank.scales, rad)))
        mesh = left.pcolormesh(hz, rows_hz, size / size.max(axis=1, keepdims=True), cmap="magma", shading="nearest",
                               rasterized=True)  # fmt: skip
        figure.colorbar(mesh, ax=left, label="Response (largest of a row = 1)", pad=0.02)
    left.plot(rows_hz, rows_hz, color="black", lw=1.3, ls="--", label="the row's name")
    left.plot(bank.peak_frequencies_hz, rows_hz, color="#56B4E9", lw=1.2, label="its peak")
    left.axvline(sine_hz, color="white", lw=0.9, ls=":")
    left.set(xlim=(hz[0], hz[-1]), ylim=(rows_hz[0], rows_hz[-1]), xlabel="Frequency of a sinusoid (Hz)",
             ylabel="Pseudo-frequency of the row (Hz)", title=f"{bank.wavelet}: {bank.n_frequencies} rows")  # fmt: skip
    left.legend(loc="lower right", labelcolor="black", fontsize=8, frameon=True, facecolor="white")
    x = np.sin(2 * np.pi * sine_hz * np.arange(8000) / bank.rate_hz)
    for name, colour in (("L2", _BLUE), ("L1", _ORANGE)):
        strength = np.sqrt((np.abs(cwt(x, replace(bank, normalisation=name)))[:, 2000:6000] ** 2).mean(axis=-1))
        strongest_hz = rows_hz[strength.argmax()]
        right.plot(strength / strength.max(), rows_hz, color=colour, label=f"{name}: {strongest_hz:.1f} Hz")
    right.axhline(sine_hz, color="0.3", lw=0.9, ls=":", label=f"the sinusoid: {sine_hz:.1f} Hz")
    right.set(xlabel="Strength for one sinusoid (largest = 1)", xlim=(0, 1.05))
    right.legend(title="strongest row", fontsize=8, title_fontsize=8)
    return label_data(figure, "formulas (no cell)")


@house_style
def pywt_error(errors: pd.DataFrame, wavelet: str) -> Figure:
    """Relative error of each way of computing, row by row (`errors` from `scalograms.errors_by_frequency`).

    Examples
    --------
    >>> from stslib.scalograms import errors_by_frequency
    >>> len(pywt_error(errors_by_frequency(Bank(n_frequencies=5), n_samples=1000), "mexh").axes)
    1
    """
    figure = new_figure(7.5, 3.4)
    ax = figure.subplots()
    ours = [(name, f"this package, {name}", _BLUE, line) for name, line in (("float32", "-"), ("float64", "--"))]
    for name, words, colour, line in (("pywt", "PyWavelets", _ORANGE, "-"), *ours):
        total = errors.attrs["total"][name]
        in_all = f"{100 * total:.1f} %" if total > 1e-3 else f"{total:.0e}"
        ax.plot(errors.frequency_hz, errors[name], line, color=colour, label=f"{words}: {in_all} in all")
    ax.set(yscale="log", ylim=(1e-17, 3), xlabel=FREQUENCY_LABEL, ylabel="Relative L2 error")
    ax.set_title(f"{wavelet} of white noise, against direct evaluation", fontsize=10)
    ax.legend(fontsize=8, loc="center", bbox_to_anchor=(0.5, 0.33))
    return label_data(figure, "white noise (no cell)")
