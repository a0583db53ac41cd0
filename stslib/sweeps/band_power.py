"""How much of their power other cells keep in a band: recorded and hybrid sweeps, where a data mirror holds them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from stslib.io import open_source
from stslib.recordings import Recording
from stslib.support.errors import MissingInput
from stslib.sweeps import SweepSettings, band_share, power_spectrum, prepare

COLUMNS = ("data", "n_sweeps", "above_hz", "median", "low", "high")


def elsewhere(
    low_hz: float,
    high_hz: float,
    rate_hz: float = 4000.0,
    floors_hz: Sequence[float] = (0.0, 5.0, 20.0),
    n_hybrid: int = 100,
) -> pd.DataFrame:
    """Share of the power in `[low_hz, high_hz)` of the real sweeps and of hybrid cells (their second sweep).

    They are read from the data mirror that `STS_DATA_MIRROR` names. Without one, or without these files in it, the table is
    empty.

    Parameters
    ----------
    rate_hz : float
        Rate that the sweeps are brought to.
    floors_hz : sequence of float
        What counts as power: that above each of these frequencies.
    n_hybrid : int
        Hybrid cells, evenly chosen from the file.

    Returns
    -------
    DataFrame
        data (`real`, `hybrid`), n_sweeps, above_hz, median, low and high (quartiles) of the share.
    """
    rows = []
    for kind, recordings in _recordings(n_hybrid):
        settings = SweepSettings(rate_hz=rate_hz)
        x = np.stack([prepare(recording.sweeps[-1], settings) for recording in recordings])
        frequencies_hz, density = power_spectrum(x, rate_hz)
        for floor_hz in floors_hz:
            low, median, high = np.quantile(
                band_share(frequencies_hz, density, low_hz, high_hz, floor_hz), (0.25, 0.5, 0.75)
            )
            rows.append((kind, len(x), float(floor_hz), float(median), float(low), float(high)))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _recordings(n_hybrid: int) -> list[tuple[str, list[Recording]]]:
    found = []
    for name, options in (("real_sweeps", {}), ("store", {"store_path": "mirror:hybrid/hybrid.h5"})):
        try:
            source = open_source(name, **options)
            cell_ids = source.cells().cell_id
            chosen = cell_ids.iloc[np.unique(np.linspace(0, len(cell_ids) - 1, n_hybrid).astype(int))]
            found.append((source.kind, list(source.recordings(chosen))))
        except MissingInput:
            continue
    return found
