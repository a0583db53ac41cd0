"""Features measured by AllenSDK on single real sweeps, beside the published row of the same cell."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from stslib.features import measurement
from stslib.io import open_source
from stslib.recordings import Recording
from stslib.support.errors import MissingInput, StsError

#: Why a value of one sweep, 40 to 100 pA above rheobase, may differ from the published one; the columns that are compared.
WHY = {
    "upstroke_downstroke_ratio_long_square": "the spike's own shape; hardly changes with the current",
    "fast_trough_v_long_square": "the spike's own shape; hardly changes with the current",
    "threshold_v_long_square": "set by the cell; changes by a few mV with the approach to threshold",
    "peak_v_long_square": "set by the cell; changes by a few mV with the approach to threshold",
    "trough_v_long_square": "shallower under a stronger current, which pulls the membrane up again sooner",
    "threshold_i_long_square": "the sweep's own current, above the rheobase of the published row",
    "first_spike_s": "from the onset; a stronger current reaches threshold sooner",
    "latency": "published for the sweep 39 to 61 pA above rheobase; a stronger current fires sooner",
    "avg_isi": "published for the sweep 39 to 61 pA above rheobase; a stronger current fires faster",
    "adaptation": "published for the sweep 39 to 61 pA above rheobase; depends on the number of spikes",
}
_UNITS = {"v": "mV", "i": "pA"}


def _unit(name: str) -> str:
    if name in ("first_spike_s", "latency"):
        return "s"
    if name == "avg_isi":
        return "ms"
    return next((unit for key, unit in _UNITS.items() if f"_{key}_" in name), "1")


def compare_sweeps(recordings: Iterable[Recording], published: pd.DataFrame) -> pd.DataFrame:
    """Every feature that one sweep gives, beside the published value of its cell.

    Parameters
    ----------
    recordings : iterable of Recording
        One spiking long square each.
    published : DataFrame
        `stslib.io.published.Published().features()`.

    Returns
    -------
    DataFrame
        `cell_id`, `above_rheobase_pa` (the sweep's current minus the published one), `feature`, `unit`, `measured`,
        `published`, `difference`, `why` (what a difference comes from).

    Raises
    ------
    StsError
        A cell that the published table lacks, or a sweep without an action potential.
    """
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
        for name, why in WHY.items():
            measured, stored = float(one[name]), float(known[name])
            found.append((recording.cell_id, above, name, _unit(name), measured, stored, measured - stored, why))
    columns = ["cell_id", "above_rheobase_pa", "feature", "unit", "measured", "published", "difference", "why"]
    return pd.DataFrame(found, columns=columns)


def compare_or_none(published: pd.DataFrame) -> pd.DataFrame | None:
    """`compare_sweeps` on the six real sweeps of the data mirror, or None where there is no mirror with sweeps."""
    try:
        source = open_source("real_sweeps")
    except MissingInput:
        return None
    return compare_sweeps(source.recordings(source.cells()["cell_id"]), published)
