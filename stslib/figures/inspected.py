"""The picture of `sts inspect`: what was read from one file, and which of its sweeps are used."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from stslib.figures.style import SERIES, house_style, label_data, new_figure

COLOURS = {
    "rheobase": SERIES[0][0],
    "partner": SERIES[1][0],
    "second partner": SERIES[2][0],
    "available": "0.55",
    "": "0.8",
}
_SHOWN_AS = {"available": "could be used", "": "left out"}


@house_style
def file_sweeps(
    table: pd.DataFrame, traces: Iterable[tuple[int, float, np.ndarray, np.ndarray]], kind: str = "real"
) -> Figure:
    """Response over command of every sweep of one file, and spikes against current; the chosen sweeps in colour.

    `table` is that of `Files.sweep_table` for one file; `traces` are sweep number, rate in Hz, voltage in mV and current in pA.
    """
    figure = new_figure(10.5, 5.2)
    grid = figure.add_gridspec(2, 2, width_ratios=[2.4, 1], height_ratios=[2, 1])
    above = figure.add_subplot(grid[0, 0])
    below, counts = figure.add_subplot(grid[1, 0], sharex=above), figure.add_subplot(grid[:, 1])
    uses, order = table.set_index("sweep")["use"], list(COLOURS)
    for number, rate_hz, v_mv, i_pa in sorted(traces, key=lambda trace: -order.index(uses[trace[0]])):
        width = 0.8 if uses[number] in order[:3] else 0.5
        style: dict[str, Any] = {"color": COLOURS[uses[number]], "lw": width, "rasterized": True}
        above.plot(np.arange(len(v_mv)) / rate_hz, v_mv, **style)
        below.plot(np.arange(len(i_pa)) / rate_hz, i_pa, **style)
    above.set(
        ylabel="Response (mV)",
        title=f"{table['cell_id'].iloc[0]}: {len(table)} sweeps, {(table['use'] != '').sum()} usable",
    )
    above.tick_params(labelbottom=False)
    below.set(xlabel="Time (s)", ylabel="Command (pA)")
    for use in order:
        rows = table[(table["use"] == use) & table["current_pa"].notna() & table["n_spikes"].notna()]
        named = f"{use}: sweep {rows['sweep'].iloc[0]}" if len(rows) and use in order[:3] else _SHOWN_AS.get(use, use)
        if (table["use"] == use).any():
            counts.plot(rows["current_pa"], rows["n_spikes"].astype(float), "o", color=COLOURS[use], label=named, ms=5)
    counts.set(xlabel="Current (pA)", ylabel="Action potentials", title="Choice")
    counts.legend(fontsize=8, loc="upper left")
    return label_data(figure, kind)
