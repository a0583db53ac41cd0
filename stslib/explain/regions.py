"""Where saliency lies, over many cells: in time, in frequency, around spikes; the paper reads it off two single maps (IV.B)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stslib.cohort import CLASSES
from stslib.explain.saliency import SWEEPS, Maps
from stslib.scalograms import Bank, Preprocessing
from stslib.support.errors import StsError
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

#: The paper's statements (section IV.B): words, class, class it is compared with, measure, value without preference.
STATEMENTS = (
    ("Excitatory: saliency lies around the first spike", "Excitatory", "", "first_spike", 1.0),
    ("Excitatory: saliency lies at low frequencies", "Excitatory", "", "band:low", 1 / 3),
    ("Pvalb: saliency is spread more broadly in time than for Excitatory", "Pvalb", "Excitatory", "breadth", 0.0),
    ("Pvalb: saliency lies at higher frequencies than for Excitatory", "Pvalb", "Excitatory", "centre_hz", 0.0),
    ("Pvalb: saliency lies where the burst ends", "Pvalb", "", "burst_end", 1.0),
)


@dataclass(frozen=True)
class ImageAxes:
    """Rows in Hz, lowest first, and columns in s from step onset of an image: centres `(h,)`, `(w,)`, and their edges."""

    frequencies_hz: np.ndarray
    times_s: np.ndarray
    frequency_edges_hz: np.ndarray
    time_edges_s: np.ndarray


def image_axes(bank: Bank, height: int, width: int, before_s: float, duration_s: float) -> ImageAxes:
    """Axes of images of `height` x `width` pixels of a sweep of `duration_s`, of which `before_s` lie before the step."""
    edges = np.linspace(-0.5, bank.n_frequencies - 0.5, height + 1)
    centres = (np.arange(height) + 0.5) * bank.n_frequencies / height - 0.5
    hz = (np.interp(rows, np.arange(bank.n_frequencies), bank.frequencies_hz) for rows in (centres, edges))
    times_s = (np.arange(width) + 0.5) * duration_s / width - before_s
    return ImageAxes(next(hz), times_s, next(hz), np.linspace(0, duration_s, width + 1) - before_s)


def axes_of(preprocessing: Preprocessing) -> ImageAxes:
    """Axes of the images of whole sweeps that this preprocessing makes."""
    if preprocessing.ready_made:
        why = "this run starts from ready-made scalograms, without sweeps to show beside them"
        raise StsError(f"{why}; run notebooks 1 to 5 only")
    image, sweeps = preprocessing.image, preprocessing.sweeps
    return image_axes(preprocessing.bank, image.height, image.width, sweeps.before_s, sweeps.n_samples / sweeps.rate_hz)


def spike_marks(traces_mv: np.ndarray, sweep: str, rate_hz: float, before_s: float) -> pd.DataFrame:
    """First spike and end of the train of each cell, `first_s`, `last_s` from step onset, of sweeps `(n, 2, n_samples)` in mV.

    NaN without a spike, or for the end of fewer than three. "max": the partner's; its end only if that comes early.
    """
    fired = [firing(np.asarray(traces_mv[:, k]), rate_hz, before_s) for k in (0, 1)]
    ends = [table["last_s"].where(table["n_spikes"] >= 3) for table in fired]
    k = 1 if sweep == "max" else SWEEPS.index(sweep)
    last_s = ends[k]
    if sweep == "max":
        last_s = last_s.where(last_s < STEP_S - 2 * AROUND_S, ends[0])
    return pd.DataFrame({"first_s": fired[k]["first_s"], "last_s": last_s})


def normalised(maps: np.ndarray) -> np.ndarray:
    """Maps `(n, h, w)` scaled to a sum of 1, in float64; a map of zeros becomes NaN."""
    total = maps.sum(axis=(1, 2), keepdims=True, dtype=float)
    return np.divide(maps, total, where=total > 0, out=np.full(maps.shape, np.nan))


def shares(maps: np.ndarray, times_s: np.ndarray) -> pd.DataFrame:
    """Share of each map's saliency in each of `WINDOWS_S` (`window:<name>`) and each third of the rows (`band:<name>`)."""
    whole = normalised(maps)
    by_time, by_row = whole.sum(axis=1), whole.sum(axis=2)
    columns = {f"window:{k}": by_time[:, (times_s >= a) & (times_s < b)].sum(axis=1) for k, (a, b) in WINDOWS_S.items()}
    third = np.arange(maps.shape[1]) * len(BANDS) // maps.shape[1]
    columns |= {f"band:{name}": by_row[:, third == k].sum(axis=1) for k, name in enumerate(BANDS)}
    return pd.DataFrame({name: np.where(np.isnan(by_time[:, 0]), np.nan, v) for name, v in columns.items()})


def enrichment(by_time: np.ndarray, times_s: np.ndarray, centre_s: np.ndarray) -> np.ndarray:
    """Share of saliency within `AROUND_S` of each cell's `centre_s`, over the share of time: `(n,)`; 1 is no preference."""
    near = np.abs(times_s[None] - np.asarray(centre_s, dtype=float)[:, None]) <= AROUND_S
    covered = near.mean(axis=1)
    inside = np.where(near, by_time, 0).sum(axis=1)
    return np.divide(inside, covered, where=covered > 0, out=np.full(len(by_time), np.nan))


def measures(maps: np.ndarray, axes: ImageAxes, marks: pd.DataFrame) -> pd.DataFrame:
    """What the paper reads off its maps (section IV.B), as numbers, one row a cell; `marks` as of `spike_marks`.

    The `shares`; `enrichment` around the `first_spike`, and around the last where the train ends early (`burst_end`);
    `breadth`, the share of the time that is filled (exp of the entropy, 1 if even); `centre_hz`, the mean frequency.
    """
    table, whole = shares(maps, axes.times_s), normalised(maps)
    by_time = whole.sum(axis=1)
    last_s = marks["last_s"].to_numpy(float)
    table["first_spike"] = enrichment(by_time, axes.times_s, marks["first_s"].to_numpy(float))
    table["burst_end"] = enrichment(by_time, axes.times_s, np.where(last_s < STEP_S - 2 * AROUND_S, last_s, np.nan))
    logs = np.log(by_time, where=by_time > 0, out=np.zeros_like(by_time))
    table["breadth"] = np.exp(-(by_time * logs).sum(axis=1)) / by_time.shape[1]
    table["centre_hz"] = (whole.sum(axis=2) * axes.frequencies_hz).sum(axis=1)
    return table


def mean_interval(values: np.ndarray, n_bootstrap: int, seed: int) -> tuple[float, float, float, np.ndarray]:
    """Mean of the values that are numbers, its 95 % bootstrap interval, and the resampled means; NaN without any."""
    known = np.asarray(values, dtype=float)[np.isfinite(values)]
    if not len(known):
        return np.nan, np.nan, np.nan, np.full(n_bootstrap, np.nan)
    means = known[np.random.default_rng(seed).integers(0, len(known), (n_bootstrap, len(known)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(known.mean()), float(low), float(high), means


@dataclass(frozen=True)
class Measured:
    """`measures` of the maps of a trained network and of untrained ones (mean over several), a row a cell, with classes."""

    trained: pd.DataFrame
    untrained: pd.DataFrame
    labels: np.ndarray

    def by_class(self, n_bootstrap: int, seed: int, name: str = "trained") -> pd.DataFrame:
        """Mean and 95 % interval for each class: class, measure, value, low, high, n, network (`name` or "untrained")."""
        rows = []
        for network, table in ((name, self.trained), ("untrained", self.untrained)):
            for label in CLASSES:
                part = table[self.labels == label]
                for name in table.columns:
                    value, low, high, _ = mean_interval(part[name].to_numpy(), n_bootstrap, seed)
                    rows.append((label, name, value, low, high, int(part[name].notna().sum()), network))
        return pd.DataFrame(rows, columns=["class", "measure", "value", "low", "high", "n", "network"])

    def shares(self, n_bootstrap: int, seed: int) -> pd.DataFrame:
        """Shares of the trained network's saliency in words: rows are windows and bands, columns are classes."""
        table = self.by_class(n_bootstrap, seed).query("network == 'trained' and measure.str.contains(':')")
        words = [f"{100 * r.value:.1f} % ({100 * r.low:.1f} to {100 * r.high:.1f})" for r in table.itertuples()]
        pivot = table.assign(share=words).pivot(index="measure", columns="class", values="share")
        return pivot.reindex(index=[c for c in self.trained if ":" in c], columns=list(CLASSES))

    def statements(self, n_bootstrap: int, seed: int) -> pd.DataFrame:
        """The paper's statements on saliency, each tested on cells, and against networks that have learnt nothing.

        Intervals of the value, and of its gain over untrained networks; `even` is no preference. Verdict: "holds" where
        they lie above `even` and 0; "not shown to be learnt" where the value's alone does; "does not hold" below.
        """
        rows = []
        for words, label, other, measure_, even in STATEMENTS:
            found: list[float] = []
            for column in (self.trained[measure_], self.trained[measure_] - self.untrained[measure_]):
                value, low, high, means = mean_interval(column[self.labels == label].to_numpy(), n_bootstrap, seed)
                if other:
                    against = column[self.labels == other].to_numpy()
                    mean, _, _, other_means = mean_interval(against, n_bootstrap, seed + 1)
                    low, high = (float(q) for q in np.quantile(means - other_means, [0.025, 0.975]))
                    value -= mean
                found += [value, low, high]
            counts = self.trained[measure_].groupby(self.labels).count()
            n = int(counts.reindex([label, other or label], fill_value=0).min())
            if n < 5:
                verdict = "too few cells"
            elif found[1] > even:
                verdict = "holds" if found[4] > 0 else "not shown to be learnt"
            else:
                verdict = "does not hold" if found[2] < even else "undecided"
            rows.append((words, measure_, *found[:3], even, *found[3:], n, verdict))
        columns = "statement measure value low high even gain gain_low gain_high n verdict"
        return pd.DataFrame(rows, columns=columns.split())

    @staticmethod
    def in_words(statements: pd.DataFrame) -> pd.DataFrame:
        """The table of `statements` for a reader: values and gains with their intervals, and the verdicts."""
        values = [f"{r.value:.2f} ({r.low:.2f} to {r.high:.2f})" for r in statements.itertuples()]
        gains = [f"{r.gain:+.2f} ({r.gain_low:+.2f} to {r.gain_high:+.2f})" for r in statements.itertuples()]
        table = statements.assign(**{"value (95 %)": values, "gain (95 %)": gains})
        return table[["statement", "value (95 %)", "even", "gain (95 %)", "n", "verdict"]]


def measure(
    maps: Maps,
    preprocessing: Preprocessing,
    traces_mv: np.ndarray,
    labels: Sequence[str] | np.ndarray,
    sweep: str = "max",
) -> Measured:
    """Numbers of where each cell's saliency lies: in time, in frequency, around its spikes (paper section IV.B).

    `maps` are of `saliency_maps` with the same `sweep` ("max", "rheobase" or "partner"); `traces_mv` `(n, 2, n_samples)`
    are the prepared sweeps of the cells, `labels` `(n,)` their classes.

    Examples
    --------
    >>> from stslib import scalograms, sweeps
    >>> preprocessing = Preprocessing(sweeps.SweepSettings(), Bank(), scalograms.ImageSettings(height=6, width=60))
    >>> maps, labels = Maps(np.ones((8, 6, 60)), np.ones((2, 8, 6, 60))), np.repeat(["Excitatory", "Pvalb"], 4)
    >>> measured = measure(maps, preprocessing, np.zeros((8, 2, 4800)), labels)
    >>> measured.trained["band:low"].round(2)[0], measured.statements(100, 0)["verdict"][0]
    (np.float64(0.33), 'too few cells')
    """
    axes = axes_of(preprocessing)
    marks = spike_marks(traces_mv, sweep, preprocessing.sweeps.rate_hz, preprocessing.sweeps.before_s)
    untrained = [measures(one, axes, marks) for one in maps.untrained]
    mean = sum(untrained[1:], start=untrained[0]) / len(untrained)
    return Measured(measures(maps.trained, axes, marks), mean, np.asarray(labels))
