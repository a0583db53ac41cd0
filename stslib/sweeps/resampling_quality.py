"""What the choice of 4 kHz rests on: the spectrum of a raw sweep, and its error of reconstruction (paper, section III-B).

Both need the sweep as it was recorded. A store keeps sweeps at 4 kHz, so they are worked out when a cell is fetched.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stslib.recordings import Sweep
from stslib.sweeps.spectra import power_spectrum, reconstruction_error

#: Sampling rates that are tried, in Hz.
TRIED_HZ = (1000.0, 2000.0, 4000.0, 8000.0)
#: Edges of the bands of a spectrum, in Hz: sixth octaves from 2 Hz to 64 kHz.
EDGES_HZ = 2.0 ** np.arange(1, 16 + 1 / 12, 1 / 6)


@dataclass(frozen=True)
class Judged:
    """One raw sweep.

    Attributes
    ----------
    relative, peak_mv : ndarray, shape (4,)
        Error of reconstruction at each of `TRIED_HZ` (see `reconstruction_error`); NaN where the sweep is no faster.
    density : ndarray, shape (len(EDGES_HZ) - 1,)
        Power spectral density in mV^2/Hz, mean of each band; NaN where a band holds no bin, and above the Nyquist frequency.
    """

    relative: np.ndarray
    peak_mv: np.ndarray
    density: np.ndarray

    def packed(self) -> np.ndarray:
        """All numbers in one array, float32."""
        return np.concatenate([self.relative, self.peak_mv, self.density]).astype(np.float32)

    @classmethod
    def unpacked(cls, numbers: np.ndarray) -> Judged:
        """The inverse of `packed`."""
        n = len(TRIED_HZ)
        return cls(numbers[:n], numbers[n : 2 * n], numbers[2 * n :])


def judge(sweep: Sweep) -> Judged:
    """Spectrum and errors of reconstruction of a raw sweep.

    Raises
    ------
    StsError
        When it cannot be read.
    """
    v_mv, _ = sweep.load()
    errors = [
        reconstruction_error(v_mv, sweep.rate_hz, to_hz) if to_hz < sweep.rate_hz else (np.nan, np.nan)
        for to_hz in TRIED_HZ
    ]
    frequencies_hz, density = power_spectrum(v_mv, sweep.rate_hz)
    place = np.digitize(frequencies_hz, EDGES_HZ) - 1
    inside = (place >= 0) & (place < len(EDGES_HZ) - 1)
    n_bins = np.bincount(place[inside], minlength=len(EDGES_HZ) - 1)
    total = np.bincount(place[inside], density[inside], minlength=len(EDGES_HZ) - 1)
    with np.errstate(invalid="ignore"):
        means = total / n_bins
    relative, peak_mv = np.array(errors, float).T
    return Judged(relative, peak_mv, means)


def judged_tables(judged: Iterable[Judged], labels: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two tables of judged sweeps.

    Returns
    -------
    errors : DataFrame
        One row a sweep and rate: label, rate_hz, relative, peak_mv.
    spectra : DataFrame
        One row a class and band: label, frequency_hz (middle of the band), width_hz, density (median of the class's sweeps,
        mV^2/Hz).
    """
    found = list(judged)
    errors = (
        pd.DataFrame(
            [
                (label, rate_hz, one.relative[k], one.peak_mv[k])
                for label, one in zip(labels, found, strict=True)
                for k, rate_hz in enumerate(TRIED_HZ)
            ],
            columns=["label", "rate_hz", "relative", "peak_mv"],
        )
        .dropna()
        .reset_index(drop=True)
    )
    middle_hz, width_hz = np.sqrt(EDGES_HZ[:-1] * EDGES_HZ[1:]), np.diff(EDGES_HZ)
    rows: list[tuple[str, float, float, float]] = []
    for label in dict.fromkeys(labels):
        density = np.stack([one.density for one, other in zip(found, labels, strict=True) if other == label])
        known = np.isfinite(density).any(axis=0)
        median = np.nanmedian(density[:, known], axis=0)
        rows += [(label, *band) for band in zip(middle_hz[known], width_hz[known], median, strict=True)]
    return errors, pd.DataFrame(rows, columns=["label", "frequency_hz", "width_hz", "density"])


def share_above(spectra: pd.DataFrame, high_hz: float, floor_hz: float = 20.0) -> pd.Series:
    """Share of each class's power above `floor_hz` that lies above `high_hz`, of the spectra of `judged_tables`."""
    counted = spectra[spectra["frequency_hz"] >= floor_hz]
    power = counted["density"] * counted["width_hz"]
    high = power.where(counted["frequency_hz"] >= high_hz, 0.0)
    share: pd.Series = (
        high.groupby(counted["label"], sort=False).sum() / power.groupby(counted["label"], sort=False).sum()
    )
    return share
