"""Names of the columns of the published tables, and which of them belong together."""

from __future__ import annotations

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
