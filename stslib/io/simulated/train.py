"""Spike trains of given count, latency, mean interval and adaptation, and how counts grow with the current."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def intervals(
    n: int, mean_s: float, adaptation: float, irregularity: float, shortest_s: float, rng: np.random.Generator
) -> np.ndarray:
    """`n` interspike intervals of this mean and adaptation (mean of (next - this) / (next + this)), `(n,)` in s.

    Most of the adaptation is early: the log interval nears its last value exponentially. `irregularity` is the standard
    deviation of the log interval around that.
    """
    if n < 1:
        return np.empty(0)
    # A share of trains pauses once: one interval several times as long.
    noise = irregularity * rng.standard_normal(n)
    if n > 4 and rng.random() < 0.5 * irregularity:
        noise[int(rng.integers(1, n))] += rng.uniform(0.7, 1.5)
    rise = -np.expm1(-np.arange(n) / max(2.0, 0.3 * n))

    def train(strength: float) -> np.ndarray:
        relative = np.exp(strength * rise + noise)
        return relative * n / relative.sum()

    if n > 1:
        low, high = -12.0, 12.0
        for _ in range(40):
            middle = (low + high) / 2.0
            isi = train(middle)
            low, high = (middle, high) if np.mean(np.diff(isi) / (isi[1:] + isi[:-1])) < adaptation else (low, middle)
        noise = noise + (low + high) / 2.0 * rise
    isi = mean_s * train(0.0)
    for _ in range(4):  # none shorter than an action potential; the mean stays
        isi = np.maximum(isi, shortest_s)
        long = isi > shortest_s
        if not long.any():
            break
        isi[long] *= max(n * mean_s - shortest_s * np.sum(~long), 0.0) / isi[long].sum()
    return np.maximum(isi, shortest_s)


def slope(above_pa: np.ndarray, counts: np.ndarray) -> float:
    """Least-squares slope of counts against current."""
    x = above_pa - above_pa.mean()
    return float((x * counts).sum() / (x * x).sum())


def counts(
    above_pa: Sequence[float], wanted: float, hero: int, n_hero: int, first: tuple[int, int], most: int
) -> np.ndarray:
    """Spikes at each current above the rheobase, so that their f-I slope is `wanted` (1/pA for a step of 1 s).

    `hero` is the place of the current that fires `n_hero` times; at the rheobase, place 0, from `first[0]` to `first[1]`
    spikes; `most` anywhere.
    """
    x = np.asarray(above_pa, float)
    low = np.where(np.arange(x.size) == 0, first[0], 1)
    high = np.where(np.arange(x.size) == 0, first[1], most)
    low[hero] = high[hero] = n_hero
    high = np.maximum(high, low)
    if x.size < 2:
        return low
    bottom, top = -3.0, 6.0
    for _ in range(40):
        middle = (bottom + top) / 2.0
        steep = slope(x, np.clip(n_hero + middle * (x - x[hero]), low, high)) > wanted
        bottom, top = (bottom, middle) if steep else (middle, top)
    n = np.clip(np.round(n_hero + top * (x - x[hero])), low, high).astype(int)
    for _ in range(60):  # whole numbers: the single changes that bring the slope nearer
        change = [(abs(slope(x, n + d * (np.arange(x.size) == k)) - wanted), k, d) for k in range(x.size) for d in (-1, 1)
                  if low[k] <= n[k] + d <= high[k]]  # fmt: skip
        if not change or min(change)[0] >= abs(slope(x, n) - wanted) - 1e-12:
            break
        _, k, d = min(change)
        n[k] += d
    return n
