"""Features measured on a `Recording` by AllenSDK, so that they have the definitions behind the published values.

Allen Institute, technical white paper "Cell Types Database: electrophysiology overview"; `allensdk.ephys`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from functools import cache
from typing import Any

import joblib
import numpy as np
import pandas as pd

from stslib.features.names import FIRST_AP, MEASURED
from stslib.recordings import Recording, Sweep
from stslib.support.errors import StsError
from stslib.support.progress import progress

_HERO_PA = (39.0, 61.0)  # above rheobase, as AllenSDK defines the hero sweep
_RESISTANCE_PA = (-100.0, 0.0)  # steps that AllenSDK takes for input resistance and time constant
_SAG_TARGET_MV = -100.0  # sag is read where the deflection comes nearest to this
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


def extract(
    recordings: Iterable[Recording], n_jobs: int = 1, total: int | None = None, passive: bool = True
) -> pd.DataFrame:
    """Features of recordings as the published tables define them: `cell_id`, `dataset`, `onset_s`, then `MEASURED`.

    What a recording does not allow is NaN: all need a long square with an action potential, the f-I slope two, the
    train's three a hero sweep. `passive`: also from hyperpolarising sweeps; `total`: recordings, for the progress bar.
    """
    _allensdk()
    parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator")
    rows = parallel(joblib.delayed(extract_one)(r, passive) for r in recordings)
    columns = ["cell_id", "dataset", "onset_s", *MEASURED]
    return pd.DataFrame(list(progress(rows, "features", total)), columns=columns)


def _allensdk() -> tuple[Any, Any]:
    try:
        from allensdk.ephys import ephys_extractor, ephys_features
    except ImportError as error:
        raise StsError('features need AllenSDK, which is not installed: pip install "stslib[allen]"') from error
    return ephys_extractor, ephys_features


def extract_one(recording: Recording, passive: bool = True) -> dict[str, Any]:
    """Features of one recording (see `extract`), with its `cell_id`, `dataset` and `onset_s`."""
    onset_s = recording.sweeps[0].onset_s if recording.sweeps else np.nan
    row: dict[str, Any] = dict.fromkeys(MEASURED, np.nan)
    row |= {"cell_id": recording.cell_id, "dataset": recording.dataset, "onset_s": onset_s}
    ordered = sorted(recording.sweeps, key=lambda s: (s.stimulus_pa, s.number))
    extractor = cache(_extractor)  # as few sweeps are read as can be, and each once

    def n_spikes(sweep: Sweep) -> int:
        if sweep.stimulus_pa <= 0:
            return 0
        return len(extractor(sweep).spikes()) if sweep.n_spikes is None else sweep.n_spikes

    with warnings.catch_warnings():
        # AllenSDK warns on every missing trough, on its own use of numpy, and fits time constants beyond their range.
        warnings.simplefilter("ignore")
        spiking = [(s, n) for s in ordered if (n := n_spikes(s)) > 0]
        # The smallest current that spikes; the source's own count is checked on the trace.
        rheobase = next((s for s, _ in spiking if len(extractor(s).spikes()) > 0), None)
        if rheobase is None:
            return row
        spike = extractor(rheobase).spikes()[0]
        row |= {f"{c}_long_square": _number(spike.get(c)) for c in FIRST_AP}
        row["f_i_curve_slope"] = _slope([s.stimulus_pa for s, _ in spiking], [n / s.duration_s for s, n in spiking])
        low, high = (rheobase.stimulus_pa + offset for offset in _HERO_PA)
        hero = next((s for s, _ in spiking if low < s.stimulus_pa < high), None)
        if hero is not None:
            row |= _train(extractor(hero))
        if not passive:
            return row
        baselines = [extractor(s).sweep_feature("v_baseline") for s in (rheobase, hero) if s is not None]
        row |= _passive(recording, baselines)
    return row


def _extractor(sweep: Sweep, spikes: bool = True) -> Any:
    """AllenSDK's extractor of one sweep; times stay those from the start of the sweep."""
    module, _ = _allensdk()
    v_mv, i_pa = sweep.load()
    end_s = sweep.onset_s + sweep.duration_s
    first = max(int((sweep.onset_s - _MARGIN_S) * sweep.rate_hz), 0)
    last = min(int((end_s + _MARGIN_S) * sweep.rate_hz), len(v_mv))
    t_s = np.arange(first, last) / sweep.rate_hz
    v, i = (np.asarray(trace[first:last], dtype=float) for trace in (v_mv, i_pa))
    # The 10 kHz Bessel filter of AllenSDK needs a sampling rate above 20 kHz; slower sweeps go unfiltered.
    kilohertz = 10.0 if sweep.rate_hz > 20_000 else None
    end_s = min(end_s, float(t_s[-1]))
    extractor = module.EphysSweepFeatureExtractor(
        t=t_s, v=v, i=i, start=sweep.onset_s, end=end_s, filter=kilohertz, id=sweep.number
    )
    if spikes:
        extractor.process_spikes()
    return extractor


def _slope(current_pa: list[float], rate_hz: list[float]) -> float:
    """Least-squares slope of rate against current over the spiking sweeps; NaN for a single current."""
    return float(np.polyfit(current_pa, rate_hz, 1)[0]) if len(set(current_pa)) > 1 else float("nan")


def _train(extractor: Any) -> dict[str, float]:
    """`adaptation`, `latency` (s) and `avg_isi` (ms) of one sweep's spike train."""
    if not len(extractor.spikes()):
        return {}
    found = {k: _number(extractor.sweep_feature(k)) for k in ("adapt", "latency", "mean_isi")}
    return {"adaptation": found["adapt"], "latency": found["latency"], "avg_isi": 1e3 * found["mean_isi"]}


def _passive(recording: Recording, baselines: list[float]) -> dict[str, float]:
    """Resting potential, and from hyperpolarising steps the input resistance, time constant, sag."""
    module, features = _allensdk()
    low, high = _RESISTANCE_PA
    steps = [_extractor(s, spikes=False) for s in recording.sweeps if s.stimulus_pa < 0]
    row = {"vrest": float(np.nanmean([*baselines, *(s.sweep_feature("v_baseline") for s in steps)]))}
    if not steps:
        return row
    levels = np.array([s.voltage_deflection("min")[0] for s in steps])
    nearest = int(np.argmin(np.abs(levels - _SAG_TARGET_MV)))
    row |= {"vm_for_sag": float(levels[nearest]), "sag": _number(steps[nearest].sweep_feature("sag"))}
    passive = [s for s in steps if low < float(np.median(s.i[(s.t > s.start) & (s.t < s.end)])) < high]
    if not passive:
        return row
    grouped = module.EphysSweepSetFeatureExtractor.from_sweeps(passive)
    for name, function, factor in (("ri", "input_resistance", 1.0), ("tau", "membrane_time_constant", 1e3)):
        try:
            row[name] = factor * _number(getattr(module, function)(grouped))
        except (features.FeatureError, ValueError, RuntimeError):
            row[name] = float("nan")  # a trace on which the fit has no solution has no such feature
    return row


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
        known = rows.loc[recording.cell_id].copy()
        one = extract_one(recording, passive=False)
        if not one["threshold_i_long_square"] > 0:
            raise StsError(f"the sweep of cell {recording.cell_id} has no action potential")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            one |= _train(_extractor(recording.sweeps[0]))
        one["first_spike_s"] = one["threshold_t_long_square"] - one["onset_s"]
        known["first_spike_s"] = known["threshold_t_long_square"] - known["onset_s"]
        above = one["threshold_i_long_square"] - known["threshold_i_long_square"]
        for name, (unit, why) in _WHY.items():
            measured, stored = float(one[name]), float(known[name])
            found.append((recording.cell_id, above, name, unit, measured, stored, measured - stored, why))
    columns = ["cell_id", "above_rheobase_pa", "feature", "unit", "measured", "published", "difference", "why"]
    return pd.DataFrame(found, columns=columns)
