"""The current step in a stimulus: a clean command, or a recorded current with noise, hum and artefacts of spikes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
from scipy.ndimage import median_filter, uniform_filter1d

from stslib.io.files.traces import BadRecording, RawSweep, Reader, Step, is_recorded, last_finite

#: Shorter pulses, in s, are test pulses and short squares.
SHORTEST_STEP_S = 0.1
_STILL_S = 0.01  # time without any current at the beginning of a stimulus, at least
_BLOCK_S, _ARTEFACT_S, _MAINS_S = 2e-4, 5e-3, 20e-3  # a recorded current is cleaned of what is shorter than these


def on_time_base(i_pa: np.ndarray, i_rate_hz: float, n_samples: int, rate_hz: float, offset_s: float) -> np.ndarray:
    """A stimulus that begins `offset_s` after its response, at the samples of the response; its ends are held."""
    if not len(i_pa):
        return np.full(n_samples, np.nan, np.float32)
    at = np.floor((np.arange(n_samples) / rate_hz - offset_s) * i_rate_hz + 1e-6)
    return i_pa[np.clip(at, 0, len(i_pa) - 1).astype(np.intp)]


def with_steps(
    raw: RawSweep, i_pa: np.ndarray, i_rate_hz: float, offset_s: float = 0.0, split: bool = False
) -> list[RawSweep]:
    """The sweep with the step of its stimulus (which starts `offset_s` after it), or why it has none.

    With `split`, a continuous recording of several steps becomes a sweep a step, parted halfway between two steps.
    """
    try:
        steps = find_steps(i_pa, i_rate_hz) if split else [find_step(i_pa, i_rate_hz)]
    except BadRecording as error:
        return [raw.without(error.reason, str(error))]
    steps = [replace(step, onset_s=round(step.onset_s + offset_s, 9)) for step in steps]
    if len(steps) == 1:
        return [replace(raw, step=steps[0])]
    assert raw.reader is not None
    middles = [(a.onset_s + a.duration_s + b.onset_s) / 2 for a, b in pairwise(steps)]
    edges = [0, *(round(s * raw.rate_hz) for s in middles), None]
    parts = []
    for k, (step, start, stop) in enumerate(zip(steps, edges, edges[1:], strict=False)):
        moved = replace(step, onset_s=step.onset_s - (start or 0) / raw.rate_hz)
        reader = partial(_part, raw.reader, start, stop)
        parts.append(replace(raw, number=k, stimulus=f"{raw.stimulus} step {k + 1}".strip(), step=moved, reader=reader))
    return parts


def _part(reader: Reader, start: int | None, stop: int | None) -> tuple[np.ndarray, np.ndarray]:
    v_mv, i_pa = reader()
    return v_mv[start:stop], i_pa[start:stop]


def find_step(i_pa: np.ndarray, rate_hz: float) -> Step:
    """The one long square step of a stimulus; BadRecording (`no_long_square`) says what the stimulus is instead.

    The level is measured from the current before and after it (a holding current, often 0). Shorter pulses, such as a test
    pulse, are passed over. Of a recorded current, artefacts of spikes, noise and mains hum are smoothed away first.
    """
    steps = find_steps(i_pa, rate_hz)
    if len(steps) > 1:
        raise BadRecording("no_long_square", f"its current has {len(steps)} long steps, of which none is the longest")
    return steps[0]


def find_steps(i_pa: np.ndarray, rate_hz: float) -> list[Step]:
    """All steps that are as long as the longest one, to a tenth; see `find_step`."""
    x = np.asarray(i_pa, float)
    x = x[: last_finite(x)]
    if len(x) < 2 or not rate_hz > 0 or not np.isfinite(x).all():
        raise BadRecording("no_long_square", "it has no stimulus; give a table of steps (steps.csv)")
    noise, smooth = 0.0, x
    if is_recorded(x):
        block = max(1, int(rate_hz * _BLOCK_S))
        rate_hz /= block
        x = median_filter(x[: len(x) // block * block].reshape(-1, block).mean(axis=1), round(_ARTEFACT_S * rate_hz))
        lag = round(_MAINS_S * rate_hz)
        smooth = uniform_filter1d(x, lag)
        if len(x) > 2 * lag:
            noise = float(np.median(np.abs(smooth[lag:] - smooth[:-lag])))
    still = max(2, round(_STILL_S * rate_hz))
    first, last = float(np.median(smooth[:still])), float(np.median(smooth[-still:]))
    # Where a sweep ends at another current than it began with, the smaller one is the rest and the other one the step.
    rest = first if abs(first) <= abs(last) else last
    deviation = smooth - rest
    runs = _runs(np.abs(deviation) > max(6 * noise, 1e-3 * float(np.abs(deviation).max()), 1e-9))
    long = [r for r in runs if r[1] - r[0] >= SHORTEST_STEP_S * rate_hz]
    if not long:
        short = f", only pulses of up to {1e3 * max(b - a for a, b in runs) / rate_hz:.3g} ms" if runs else ""
        raise BadRecording("no_long_square", f"its stimulus holds no current step{short}")
    longest = max(b - a for a, b in long)
    found = [_square(x - rest, deviation, r, noise, rate_hz) for r in long if r[1] - r[0] >= 0.9 * longest]
    if steps := [step for step in found if step]:
        return steps
    if noise:
        raise BadRecording(
            "bad_trace", "the recorded current holds artefacts (of spikes, or noise), or is no square step"
        )
    raise BadRecording("no_long_square", "its longest current is no square step, but a ramp or a wave")


def _square(raw: np.ndarray, smooth: np.ndarray, run: tuple[int, int], noise: float, rate_hz: float) -> Step | None:
    """The step in a stretch of current, or None where the current is not square. Half of the level marks its edges."""
    level = float(np.median(smooth[slice(*run)]))
    inside = [r for r in _runs(smooth * np.sign(level) > abs(level) / 2) if r[0] < run[1] and r[1] > run[0]]
    begin, end = max(inside, key=lambda r: r[1] - r[0], default=(0, 0))
    if end - begin < SHORTEST_STEP_S * rate_hz:
        return None
    if noise:  # a current that hums: its mean over whole cycles, clear of the edges
        lag = round(_MAINS_S * rate_hz)
        before = smooth[max(begin - 6 * lag, min(lag // 2, begin)) : max(begin - lag, 1)]
        level = float(np.median(smooth[begin + lag : end - lag]) - (np.median(before) if len(before) else 0.0))
    near = np.abs(smooth[begin:end] - level) <= max(0.05 * abs(level), 6 * noise)
    edges = 2 * _MAINS_S * rate_hz if noise else 0.0  # smoothing has slowed the edges
    if near.sum() + edges < 0.95 * (end - begin):
        return None
    if noise:
        begin, end = (_edge(raw, at, round(_MAINS_S * rate_hz)) for at in (begin, end))
    return Step(float(f"{level:.6g}"), begin / rate_hz, (end - begin) / rate_hz)


def _edge(x: np.ndarray, about: int, reach: int) -> int:
    """The sample at which `x` changes its level, near `about`: the split that leaves the least squares on both sides."""
    start, stop = max(about - reach, 0), min(about + reach, len(x))
    if about <= 0 or about >= len(x) or stop - start < 4:
        return about
    part = x[start:stop] - x[start:stop].mean()
    n = np.arange(1, len(part))
    left = np.cumsum(part)[:-1]
    return start + 1 + int(np.argmax(left**2 / n + left**2 / (len(part) - n)))


def _runs(active: np.ndarray) -> list[tuple[int, int]]:
    """First sample of each stretch of True, and the first after it."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], active, [False]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
