"""Feature sets, and features measured on made-up recordings whose true values are known."""

import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from stslib import features, io
from stslib.features.columns import relative
from stslib.recordings import Recording, Sweep
from stslib.support.errors import ParameterError, StsError

PAPERS_15 = {"f_i_curve_slope", "adaptation", "latency"} | {
    f"{column}_long_square" for column in (
        "fast_trough_t", "fast_trough_v", "peak_t", "peak_v", "slow_trough_t", "slow_trough_v", "threshold_i", "threshold_t",
        "threshold_v", "trough_t", "trough_v", "upstroke_downstroke_ratio",
    )
}  # fmt: skip
RATE_HZ, ONSET_S = 50_000.0, 0.5
REST_MV, RESISTANCE_MOHM, TAU_S = -70.0, 150.0, 0.02


def shared_table(n: int = 6) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({c: rng.normal(size=n) for c in features.SHARED})
    table.insert(0, "cell_id", [str(k) for k in range(n)])
    return table.assign(onset_s=[1.02, 0.5] * (n // 2))


def test_published_is_the_15_columns_that_the_authors_code_ends_up_with():
    assert sorted(features.FEATURE_SETS["published"]) == sorted(PAPERS_15) and len(PAPERS_15) == 15
    assert set(features.FEATURE_SETS["intended"]) == PAPERS_15 | {"avg_isi"}
    assert len(features.FEATURE_SETS["all"]) == 45


@pytest.mark.mirror
def test_the_15_follow_from_the_two_tables_by_the_authors_steps(mirror):
    """Their steps (protocol, Baseline), done on the real headers: rename, keep by word, keep what both have."""
    kept = []
    for file in ("PatchClamp_EP_features.csv", "PatchSeq_EP_features.csv"):
        columns = pd.read_csv(mirror / "published" / file, nrows=0).columns
        renamed = set(columns) - {"avg_isi", "has_burst", "has_pause", "has_delay"}
        words = ("f_i_curve_slope", "avg_isi", "adaptation", "latency", "has_", "long_square")
        kept.append({c for c in renamed if any(w in c for w in words)})
    assert kept[0] & kept[1] == PAPERS_15


def test_column_order_does_not_depend_on_pythons_hash_seed():
    run = [sys.executable, "-c", "from stslib.features import FEATURE_SETS; print(FEATURE_SETS)"]
    environments = [os.environ | {"PYTHONHASHSEED": seed} for seed in ("0", "77")]
    assert len({subprocess.run(run, env=env, capture_output=True, check=True).stdout for env in environments}) == 1


def test_aligned_sets_do_not_change_when_a_rig_starts_its_step_later():
    table = shared_table()
    later = table.copy()
    times = [c for c in features.SHARED if "_t_" in c]
    later[[*times, "onset_s"]] += 0.52
    one, other = features.FeatureTable(table), features.FeatureTable(later)
    for name in ("stimulus_aligned", "all"):
        pd.testing.assert_frame_equal(one.select(name), other.select(name))
    assert not one.select().equals(other.select())


def test_aligned_times_are_from_the_onset_and_from_the_threshold():
    table = shared_table().assign(threshold_t_long_square=1.1, trough_t_long_square=1.103, onset_s=1.02)
    got = features.FeatureTable(table).select("stimulus_aligned")
    assert got["threshold_t_from_onset_long_square"].to_numpy() == pytest.approx(0.08)
    assert got["trough_t_from_threshold_long_square"].to_numpy() == pytest.approx(0.003)
    assert not [c for c in got.columns if c.endswith("_t_long_square")]


def test_every_column_is_described_with_a_unit():
    for columns in features.FEATURE_SETS.values():
        table = features.describe(pd.DataFrame(columns=columns, dtype=float), [])
        assert tuple(table["feature"]) == columns and table["meaning"].is_unique
        assert (table["unit"] != "").all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop(columns="latency"), "lacks 1 of 16 columns: latency"),
        (lambda t: t.assign(cell_id="7"), "cell id 7 occurs twice"),
        (lambda t: t.assign(latency=["fast", *t["latency"][1:]]), "column latency holds 'fast', which is not a number"),
        (lambda t: t.assign(latency=np.inf), "column latency holds infinite values"),
        (lambda t: t.assign(latency=True), "column latency holds type bool"),
    ],
)
def test_a_faulty_feature_table_is_one_line(change, words):
    with pytest.raises(StsError, match=words) as caught:
        features.FeatureTable(change(shared_table())).select("published")
    assert "\n" not in str(caught.value)


def test_unknown_set_missing_onset_and_allowed_empty_columns():
    with pytest.raises(ParameterError, match="use one of: published, intended, stimulus_aligned, all"):
        features.FeatureTable(shared_table()).select("best")
    with pytest.raises(StsError, match="columns: onset_s"):
        features.FeatureTable(shared_table().drop(columns="onset_s")).select("stimulus_aligned")
    table = features.FeatureTable(shared_table().assign(slow_trough_v_long_square=np.nan))
    assert table.select("published")["slow_trough_v_long_square"].isna().all()


def test_relative_features_by_hand():
    values = {
        "threshold_v_long_square": -40.0, "peak_v_long_square": 20.0, "fast_trough_v_long_square": -55.0,
        "trough_v_long_square": -58.0, "slow_trough_v_long_square": -58.0, "threshold_t_long_square": 1.12,
        "peak_t_long_square": 1.1205, "fast_trough_t_long_square": 1.1225, "trough_t_long_square": 1.14,
        "threshold_i_long_square": 100.0, "threshold_i_short_square": 500.0, "vrest": -70.0, "ri": 200.0, "tau": 20.0,
        "avg_isi": 50.0, "latency": 0.04, "f_i_curve_slope": 0.2, "sag": 0.1, "vm_for_sag": -90.0, "onset_s": 1.02,
    }  # fmt: skip
    got = relative(shared_table().iloc[:1].assign(**values).set_index("cell_id")).iloc[0]
    expected = {
        "amplitude_long_square": 60, "fast_trough_from_threshold_v_long_square": -15, "fast_trough_share_long_square": -0.25,
        "trough_t_from_peak_long_square": 0.0195, "trough_from_fast_trough_v_long_square": -3,
        "threshold_from_rest_v_long_square": 30, "rise_rate_long_square": 120, "fall_rate_long_square": 37.5,
        "current_share_long_square": 20 / 30, "current_short_over_long": 5, "capacitance": 0.1, "rate": 20,
        "avg_isi_over_tau": 2.5, "latency_over_tau": 2, "latency_over_isi": 0.8, "first_spike_over_tau": 5,
        "trough_over_tau": 1, "slope_times_rheobase": 20, "slope_over_ri": 0.001, "slope_times_isi": 10,
        "sag_drop": -20, "sag_v": -2,
    }  # fmt: skip
    assert got[list(expected)].to_dict() == pytest.approx(expected)


def test_what_a_rig_adds_to_every_voltage_and_every_time_cancels():
    """All relative features but the shares that hold a current: an amplifier's offset and a later step change nothing."""
    table = shared_table().set_index("cell_id")
    other = table.copy()
    other[[c for c in table if "_v_" in c or c in ("vrest", "vm_for_sag")]] += 9.0
    other[[*[c for c in table if "_t_" in c], "onset_s"]] += 0.52
    pd.testing.assert_frame_equal(relative(table), relative(other))


def test_the_relative_set_holds_every_aligned_feature_and_implausible_voltages_are_left_out():
    names = features.FEATURE_SETS["relative"]
    assert len(set(names)) == len(names)
    assert set(features.FEATURE_SETS["all"]) < set(names)
    got = features.FeatureTable(shared_table().assign(peak_v_ramp=4e10)).select("relative")
    assert got["amplitude_ramp"].isna().all() and got["amplitude_long_square"].notna().all()
    with pytest.raises(StsError, match="columns: sag"):
        features.FeatureTable(shared_table().drop(columns="sag")).select("relative")


def sweep(number: int, stimulus_pa: float, spikes_s: list[float], known: bool = True) -> Sweep:
    """Spikes of one shape (2 mV foot, peak +30 mV, trough -60 mV 3 ms later) at the times `spikes_s` after the onset."""

    def read() -> tuple[np.ndarray, np.ndarray]:
        t_s = np.arange(round(1.8 * RATE_HZ)) / RATE_HZ
        rise, fall = (-np.expm1(-(t_s - start).clip(0) / TAU_S) for start in (ONSET_S, ONSET_S + 1))
        v_mv = REST_MV + 1e-3 * RESISTANCE_MOHM * min(stimulus_pa, 100) * (rise - fall)
        for s in spikes_s:
            ms = 1e3 * (t_s - ONSET_S - s)
            points = np.interp(ms, [-0.5, 0, 0.25, 0.85, 3, 8], [0, 0, 0.55, 1.0, -0.12, 0])
            points = np.where((ms > -0.5) & (ms < 8), points, 0.0)
            v_mv = v_mv + 85.0 * np.convolve(points, np.hanning(15) / np.hanning(15).sum(), mode="same")
        return v_mv, np.where((t_s >= ONSET_S) & (t_s < ONSET_S + 1), stimulus_pa, 0.0)

    return Sweep(number, stimulus_pa, ONSET_S, 1.0, RATE_HZ, read, len(spikes_s) if known else None)


def recording(known: bool = True) -> Recording:
    even = [0.05 + 0.08 * k for k in range(11)]
    slowing = list(np.cumsum([0.03, 0.04, 0.05, 0.0625, 0.078125, 0.09765625]))
    sweeps = [
        sweep(1, -50, [], known), sweep(2, -90, [], known), sweep(3, 80, [], known), sweep(4, 120, [0.2], known),
        sweep(5, 140, [0.1, 0.3, 0.5], known), sweep(6, 160, slowing, known), sweep(7, 220, even, known),
    ]  # fmt: skip
    return Recording("cell", "Seq", "simulated", tuple(sweeps))


@pytest.fixture(scope="module")
def measured() -> pd.Series:
    return features.extract([recording()]).iloc[0]


def test_first_spike_of_the_rheobase_sweep(measured):
    assert measured["threshold_i_long_square"] == 120
    assert measured["threshold_t_long_square"] == pytest.approx(ONSET_S + 0.2, abs=4e-4)
    assert measured["peak_t_long_square"] == pytest.approx(ONSET_S + 0.20085, abs=1e-4)
    assert measured["trough_t_long_square"] == pytest.approx(ONSET_S + 0.203, abs=2e-4)
    plateau_mv = REST_MV + 1e-3 * RESISTANCE_MOHM * 100
    assert measured["peak_v_long_square"] == pytest.approx(plateau_mv + 85, abs=4)
    assert measured["trough_v_long_square"] == pytest.approx(plateau_mv - 0.12 * 85, abs=1)
    assert measured["upstroke_downstroke_ratio_long_square"] == pytest.approx((0.55 / 0.25) / (1.12 / 2.15), rel=0.1)
    assert measured["onset_s"] == ONSET_S


def test_train_of_the_sweep_39_to_61_pa_above_rheobase(measured):
    assert measured["latency"] == pytest.approx(0.03, abs=4e-4)
    assert measured["avg_isi"] == pytest.approx(1e3 * np.mean([0.04, 0.05, 0.0625, 0.078125, 0.09765625]), rel=1e-3)
    assert measured["adaptation"] == pytest.approx(0.25 / 2.25, rel=0.01)  # each interval 1.25 times the one before
    assert measured["f_i_curve_slope"] == pytest.approx(np.polyfit([120, 140, 160, 220], [1, 3, 6, 11], 1)[0])


def test_spikes_are_counted_where_the_source_does_not_know_them(measured):
    unknown = features.extract([recording(known=False)]).iloc[0]
    columns = list(features.FEATURE_SETS["intended"])
    assert unknown[columns].tolist() == pytest.approx(measured[columns].tolist(), nan_ok=True)


def test_what_a_recording_does_not_allow_is_empty():
    two = Recording("two", "Clamp", "simulated", (sweep(1, 120, [0.2]), sweep(2, 125, [0.1, 0.3])))
    silent = Recording("silent", "Clamp", "simulated", (sweep(1, 120, []),))
    table = features.extract(iter([two, silent])).set_index("cell_id")
    assert list(table.index) == ["two", "silent"]
    assert table.loc["two", ["latency", "adaptation", "avg_isi"]].isna().all()
    assert table.loc["two", "f_i_curve_slope"] == pytest.approx(1 / 5)
    assert table.loc["silent", list(features.FEATURE_SETS["intended"])].isna().all()


@pytest.fixture(scope="module")
def two_cells() -> io.Cells:
    simulated = io.open_cells({"source": "simulated", "n_cells": 24, "seed": 1})
    return replace(simulated, cells=simulated.cells.iloc[:2])


def test_two_processes_measure_what_one_does(two_cells):
    ids = two_cells.cells["cell_id"].tolist()
    one, two = (features.extract(two_cells.recordings(ids), n_jobs) for n_jobs in (1, 2))
    pd.testing.assert_frame_equal(one, two)
    assert list(one["cell_id"]) == ids


def test_a_source_with_a_table_is_read_and_one_with_recordings_is_measured(two_cells):
    cells, ids = two_cells, two_cells.cells["cell_id"].tolist()
    own = SimpleNamespace(name="tables", cells=cells.cells, features=lambda: shared_table(2).assign(cell_id=ids[::-1]))
    table = features.of_cells(own, "all")
    assert list(table.table["cell_id"]) == ids and table.select("all").shape == (2, 45) and table.origin() == ""
    assert "1 cells; measured" in replace(table, table=table.table.assign(features_from=["table", "measured"])).origin()
    own.features = lambda: shared_table(2)
    with pytest.raises(StsError, match=f"feature table lacks cell {ids[0]}"):
        features.of_cells(own, "all")
    measured = features.of_cells(cells, "intended").select("intended")
    assert measured.loc[ids, "threshold_i_long_square"].gt(0).all()
    with pytest.raises(ParameterError, match="needs ramps and short squares"):
        features.of_cells(cells, "all")


def test_without_allensdk_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "allensdk.ephys", None)
    with pytest.raises(StsError, match=r'pip install "stslib\[allen\]"'):
        features.extract([recording()])
