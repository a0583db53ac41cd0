"""Which frequencies sweeps hold, and what a lower sampling rate loses of them, on which the choice of 4 kHz rests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.signal import periodogram
from scipy.stats import binned_statistic

from stslib.recordings import Recording, Sweep
from stslib.sweeps.choice import choose_sweeps
from stslib.sweeps.resampling import prepare, reconstruction_error, round_trip
from stslib.sweeps.settings import SweepSettings

#: Sampling rates that are tried, in Hz.
TRIED_HZ = (1000.0, 2000.0, 4000.0, 8000.0)
#: Edges of the bands of a spectrum, in Hz: sixth octaves from 2 Hz to 64 kHz.
EDGES_HZ = 2.0 ** np.arange(1, 16 + 1 / 12, 1 / 6)


def power_spectrum(v_mv: np.ndarray, rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies `(n_bins,)` and power density `(..., n_bins)`, mV^2/Hz, of sweeps less their mean (Hann window)."""
    frequencies_hz, density = periodogram(np.asarray(v_mv, float), rate_hz, window="hann", detrend="constant")
    return frequencies_hz, density


def band_power(
    cells: Mapping[str, np.ndarray | Sequence[Recording]], low_hz: float, high_hz: float,
    rate_hz: float = 4000.0, floors_hz: Sequence[float] = (0.0, 5.0, 20.0),
) -> pd.DataFrame:  # fmt: skip
    """Share of the power of each kind of cells that lies in `[low_hz, high_hz)`: its median and quartiles.

    `cells` holds by kind (`"simulated"`, ...) sweeps `(n, n_samples)` in mV at `rate_hz`, or recordings, whose last
    sweep counts. Power counts from each of `floors_hz` up: the step is slow, and below some floor it is all there is.
    Columns: data (the kind), n_sweeps, above_hz, median, low and high; empty without cells.

    Examples
    --------
    >>> from stslib import sweeps
    >>> tones = np.sin(2 * np.pi * np.arange(4800) / 4000 * np.array([[10], [100]])).sum(axis=0)
    >>> sweeps.band_power({"two tones": tones[None]}, 20, 200)["median"].round(2).tolist()  # above 0, 5, 20 Hz
    [0.5, 0.5, 1.0]
    """
    rows, settings = [], SweepSettings(rate_hz=rate_hz)
    for kind, sweeps in cells.items():
        x = sweeps if isinstance(sweeps, np.ndarray) else np.stack([prepare(r.sweeps[-1], settings) for r in sweeps])
        frequencies_hz, density = power_spectrum(x, rate_hz)
        inside = (frequencies_hz >= low_hz) & (frequencies_hz < high_hz)
        for floor_hz in floors_hz:
            counted = frequencies_hz >= floor_hz
            total = density[:, counted].sum(axis=-1)
            shares = density[:, inside & counted].sum(axis=-1) / np.where(total > 0, total, np.nan)
            low, median, high = np.nanquantile(shares, (0.25, 0.5, 0.75)).tolist()
            rows.append((kind, len(x), float(floor_hz), median, low, high))
    return pd.DataFrame(rows, columns=["data", "n_sweeps", "above_hz", "median", "low", "high"])


def sweep_quality(sweep: Sweep) -> np.ndarray:
    """A raw sweep's relative errors of reconstruction at `TRIED_HZ`, those of its peak in mV, and the density in each band.

    Flat, so that fetched cells can keep it; NaN where the sweep is no faster, or a band holds no bin.
    """
    v_mv, _ = sweep.load()
    nothing = (np.nan, np.nan)
    tried = [reconstruction_error(v_mv, sweep.rate_hz, hz) if hz < sweep.rate_hz else nothing for hz in TRIED_HZ]
    density = binned_statistic(*power_spectrum(v_mv, sweep.rate_hz), "mean", EDGES_HZ).statistic
    return np.concatenate([*np.transpose(tried), density])


@dataclass(frozen=True)
class ResamplingQuality:
    """What sweeps lose at lower sampling rates."""

    errors: pd.DataFrame  # a row a sweep and rate: label, rate_hz, relative, peak_mv (see `reconstruction_error`)
    spectra: pd.DataFrame  # a row a class and band: label, frequency_hz, width_hz, median density in mV^2/Hz
    spike: pd.DataFrame  # the highest one of a cell, in mV: time_ms, raw, and by rate in Hz after the round trip

    def share_above(self, high_hz: float, floor_hz: float = 20.0) -> pd.Series:
        """Share of each class's power above `floor_hz` that lies above `high_hz`."""
        included = self.spectra[self.spectra["frequency_hz"] >= floor_hz]
        table = included.assign(power=included["density"] * included["width_hz"])
        table["high"] = table["power"].where(table["frequency_hz"] >= high_hz, 0.0)
        sums = table.groupby("label", sort=False)[["high", "power"]].sum()
        return sums["high"] / sums["power"]

    def text(self, rate_hz: float = 4000.0) -> str:
        """The loss of each class in words (Markdown)."""
        above = "; ".join(f"{label} {100 * share:.2f} %" for label, share in self.share_above(rate_hz / 2).items())
        words = f"Of the power above 20 Hz, the median raw sweep holds beyond {rate_hz / 2:,.0f} Hz: {above}."
        at_rate = self.errors[self.errors["rate_hz"] == rate_hz].groupby("label")[["relative", "peak_mv"]].median()
        if at_rate.empty:
            return words
        each = at_rate.itertuples()
        lost = "; ".join(f"{one.Index} {100 * one.relative:.1f} % ({one.peak_mv:+.1f} mV at the peak)" for one in each)
        words += f"\n\nAt {rate_hz / 1000:g} kHz the median cell loses: {lost}."
        return f"{words} A plus means that the highest point is lower than recorded."


def resampling_quality(
    recordings: Sequence[Recording], settings: SweepSettings = SweepSettings(),
    measured: Sequence[np.ndarray | None] = (), n_each: int = 6,
) -> ResamplingQuality:  # fmt: skip
    """What the last chosen sweep of each cell loses at 1, 2, 4 and 8 kHz, its spectrum, and an example spike.

    `measured` holds the qualities that are known already, one a cell or None: where there are any, nothing is measured;
    otherwise `n_each` cells of each class are.

    Examples
    --------
    >>> from stslib import io, sweeps
    >>> recordings = list(io.open_source("simulated", n_cells=4).recordings())
    >>> lost = sweeps.resampling_quality(recordings).errors.groupby("rate_hz")["relative"].median()
    >>> lost.index.tolist(), lost.is_monotonic_decreasing
    ([1000.0, 2000.0, 4000.0, 8000.0], True)
    """
    known = [quality for quality in measured if quality is not None]
    every = pd.Series([recording.label or "" for recording in recordings])
    labels = every if known else every.groupby(every).head(n_each)
    chosen = [choose_sweeps(recordings[i], settings)[-1] for i in labels.index]
    n = len(TRIED_HZ)
    relative, peak_mv, density = np.split(np.array(known or list(map(sweep_quality, chosen))), [n, 2 * n], axis=1)
    errors = pd.DataFrame({"label": labels.repeat(n), "rate_hz": np.tile(TRIED_HZ, len(labels))})
    errors = errors.assign(relative=relative.ravel(), peak_mv=peak_mv.ravel()).dropna().reset_index(drop=True)
    middle_hz = pd.Index(np.sqrt(EDGES_HZ[:-1] * EDGES_HZ[1:]), name="frequency_hz")
    medians = pd.DataFrame(density, labels.rename("label"), middle_hz).groupby(level=0, sort=False).median().T
    medians.insert(0, "width_hz", np.diff(EDGES_HZ))
    spectra = medians.reset_index().melt(["frequency_hz", "width_hz"], var_name="label", value_name="density")
    spectra = spectra.dropna()[["label", "frequency_hz", "width_hz", "density"]].reset_index(drop=True)
    narrow = labels.tolist().index("Pvalb") if "Pvalb" in set(labels) else 0
    return ResamplingQuality(errors, spectra, _resampled_spike(chosen[narrow]))


def _resampled_spike(sweep: Sweep, before_s: float = 0.002, after_s: float = 0.004) -> pd.DataFrame:
    """The highest spike of a sweep as recorded and after the round trip to each of `TRIED_HZ` up to 4 kHz."""
    v_mv, _ = sweep.load()
    peak = int(np.argmax(v_mv))
    part = slice(max(peak - round(before_s * sweep.rate_hz), 0), peak + round(after_s * sweep.rate_hz))
    time_ms = (np.arange(len(v_mv))[part] - peak) / sweep.rate_hz * 1000
    tried = [hz for hz in TRIED_HZ if hz <= 4000 and hz < sweep.rate_hz]
    columns = {str(hz): round_trip(v_mv, sweep.rate_hz, hz)[part] for hz in tried}
    return pd.DataFrame({"time_ms": time_ms, "raw": v_mv[part], **columns})
