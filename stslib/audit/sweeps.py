"""Features measured by AllenSDK on single real sweeps, beside the published row of the same cell."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from stslib.features import measurement
from stslib.recordings import Recording
from stslib.support.errors import StsError

_SHAPE = "the spike's own shape; hardly changes with the current"
_LEVEL = "set by the cell; changes by a few mV with the approach to threshold"
_HERO = "published for the sweep 39 to 61 pA above rheobase; "
#: The columns that are compared: unit, and why a sweep 40 to 100 pA above rheobase may differ from the published value.
WHY = {
    "upstroke_downstroke_ratio_long_square": ("1", _SHAPE),
    "fast_trough_v_long_square": ("mV", _SHAPE),
    "threshold_v_long_square": ("mV", _LEVEL),
    "peak_v_long_square": ("mV", _LEVEL),
    "trough_v_long_square": ("mV", "shallower under a stronger current, which pulls the membrane up again sooner"),
    "threshold_i_long_square": ("pA", "the sweep's own current, above the rheobase of the published row"),
    "first_spike_s": ("s", "from the onset; a stronger current reaches threshold sooner"),
    "latency": ("s", _HERO + "a stronger current fires sooner"),
    "avg_isi": ("ms", _HERO + "a stronger current fires faster"),
    "adaptation": ("1", _HERO + "depends on the number of spikes"),
}


def compare_sweeps(recordings: Iterable[Recording], published: pd.DataFrame) -> pd.DataFrame:
    """Every feature of recordings of one spiking long square each, beside the published row of the same cell."""
    rows = published.set_index("cell_id")
    found = []
    for recording in recordings:
        if recording.cell_id not in rows.index:
            raise StsError(f"the published tables have no cell {recording.cell_id}")
        known = rows.loc[recording.cell_id].copy()
        one = measurement.extract_one(recording, passive=False)
        if not one["threshold_i_long_square"] > 0:
            raise StsError(f"the sweep of cell {recording.cell_id} has no action potential")
        one |= measurement.train(recording.sweeps[0])
        one["first_spike_s"] = one["threshold_t_long_square"] - one["onset_s"]
        known["first_spike_s"] = known["threshold_t_long_square"] - known["onset_s"]
        above = one["threshold_i_long_square"] - known["threshold_i_long_square"]
        for name, (unit, why) in WHY.items():
            measured, stored = float(one[name]), float(known[name])
            found.append((recording.cell_id, above, name, unit, measured, stored, measured - stored, why))
    columns = ["cell_id", "above_rheobase_pa", "feature", "unit", "measured", "published", "difference", "why"]
    return pd.DataFrame(found, columns=columns)
