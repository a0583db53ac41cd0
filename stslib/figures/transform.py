"""Figures of notebook 03: wavelets, what they see, and how exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stslib.figures.panels import (
    FREQUENCY_LABEL,
    TIME_LABEL,
    amplitude_label,
    columns_of,
    cone_of_influence,
    house_style,
    limit_of,
    scalogram_panel,
    sweep_panel,
)
from stslib.figures.style import CLASS_COLOURS, new_figure, say_kind
from stslib.scalograms import Bank, ImageSettings, cwt, cwt_resized

FORMULA = "synthetic signals (a formula, no cell)"
_ORANGE, _BLUE, _GREEN, _PURPLE = "#D55E00", "#0072B2", "#009E73", "#AA4499"


@house_style
def wavelets(banks: Sequence[Bank], shown_hz: Sequence[float] = (20.0, 60.0, 180.0)) -> Figure:
    """Each bank's wavelet at some frequencies: in time above, its spectrum below, with the name of the row marked."""
    figure = new_figure(4.4 * len(banks), 4.6)
    axes = figure.subplots(2, len(banks), squeeze=False)
    colours = (_BLUE, _GREEN, _ORANGE, _PURPLE)
    for (above, below), bank in zip(axes.T, banks, strict=True):
        mother = bank.mother
        for colour, frequency_hz in zip(colours, shown_hz, strict=False):
            scale_s = mother.central_frequency / frequency_hz
            t = np.linspace(-0.15, 0.15, 6001)
            psi = mother.psi(t / scale_s)
            above.plot(1000 * t, psi.real / np.abs(psi).max(), color=colour, lw=1.2, label=f"{frequency_hz:g} Hz")
            hz = np.linspace(0, 600, 2401)
            if mother.spectrum is None:
                continue
            size = np.abs(mother.spectrum(np.sign(mother.peak_rad) * 2 * np.pi * hz * scale_s))
            below.plot(hz, size / size.max(), color=colour, lw=1.2)
            below.axvline(frequency_hz, color=colour, lw=0.8, ls="--")
        above.set_title(f"{bank.wavelet}: central frequency {mother.central_frequency:g}, peak {mother.peak_frequency:.4f}",
                        fontsize=9.5)  # fmt: skip
        above.set_xlabel("Time (ms)")
        below.set_xlabel("Frequency (Hz); dashed: the row's name")
        below.set_xlim(0, 600)
        above.legend(title="row", fontsize=8, title_fontsize=8, loc="upper right")
    axes[0, 0].set_ylabel("Wavelet (peak = 1)")
    axes[1, 0].set_ylabel("Spectrum (peak = 1)")
    return say_kind(figure, "formulas")


def shapes(rate_hz: float = 4000.0, duration_s: float = 1.2, before_s: float = 0.1) -> dict[str, np.ndarray]:
    """Four signals of rising likeness to a spike train, each `(n_samples,)`, of size 1.

    A sine; a low tone and then a high one; one pulse of 1 ms; a train of pulses at 40 Hz that stops after 0.6 s.
    """
    t = np.arange(round(rate_hz * duration_s)) / rate_hz - before_s
    on = (t >= 0) & (t < duration_s - 2 * before_s)

    def pulse(at_s: float) -> np.ndarray:
        value: np.ndarray = np.exp(-(((t - at_s) / 0.0006) ** 2))
        return value

    return {
        "one sine, 60 Hz": np.sin(2 * np.pi * 60 * t) * on,
        "40 Hz, then 120 Hz": np.where(t < 0.5, np.sin(2 * np.pi * 40 * t), np.sin(2 * np.pi * 120 * t)) * on,
        "one pulse": pulse(0.5),
        "40 pulses a second, then silence": sum((pulse(k / 40) for k in range(25)), start=np.zeros(len(t))),
    }


@house_style
def sine_to_train(bank: Bank, before_s: float = 0.1) -> Figure:
    """Four test signals above their scalograms: from a sine to a spike train."""
    signals = shapes(bank.rate_hz, before_s=before_s)
    figure = new_figure(11.0, 4.0)
    axes = figure.subplots(2, len(signals), sharex=True, sharey="row", height_ratios=[1, 2])
    for column, (name, x) in enumerate(signals.items()):
        sweep_panel(axes[0, column], x, bank.rate_hz, before_s, step=False)
        axes[0, column].set_title(name, fontsize=9.5)
        scalogram_panel(axes[1, column], x, bank, before_s)
        axes[1, column].set_xlabel("Time (s)")
    axes[0, 0].set_ylabel("Signal")
    axes[1, 0].set_ylabel(FREQUENCY_LABEL)
    return say_kind(figure, FORMULA)


@house_style
def trade(banks: Sequence[Bank], gap_s: float = 0.025, tones_hz: tuple[float, float] = (70.0, 110.0)) -> Figure:
    """Two pulses close in time and two tones close in frequency, seen by each bank (magnitudes)."""
    rate_hz = banks[0].rate_hz
    t = np.arange(round(rate_hz)) / rate_hz  # 1 s, so that the longest wavelet fits; the middle is shown
    pulses = np.sum([np.exp(-(((t - 0.5 - side * gap_s / 2) / 0.0006) ** 2)) for side in (-1, 1)], axis=0)
    tones = np.sum([np.sin(2 * np.pi * tone_hz * t) for tone_hz in tones_hz], axis=0)
    cases = {
        f"two pulses {1000 * gap_s:g} ms apart": pulses,
        f"two tones, {tones_hz[0]:g} and {tones_hz[1]:g} Hz": tones,
    }
    figure = new_figure(2.9 + 2.7 * len(banks), 4.3)
    axes = figure.subplots(2, 1 + len(banks), sharex=True, squeeze=False)
    for row, (name, x) in zip(axes, cases.items(), strict=True):
        sweep_panel(row[0], x, rate_hz, 0.0, step=False)
        row[0].set_title(name, fontsize=9.5)
        row[0].set_ylabel("Signal")
        for ax, bank in zip(row[1:], banks, strict=True):
            scalogram_panel(ax, x, bank, 0.0, "magnitude", padding="reflect")
            ax.set_title(bank.wavelet, fontsize=9.5)
            ax.set_xlim(0.25, 0.75)
        row[1].set_ylabel(FREQUENCY_LABEL)
    for ax in axes[-1]:
        ax.set_xlabel("Time (s)")
    return say_kind(figure, FORMULA)


@house_style
def compare_wavelets(
    trace_mv: np.ndarray, banks: Sequence[Bank], kind: str, label: str = "", before_s: float = 0.1
) -> Figure:
    """One sweep and its scalogram (magnitude) by each bank, one under the other, on one time axis."""
    figure = new_figure(8.0, 1.6 + 1.75 * len(banks))
    axes = figure.subplots(1 + len(banks), 1, sharex=True)
    sweep_panel(axes[0], trace_mv, banks[0].rate_hz, before_s, CLASS_COLOURS.get(label, "0.15"))
    axes[0].set_ylabel("mV from rest")
    axes[0].set_title(f"{label} cell" if label else "sweep", fontsize=10)
    for ax, bank in zip(axes[1:], banks, strict=True):
        mesh = scalogram_panel(ax, trace_mv, bank, before_s, "magnitude")
        ax.set_ylabel("Pseudo-freq. (Hz)")
        ax.text(0.008, 0.93, f"{bank.wavelet}, magnitude", transform=ax.transAxes, color="white", fontsize=9, va="top",
                bbox={"color": "black", "alpha": 0.6, "pad": 2})  # fmt: skip
        figure.colorbar(mesh, ax=ax, label="mV", pad=0.01)
    axes[-1].set_xlabel(TIME_LABEL)
    return say_kind(figure, kind)


@house_style
def normalisations(trace_mv: np.ndarray, bank: Bank, kind: str, before_s: float = 0.1) -> Figure:
    """One sweep in L2 and in L1, and how large the rows are on the whole."""
    figure = new_figure(9.5, 3.3)
    axes = figure.subplots(1, 3, width_ratios=[1.3, 1.3, 1])
    for ax, name, colour in zip(axes, ("L2", "L1"), (_BLUE, _ORANGE), strict=False):
        own = replace(bank, normalisation=name)
        mesh = scalogram_panel(ax, trace_mv, own, before_s)
        ax.set_title(f"{name}: divided by {'√a' if name == 'L2' else 'a'}", fontsize=10)
        ax.set_xlabel(TIME_LABEL)
        figure.colorbar(mesh, ax=ax, pad=0.02, label="mV")
        size = np.sqrt((np.abs(cwt(np.asarray(trace_mv, np.float32), own)) ** 2).mean(axis=-1))
        axes[2].plot(size / size.max(), bank.frequencies_hz, color=colour, label=name)
    axes[0].set_ylabel(FREQUENCY_LABEL)
    axes[2].set_xlabel("Root mean square of a row\n(largest = 1)")
    axes[2].set_xlim(0, 1.05)
    axes[2].set_ylim(axes[0].get_ylim())
    axes[2].tick_params(labelleft=False)
    axes[2].legend()
    return say_kind(figure, kind)


@house_style
def edges(kept_mv: np.ndarray, bank: Bank, kind: str, before_s: float = 0.1) -> Figure:
    """The same sweep with its resting potential kept, taken away, and mirrored at the ends.

    Parameters
    ----------
    kept_mv : ndarray, shape (n_samples,)
        A sweep with its baseline kept, in mV.
    """
    x = np.asarray(kept_mv, np.float64)
    subtracted = x - x[: round(before_s * bank.rate_hz)].mean()
    cases: list[tuple[str, np.ndarray, str]] = [
        ("resting potential kept, zeros beyond", x, "zero"),
        ("taken away, zeros beyond", subtracted, "zero"),
        ("kept, mirrored beyond", x, "reflect"),
    ]
    limit = limit_of(columns_of(cwt(subtracted, bank)))
    figure = new_figure(10.0, 3.4)
    axes = figure.subplots(1, 3, sharey=True)
    for ax, (name, v, padding) in zip(axes, cases, strict=True):
        mesh = scalogram_panel(ax, v, bank, before_s, padding=padding, limit=limit)
        cone_of_influence(ax, bank, len(v), before_s)
        ax.set_title(name, fontsize=9.5)
        ax.set_xlabel(TIME_LABEL)
    axes[0].set_ylabel(FREQUENCY_LABEL)
    figure.colorbar(mesh, ax=list(axes), label=amplitude_label(bank), pad=0.01, fraction=0.04)
    return say_kind(figure, kind)


@house_style
def pywt_error(errors: pd.DataFrame, wavelet: str) -> Figure:
    """Relative error of each way of computing, row by row (`stslib.scalograms.errors_by_frequency`)."""
    figure = new_figure(7.5, 3.4)
    ax = figure.subplots()
    styles = {
        "pywt": ("PyWavelets", _ORANGE, "-"),
        "float32": ("this package, float32", _BLUE, "-"),
        "float64": ("this package, float64", _BLUE, "--"),
    }
    for name, (words, colour, style) in styles.items():
        ax.plot(errors.frequency_hz, errors[name], style, color=colour, label=f"{words}: {_total(errors, name)} in all")
    ax.set_yscale("log")
    ax.set_ylim(1e-17, 3)
    ax.set_xlabel(FREQUENCY_LABEL)
    ax.set_ylabel("Relative L2 error")
    ax.set_title(f"{wavelet} of white noise, against direct evaluation", fontsize=10)
    ax.legend(fontsize=8, loc="center", bbox_to_anchor=(0.5, 0.33))
    return say_kind(figure, "white noise (no cell)")


def _total(errors: pd.DataFrame, name: str) -> str:
    total = errors.attrs.get("total", {}).get(name, float(np.sqrt((errors[name] ** 2).mean())))
    return f"{100 * total:.1f} %" if total > 1e-3 else f"{total:.0e}"


@house_style
def model_resolution(
    trace_mv: np.ndarray, bank: Bank, sizes: Sequence[tuple[int, int]], kind: str, label: str = ""
) -> Figure:
    """One sweep's scalogram whole, and at the sizes that networks read, in pixels.

    The whole one is drawn so that no spike is lost. The others are what a bilinear resize gives: it reads two neighbouring
    samples a column and none of those between, so a small image loses spikes and shows slow patterns that are not there.
    """
    x = np.asarray(trace_mv, np.float32)
    full = cwt(x, bank)
    images = [full, *(cwt_resized(x, bank, ImageSettings(*size)) for size in sizes)]
    images = [np.abs(image) if bank.mother.is_complex else image for image in images]
    limit = limit_of(columns_of(images[0]))
    figure = new_figure(10.0, 3.0)
    axes = figure.subplots(1, len(images), squeeze=False)[0]
    signed = not bank.mother.is_complex
    for ax, image in zip(axes, images, strict=True):
        shown = columns_of(image) if image is images[0] else image
        ax.imshow(shown, cmap="RdBu_r" if signed else "magma", vmin=-limit if signed else 0, vmax=limit, origin="lower",
                  aspect="auto", interpolation="nearest", extent=(0, image.shape[1], 0, image.shape[0]))  # fmt: skip
        megabytes = image.size * (4 if image is images[0] else 2) / 1e6
        kind_of_number = "float32" if image is images[0] else "float16"
        ax.set_title(f"{image.shape[0]} x {image.shape[1]}\n{megabytes:.2g} MB ({kind_of_number})", fontsize=9)
        ax.set_xlabel("Column")
    axes[0].set_ylabel(f"Row{' (' + label + ' cell)' if label else ''}")
    return say_kind(figure, kind)


@house_style
def bank_response(bank: Bank) -> Figure:
    """How much each row answers to each frequency (largest of a row = 1), with the row's name and its peak."""
    hz = np.linspace(1, min(2.5 * bank.frequency_max_hz, bank.rate_hz / 2), 500)
    mother = bank.mother
    figure = new_figure(6.5, 3.6)
    ax = figure.subplots()
    if mother.spectrum is not None:
        rad = np.sign(mother.peak_rad) * 2 * np.pi * hz / bank.rate_hz
        size = np.abs(mother.spectrum(np.outer(bank.scales, rad)))
        mesh = ax.pcolormesh(hz, bank.frequencies_hz, size / size.max(axis=1, keepdims=True), cmap="magma",
                             shading="nearest", rasterized=True)  # fmt: skip
        figure.colorbar(mesh, ax=ax, label="Answer (largest of a row = 1)", pad=0.02)
    ax.plot(bank.frequencies_hz, bank.frequencies_hz, color="black", lw=1.3, ls="--", label="the row's name")
    ax.plot(bank.peak_frequencies_hz, bank.frequencies_hz, color="#56B4E9", lw=1.2, label="its peak")
    ax.set_ylim(bank.frequencies_hz[0], bank.frequencies_hz[-1])
    ax.set_xlim(hz[0], hz[-1])
    ax.set_xlabel("Frequency of a sinusoid (Hz)")
    ax.set_ylabel(f"{FREQUENCY_LABEL[:-5]} of the row (Hz)")
    ax.legend(loc="lower right", labelcolor="black", fontsize=8, frameon=True, facecolor="white")
    ax.set_title(f"{bank.wavelet}: {bank.n_frequencies} rows", fontsize=10)
    return say_kind(figure, "formulas")


@house_style
def ridge(bank: Bank, sine_hz: float = 100.0) -> Figure:
    """How strong each row is for one sinusoid, in L1 and L2: where the ridge lies and what the row is called."""
    x = np.sin(2 * np.pi * sine_hz * np.arange(8000) / bank.rate_hz)
    figure = new_figure(6.5, 3.2)
    ax: Axes = figure.subplots()
    for name, colour in (("L2", _BLUE), ("L1", _ORANGE)):
        own = replace(bank, normalisation=name)
        strength = np.sqrt((np.abs(cwt(x, own))[:, 2000:6000] ** 2).mean(axis=-1))
        ax.plot(
            own.frequencies_hz, strength / strength.max(), color=colour, label=f"{name}: {_top(own, strength):.1f} Hz"
        )
    ax.axvline(sine_hz, color="0.3", lw=0.9, ls="--", label=f"the sinusoid: {sine_hz:g} Hz")
    ax.set_xlabel(f"{FREQUENCY_LABEL[:-5]} of the row (Hz)")
    ax.set_ylabel("Strength (largest = 1)")
    ax.legend(title="strongest row", fontsize=8, title_fontsize=8)
    return say_kind(figure, FORMULA)


def _top(bank: Bank, strength: np.ndarray) -> float:
    return float(bank.frequencies_hz[int(strength.argmax())])
