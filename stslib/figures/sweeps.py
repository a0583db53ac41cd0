"""Figures of sweeps: what a sweep is, the rheobase and its partner, resampling, spectra."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from stslib.cohort import CLASSES
from stslib.figures.panels import TIME_LABEL
from stslib.figures.style import CLASS_COLOURS, house_style, label_data, new_figure
from stslib.recordings import Recording
from stslib.sweeps import ResamplingQuality, SweepSettings, band_power, choose_sweeps, counted, power_spectrum


@house_style
def raw_sweep(recording: Recording, kind: str, settings: SweepSettings = SweepSettings()) -> Figure:
    """The second sweep of a cell (or its only one) as recorded: voltage above current, and the part that is kept.

    Examples
    --------
    >>> from stslib import figures, io
    >>> recording = next(iter(io.open_source("simulated", n_cells=4).recordings()))
    >>> len(figures.raw_sweep(recording, "simulated").axes)
    2
    """
    sweep = choose_sweeps(recording, settings)[-1]
    v_mv, i_pa = sweep.load()
    t = np.arange(len(v_mv)) / sweep.rate_hz
    figure = new_figure(8.5, 3.8)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    every = max(1, len(t) // 60000)  # a drawing needs no more points; spikes are wider than this
    above.plot(t[::every], v_mv[::every], color=CLASS_COLOURS.get(recording.label or "", "0.15"), lw=0.7)
    below.plot(t[::every], i_pa[::every], color="0.15", lw=1)
    start, stop = sweep.onset_s - settings.before_s, sweep.onset_s + settings.step_s + settings.after_s
    for ax in (above, below):
        ax.axvspan(max(start, 0), min(stop, t[-1]), color="0.93", lw=0, zorder=0)
        ax.axvline(sweep.onset_s, color="0.4", lw=0.8, ls="--")
    words = f"sweep {sweep.number}, {sweep.stimulus_pa:g} pA, {sweep.rate_hz / 1000:g} kHz"
    above.set(title=f"{recording.label} cell, {words}" if recording.label else words, ylabel="Voltage (mV)")
    words = "Time from start of the sweep (s); grey: the part that is kept; dashed: step onset"
    below.set(xlabel=words, xlim=(t[0], t[-1]), ylabel="Current (pA)")
    return label_data(figure, kind)


@house_style
def rheobase_search(recording: Recording, kind: str, settings: SweepSettings = SweepSettings()) -> Figure:
    """Spikes against current for all sweeps of a cell, and the sweeps that are chosen (`stslib.sweeps.choose_sweeps`).

    Examples
    --------
    >>> from stslib import figures, io
    >>> recording = next(iter(io.open_source("simulated", n_cells=4).recordings()))
    >>> len(figures.rheobase_search(recording, "simulated").axes)
    3
    """
    colour, chosen = CLASS_COLOURS.get(recording.label or "", "0.15"), choose_sweeps(recording, settings)
    names = ("rheobase", "partner", "second partner") if len(chosen) > 1 else ("only sweep",)
    figure = new_figure(9.5, 3.8)
    grid = figure.add_gridspec(len(chosen), 2, width_ratios=[1, 1.5])
    left = figure.add_subplot(grid[:, 0])
    tried = [counted(sweep) for sweep in recording.sweeps]
    left.plot([s.stimulus_pa for s in tried], [s.n_spikes or 0 for s in tried], "o", mfc="none", mec="0.45", ms=5,
              label="every sweep")  # fmt: skip
    for row, (sweep, marker, name) in enumerate(zip(chosen, "sD^", names, strict=False)):
        n_spikes = sweep.n_spikes or 0
        left.plot(sweep.stimulus_pa, n_spikes, marker, color=colour, ms=8, label=f"{name}: {sweep.stimulus_pa:g} pA")
        ax = figure.add_subplot(grid[row, 1])
        v_mv, _ = sweep.load()
        t = np.arange(len(v_mv)) / sweep.rate_hz - sweep.onset_s
        shown = (t >= -settings.before_s) & (t <= settings.step_s + settings.after_s)
        ax.plot(t[shown], v_mv[shown], color=colour, lw=0.6)
        ax.set(xlim=(-settings.before_s, settings.step_s + settings.after_s), ylabel="Voltage (mV)")
        ax.set_title(f"{name}, {sweep.stimulus_pa:g} pA: {n_spikes} spike{'s' * (n_spikes != 1)}", fontsize=9.5)
        ax.tick_params(labelbottom=row == len(chosen) - 1)
    ax.set_xlabel(TIME_LABEL)
    left.set(xlabel="Current of the step (pA)", ylabel="Spikes during the step")
    left.legend(loc="upper left", fontsize=8)
    left.set_title(f"{recording.label or 'one'} cell {recording.cell_id}", fontsize=10)
    return label_data(figure, kind)


@house_style
def partners(table: pd.DataFrame, kind: str, chosen_pa: float = 40.0) -> Figure:
    """How many cells have a partner at each current above the rheobase, `chosen_pa` in colour (`sweeps.count_partners`).

    Examples
    --------
    >>> from stslib import figures
    >>> table = pd.DataFrame({"offset_pa": [20.0, 40.0], "n_cells": [3, 4], "n_rheobase": 4, "share": [0.75, 1.0]})
    >>> len(figures.partners(table, "simulated").axes)
    1
    """
    figure = new_figure(6.0, 3.0)
    ax = figure.subplots()
    colours = ["#E69F00" if abs(offset - chosen_pa) < 1e-9 else "0.7" for offset in table.offset_pa]
    bars = ax.bar([f"+{offset:g}" for offset in table.offset_pa], 100 * table.share, color=colours, width=0.7)
    ax.bar_label(bars, labels=[str(n) for n in table.n_cells], fontsize=8, padding=2)
    ax.set(ylim=(0, 112), yticks=range(0, 101, 25), ylabel="Cells that have it (%)",
           xlabel="Current of the partner above the rheobase (pA)")  # fmt: skip
    ax.set_title(f"{int(table.n_rheobase.max())} cells with a rheobase sweep; numbers: cells", fontsize=10)
    return label_data(figure, kind)


@house_style
def resampling(quality: ResamplingQuality, kind: str, chosen_hz: float = 4000.0, source: str = "as recorded") -> Figure:
    """What a lower sampling rate loses: spectra, errors of reconstruction, and one spike after the round trip.

    `quality` is that of `sweeps.resampling_quality`; what lies beyond half of `chosen_hz`, the rate that is used, is
    grey; `source` says what the spike's column raw is.

    Examples
    --------
    >>> from stslib import figures, io, sweeps
    >>> recordings = list(io.open_source("simulated", n_cells=4).recordings())
    >>> len(figures.resampling(sweeps.resampling_quality(recordings), "simulated").axes)
    3
    """
    spectra, errors, spike = quality.spectra, quality.errors, quality.spike
    style = {"hue": "label", "hue_order": [c for c in CLASSES if c in set(spectra.label)], "palette": CLASS_COLOURS}
    figure = new_figure(10.5, 3.6)
    left, middle, right = figure.subplots(1, 3)
    sns.lineplot(spectra, x="frequency_hz", y="density", ax=left, **style)
    left.axvspan(chosen_hz / 2, spectra.frequency_hz.max(), color="0.92", zorder=0)
    left.set(xscale="log", yscale="log", xlim=(spectra.frequency_hz.min(), spectra.frequency_hz.max()),
             xlabel=f"Frequency (Hz); grey: lost at {chosen_hz / 1000:g} kHz", ylabel="Power density (mV²/Hz)")  # fmt: skip
    left.legend(fontsize=8, title="median of cells", title_fontsize=8, loc="lower left")
    percent = errors.assign(khz=errors.rate_hz / 1000, percent=100 * errors.relative)
    sns.lineplot(percent, x="khz", y="percent", estimator="median", errorbar=("pi", 50), err_style="bars", marker="o",
                 legend=False, ax=middle, **style)  # fmt: skip
    middle.axvline(chosen_hz / 1000, color="0.4", lw=0.8, ls="--")
    middle.set_xscale("log", base=2)
    middle.set_xticks(sorted(set(percent.khz)), [f"{khz:g}" for khz in sorted(set(percent.khz))])
    middle.set(yscale="log", xlabel="Sampling rate after resampling (kHz)", ylabel="Error (% of the sweep's SD)")
    middle.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    middle.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    middle.yaxis.set_minor_locator(NullLocator())
    right.plot(spike.time_ms, spike.raw, color="0.6", lw=3, label=source)
    for name, dashes in zip(spike.columns[2:], (":", "--", "-", "-."), strict=False):
        chosen = float(name) == chosen_hz
        right.plot(spike.time_ms, spike[name], dashes, lw=1.4 if chosen else 1.0, color="#D55E00" if chosen else "0.2",
                   label=f"from {float(name) / 1000:g} kHz")  # fmt: skip
    right.set(xlabel="Time around a spike (ms)", ylabel="Voltage (mV)")
    right.legend(fontsize=8)
    return label_data(figure, kind)


@house_style
def spectrum_and_share(
    traces_mv: np.ndarray, labels: Sequence[str], kind: str, low_hz: float = 20.0, high_hz: float = 200.0,
    rate_hz: float = 4000.0,
) -> Figure:  # fmt: skip
    """Mean spectrum of each class of sweeps `(n, n_samples)` in mV, and the share of its power from `low_hz` to `high_hz`.

    Examples
    --------
    >>> from stslib import figures
    >>> noise_mv = np.random.default_rng(0).normal(size=(2, 4800))
    >>> len(figures.spectrum_and_share(noise_mv, ["Sst", "Pvalb"], "simulated").axes)
    2
    """
    frequencies_hz, density = power_spectrum(traces_mv, rate_hz)
    of_class = {c: np.asarray(labels) == c for c in CLASSES if c in set(labels)}
    figure = new_figure(9.0, 3.5)
    left, right = figure.subplots(1, 2, width_ratios=[1.25, 1])
    band = np.digitize(frequencies_hz, np.geomspace(1, rate_hz / 2, 61))  # averaged, or the harmonics hide the shape
    means = {c: density[rows].mean(axis=0) for c, rows in of_class.items()}
    smooth = pd.DataFrame(means, frequencies_hz).rename_axis("hz").reset_index().groupby(band).mean().loc[1:60]
    for label in of_class:
        left.plot(smooth.hz, smooth[label], color=CLASS_COLOURS[label], lw=1.3, label=label)
    left.axvspan(low_hz, high_hz, color="0.92", lw=0, zorder=0)
    highest = float(smooth[list(of_class)].max(axis=None))  # down to 1e-5 of it: without the filter's floor
    left.set(xscale="log", yscale="log", xlim=(1, rate_hz / 2), ylim=(1e-5 * highest, 3 * highest))
    left.set(xlabel=f"Frequency (Hz); grey: {low_hz:g} to {high_hz:g} Hz", ylabel="Mean power density (mV²/Hz)")
    left.legend(fontsize=8)
    shares = band_power({c: traces_mv[rows] for c, rows in of_class.items()}, low_hz, high_hz, rate_hz)
    shares["counted"] = ["all" if floor == 0 else f"above {floor:g} Hz" for floor in shares.above_hz]
    sns.barplot(shares.assign(percent=100 * shares["median"]), x="counted", y="percent", hue="data", saturation=1,
                palette=CLASS_COLOURS, legend=False, ax=right)  # fmt: skip
    for bars in right.containers:
        right.bar_label(bars, fmt="%.0f", fontsize=7)
    right.set(ylim=(0, 105), xlabel="Power that is counted", ylabel="Share inside the band (%, median)")
    return label_data(figure, kind)
