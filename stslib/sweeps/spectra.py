"""Which frequencies sweeps hold: power spectra, and the share of their power that lies in a band (paper, section III-B)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.signal import periodogram

from stslib.recordings import Recording
from stslib.sweeps.resampling import prepare
from stslib.sweeps.settings import SweepSettings


def power_spectrum(v_mv: np.ndarray, rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies `(n_bins,)` and power density `(..., n_bins)`, mV^2/Hz, of sweeps less their mean under a Hann
    window.
    """
    frequencies_hz, density = periodogram(np.asarray(v_mv, float), rate_hz, window="hann", detrend="constant")
    return frequencies_hz, density


def band_power(
    cells: Mapping[str, np.ndarray | Sequence[Recording]],
    low_hz: float,
    high_hz: float,
    rate_hz: float = 4000.0,
    floors_hz: Sequence[float] = (0.0, 5.0, 20.0),
) -> pd.DataFrame:
    """Share of the power of each kind of cells that lies in `[low_hz, high_hz)`: its median and quartiles.

    `cells` holds by kind (`"simulated"`, ...) sweeps `(n, n_samples)` in mV at `rate_hz`, or recordings, whose last
    sweep counts. Power counts from each of `floors_hz` up: the step is slow, and below some floor it is all there is.

    Returns
    -------
    DataFrame : data (the kind), n_sweeps, above_hz, median, low and high; empty without cells

    Examples
    --------
    >>> from stslib import sweeps
    >>> tones = np.sin(2 * np.pi * np.arange(4800) / 4000 * np.array([[10], [100]])).sum(axis=0)
    >>> sweeps.band_power({"two tones": tones[None]}, 20, 200)["median"].round(2).tolist()  # above 0, 5, 20 Hz
    [0.5, 0.5, 1.0]
    """
    rows = []
    for kind, sweeps in cells.items():
        settings = SweepSettings(rate_hz=rate_hz)
        x = sweeps if isinstance(sweeps, np.ndarray) else np.stack([prepare(r.sweeps[-1], settings) for r in sweeps])
        frequencies_hz, density = power_spectrum(x, rate_hz)
        inside = (frequencies_hz >= low_hz) & (frequencies_hz < high_hz)
        for floor_hz in floors_hz:
            counted = frequencies_hz >= floor_hz
            total = density[:, counted].sum(axis=-1)
            shares = density[:, inside & counted].sum(axis=-1) / np.where(total > 0, total, np.nan)
            low, median, high = np.nanquantile(shares, (0.25, 0.5, 0.75))
            rows.append((kind, len(x), float(floor_hz), float(median), float(low), float(high)))
    return pd.DataFrame(rows, columns=["data", "n_sweeps", "above_hz", "median", "low", "high"])
