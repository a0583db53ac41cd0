"""Resampling quality, on which the choice of 4 kHz rests: the spectrum of raw sweeps, and what a round trip loses.

A fetched cell keeps its sweeps at 4 kHz, so it is measured when it is fetched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import binned_statistic

from stslib.recordings import Recording, Sweep
from stslib.sweeps.choice import choose_sweeps
from stslib.sweeps.resampling import reconstruction_error, round_trip
from stslib.sweeps.settings import SweepSettings
from stslib.sweeps.spectra import power_spectrum

#: Sampling rates that are tried, in Hz.
TRIED_HZ = (1000.0, 2000.0, 4000.0, 8000.0)
#: Edges of the bands of a spectrum, in Hz: sixth octaves from 2 Hz to 64 kHz.
EDGES_HZ = 2.0 ** np.arange(1, 16 + 1 / 12, 1 / 6)


@dataclass(frozen=True)
class SweepQuality:
    """Of one raw sweep: the errors of reconstruction at `TRIED_HZ`, `(4,)`, and the density in each band, mV^2/Hz.

    NaN where the sweep is no faster, or a band holds no bin.
    """

    relative: np.ndarray
    peak_mv: np.ndarray
    density: np.ndarray

    def packed(self) -> np.ndarray:
        """All numbers in one array, float32."""
        return np.concatenate([self.relative, self.peak_mv, self.density]).astype(np.float32)

    @classmethod
    def unpacked(cls, numbers: np.ndarray) -> SweepQuality:
        """The inverse of `packed`."""
        n = len(TRIED_HZ)
        return cls(numbers[:n], numbers[n : 2 * n], numbers[2 * n :])


def sweep_quality(sweep: Sweep) -> SweepQuality:
    """Spectrum and errors of reconstruction of a raw sweep; `StsError` when it cannot be read."""
    v_mv, _ = sweep.load()
    errors = np.full((len(TRIED_HZ), 2), np.nan)
    for row, to_hz in enumerate(TRIED_HZ):
        if to_hz < sweep.rate_hz:
            errors[row] = reconstruction_error(v_mv, sweep.rate_hz, to_hz)
    means = binned_statistic(*power_spectrum(v_mv, sweep.rate_hz), "mean", EDGES_HZ).statistic
    return SweepQuality(errors[:, 0], errors[:, 1], means)


@dataclass(frozen=True)
class ResamplingQuality:
    """What sweeps lose at lower sampling rates.

    `errors`: a row a sweep and rate (label, rate_hz, relative, peak_mv, see `reconstruction_error`). `spectra`: a row a
    class and band (label, frequency_hz, width_hz, median density in mV^2/Hz). `spike`: the highest spike of one cell
    (time_ms, raw, and by rate in Hz the round trip, in mV).
    """

    errors: pd.DataFrame
    spectra: pd.DataFrame
    spike: pd.DataFrame

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
        at_rate = self.errors[self.errors["rate_hz"] == rate_hz].groupby("label")[["relative", "peak_mv"]].median()
        lost = "; ".join(
            f"{label} {100 * row.relative:.1f} % ({row.peak_mv:+.1f} mV at the peak)"
            for label, row in at_rate.iterrows()
        )
        words = f"Of the power above 20 Hz, the median raw sweep holds beyond {rate_hz / 2:,.0f} Hz: {above}."
        if lost:
            words += f"\n\nAt {rate_hz / 1000:g} kHz the median cell loses: {lost}. "
            words += "A plus means that the highest point is lower than recorded."
        return words


def resampling_quality(
    recordings: Sequence[Recording],
    settings: SweepSettings = SweepSettings(),
    measured: Sequence[SweepQuality | None] = (),
    n_each: int = 6,
) -> ResamplingQuality:
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
    labels = pd.Series([recording.label or "" for recording in recordings])
    index = labels.index if known else labels.groupby(labels).head(n_each).index
    chosen = [choose_sweeps(recordings[i], settings)[-1] for i in index]
    qualities = known or [sweep_quality(sweep) for sweep in chosen]
    errors, spectra = _tables(qualities, list(labels[index]))
    narrow = list(labels[index]).index("Pvalb") if "Pvalb" in set(labels) else 0
    return ResamplingQuality(errors, spectra, _resampled_spike(chosen[narrow]))


def _tables(qualities: Sequence[SweepQuality], labels: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`errors` and `spectra` of `ResamplingQuality`."""
    errors = pd.concat(
        pd.DataFrame({"label": label, "rate_hz": TRIED_HZ, "relative": one.relative, "peak_mv": one.peak_mv})
        for label, one in zip(labels, qualities, strict=True)
    )
    middle_hz = pd.Index(np.sqrt(EDGES_HZ[:-1] * EDGES_HZ[1:]), name="frequency_hz")
    density = pd.DataFrame([one.density for one in qualities], columns=middle_hz)
    medians = density.groupby(pd.Index(labels, name="label"), sort=False).median().T
    medians.insert(0, "width_hz", np.diff(EDGES_HZ))
    spectra = medians.reset_index().melt(["frequency_hz", "width_hz"], var_name="label", value_name="density").dropna()
    columns = ["label", "frequency_hz", "width_hz", "density"]
    return errors.dropna().reset_index(drop=True), spectra[columns].reset_index(drop=True)


def _resampled_spike(sweep: Sweep, before_s: float = 0.002, after_s: float = 0.004) -> pd.DataFrame:
    """The highest spike of a sweep as recorded and after the round trip to each of `TRIED_HZ` up to 4 kHz."""
    v_mv, _ = sweep.load()
    peak = int(np.argmax(v_mv))
    part = slice(max(peak - round(before_s * sweep.rate_hz), 0), peak + round(after_s * sweep.rate_hz))
    time_ms = (np.arange(len(v_mv))[part] - peak) / sweep.rate_hz * 1000
    tried = [hz for hz in TRIED_HZ if hz <= 4000 and hz < sweep.rate_hz]
    columns = {str(hz): round_trip(v_mv, sweep.rate_hz, hz)[part] for hz in tried}
    return pd.DataFrame({"time_ms": time_ms, "raw": v_mv[part], **columns})
