"""Columns of feature tables: the published ones, what each means, and those relative to the cell's own scales."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pandas as pd

#: Points of an action potential whose time and voltage are features.
POINTS = ("threshold", "peak", "fast_trough", "trough", "slow_trough")
#: The twelve columns of the first action potential under one stimulus, without the stimulus's suffix.
FIRST_AP = tuple(sorted(["threshold_i", "upstroke_downstroke_ratio", *(f"{p}_{q}" for p in POINTS for q in "tv")]))
#: The stimuli, by the suffix of their columns, and how they are named in words.
STIMULI = {"long_square": "rheobase sweep", "ramp": "ramp", "short_square": "short square"}
#: Columns that the authors' code ends up with (protocol: 15 columns); it loses `avg_isi` and `has_*` by renaming them.
PUBLISHED = tuple(sorted(("adaptation", "f_i_curve_slope", "latency", *(f"{c}_long_square" for c in FIRST_AP))))
#: What the paper's text names (section III.D) and both tables hold; bursts, pauses and delays are in one table only.
#: Long squares with spikes give all of it.
INTENDED = tuple(sorted((*PUBLISHED, "avg_isi")))
_PASSIVE = ("ri", "sag", "tau", "vm_for_sag", "vrest")
#: Every feature that the two published tables share.
SHARED = tuple(sorted((*INTENDED, *_PASSIVE, *(f"{c}_{s}" for c in FIRST_AP for s in ("ramp", "short_square")))))

_MEANINGS = {
    "adaptation": ("1", "mean relative change from one interspike interval to the next, in the sweep above rheobase"),
    "avg_isi": ("ms", "mean interspike interval in the sweep above rheobase"),
    "f_i_curve_slope": ("Hz/pA", "slope of firing rate against current over the spiking long squares"),
    "latency": ("s", "onset of the step to the first action potential, in the sweep above rheobase"),
    "ri": ("MOhm", "input resistance from hyperpolarising steps"),
    "sag": ("1", "share of a hyperpolarisation that is lost again before its end"),
    "tau": ("ms", "membrane time constant"),
    "vm_for_sag": ("mV", "voltage at which the sag is read"),
    "vrest": ("mV", "resting potential"),
    "threshold_i": ("pA", "current at the threshold of the first action potential"),
    "upstroke_downstroke_ratio": ("1", "steepest rise over steepest fall of the first action potential"),
}
_POINT_WORDS = {
    "threshold": "the threshold of the first action potential", "peak": "its peak", "trough": "its deepest trough",
    "fast_trough": "its fast trough, within 5 ms of the peak", "slow_trough": "its slow trough, where there is one",
}  # fmt: skip

_IMPLAUSIBLE_MV = 200.0  # no membrane goes there; one published peak_v_ramp is 4e10 mV
_SHORTEST_S = 1e-5  # half a sample at 50 kHz, so that a slope stays finite
_TROUGHS = {"fast_trough": "fast trough", "trough": "deepest trough", "slow_trough": "slow trough"}
_COMPARED = ("threshold_v", "peak_v", "fast_trough_v", "trough_v", "threshold_i", "upstroke_downstroke_ratio")
Column = tuple[str, str, str, pd.Series]  # name, unit, meaning, values


def meaning(column: str) -> tuple[str, str]:
    """Unit of a published or aligned column, or of one without its stimulus, and its meaning in words."""
    stimulus = next((s for s in STIMULI if column.endswith(f"_{s}")), "")
    base, under = column.removesuffix(f"_{stimulus}"), f", {STIMULI[stimulus]}" if stimulus else ""
    if base in _MEANINGS:
        unit, words = _MEANINGS[base]
        return unit, words + under
    point, what = base.split("_t_from_") if "_t_from_" in base else (base[:-2], base[-1])
    clock = {"t": "s from the start of the sweep", "onset": "s from the onset of the step"}
    unit = "mV" if what == "v" else clock.get(what, "s from the threshold")
    return unit, f"{'voltage' if what == 'v' else 'time'} of {_POINT_WORDS[point]}{under}"


def _of_one_stimulus(t: pd.DataFrame, s: str) -> list[Column]:
    """Shape of the first action potential under one stimulus."""
    threshold, peak = t[f"threshold_v_{s}"], t[f"peak_v_{s}"]
    height = peak - threshold
    found = [(f"amplitude_{s}", "mV", "peak minus threshold", height)]
    for point, words in _TROUGHS.items():
        below = t[f"{point}_v_{s}"] - threshold
        since_s = t[f"{point}_t_{s}"] - t[f"peak_t_{s}"]
        found += [
            (f"{point}_from_threshold_v_{s}", "mV", f"voltage of the {words} minus threshold", below),
            (f"{point}_share_{s}", "1", f"voltage of the {words} minus threshold, over the amplitude", below / height),
            (f"{point}_t_from_peak_{s}", "s", f"time of the {words} from the peak", since_s),
        ]
        if point != "fast_trough":
            words, drop = f"voltage of the {words} minus fast trough", t[f"{point}_v_{s}"] - t[f"fast_trough_v_{s}"]
            found.append((f"{point}_from_fast_trough_v_{s}", "mV", words, drop))
    for point in ("threshold", "fast_trough", "trough"):
        words = f"voltage of the {_TROUGHS.get(point, point)} minus resting potential"
        found.append((f"{point}_from_rest_v_{s}", "mV", words, t[f"{point}_v_{s}"] - t["vrest"]))
    up_s = (t[f"peak_t_{s}"] - t[f"threshold_t_{s}"]).clip(lower=_SHORTEST_S)
    down_s = (t[f"fast_trough_t_{s}"] - t[f"peak_t_{s}"]).clip(lower=_SHORTEST_S)
    fall = peak - t[f"fast_trough_v_{s}"]
    ohmic = 1e-3 * t[f"threshold_i_{s}"] * t["ri"] / (threshold - t["vrest"])
    return [
        *found,
        (f"rise_rate_{s}", "V/s", "mean slope from threshold to peak", 1e-3 * height / up_s),
        (f"fall_rate_{s}", "V/s", "mean slope from peak to fast trough", 1e-3 * fall / down_s),
        (f"current_share_{s}", "1", "current at threshold over the one that Ohm's law asks for", ohmic),
    ]


def _of_the_cell(t: pd.DataFrame) -> list[Column]:
    rheobase_pa, tau_ms, isi_ms, slope = t["threshold_i_long_square"], t["tau"], t["avg_isi"], t["f_i_curve_slope"]
    first_ms = 1e3 * (t["threshold_t_long_square"] - t["onset_s"])
    trough_ms = 1e3 * (t["trough_t_long_square"] - t["threshold_t_long_square"])
    drop_mv, latency_ms = t["vm_for_sag"] - t["vrest"], 1e3 * t["latency"]
    short = t["threshold_i_short_square"] / rheobase_pa
    return [
        ("current_short_over_long", "1", "current at threshold, short square over rheobase sweep", short),
        ("capacitance", "nF", "membrane time constant over input resistance", tau_ms / t["ri"]),
        ("rate", "Hz", "inverse of the mean interspike interval, in the sweep above rheobase", 1e3 / isi_ms),
        ("avg_isi_over_tau", "1", "mean interspike interval in membrane time constants", isi_ms / tau_ms),
        ("latency_over_tau", "1", "latency in membrane time constants", latency_ms / tau_ms),
        ("latency_over_isi", "1", "latency in mean interspike intervals", latency_ms / isi_ms),
        ("first_spike_over_tau", "1", "onset to first spike in time constants, rheobase sweep", first_ms / tau_ms),
        ("trough_over_tau", "1", "threshold to deepest trough in time constants, rheobase sweep", trough_ms / tau_ms),
        ("slope_times_rheobase", "Hz", "f-I slope times the current at rheobase", slope * rheobase_pa),
        ("slope_over_ri", "Hz/(pA MOhm)", "f-I slope over input resistance", slope / t["ri"]),
        ("slope_times_isi", "1/nA", "f-I slope times the mean interspike interval", slope * isi_ms),
        ("sag_drop", "mV", "voltage at which the sag is read, minus resting potential", drop_mv),
        ("sag_v", "mV", "sag times the hyperpolarisation at which it is read", t["sag"] * drop_mv),
    ]


def _columns(table: pd.DataFrame) -> Iterator[Column]:
    voltages = table.filter(like="_v_")
    clean = table.assign(**voltages.where(voltages.abs() < _IMPLAUSIBLE_MV))
    for s, under in STIMULI.items():
        yield from (
            (name, unit, f"{words}, {under}", values) for name, unit, words, values in _of_one_stimulus(clean, s)
        )
    for (a, first), (b, second) in combinations(STIMULI.items(), 2):
        for column in _COMPARED:
            (unit, words), values = meaning(column), clean[f"{column}_{a}"] - clean[f"{column}_{b}"]
            yield f"{column}_{a}_minus_{b}", unit, f"{words}, {first} minus {second}", values
    yield from _of_the_cell(clean)


def relative(table: pd.DataFrame) -> pd.DataFrame:
    """Features of a table with index `cell_id`, `onset_s` and `SHARED` that are free of most of what the rig adds."""
    with np.errstate(all="ignore"):
        found = pd.DataFrame({name: values for name, _, _, values in _columns(table)}, index=table.index)
    return found.replace([np.inf, -np.inf], np.nan)[sorted(found.columns)].astype(float)


def meanings(columns: list[str]) -> dict[str, tuple[str, str]]:
    """Name of each relative feature to its unit and meaning; `columns` are the table's own."""
    empty = pd.DataFrame(columns=columns, dtype=float)
    return {name: (unit, words) for name, unit, words, _ in sorted(_columns(empty), key=lambda c: c[0])}
