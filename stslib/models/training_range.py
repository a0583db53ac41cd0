"""Is a cell like those that a model was trained on? Simple numbers of its sweeps, against their range in the training cells.

A network names a class for noise or a wrong gain too; and a cell inside of all ranges may be unlike in other ways.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from stslib.support.errors import DamagedFile

#: The central share of the training cells whose range is taken, and how far it is widened to either side (of its width):
#: a new cell of the same kind may well lie a little outside of a few hundred others.
CENTRAL, MARGIN = 0.99, 0.5
#: Bands of a scalogram, as shares of its rows.
BANDS = {"low": (0.0, 1 / 3), "middle": (1 / 3, 2 / 3), "high": (2 / 3, 1.0)}
#: Columns of the sweep table that count, and what they are called.
MEASURED = {
    "rheobase_pa": "current of the first sweep (pA)",
    "rheobase_spikes": "spikes of the first sweep",
    "partner_spikes": "spikes of the second sweep",
    "rest_mv": "potential before the step (mV)",
}
SWEEPS = ("first sweep", "second sweep", "third sweep")


def describe(
    images: np.ndarray, sweeps_mv: np.ndarray | None = None, table: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Simple numbers of each cell, named in words with units, one row a cell, for the training range of a model.

    Parameters
    ----------
    images, sweeps_mv : (n, c, h, w) stored scalograms, lowest frequency first, and (n, c, n_samples) prepared sweeps, mV
    table : DataFrame, as of `sweeps.extract`: current, spikes and potential before the step, where they are known

    Examples
    --------
    >>> describe(np.ones((2, 1, 6, 8)), np.zeros((2, 1, 100))).columns[0]
    'highest value of the first sweep (mV)'
    """
    found: dict[str, np.ndarray] = {}
    for column, words in MEASURED.items():
        if table is not None and column in table:
            found[words] = pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    height = images.shape[2]
    for channel, name in zip(range(images.shape[1]), SWEEPS, strict=False):
        if sweeps_mv is not None:
            traces = np.asarray(sweeps_mv[:, channel], dtype=np.float32)
            found[f"highest value of the {name} (mV)"] = traces.max(axis=1).astype(float)
            found[f"lowest value of the {name} (mV)"] = traces.min(axis=1).astype(float)
        for band, (start, stop) in BANDS.items():
            rows = slice(int(start * height), max(int(start * height) + 1, int(stop * height)))
            power = np.array([np.square(np.asarray(one[channel, rows], np.float64)).mean() for one in images])
            found[f"power of the {band} band of the {name} (dB)"] = 10 * np.log10(power + 1e-9)
    return pd.DataFrame(found)


def fit(described: pd.DataFrame) -> dict[str, list[float]]:
    """The range of each number over the training cells, `{name: [low, high]}`, widened by `MARGIN`; none without values."""
    ranges = {}
    for name, values in described.items():
        known = values.to_numpy(dtype=float)
        known = known[np.isfinite(known)]
        if len(known):
            low, high = np.quantile(known, [(1 - CENTRAL) / 2, (1 + CENTRAL) / 2])
            margin = MARGIN * (high - low)
            lowest = low - margin if known.min() < 0 else max(0.0, low - margin)  # no count and no current below 0
            ranges[str(name)] = [float(lowest), float(high + margin)]
    return ranges


def outside(described: pd.DataFrame, ranges: Mapping[str, Any]) -> list[str]:
    """Why each cell lies outside of the range: one line a cell, "" inside of it; a missing number (NaN) does not count."""
    try:
        limits = {name: (float(low), float(high)) for name, (low, high) in ranges.items()}
    except (TypeError, ValueError, AttributeError) as error:
        raise DamagedFile(f"the model's training range is damaged ({error}); use an unaltered model") from error
    reasons: list[list[str]] = [[] for _ in range(len(described))]
    for name in filter(described.__contains__, limits):
        low, high = limits[name]
        for of_cell, value in zip(reasons, described[name].to_numpy(dtype=float), strict=True):
            if np.isinf(value):
                of_cell.append(f"{name} is infinite")
            elif not np.isnan(value) and not low <= value <= high:
                of_cell.append(f"{name} is {value:.3g}, in training {low:.3g} to {high:.3g}")
    return ["; ".join(of_cell) for of_cell in reasons]
