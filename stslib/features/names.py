"""Names of the columns of the published tables, what each means, and which of them belong together."""

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
