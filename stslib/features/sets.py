"""The sets of feature columns that the baseline uses, and what each column means.

The names and units are those of the published tables (Allen Cell Types Database): V in mV, absolute times in s from the
start of the sweep, current in pA, `avg_isi` and `tau` in ms, `ri` in MOhm.
"""

from __future__ import annotations

import pandas as pd

from stslib.errors import one_of

#: Points of an action potential whose time and voltage are features.
POINTS = ("threshold", "peak", "fast_trough", "trough", "slow_trough")

#: The twelve columns of the first action potential under one stimulus, by the stimulus's suffix.
FIRST_AP = tuple(
    sorted([f"{p}_{q}" for p in POINTS for q in "tv"] + ["threshold_i", "upstroke_downstroke_ratio"])
)  # fmt: skip
STIMULI = ("long_square", "ramp", "short_square")
LONG_SQUARE = tuple(f"{c}_long_square" for c in FIRST_AP)

#: Columns that the authors' code ends up with: those common to both tables whose name holds one of its words, less
#: `avg_isi` and `has_*`, which it renames before it looks for them (protocol: 15 columns).
PUBLISHED = tuple(sorted(("adaptation", "f_i_curve_slope", "latency", *LONG_SQUARE)))
#: What the paper's text names (section III.D) and both tables hold; bursts, pauses and delays are in one table only.
INTENDED = tuple(sorted((*PUBLISHED, "avg_isi")))
#: Every feature that the two published tables share.
SHARED = tuple(
    sorted(
        (*INTENDED, *(f"{c}_{s}" for c in FIRST_AP for s in STIMULI[1:]), "ri", "sag", "tau", "vm_for_sag", "vrest"),
    )
)

#: Columns that `extract` measures: all that long squares can give.
MEASURED = tuple(sorted((*INTENDED, "ri", "sag", "tau", "vm_for_sag", "vrest")))


def aligned_name(column: str) -> str:
    """Name of a column once its time counts from the onset or the threshold; other columns keep theirs."""
    for stimulus in STIMULI:
        for point in POINTS:
            if column == f"{point}_t_{stimulus}":
                since = "onset" if point == "threshold" else "threshold"
                return f"{point}_t_from_{since}_{stimulus}"
    return column


#: The sets of columns that can be asked for, in their order. `"published"`: what the authors' code uses in effect;
#: `"intended"`: what its text names; `"stimulus_aligned"`: the same, with times from the onset of the stimulus (of the
#: threshold) or from the threshold (of the rest), so that they do not carry the rig's onset; `"all"`: every shared
#: feature, aligned.
FEATURE_SETS: dict[str, tuple[str, ...]] = {
    "published": PUBLISHED,
    "intended": INTENDED,
    "stimulus_aligned": tuple(sorted(aligned_name(c) for c in INTENDED)),
    "all": tuple(sorted(aligned_name(c) for c in SHARED)),
}

ALIGNED_FROM = {"stimulus_aligned": INTENDED, "all": SHARED}

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
    "threshold": "the threshold of the first action potential",
    "peak": "its peak",
    "fast_trough": "its fast trough, within 5 ms of the peak",
    "trough": "its deepest trough",
    "slow_trough": "its slow trough, where there is one",
}


def describe(feature_set: str) -> pd.DataFrame:
    """What each column of a feature set means: one row a column, with `feature`, `unit`, `meaning`.

    Raises
    ------
    ParameterError
        Unknown set.
    """
    one_of("features", feature_set, FEATURE_SETS)
    return pd.DataFrame([_describe(c) for c in FEATURE_SETS[feature_set]], columns=["feature", "unit", "meaning"])


def _describe(column: str) -> tuple[str, str, str]:
    stimulus = next((s for s in STIMULI if column.endswith(f"_{s}")), "")
    base = column.removesuffix(f"_{stimulus}") if stimulus else column
    under = {"": "", "long_square": ", rheobase sweep", "ramp": ", ramp", "short_square": ", short square"}
    if base in _MEANINGS:
        unit, words = _MEANINGS[base]
        return column, unit, words + under[stimulus]
    point, what = base.split("_t_from_") if "_t_from_" in base else (base[:-2], base[-1])
    clock = {"t": "s from the start of the sweep", "onset": "s from the onset of the step"}
    unit = "mV" if what == "v" else clock.get(what, "s from the threshold")
    quantity = "voltage" if what == "v" else "time"
    return column, unit, f"{quantity} of {_POINT_WORDS[point]}{under[stimulus]}"
