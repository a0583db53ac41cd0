"""Figures of notebook 02: what a sweep is, the rheobase and its partner, resampling, spectra."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from stslib.cohort import CLASSES
from stslib.figures.panels import TIME_LABEL, house_style, sweep_panel
from stslib.figures.style import CLASS_COLOURS, new_figure, say_kind
from stslib.recordings import Recording, Sweep
from stslib.sweeps import SweepPair, band_share, count_spikes, power_spectrum


@house_style
def raw_sweep(sweep: Sweep, kind: str, label: str = "", before_s: float = 0.1, after_s: float = 0.1) -> Figure:
    """A sweep as recorded: voltage above current, and the part of it that is kept."""
    v_mv, i_pa = sweep.load()
    t = np.arange(len(v_mv)) / sweep.rate_hz
    figure = new_figure(8.5, 3.8)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    every = max(1, len(t) // 60000)  # a drawing needs no more points; spikes are wider than this
    above.plot(t[::every], v_mv[::every], color=CLASS_COLOURS.get(label, "0.15"), lw=0.7)
    below.plot(t[::every], i_pa[::every], color="0.15", lw=1)
    start, stop = sweep.onset_s - before_s, sweep.onset_s + 1.0 + after_s
    for ax in (above, below):
        ax.axvspan(max(start, 0), min(stop, t[-1]), color="0.93", lw=0, zorder=0)
        ax.axvline(sweep.onset_s, color="0.4", lw=0.8, ls="--")
    above.set_title(
        f"{label} cell, sweep {sweep.number}, {sweep.stimulus_pa:g} pA, {sweep.rate_hz / 1000:g} kHz".lstrip()
    )
    above.set_ylabel("Voltage (mV)")
    below.set_ylabel("Current (pA)")
    below.set_xlabel("Time from start of the sweep (s); grey: the part that is kept; dashed: step onset")
    below.set_xlim(t[0], t[-1])
    return say_kind(figure, kind)


@house_style
def rheobase_search(recording: Recording, pair: SweepPair, kind: str, before_s: float = 0.1) -> Figure:
    """Spikes against current for all sweeps of a cell, and the two sweeps that are chosen."""
    colour = CLASS_COLOURS.get(recording.label or "", "0.15")
    figure = new_figure(9.5, 3.8)
    grid = figure.add_gridspec(2, 2, width_ratios=[1, 1.5])
    left = figure.add_subplot(grid[:, 0])
    amplitudes = [s.stimulus_pa for s in recording.sweeps]
    spikes = [s.n_spikes if s.n_spikes is not None else _counted(s) for s in recording.sweeps]
    left.plot(amplitudes, spikes, "o", mfc="none", mec="0.45", ms=5, label="every sweep")
    chosen = ((pair.rheobase, "s", "rheobase"), (pair.partner, "D", "partner"))
    for row, (sweep, marker, name) in enumerate(chosen):
        n_spikes = sweep.n_spikes if sweep.n_spikes is not None else _counted(sweep)
        left.plot(sweep.stimulus_pa, n_spikes, marker, color=colour, ms=8, label=f"{name}: {sweep.stimulus_pa:g} pA")
        ax = figure.add_subplot(grid[row, 1])
        v_mv, _ = sweep.load()
        t = np.arange(len(v_mv)) / sweep.rate_hz - sweep.onset_s
        shown = (t >= -before_s) & (t <= 1.1)
        ax.plot(t[shown], v_mv[shown], color=colour, lw=0.6)
        ax.set_xlim(-before_s, 1.1)
        ax.set_title(f"{name}, {sweep.stimulus_pa:g} pA: {n_spikes} spike{'s' * (n_spikes != 1)}", fontsize=9.5)
        ax.set_ylabel("Voltage (mV)")
        if row:
            ax.set_xlabel(TIME_LABEL)
        else:
            ax.tick_params(labelbottom=False)
    left.set_xlabel("Current of the step (pA)")
    left.set_ylabel("Spikes during the step")
    left.legend(loc="upper left", fontsize=8)
    left.set_title(f"{recording.label or 'one'} cell {recording.cell_id}", fontsize=10)
    return say_kind(figure, kind)


def _counted(sweep: Sweep) -> int:
    return count_spikes(sweep.load()[0], sweep.rate_hz, sweep.onset_s, sweep.duration_s)


@house_style
def partners(table: pd.DataFrame, kind: str, chosen_pa: float = 40.0) -> Figure:
    """How many cells keep a partner at each current above the rheobase (`stslib.sweeps.count_partners`)."""
    figure = new_figure(6.0, 3.0)
    ax = figure.subplots()
    colours = ["#E69F00" if abs(offset - chosen_pa) < 1e-9 else "0.7" for offset in table.offset_pa]
    bars = ax.bar([f"+{offset:g}" for offset in table.offset_pa], 100 * table.share, color=colours, width=0.7)
    ax.bar_label(bars, labels=[str(n) for n in table.n_cells], fontsize=8, padding=2)
    ax.set_ylim(0, 112)
    ax.set_yticks(range(0, 101, 25))
    ax.set_xlabel("Current of the partner above the rheobase (pA)")
    ax.set_ylabel("Cells that have it (%)")
    n_rheobase = int(table.n_rheobase.iloc[0]) if len(table) else 0
    ax.set_title(f"{n_rheobase} cells with a rheobase sweep; numbers: cells", fontsize=10)
    return say_kind(figure, kind)


@house_style
def raw_spectra(spectra: pd.DataFrame, kind: str, chosen_hz: float = 4000.0) -> Figure:
    """Power of raw sweeps at each frequency, and what lies beyond a lower sampling rate.

    Parameters
    ----------
    spectra : DataFrame
        Columns label, frequency_hz, density (mV^2/Hz), one row a class and band.
    kind : str
        What the data are.
    chosen_hz : float
        The rate that is used; half of it, the Nyquist frequency, is marked.
    """
    figure = new_figure(7.0, 3.4)
    axes = figure.subplots()
    for label in [c for c in CLASSES if c in set(spectra.label)]:
        one = spectra[spectra.label == label]
        axes.loglog(one.frequency_hz, one.density, color=CLASS_COLOURS[label], label=label)
    axes.axvspan(chosen_hz / 2, spectra.frequency_hz.max(), color="0.92", zorder=0)
    axes.axvline(chosen_hz / 2, color="0.4", lw=0.8, ls="--")
    axes.set_xlim(spectra.frequency_hz.min(), spectra.frequency_hz.max())
    axes.annotate(f"lost at {chosen_hz / 1000:g} kHz", (chosen_hz / 2, 0.97), (4, 0), xycoords=("data", "axes fraction"),
                  textcoords="offset points", va="top", fontsize=8)  # fmt: skip
    axes.set_xlabel("Frequency (Hz)")
    axes.set_ylabel("Power density (mV\u00b2/Hz)")
    axes.legend(fontsize=8, title="median of cells", title_fontsize=8, loc="lower left")
    return say_kind(figure, kind)


@house_style
def resampling(
    errors: pd.DataFrame, example: pd.DataFrame, kind: str, chosen_hz: float = 4000.0, given: str = "as recorded"
) -> Figure:
    """What a lower sampling rate loses.

    Parameters
    ----------
    errors : DataFrame
        Columns label, rate_hz, relative (error of reconstruction as a fraction), one row a cell and rate.
    example : DataFrame
        One spike: columns time_ms, raw, and one column a rate, in mV.
    kind : str
        What the data are.
    chosen_hz : float
        The rate that is used.
    given : str
        What `raw` is.
    """
    figure = new_figure(9.0, 3.5)
    left, right = figure.subplots(1, 2, width_ratios=[1.1, 1])
    for label in [c for c in CLASSES if c in set(errors.label)]:
        median = errors[errors.label == label].groupby("rate_hz").relative.median()
        left.plot(median.index / 1000, 100 * median, "o-", color=CLASS_COLOURS[label], ms=4, label=label)
    left.axvline(chosen_hz / 1000, color="0.4", lw=0.8, ls="--")
    left.set_xscale("log", base=2)
    left.set_yscale("log")
    ticks = sorted(set(errors.rate_hz / 1000))
    left.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    left.set_xlabel("Sampling rate after resampling (kHz)")
    left.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    left.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    left.yaxis.set_minor_locator(NullLocator())
    left.set_ylabel("Error (% of the sweep's SD)")
    left.legend(fontsize=8, title="median of cells", title_fontsize=8)
    right.plot(example.time_ms, example.raw, color="0.6", lw=3, label=given)
    styles = {1000.0: ":", 2000.0: "--", 4000.0: "-", 8000.0: "-."}
    for name in [c for c in example.columns if c not in ("time_ms", "raw")]:
        chosen = float(name) == chosen_hz
        right.plot(example.time_ms, example[name], styles.get(float(name), "-."), lw=1.4 if chosen else 1.0,
                   color="#D55E00" if chosen else "0.2", label=f"from {float(name) / 1000:g} kHz")  # fmt: skip
    right.set_xlabel("Time around a spike (ms)")
    right.set_ylabel("Voltage (mV)")
    right.legend(fontsize=8)
    return say_kind(figure, kind)


@house_style
def spectrum_and_share(
    traces_mv: np.ndarray,
    labels: Sequence[str],
    kind: str,
    low_hz: float = 20.0,
    high_hz: float = 200.0,
    rate_hz: float = 4000.0,
    floors_hz: Sequence[float] = (0.0, 5.0, 20.0),
) -> Figure:
    """Mean spectrum of each class, and the share of its power that the scalogram's band keeps.

    Parameters
    ----------
    traces_mv : ndarray, shape (n, n_samples)
        Sweeps in mV.
    labels : sequence of str
        Class of each.
    kind : str
        What the data are.
    low_hz, high_hz : float
        The band.
    rate_hz : float
        Sampling rate.
    floors_hz : sequence of float
        Power is counted from each of these up: the step itself is slow, and below some floor it is all there is.
    """
    frequencies_hz, density = power_spectrum(traces_mv, rate_hz)
    of_class = {c: np.asarray(labels) == c for c in CLASSES if c in set(labels)}
    figure = new_figure(9.0, 3.5)
    left, right = figure.subplots(1, 2, width_ratios=[1.25, 1])
    edges_hz = np.geomspace(1, rate_hz / 2, 61)
    band = np.digitize(frequencies_hz, edges_hz)  # averaged in sixtieths of the axis, or the harmonics hide the shape
    filled = [b for b in range(1, 61) if (band == b).any()]
    highest = 0.0
    for label, rows in of_class.items():
        mean = density[rows].mean(axis=0)
        smooth = [mean[band == b].mean() for b in filled]
        centres = [frequencies_hz[band == b].mean() for b in filled]
        left.plot(centres, smooth, color=CLASS_COLOURS[label], lw=1.3, label=label)
        highest = max(highest, *smooth)
    left.axvspan(low_hz, high_hz, color="0.92", lw=0, zorder=0)
    left.set_xscale("log")
    left.set_yscale("log")
    left.set_xlim(1, rate_hz / 2)
    left.set_ylim(1e-5 * highest, 3 * highest)  # below lies what the anti-aliasing filter leaves
    left.set_xlabel(f"Frequency (Hz); grey: {low_hz:g} to {high_hz:g} Hz")
    left.set_ylabel("Mean power density (mV²/Hz)")
    left.legend(fontsize=8)
    width = 0.8 / max(len(of_class), 1)
    for place, (label, rows) in enumerate(of_class.items()):
        shares = [np.nanmedian(band_share(frequencies_hz, density[rows], low_hz, high_hz, f)) for f in floors_hz]
        at = np.arange(len(floors_hz)) + (place - (len(of_class) - 1) / 2) * width
        bars = right.bar(at, 100 * np.array(shares), width=width, color=CLASS_COLOURS[label])
        right.bar_label(bars, fmt="%.0f", fontsize=7)
    right.set_ylim(0, 105)
    right.set_xticks(range(len(floors_hz)), ["all" if f == 0 else f"above {f:g} Hz" for f in floors_hz])
    right.set_xlabel("Power that is counted")
    right.set_ylabel("Share inside the band (%, median)")
    return say_kind(figure, kind)


@house_style
def real_sweeps(
    recordings: Sequence[Recording], traces_mv: np.ndarray, rate_hz: float = 4000.0, before_s: float = 0.1
) -> Figure:
    """The real sweeps, one panel each: cell, class, current, spikes."""
    rows = -(-len(recordings) // 2)
    figure = new_figure(9.0, 0.9 + 1.5 * rows)
    axes = figure.subplots(rows, 2, sharex=True, sharey=True, squeeze=False)
    for ax, recording, trace in zip(axes.flat, recordings, traces_mv, strict=False):
        sweep = recording.sweeps[0]
        sweep_panel(ax, trace, rate_hz, before_s, CLASS_COLOURS.get(recording.label or "", "0.15"))
        n_spikes = sweep.n_spikes if sweep.n_spikes is not None else _counted(sweep)
        ax.set_title(f"{recording.label}: cell {recording.cell_id}, {sweep.stimulus_pa:g} pA, {n_spikes} spikes",
                     fontsize=8.5, loc="left")  # fmt: skip
    for ax in axes[-1]:
        ax.set_xlabel(TIME_LABEL)
    for ax in axes[:, 0]:
        ax.set_ylabel("mV from rest")
    return say_kind(figure, "real")
