"""How exact a transform is, row by row, and what notebook 03 concludes."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pandas as pd

from stslib.scalograms.bank import Bank
from stslib.scalograms.transform import cwt
from stslib.support.errors import ScalogramWarning


def direct_evaluation(x: np.ndarray, bank: Bank) -> np.ndarray:
    """The sum that defines the transform of a sweep `(n_samples,)` in zeros, term by term in float64; slow, a check."""
    n_samples = len(x)
    rows = []
    for scale in bank.scales:
        reach = math.ceil(min(bank.mother.half_support * scale, n_samples - 1))
        wavelet = np.conj(bank.mother.psi(np.arange(-reach, reach + 1) / scale))[::-1]
        rows.append(np.convolve(np.asarray(x, np.float64), wavelet)[reach:][:n_samples] / bank.factor(scale))
    return np.array(rows)


def errors_by_frequency(bank: Bank, n_samples: int = 4800, seed: int = 0) -> pd.DataFrame:
    """Error of each way of computing, against direct evaluation, on white noise: the same power at every frequency.

    Columns: frequency_hz, and relative L2 errors: pywt (`pywt.cwt` in float64), float32 and float64 (this package);
    those over all rows together in `attrs["total"]`. `n_samples` and `seed` are of the noise.

    Examples
    --------
    >>> errors = errors_by_frequency(Bank(n_frequencies=5), n_samples=1000)
    >>> errors.attrs["total"]["pywt"] > 0.01 > 1e-5 > errors.attrs["total"]["float32"]
    True
    """
    x = np.random.default_rng(seed).standard_normal(n_samples)
    exact = direct_evaluation(x, bank)
    with warnings.catch_warnings():  # the same zeros lie beyond the ends in all of them
        warnings.simplefilter("ignore", ScalogramWarning)
        single, double, by_pywt = cwt(x.astype(np.float32), bank), cwt(x, bank), cwt(x, bank, backend="pywt")
    table, total = pd.DataFrame({"frequency_hz": bank.frequencies_hz}), {}
    for name, values in {"pywt": by_pywt, "float32": single, "float64": double}.items():
        table[name] = np.linalg.norm(values - exact, axis=1) / np.linalg.norm(exact, axis=1)
        total[name] = float(np.linalg.norm(values - exact) / np.linalg.norm(exact))
    table.attrs["total"] = total
    return table


def conclusion(bank: Bank, errors: pd.DataFrame, shares: pd.DataFrame) -> str:
    """What the scalograms of a run show, as two paragraphs of Markdown.

    `errors` is from `errors_by_frequency`, `shares` from `sweeps.band_power` of the run's cells: above_hz, and median,
    the share of their power inside the band.

    Examples
    --------
    >>> errors = errors_by_frequency(Bank(n_frequencies=5), n_samples=1000)
    >>> shares = pd.DataFrame({"above_hz": [0.0, 20.0], "median": [0.1, 0.75]})
    >>> "holds 10 % of all power and 75 % of that above 20 Hz" in conclusion(Bank(), errors, shares)
    True
    """
    share, pywt = dict(zip(shares.above_hz, shares["median"], strict=True)), errors.attrs["total"]["pywt"]
    floor_hz, rest = max(share), "so it holds most of what is faster than the step"
    if share[floor_hz] < 0.5:
        rest = "and more than half of what is faster than the step lies above it, in the shape of the spikes"
    others = f"PyWavelets is off by {100 * pywt:.0f} %" if pywt >= 0.005 else "PyWavelets agrees within half a per cent"
    return (
        "A scalogram shows *when* a cell fires (the lines), *how fast* (the band), and *when it stops* (the end of "
        "both). It says little about the shape of a single spike, which lies at higher frequencies than the paper's "
        "band holds.\n\n"
        f"In this run: {bank.n_frequencies} rows of `{bank.wavelet}` from {bank.frequencies_hz[0]:g} to "
        f"{bank.frequencies_hz[-1]:.4g} Hz. The band holds {100 * share[0.0]:.0f} % of all power and "
        f"{100 * share[floor_hz]:.0f} % of that above {floor_hz:g} Hz, {rest}. On white noise {others}, and this "
        f"package by {errors.attrs['total']['float32']:.0e}: by the rounding of float32 alone."
    )
