"""Electrophysiology features: the sets of columns that the baseline uses, and their measurement on a `Recording`.

The names and units are those of the published tables (Allen Cell Types Database): V in mV, absolute times in s from the
start of the sweep, current in pA, `avg_isi` and `tau` in ms, `ri` in MOhm. AllenSDK measures them, so that simulated,
hybrid and own cells get the very definitions behind the published values: the first action potential of the rheobase
sweep gives the `*_long_square` columns, the first sweep 39 to 61 pA above it ("hero sweep") gives `adaptation`,
`avg_isi` and `latency` [1]_.

References
----------
.. [1] Allen Institute, technical white paper "Cell Types Database: electrophysiology overview"; `allensdk.ephys`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stslib.errors import ParameterError, StsError, one_of
from stslib.progress import progress
from stslib.recordings import Recording, Sweep

if TYPE_CHECKING:
    from stslib.sources import Source

#: Points of an action potential whose time and voltage are features.
POINTS = ("threshold", "peak", "fast_trough", "trough", "slow_trough")

#: The twelve columns of the first action potential under one stimulus, by the stimulus's suffix.
_FIRST_AP = tuple(
    sorted([f"{p}_{q}" for p in POINTS for q in "tv"] + ["threshold_i", "upstroke_downstroke_ratio"])
)  # fmt: skip
STIMULI = ("long_square", "ramp", "short_square")
LONG_SQUARE = tuple(f"{c}_long_square" for c in _FIRST_AP)

#: Columns that the authors' code ends up with: those common to both tables whose name holds one of its words, less
#: `avg_isi` and `has_*`, which it renames before it looks for them (protocol: 15 columns).
PUBLISHED = tuple(sorted(("adaptation", "f_i_curve_slope", "latency", *LONG_SQUARE)))
#: What the paper's text names (section III.D) and both tables hold; bursts, pauses and delays are in one table only.
INTENDED = tuple(sorted((*PUBLISHED, "avg_isi")))
#: Every feature that the two published tables share.
SHARED = tuple(
    sorted(
        (*INTENDED, *(f"{c}_{s}" for c in _FIRST_AP for s in STIMULI[1:]), "ri", "sag", "tau", "vm_for_sag", "vrest"),
    )
)

#: Columns that `extract` measures: all that long squares can give.
MEASURED = tuple(sorted((*INTENDED, "ri", "sag", "tau", "vm_for_sag", "vrest")))

_HERO_PA = (39.0, 61.0)  # above rheobase, as AllenSDK defines the hero sweep
_RESISTANCE_PA = (-100.0, 0.0)  # steps that AllenSDK takes for input resistance and time constant
_SAG_TARGET_MV = -100.0  # sag is read where the deflection comes nearest to this
_MARGIN_S = 0.15  # kept of a sweep before and after the step; AllenSDK's baseline is the last 0.1 s before it


def _aligned_name(column: str) -> str:
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
    "stimulus_aligned": tuple(sorted(_aligned_name(c) for c in INTENDED)),
    "all": tuple(sorted(_aligned_name(c) for c in SHARED)),
}

_ALIGNED_FROM = {"stimulus_aligned": INTENDED, "all": SHARED}

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


def check_table(table: pd.DataFrame, columns: Iterable[str], allow_empty: bool = False) -> None:
    """Refuse a feature table that a model should not see.

    Parameters
    ----------
    table : DataFrame
        One row a cell, with `cell_id`.
    columns : iterable of str
        Columns that are needed.
    allow_empty : bool
        Let columns pass that have no value in any cell.

    Raises
    ------
    StsError
        A needed column that is not there, doubled ids, values that are not numbers, infinite values, a column without
        any value: one line each, naming the column or the id.
    """
    names = ["cell_id", *columns]
    missing = [c for c in names if c not in table.columns]
    if missing:
        raise StsError(f"the feature table lacks {len(missing)} of {len(names)} columns: {', '.join(missing[:4])}")
    doubled = table["cell_id"][table["cell_id"].duplicated()]
    if len(doubled):
        raise StsError(f"cell id {doubled.iloc[0]} occurs twice in the feature table; keep one row a cell")
    for column in names[1:]:
        values = table[column]
        if not (pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)):
            bad = values[pd.to_numeric(values, errors="coerce").isna() & values.notna()]
            example = repr(bad.iloc[0]) if len(bad) else f"type {values.dtype}"
            raise StsError(f"column {column} holds {example}, which is not a number")
        if np.isinf(values.to_numpy(dtype=float)).any():
            raise StsError(f"column {column} holds infinite values; leave them empty")
        if not allow_empty and values.isna().all():
            raise StsError(f"column {column} has no value in any of {len(table)} cells; use another feature set")


def select(table: pd.DataFrame, feature_set: str = "published", allow_empty: bool = False) -> pd.DataFrame:
    """The columns of a feature set, always in the same order.

    Parameters
    ----------
    table : DataFrame
        One row a cell: `cell_id`, the columns of the published tables, and `onset_s` (start of the step, in s) for the
        aligned sets.
    feature_set : str
        A name of `FEATURE_SETS`.
    allow_empty : bool
        Let columns pass that have no value in any cell: rare ones, such as the slow trough, in a small cohort.

    Returns
    -------
    DataFrame
        Index `cell_id`, columns `FEATURE_SETS[feature_set]`, float.

    Raises
    ------
    ParameterError
        Unknown set.
    StsError
        A table that cannot be used (see `check_table`).
    """
    one_of("features", feature_set, FEATURE_SETS)
    needed = _ALIGNED_FROM.get(feature_set, FEATURE_SETS[feature_set])
    check_table(table, (*needed, "onset_s") if feature_set in _ALIGNED_FROM else needed, allow_empty)
    out = table.set_index("cell_id")
    if feature_set in _ALIGNED_FROM:
        out = _align(out)
    return out[list(FEATURE_SETS[feature_set])].astype(float)


def _align(table: pd.DataFrame) -> pd.DataFrame:
    """Times of the threshold from the onset of the stimulus, all others from the threshold; renamed accordingly."""
    out = table.copy()
    for stimulus in STIMULI:
        threshold = f"threshold_t_{stimulus}"
        if threshold not in table.columns:
            continue
        out[_aligned_name(threshold)] = table[threshold] - table["onset_s"]
        for point in POINTS[1:]:
            column = f"{point}_t_{stimulus}"
            if column in table.columns:
                out[_aligned_name(column)] = table[column] - table[threshold]
    return out


def from_source(source: Source, cell_ids: Sequence[str], feature_set: str, n_jobs: int = 1) -> pd.DataFrame:
    """The feature table of some cells of a source: its own published table where it has one, else measured.

    Parameters
    ----------
    source : Source
        Made by `stslib.sources.open_source`.
    cell_ids : sequence of str
        Cells, in the order of the rows.
    feature_set : str
        The set that will be selected from the table.
    n_jobs : int
        Processes for the measurement.

    Returns
    -------
    DataFrame
        `cell_id`, `dataset`, `onset_s` and the features, one row a cell.

    Raises
    ------
    ParameterError
        Unknown set, or one that recordings of long squares cannot fill.
    StsError
        The source's table lacks a cell.
    """
    one_of("features", feature_set, FEATURE_SETS)
    if hasattr(source, "features"):
        table = source.features().set_index("cell_id")
        absent = [c for c in cell_ids if c not in table.index]
        if absent:
            raise StsError(f"the feature tables of source {source.name} lack cell {absent[0]} ({len(absent)} cells)")
        return table.loc[list(cell_ids)].reset_index()
    if feature_set == "all":
        raise ParameterError(
            "features is 'all', which needs ramps and short squares; recordings give 'stimulus_aligned'"
        )
    return extract(source.recordings(cell_ids), n_jobs, len(cell_ids), passive=False)


# --- measurement ----------------------------------------------------------------------------------------------------


def extract(
    recordings: Iterable[Recording], n_jobs: int = 1, total: int | None = None, passive: bool = True
) -> pd.DataFrame:
    """Features of recordings, as the published tables define them.

    Parameters
    ----------
    recordings : iterable of Recording
        Each needs a long square with an action potential; the f-I slope needs two, `adaptation`, `avg_isi` and
        `latency` need one 39 to 61 pA above rheobase, `ri`, `sag`, `tau` need hyperpolarising steps. What a recording
        does not allow is empty (NaN).
    n_jobs : int
        Processes (joblib).
    total : int, optional
        Number of recordings, for the progress bar.
    passive : bool
        Measure `ri`, `sag`, `tau`, `vm_for_sag` and `vrest` too, which reads the hyperpolarising sweeps; no feature set
        that recordings can fill needs them.

    Returns
    -------
    DataFrame
        `cell_id`, `dataset`, `onset_s`, then the columns `MEASURED`, one row a recording in their order.

    Raises
    ------
    StsError
        AllenSDK is not installed, or a sweep cannot be read.
    """
    _allensdk()
    if isinstance(recordings, Sized):
        total = len(recordings)
    if n_jobs == 1:
        rows: Iterable[dict[str, Any]] = (extract_one(r, passive) for r in recordings)
    else:
        import joblib

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
    row: dict[str, Any] = dict.fromkeys(MEASURED, np.nan)
    row |= {"cell_id": recording.cell_id, "dataset": recording.dataset, "onset_s": np.nan}
    if recording.sweeps:
        row["onset_s"] = recording.sweeps[0].onset_s
    with warnings.catch_warnings():
        # AllenSDK warns on every missing trough, on its own use of numpy, and fits time constants beyond their range.
        warnings.simplefilter("ignore")
        rates = _Rates(recording)
        if (rheobase := rates.rheobase()) is None:
            return row
        row |= _first_spike(rates.extractor(rheobase)) | {"f_i_curve_slope": rates.slope()}
        if (hero := rates.hero(rheobase)) is not None:
            row |= _train(rates.extractor(hero))
        if not passive:
            return row
        baselines = [rates.extractor(s).sweep_feature("v_baseline") for s in (rheobase, hero) if s is not None]
        row |= _passive(recording, baselines)
    return row


def _extractor(sweep: Sweep, spikes: bool = True) -> Any:
    """AllenSDK's extractor of one sweep, with its spikes found; times stay those from the start of the sweep."""
    module, _ = _allensdk()
    v_mv, i_pa = sweep.load()
    end_s = sweep.onset_s + sweep.duration_s
    first = max(int((sweep.onset_s - _MARGIN_S) * sweep.rate_hz), 0)
    last = min(int((end_s + _MARGIN_S) * sweep.rate_hz), len(v_mv))
    t_s = np.arange(first, last) / sweep.rate_hz
    # The 10 kHz Bessel filter of AllenSDK needs a sampling rate above 20 kHz; slower sweeps go unfiltered.
    extractor = module.EphysSweepFeatureExtractor(
        t=t_s,
        v=np.asarray(v_mv[first:last], dtype=float),
        i=np.asarray(i_pa[first:last], dtype=float),
        start=sweep.onset_s,
        end=min(end_s, float(t_s[-1])),
        filter=10.0 if sweep.rate_hz > 20_000 else None,
        id=sweep.number,
    )
    if spikes:
        extractor.process_spikes()
    return extractor


class _Rates:
    """Which sweeps of a recording spike, reading as few of them as can be."""

    def __init__(self, recording: Recording) -> None:
        self._sweeps = sorted(recording.sweeps, key=lambda s: (s.stimulus_pa, s.number))
        self._extractors: dict[int, Any] = {}

    def extractor(self, sweep: Sweep) -> Any:
        if sweep.number not in self._extractors:
            self._extractors[sweep.number] = _extractor(sweep)
        return self._extractors[sweep.number]

    def _n_spikes(self, sweep: Sweep) -> int:
        if sweep.stimulus_pa <= 0:
            return 0
        if sweep.n_spikes is not None:
            return sweep.n_spikes
        return len(self.extractor(sweep).spikes())

    def _spiking(self) -> list[Sweep]:
        return [s for s in self._sweeps if self._n_spikes(s) > 0]

    def rheobase(self) -> Sweep | None:
        """The spiking sweep of the smallest current; the source's own count is checked on the trace."""
        return next((s for s in self._spiking() if len(self.extractor(s).spikes()) > 0), None)

    def hero(self, rheobase: Sweep) -> Sweep | None:
        low, high = (rheobase.stimulus_pa + offset for offset in _HERO_PA)
        return next((s for s in self._spiking() if low < s.stimulus_pa < high), None)

    def slope(self) -> float:
        """Least-squares slope of rate (Hz) against current (pA) over the spiking sweeps; NaN for a single current."""
        spiking = self._spiking()
        current = np.array([s.stimulus_pa for s in spiking])
        rate = np.array([self._n_spikes(s) / s.duration_s for s in spiking])
        if len(np.unique(current)) < 2:
            return float("nan")
        return float(np.polyfit(current, rate, 1)[0])


def _first_spike(extractor: Any) -> dict[str, float]:
    spike: Mapping[str, Any] = extractor.spikes()[0]
    return {f"{c}_long_square": _number(spike.get(c)) for c in _FIRST_AP}


def _train(extractor: Any) -> dict[str, float]:
    if not len(extractor.spikes()):
        return {}
    found = {k: _number(extractor.sweep_feature(k)) for k in ("adapt", "latency", "mean_isi")}
    return {"adaptation": found["adapt"], "latency": found["latency"], "avg_isi": 1e3 * found["mean_isi"]}


def _passive(recording: Recording, baselines: list[float]) -> dict[str, float]:
    """Resting potential, and what hyperpolarising steps tell: input resistance, time constant, sag."""
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
