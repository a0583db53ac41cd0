"""The sets of feature columns that the baseline uses, and what each column means.

The names and units are those of the published tables (Allen Cell Types Database): V in mV, absolute times in s from the
start of the sweep, current in pA, `avg_isi` and `tau` in ms, `ri` in MOhm.
"""

from __future__ import annotations

import pandas as pd

from stslib.features.names import INTENDED, POINTS, PUBLISHED, SHARED, STIMULI
from stslib.features.relative import meanings
from stslib.support.errors import one_of


def aligned_name(column: str) -> str:
    """Name of a column once its time counts from the onset or the threshold; other columns keep theirs."""
    for stimulus in STIMULI:
        for point in POINTS:
            if column == f"{point}_t_{stimulus}":
                since = "onset" if point == "threshold" else "threshold"
                return f"{point}_t_from_{since}_{stimulus}"
    return column


_RELATIVE = meanings(["onset_s", *SHARED])

#: The sets of columns that can be asked for, in their order. `"published"`: what the authors' code uses in effect;
#: `"intended"`: what its text names; `"stimulus_aligned"`: the same, with times from the onset of the stimulus (of the
#: threshold) or from the threshold (of the rest), so that they do not carry the rig's onset; `"all"`: every shared
#: feature, aligned; `"relative"`: these and what `stslib.features.relative` works out from them.
FEATURE_SETS: dict[str, tuple[str, ...]] = {
    "published": PUBLISHED,
    "intended": INTENDED,
    "stimulus_aligned": tuple(sorted(aligned_name(c) for c in INTENDED)),
    "all": (_ALL := tuple(sorted(aligned_name(c) for c in SHARED))),
    "relative": (*_ALL, *_RELATIVE),
}

#: The published columns that a set with aligned times is worked out from.
ALIGNED_FROM = {"stimulus_aligned": INTENDED, "all": SHARED, "relative": SHARED}

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
    if column in _RELATIVE:
        return column, *_RELATIVE[column]
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
