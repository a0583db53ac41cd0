"""Features measured on a `Recording` by AllenSDK, which holds the definitions behind the published values."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from functools import cache
from typing import Any

import joblib
import numpy as np
import pandas as pd

from stslib.features.columns import FIRST_AP, INTENDED
from stslib.recordings import Recording, Sweep
from stslib.support.errors import StsError
from stslib.support.progress import progress

_HERO_PA = (39.0, 61.0)  # above rheobase, as AllenSDK defines the hero sweep
_MARGIN_S = 0.15  # kept of a sweep before and after the step; AllenSDK's baseline is the last 0.1 s before it

_SHAPE = "the spike's own shape; hardly changes with the current"
_LEVEL = "set by the cell; changes by a few mV with the approach to threshold"
_HERO = "published for the sweep 39 to 61 pA above rheobase; "
#: The columns that are compared: unit, and why a sweep 40 to 100 pA above rheobase may differ from the published value.
_WHY = {
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


def extract(recordings: Iterable[Recording], n_jobs: int = 1, total: int | None = None) -> pd.DataFrame:
    """Features of recordings (of `total`, for the progress bar): `cell_id`, `dataset`, `onset_s`, then `INTENDED`.

    NaN without a long square that spikes, the f-I slope without two, those of a train without a hero sweep.
    """
    rows = joblib.Parallel(n_jobs=n_jobs, return_as="generator")(joblib.delayed(extract_one)(r) for r in recordings)
    return pd.DataFrame(progress(rows, "features", total), columns=["cell_id", "dataset", "onset_s", *INTENDED])


def extract_one(recording: Recording) -> dict[str, Any]:
    """Features of one recording (see `extract`), with its `cell_id`, `dataset` and `onset_s`."""
    onset_s = recording.sweeps[0].onset_s if recording.sweeps else np.nan
    row: dict[str, Any] = dict.fromkeys(INTENDED, np.nan)
    row |= {"cell_id": recording.cell_id, "dataset": recording.dataset, "onset_s": onset_s}
    extractor = cache(_extractor)  # as few sweeps are read as can be, and each once

    def n_spikes(sweep: Sweep) -> int:
        return len(extractor(sweep).spikes()) if sweep.n_spikes is None else sweep.n_spikes

    with warnings.catch_warnings():
        # AllenSDK warns on every missing trough and on its own use of numpy.
        warnings.simplefilter("ignore")
        depolarising = (s for s in recording.sweeps if s.stimulus_pa > 0)
        ordered = sorted(depolarising, key=lambda s: (s.stimulus_pa, s.number))
        spiking = [(s, n) for s in ordered if (n := n_spikes(s)) > 0]
        # The smallest current that spikes; the source's own count is checked on the trace.
        rheobase = next((s for s, _ in spiking if len(extractor(s).spikes()) > 0), None)
        if rheobase is None:
            return row
        spike = extractor(rheobase).spikes()[0]
        row |= {f"{c}_long_square": _number(spike.get(c)) for c in FIRST_AP}
        current_pa, rate_hz = [s.stimulus_pa for s, _ in spiking], [n / s.duration_s for s, n in spiking]
        if len(set(current_pa)) > 1:
            row["f_i_curve_slope"] = float(np.polyfit(current_pa, rate_hz, 1)[0])
        low, high = (rheobase.stimulus_pa + offset for offset in _HERO_PA)
        hero = next((s for s, _ in spiking if low < s.stimulus_pa < high), None)
        return row if hero is None else row | _train(extractor(hero))


def _extractor(sweep: Sweep) -> Any:
    """AllenSDK's extractor of the spikes of one sweep; times stay those from the start of the sweep."""
    try:
        from allensdk.ephys import ephys_extractor
    except ImportError as error:
        raise StsError('features need AllenSDK, which is not installed: pip install "stslib[allen]"') from error
    end_s = sweep.onset_s + sweep.duration_s
    traces = sweep.load()
    first = max(int((sweep.onset_s - _MARGIN_S) * sweep.rate_hz), 0)
    last = min(int((end_s + _MARGIN_S) * sweep.rate_hz), len(traces[0]))
    t_s = np.arange(first, last) / sweep.rate_hz
    v_mv, i_pa = (np.asarray(trace[first:last], dtype=float) for trace in traces)
    # The 10 kHz Bessel filter of AllenSDK needs a sampling rate above 20 kHz; slower sweeps go unfiltered.
    kilohertz = 10.0 if sweep.rate_hz > 20_000 else None
    end_s = min(end_s, float(t_s[-1]))
    extractor = ephys_extractor.EphysSweepFeatureExtractor(t_s, v_mv, i_pa, sweep.onset_s, end_s, kilohertz)
    extractor.process_spikes()
    return extractor


def _train(extractor: Any) -> dict[str, float]:
    """`adaptation`, `latency` (s) and `avg_isi` (ms) of one sweep's spike train."""
    if not len(extractor.spikes()):
        return {}
    adaptation, latency_s, isi_s = (_number(extractor.sweep_feature(k)) for k in ("adapt", "latency", "mean_isi"))
    return {"adaptation": adaptation, "latency": latency_s, "avg_isi": 1e3 * isi_s}


def _number(value: Any) -> float:
    number = float("nan") if value is None else float(value)
    return number if np.isfinite(number) else float("nan")


def compare_sweeps(recordings: Iterable[Recording], published: pd.DataFrame) -> pd.DataFrame:
    """Every feature of recordings of one spiking long square each, beside the published row of the same cell."""
    rows = published.set_index("cell_id")
    found = []
    for recording in recordings:
        if recording.cell_id not in rows.index:
            raise StsError(f"the published tables have no cell {recording.cell_id}")
        measured, stored = extract_one(recording), rows.loc[recording.cell_id].to_dict()
        if not measured["threshold_i_long_square"] > 0:
            raise StsError(f"the sweep of cell {recording.cell_id} has no action potential")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            measured |= _train(_extractor(recording.sweeps[0]))
        for row in (measured, stored):
            row["first_spike_s"] = row["threshold_t_long_square"] - row["onset_s"]
        above = measured["threshold_i_long_square"] - stored["threshold_i_long_square"]
        for name, (unit, why) in _WHY.items():
            pair = float(measured[name]), float(stored[name])
            found.append((recording.cell_id, above, name, unit, *pair, pair[0] - pair[1], why))
    columns = ["cell_id", "above_rheobase_pa", "feature", "unit", "measured", "published", "difference", "why"]
    return pd.DataFrame(found, columns=columns)
