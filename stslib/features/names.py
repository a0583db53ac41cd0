"""Names of the columns of the published tables, and which of them belong together."""

from __future__ import annotations

#: Points of an action potential whose time and voltage are features.
POINTS = ("threshold", "peak", "fast_trough", "trough", "slow_trough")

#: The twelve columns of the first action potential under one stimulus, without the stimulus's suffix.
FIRST_AP = tuple(sorted(["threshold_i", "upstroke_downstroke_ratio", *(f"{p}_{q}" for p in POINTS for q in "tv")]))
#: The stimuli, by the suffix of their columns, and how they are named in words.
STIMULI = {"long_square": "rheobase sweep", "ramp": "ramp", "short_square": "short square"}
LONG_SQUARE = tuple(f"{c}_long_square" for c in FIRST_AP)

#: Columns that the authors' code ends up with (protocol: 15 columns); it loses `avg_isi` and `has_*` by renaming them.
PUBLISHED = tuple(sorted(("adaptation", "f_i_curve_slope", "latency", *LONG_SQUARE)))
#: What the paper's text names (section III.D) and both tables hold; bursts, pauses and delays are in one table only.
INTENDED = tuple(sorted((*PUBLISHED, "avg_isi")))
#: Columns that `extract` measures: all that long squares can give.
MEASURED = tuple(sorted((*INTENDED, "ri", "sag", "tau", "vm_for_sag", "vrest")))
#: Every feature that the two published tables share.
SHARED = tuple(sorted((*MEASURED, *(f"{c}_{s}" for c in FIRST_AP for s in ("ramp", "short_square")))))
