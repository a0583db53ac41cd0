"""Where saliency lies, as numbers over many cells: in time, in frequency, around spikes (paper section IV.B).

The paper reads its statements off two single maps. `measures` and `statements` put a number and an interval to each.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from stslib.cohort import CLASSES
from stslib.scalograms import Bank
from stslib.sweeps import STEP_S, firing

#: Parts of a sweep, in s from the onset of the step (half-open), and thirds of the scalogram's rows.
WINDOWS_S = {
    "before the step": (-np.inf, 0.0),
    "first 100 ms": (0.0, 0.1),
    "rest of the step": (0.1, STEP_S),
    "after the step": (STEP_S, np.inf),
}
BANDS = ("low", "middle", "high")
#: Half the width of a window around a spike, in s.
AROUND_S = 0.05


def image_axes(
    bank: Bank, height: int, width: int, before_s: float, duration_s: float
) -> tuple[np.ndarray, np.ndarray]:
    """Frequency in Hz of each row `(height,)` and time from step onset in s of each column `(width,)`, at their centres."""
    rows = (np.arange(height) + 0.5) * bank.n_frequencies / height - 0.5
    frequencies_hz = np.interp(rows, np.arange(bank.n_frequencies), bank.frequencies_hz)
    return frequencies_hz, (np.arange(width) + 0.5) * duration_s / width - before_s


def normalised(maps: np.ndarray) -> np.ndarray:
    """Maps `(n, h, w)` scaled to a sum of 1, in float64; a map of zeros becomes NaN."""
    total = maps.sum(axis=(1, 2), keepdims=True, dtype=float)
    return np.divide(maps, total, where=total > 0, out=np.full(maps.shape, np.nan))


def shares(maps: np.ndarray, times_s: np.ndarray) -> pd.DataFrame:
    """Share of each map's saliency in each of `WINDOWS_S` and in each third of the rows.

    Parameters
    ----------
    maps : (n, h, w) array
        Saliency, rows from low to high frequency.
    times_s : (w,) array
        Time of the columns from step onset.

    Returns
    -------
    DataFrame
        One row a cell; columns `window:<name>` add up to 1, and so do `band:<name>`.
    """
    whole = normalised(maps)
    by_time, by_row = whole.sum(axis=1), whole.sum(axis=2)
    columns = {f"window:{k}": by_time[:, (times_s >= a) & (times_s < b)].sum(axis=1) for k, (a, b) in WINDOWS_S.items()}
    third = np.arange(maps.shape[1]) * len(BANDS) // maps.shape[1]
    columns |= {f"band:{name}": by_row[:, third == k].sum(axis=1) for k, name in enumerate(BANDS)}
    columns = {name: np.where(np.isnan(by_time[:, 0]), np.nan, values) for name, values in columns.items()}
    return pd.DataFrame(columns)


def enrichment(maps: np.ndarray, times_s: np.ndarray, centre_s: np.ndarray, half_s: float = AROUND_S) -> np.ndarray:
    """Mean saliency within `half_s` of each cell's `centre_s` over that of the whole map: `(n,)`; 1 means no preference."""
    by_time = normalised(maps).sum(axis=1)
    near = np.abs(times_s[None] - np.asarray(centre_s, dtype=float)[:, None]) <= half_s
    covered = near.mean(axis=1)
    inside = np.where(near, by_time, 0).sum(axis=1)
    return np.divide(inside, covered, where=covered > 0, out=np.full(len(maps), np.nan))


def measures(
    maps: np.ndarray, frequencies_hz: np.ndarray, times_s: np.ndarray, first_s: np.ndarray, last_s: np.ndarray
) -> pd.DataFrame:
    """What the paper reads off its maps (section IV.B), as numbers, one row a cell.

    Parameters
    ----------
    maps, times_s
        As for `shares`.
    frequencies_hz : (h,) array
        Frequency of the rows.
    first_s, last_s : (n,) array
        First and last spike from step onset; NaN without one.

    Returns
    -------
    DataFrame
        The `shares`; `first_spike` and `burst_end` (`enrichment` around the first spike; around the last one, where the
        train ends at least 0.1 s before the step does, else NaN); `breadth`, the share of the time that the saliency
        fills (exp of its entropy over time, 1 if even); `centre_hz`, its mean frequency.
    """
    table, whole = shares(maps, times_s), normalised(maps)
    by_time = whole.sum(axis=1)
    last_s = np.asarray(last_s, dtype=float)
    table["first_spike"] = enrichment(maps, times_s, first_s)
    table["burst_end"] = enrichment(maps, times_s, np.where(last_s < STEP_S - 2 * AROUND_S, last_s, np.nan))
    logs = np.log(by_time, where=by_time > 0, out=np.zeros_like(by_time))
    table["breadth"] = np.exp(-(by_time * logs).sum(axis=1)) / by_time.shape[1]
    table["centre_hz"] = (whole.sum(axis=2) * frequencies_hz).sum(axis=1)
    return table


def spike_marks(traces_mv: np.ndarray, channel: str | int, rate_hz: float, before_s: float) -> pd.DataFrame:
    """First spike and end of the train of each cell, for `measures`.

    Parameters
    ----------
    traces_mv : (n, 2, n_samples) array
        Prepared sweeps, rheobase and partner.
    channel : "max" or int
        Whose saliency it is. For "max" the first spike is the partner's; the end is the partner's if its train ends
        early, else the rheobase sweep's.
    rate_hz, before_s : float
        Sampling rate, and time before the step.

    Returns
    -------
    DataFrame
        `first_s`, `last_s` from step onset; NaN without a spike, or, for the end, with fewer than three (no train).
    """
    fired = [firing(np.asarray(traces_mv[:, k]), rate_hz, before_s) for k in (0, 1)]
    ends = [table["last_s"].where(table["n_spikes"] >= 3) for table in fired]
    which = 1 if channel == "max" else int(channel)
    last_s = ends[which]
    if channel == "max":
        last_s = last_s.where(last_s < STEP_S - 2 * AROUND_S, ends[0])
    return pd.DataFrame({"first_s": fired[which]["first_s"], "last_s": last_s})


def mean_interval(values: np.ndarray, n_bootstrap: int, seed: int) -> tuple[float, float, float, np.ndarray]:
    """Mean of the values that are numbers, its 95 % bootstrap interval, and the resampled means; NaN without any."""
    kept = np.asarray(values, dtype=float)[np.isfinite(values)]
    if not len(kept):
        return np.nan, np.nan, np.nan, np.full(n_bootstrap, np.nan)
    means = kept[np.random.default_rng(seed).integers(0, len(kept), (n_bootstrap, len(kept)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(kept.mean()), float(low), float(high), means


def by_class(table: pd.DataFrame, labels: Sequence[str] | np.ndarray, n_bootstrap: int, seed: int) -> pd.DataFrame:
    """Mean and interval of each column of `measures` for each class: columns class, measure, value, low, high, n."""
    rows = []
    for label in CLASSES:
        part = table[np.asarray(labels) == label]
        for name in table.columns:
            value, low, high, _ = mean_interval(part[name].to_numpy(), n_bootstrap, seed)
            rows.append((label, name, value, low, high, int(part[name].notna().sum())))
    return pd.DataFrame(rows, columns=["class", "measure", "value", "low", "high", "n"])


#: The paper's statements (section IV.B): words, class, class it is compared with, measure, value if it did not hold.
STATEMENTS = (
    ("Excitatory: saliency lies around the first spike", "Excitatory", "", "first_spike", 1.0),
    ("Excitatory: saliency lies at low frequencies", "Excitatory", "", "band:low", 1 / 3),
    ("Pvalb: saliency is spread more broadly in time than for Excitatory", "Pvalb", "Excitatory", "breadth", 0.0),
    ("Pvalb: saliency lies at higher frequencies than for Excitatory", "Pvalb", "Excitatory", "centre_hz", 0.0),
    ("Pvalb: saliency lies where the burst ends", "Pvalb", "", "burst_end", 1.0),
)


def statements(
    table: pd.DataFrame, untrained: pd.DataFrame, labels: Sequence[str] | np.ndarray, n_bootstrap: int, seed: int
) -> pd.DataFrame:
    """The paper's statements on saliency, each held against cells, and against networks that have learnt nothing.

    An untrained network's maps are not even either: strides, borders and the scalogram itself leave their mark. So a
    statement counts only if it is more true of the trained network.

    Parameters
    ----------
    table : DataFrame
        `measures` of the trained network's maps.
    untrained : DataFrame
        The same for re-initialised networks (mean over several), same rows.
    labels : (n,) of str
        Classes of the rows.
    n_bootstrap, seed : int
        Resamples of cells, and their seed.

    Returns
    -------
    DataFrame
        statement, measure, value, low, high (95 % bootstrap), even (the value if the statement did not hold), gain,
        gain_low, gain_high (value minus that of the untrained networks), n, verdict: "holds" if the intervals of value and
        gain lie above `even` and 0; "not shown to be learnt" if only that of the value does; "does not hold" if the
        value's lies below `even`; else "undecided". "too few cells" with fewer than five.
    """
    names, rows = np.asarray(labels), []
    for words, label, other, measure, even in STATEMENTS:
        found = []
        for column in (table[measure], table[measure] - untrained[measure]):
            value, low, high, means = mean_interval(column[names == label].to_numpy(), n_bootstrap, seed)
            if other:
                mean, _, _, against = mean_interval(column[names == other].to_numpy(), n_bootstrap, seed + 1)
                value, (low, high) = value - mean, (float(q) for q in np.quantile(means - against, [0.025, 0.975]))
            found += [value, low, high]
        n = min(int(table.loc[names == one, measure].notna().sum()) for one in (label, other or label))
        if n < 5:
            verdict = "too few cells"
        elif found[1] > even:
            verdict = "holds" if found[4] > 0 else "not shown to be learnt"
        else:
            verdict = "does not hold" if found[2] < even else "undecided"
        rows.append((words, measure, *found[:3], even, *found[3:], n, verdict))
    columns = ["statement", "measure", "value", "low", "high", "even", "gain", "gain_low", "gain_high", "n", "verdict"]
    return pd.DataFrame(rows, columns=columns)
