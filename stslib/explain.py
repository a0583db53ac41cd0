"""What the models look at: saliency of a network, SHAP values of the baseline, and checks of both (paper sections III.E, IV.B).

A saliency map is the gradient of the winning class's score with respect to the scalogram [1]_. It looks convincing also
where it says little, so `randomisation_check` compares it with that of a network that has learnt nothing [2]_, and
`measures` turns what the paper reads off single maps into numbers over many cells.

References
----------
.. [1] Simonyan, Vedaldi & Zisserman 2013, Deep inside convolutional networks, arXiv:1312.6034.
.. [2] Adebayo et al. 2018, Sanity checks for saliency maps, NeurIPS.
.. [3] Lundberg & Lee 2017, A unified approach to interpreting model predictions, NeurIPS.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats
from threadpoolctl import threadpool_limits
from torch import nn

from stslib import baseline, networks
from stslib.cohort import CLASSES
from stslib.errors import ParameterError, StsError, one_of
from stslib.networks import InputTransform
from stslib.scalograms import Bank
from stslib.sweeps import STEP_S, firing

with warnings.catch_warnings():  # in a notebook without ipywidgets shap warns that its progress bar will be plain
    warnings.filterwarnings("ignore", message="IProgress not found")
    import shap

RESPECTS = ("stored", "input")
CHANNELS = {"max": "max", "rheobase": 0, "partner": 1}

#: The cells that the paper's code shows (its notebook on saliency maps).
PAPER_CELLS = {
    "Pvalb": ("765881829",),
    "Sst": ("805642715", "759959254"),
    "Vip/Lamp5": ("681631284",),
    "Excitatory": ("599334696",),
}

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


def choose_network(records: Sequence[Mapping[str, Any]], wanted: str = "best") -> str:
    """The network to look into: the one named, or the one of the highest balanced accuracy in cross-validation.

    Parameters
    ----------
    records : sequence of mapping
        Metric records of notebook 05. Those of the holdout take no part, so that the test cells choose nothing.
    wanted : str
        "best" or an architecture.

    Raises
    ------
    ParameterError
        The network named is not among the records.
    """
    scores = {
        str(r["model"]): float(r["value"])
        for r in records
        if r["split"] == "cv" and r["metric"] == "balanced_accuracy" and r["model"] in networks.ARCHITECTURES
    }
    if not scores:
        raise StsError("no network was cross-validated in this run; run notebook 05 with at least one architecture")
    if wanted == "best":
        return max(sorted(scores), key=lambda name: scores[name])
    if wanted not in scores:
        raise ParameterError(f"architecture is {wanted!r}, and this run trained only: {', '.join(scores)}")
    return wanted


# --- saliency ---------------------------------------------------------------------------------------------------------


def saliency(
    model: nn.Module,
    transform: InputTransform,
    x: np.ndarray,
    target: Sequence[int] | np.ndarray | None = None,
    channel: str | int = "max",
    respect_to: str = "stored",
    batch_size: int = 32,
) -> np.ndarray:
    """Vanilla gradient saliency on the scalogram's own axes (paper section III.E).

    Parameters
    ----------
    model : nn.Module
        A network; it is put into evaluation mode, and its weights stay as they are.
    transform : InputTransform
        Its input transform; the gradient passes through it.
    x : array (n, 2, h, w)
        Stored scalograms, channels rheobase and partner.
    target : (n,) of int, optional
        Class whose score (before the softmax) is differentiated; by default the winning class of each cell.
    channel : "max" or int
        The larger magnitude of the two channels, or one of them (0 rheobase, 1 partner).
    respect_to : str
        "stored": change of the score for each mV of coefficient. "input": for each unit of what the transform makes of
        a coefficient. The two differ where the transform compresses (asinh): there a mV counts the less, the larger the
        coefficient already is, so that "stored" is dim on spikes for any network, a random one included. For a linear
        transform, as in the paper, they differ by one factor for each channel.

    Returns
    -------
    (n, h, w) float32, not negative

    Raises
    ------
    ParameterError
        An unknown channel or `respect_to`.
    StsError
        Scalograms of another shape, or a gradient that is not finite.
    """
    one_of("respect_to", respect_to, RESPECTS)
    one_of("channel", channel, ("max", 0, 1))
    if x.ndim != 4 or x.shape[1] != 2:
        raise StsError(f"the scalograms have shape {x.shape}; give (n_cells, 2, height, width)")
    model.eval()
    maps = np.empty((len(x), *x.shape[2:]), dtype=np.float32)
    for start in range(0, len(x), batch_size):
        images = torch.tensor(np.asarray(x[start : start + batch_size]), dtype=torch.float32, requires_grad=True)
        scores = model(transform(images))
        chosen = scores.argmax(1) if target is None else torch.as_tensor(np.asarray(target)[start : start + batch_size])
        # In evaluation mode no cell has a part in another's score, so the sum's gradient holds each cell's own.
        total = scores.gather(1, chosen.long()[:, None]).sum()
        (gradient,) = torch.autograd.grad(total, images)
        if respect_to == "input":
            scale = torch.tensor(transform.scale).view(2, 1, 1)
            stretched = torch.sqrt(1 + (images.detach() / scale) ** 2) if transform.compress == "asinh" else 1.0
            gradient = gradient * scale * stretched
        gradient = gradient.abs()
        maps[start : start + batch_size] = (gradient.amax(1) if channel == "max" else gradient[:, int(channel)]).numpy()
    if not np.isfinite(maps).all():
        raise StsError("the gradient is not finite; the network has diverged: train it again (05_deep_models)")
    return maps


@torch.no_grad()
def winning(model: nn.Module, transform: InputTransform, x: np.ndarray, batch_size: int = 32) -> np.ndarray:
    """Position in `CLASSES` of each cell's winning class: `(n,)`."""
    model.eval()
    parts = [x[start : start + batch_size] for start in range(0, len(x), batch_size)]
    return np.concatenate([model(transform(np.asarray(part))).argmax(1).numpy() for part in parts])


def randomised(architecture: str, transform: InputTransform, x: np.ndarray, seed: int) -> nn.Module:
    """The same architecture with new random weights.

    Its batch normalisation is measured on `x`, so that signals pass it as they pass a trained network.
    """
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        model = networks.build(architecture)
        model.eval()
        layers = networks.batch_norms(model)
        for layer in layers:
            layer.momentum = None  # a plain mean over the batches
            layer.train()
        for start in range(0, len(x), 32):
            if len(part := x[start : start + 32]) > 1 or start == 0:
                model(transform(np.asarray(part)))
    return model.eval()


def similarity(maps: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Spearman correlation of two sets of maps `(n, h, w)`, cell by cell: `(n,)`; NaN where a map is constant."""
    if maps.shape != others.shape:
        raise StsError(
            f"maps of shapes {maps.shape} and {others.shape} cannot be compared; make them of the same cells"
        )
    first, second = (stats.rankdata(m.reshape(len(m), -1), axis=1) for m in (maps, others))
    first, second = (ranks - ranks.mean(axis=1, keepdims=True) for ranks in (first, second))
    norm = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    with np.errstate(invalid="ignore"):
        return (first * second).sum(axis=1) / norm


def random_maps(
    architecture: str,
    transform: InputTransform,
    x: np.ndarray,
    target: Sequence[int] | np.ndarray,
    seed: int,
    channel: str | int = "max",
    respect_to: str = "stored",
    n_random: int = 3,
) -> np.ndarray:
    """Saliency of `n_random` re-initialised networks for the classes `target`: `(n_random, n, h, w)`.

    The other parameters are those of `saliency`; the networks' seeds follow from `seed`.
    """
    seeds = np.random.SeedSequence(seed).generate_state(n_random) >> 1
    networks_ = (randomised(architecture, transform, x, int(one)) for one in seeds)
    return np.stack([saliency(model, transform, x, target, channel, respect_to) for model in networks_])


def randomisation_check(maps: np.ndarray, random: np.ndarray) -> pd.DataFrame:
    """Does the saliency depend on what was learnt (Adebayo et al. 2018)?

    The map of each cell is compared, by Spearman correlation, with that of re-initialised networks for the same class.
    A high value means that the map shows the scalogram or the architecture and not what the network learnt. How high it
    is without any learning is told by two re-initialised networks compared with each other, and how much of a map is
    the cell's own by the trained network's map of another cell.

    Parameters
    ----------
    maps : (n, h, w) array
        Of the trained network (`saliency`).
    random : (n_random, n, h, w) array
        Of re-initialised ones (`random_maps`), at least two.

    Returns
    -------
    DataFrame
        One row a cell: `reinitialised` (mean over the random networks), `two_random` (two of those), `another_cell`.

    Raises
    ------
    ParameterError
        Fewer than two random networks.
    """
    if len(random) < 2:
        raise ParameterError(f"n_random is {len(random)}; use at least 2, so that two can be compared")
    return pd.DataFrame(
        {
            "reinitialised": np.mean([similarity(maps, other) for other in random], axis=0),
            "two_random": similarity(random[0], random[1]),
            "another_cell": similarity(maps, np.roll(maps, max(1, len(maps) // 2), axis=0)),
        }
    )


# --- where saliency lies -----------------------------------------------------------------------------------------------


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


# --- SHAP -------------------------------------------------------------------------------------------------------------


def shap_values(model: baseline.Model, x: pd.DataFrame, threads: int = 1) -> np.ndarray:
    """SHAP values of the baseline: what each feature adds to each class's score, in log-odds before the softmax [3]_.

    Parameters
    ----------
    model : baseline.Model
        As `baseline.load` gives it.
    x : (n_cells, n_features) DataFrame
        Features of the cells; columns in any order.
    threads : int
        Threads of LightGBM.

    Returns
    -------
    (n_cells, n_features, 4) float64
        Features in the order of `model.features`, classes in that of `CLASSES`.

    Raises
    ------
    StsError
        A column is missing, or the values do not add up to the model's scores.
    """
    missing = [name for name in model.features if name not in x.columns]
    if missing:
        raise StsError(f"the features lack column {missing[0]!r}, which the model needs ({len(missing)} missing)")
    matrix = x[list(model.features)].to_numpy(dtype=float)
    with threadpool_limits(threads):  # TreeExplainer hands no number of threads to LightGBM
        explainer = shap.TreeExplainer(model.booster)
        values = np.asarray(explainer.shap_values(matrix, check_additivity=False), dtype=float)
    scores = np.asarray(model.booster.predict(matrix, raw_score=True, num_threads=threads))
    gap = np.abs(values.sum(axis=1) + np.asarray(explainer.expected_value) - scores).max()
    if gap > 1e-6 * max(1.0, np.abs(scores).max()):
        raise StsError(f"SHAP values miss the model's scores by up to {gap:.2g}; fit the model again (04_baseline)")
    return values


def top_features(values: np.ndarray, x: pd.DataFrame, label: str, n: int = 5) -> pd.DataFrame:
    """The `n` features with the largest mean |SHAP| for a class; `x` names the columns of `values`.

    Returns
    -------
    DataFrame
        class, feature, mean_abs_shap (log-odds), rank (from 1).
    """
    one_of("class", label, CLASSES)
    size = np.abs(values[:, :, CLASSES.index(label)]).mean(axis=0)
    order = np.argsort(-size, kind="stable")[:n]
    columns = {"class": label, "feature": [str(x.columns[k]) for k in order], "mean_abs_shap": size[order]}
    return pd.DataFrame(columns).assign(rank=np.arange(1, len(order) + 1))


# --- cells to show ----------------------------------------------------------------------------------------------------


def representative_cells(
    labels: Sequence[str] | np.ndarray, proba: np.ndarray, cell_ids: Sequence[str], split: Sequence[str]
) -> pd.DataFrame:
    """One test cell a class to look at, chosen without looking at its map.

    The paper's own cell where it is among the test cells, right or wrong. Else the correctly classified cell of median
    confidence (the lower one of two; ties by cell id); where none is correct, that of all test cells of the class.

    Parameters
    ----------
    labels, cell_ids, split : (n,) of str
        Class, id and part ("train" or "test") of each cell.
    proba : (n, 4) array
        Probabilities in the order of `CLASSES`.

    Returns
    -------
    DataFrame
        class, cell_id, position (in the arrays given), predicted, probability (of its own class), correct, chosen_as
        ("the paper's cell" or "median confidence"). A class without test cells has no row.
    """
    names, ids, rows = np.asarray(labels), [str(c) for c in cell_ids], []
    guess = np.argmax(proba, axis=1)
    for k, label in enumerate(CLASSES):
        members = np.flatnonzero((names == label) & (np.asarray(split) == "test"))
        if not len(members):
            continue
        known = [place for wanted in PAPER_CELLS[label] for place in members if ids[place] == wanted]
        correct = members[guess[members] == k]
        pool = sorted(correct if len(correct) else members, key=lambda place: (proba[place, k], ids[place]))
        place = known[0] if known else pool[(len(pool) - 1) // 2]
        how = "the paper's cell" if known else "median confidence"
        own, said = float(proba[place, k]), CLASSES[guess[place]]
        rows.append((label, ids[place], int(place), said, own, bool(guess[place] == k), how))
    columns = ["class", "cell_id", "position", "predicted", "probability", "correct", "chosen_as"]
    return pd.DataFrame(rows, columns=columns)
