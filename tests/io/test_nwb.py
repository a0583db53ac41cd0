"""NWB and ABF files against the libraries that define them, and against what was written."""

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest

from stslib.io.files import abf, nwb
from stslib.io.files.folder import read_account
from stslib.io.files.steps import find_step
from stslib.io.files.traces import TO_MV, BadRecording, scale
from stslib.recordings import Recording
from stslib.support.errors import StsError
from stslib.sweeps import choose_pair
from tests.io import standin
from tests.io.standin import Steps, family, stimulus_pa, voltage_mv

OTHERS = [
    Steps(0, 10, description="EXTPSMOKET180424_DA_0", clamp="voltage"),
    Steps(1, 90, 3, description="X2LP_Search_DA_0"),
    Steps(2, 300, description="X6SP_Rheo_DA_0", duration_s=0.003),
]
SWEEPS = [*OTHERS, *family(50, rate_hz=20_000.0), Steps(20, 70, 3, stopped_s=1.2)]


@pytest.fixture(scope="module")
def mies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Patch-seq file: a family of long squares among searches, short squares and voltage clamp."""
    return standin.write_nwb2(tmp_path_factory.mktemp("mies") / "cell.nwb", SWEEPS)


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Cell Types Database file."""
    sweeps = family(70, step_pa=20, description="Long Square", onset_s=1.02, rate_hz=100_000.0)
    sweeps.append(Steps(40, 500, 1, "Short Square", duration_s=0.003))
    return standin.write_nwb1(tmp_path_factory.mktemp("old") / "cell.nwb", sweeps)


def read(path: Path, **options: str) -> Recording:
    return nwb.read_recording(nwb.open_path(path), path.name, "cell", **options)


def test_patch_seq_file_gives_its_long_squares_and_nothing_else(mies):
    recording = read(mies)
    assert [s.number for s in recording.sweeps] == [*range(3, 15), 20]
    for sweep, written in zip(recording.sweeps, SWEEPS[3:], strict=False):
        assert sweep.stimulus_pa == pytest.approx(written.stimulus_pa, abs=0.01)
        assert (sweep.onset_s, sweep.duration_s) == pytest.approx((0.6, 1.0), abs=1 / written.rate_hz)
        assert sweep.n_spikes is None
    sent = pickle.loads(pickle.dumps(recording.sweeps[0]))  # to worker processes
    np.testing.assert_array_equal(sent.load()[0], recording.sweeps[0].load()[0])


def test_values_equal_those_of_pynwb(mies):
    from pynwb import NWBHDF5IO

    with NWBHDF5IO(str(mies), "r") as io:
        file = io.read()
        for sweep in read(mies).sweeps[:3]:
            response = file.acquisition[f"data_{sweep.number:05d}_AD0"]
            v_mv, i_pa = sweep.load()
            np.testing.assert_allclose(v_mv, np.asarray(response.get_data_in_units()) * 1e3, rtol=1e-5)
            stimulus = file.stimulus[f"data_{sweep.number:05d}_DA0"]
            np.testing.assert_allclose(i_pa, np.asarray(stimulus.get_data_in_units()) * 1e12, rtol=1e-5)
            assert response.rate == sweep.rate_hz


def test_values_equal_those_of_allensdk(old):
    from allensdk.core.nwb_data_set import NwbDataSet

    reference = NwbDataSet(str(old))
    recording = read(old)
    assert [s.number for s in recording.sweeps] == [3, 4, 5, 6, 7, 8]
    for sweep in recording.sweeps:
        data, named = reference.get_sweep(sweep.number), reference.get_sweep_metadata(sweep.number)
        stop = data["index_range"][1] + 1
        v_mv, i_pa = sweep.load()
        np.testing.assert_allclose(v_mv, data["response"][:stop] * 1e3, rtol=1e-5)
        np.testing.assert_allclose(i_pa, data["stimulus"][:stop] * 1e12, rtol=1e-5, atol=1e-6)
        assert sweep.stimulus_pa == pytest.approx(named["aibs_stimulus_amplitude_pa"])
        assert sweep.onset_s == pytest.approx(1.02) and sweep.rate_hz == data["sampling_rate"]
    for sweep in read(old, spikes="file").sweeps:
        assert sweep.n_spikes == len(reference.get_spike_times(sweep.number))


def test_conversion_of_nwb_1_is_applied_from_pipeline_1_1_on_and_not_before(tmp_path):
    sweeps = family(50, rate_hz=10_000.0, top_pa=60)
    new = standin.write_nwb1(tmp_path / "new.nwb", sweeps, version="1.1", conversion=1e-3)
    early = standin.write_nwb1(tmp_path / "early.nwb", sweeps, version="1.0")
    with h5py.File(early, "r+") as file:
        for group in (*file["acquisition/timeseries"].values(), *file["stimulus/presentation"].values()):
            group["data"].attrs["conversion"] = 1e-3
    for path in (new, early):
        sweep = read(path).sweeps[0]
        np.testing.assert_allclose(sweep.load()[0], voltage_mv(sweeps[0]), rtol=1e-5)
        assert sweep.stimulus_pa == pytest.approx(10)


def test_sweep_that_was_stopped_is_refused_and_a_late_stop_is_only_cut(tmp_path):
    sweeps = [Steps(3, 50, 1, stopped_s=1.2), Steps(4, 60, 1, stopped_s=1.7), Steps(5, 70, 1)]
    early, late, whole = read(standin.write_nwb2(tmp_path / "stopped.nwb", sweeps)).sweeps
    with pytest.raises(StsError, match=r"sweep 3 was stopped at 1.2 s"):
        early.load()
    assert len(late.load()[0]) == round(1.7 * 50_000) and len(whole.load()[0]) == sweeps[2].n_samples


def test_file_without_known_descriptions_is_read_by_the_shape_of_its_stimuli(tmp_path):
    sweeps = [Steps(n, 10.0 * n, 0, "CC steps", rate_hz=20_000.0) for n in range(1, 4)]
    sweeps += [Steps(9, 90, 1, "rheobase search"), Steps(10, 50, 1, "X2LP_Search_DA_0")]  # words decide nothing
    recording = read(standin.write_nwb2(tmp_path / "lab.nwb", sweeps, spike_lists=False))
    assert [(s.number, s.stimulus_pa) for s in recording.sweeps] == [(1, 10), (2, 20), (3, 30), (9, 90), (10, 50)]


@pytest.mark.parametrize("noise_pa", [0.0, 1.0])
@pytest.mark.parametrize("level_pa", [-100.0, 20.0, 500.0])
def test_step_is_found_past_a_test_pulse_with_and_without_noise(level_pa, noise_pa):
    sweep = Steps(0, level_pa, rate_hz=20_000.0)
    i_pa = stimulus_pa(sweep) + np.random.default_rng(1).normal(0, noise_pa, sweep.n_samples) - 12.0
    step = find_step(i_pa, sweep.rate_hz)
    assert step.level_pa == pytest.approx(level_pa, abs=0.05 + noise_pa)
    assert (step.onset_s, step.duration_s) == pytest.approx((0.6, 1.0), abs=6e-4 if noise_pa else 1e-9)


def test_ramps_pulses_and_silence_are_no_steps():
    t_s = np.arange(40_000) / 20_000
    pulse, ramp = np.where((t_s > 0.5) & (t_s < 0.503), 500.0, 0.0), np.clip((t_s - 0.5) * 100, 0, None)
    for i_pa in (0 * t_s, pulse, ramp, np.where(t_s > 0.5, 50 * np.sin(40 * t_s), 0.0)):
        with pytest.raises(BadRecording, match=r"no current step|no square step"):
            find_step(i_pa, 20_000)


def test_unknown_unit_is_named():
    with pytest.raises(BadRecording, match="'furlongs'") as caught:
        scale("furlongs", TO_MV, "acquisition/x")
    assert caught.value.reason == "wrong_units" and pickle.loads(pickle.dumps(caught.value)).reason == "wrong_units"


def test_abf_command_and_voltage(tmp_path):
    written = family(50, rate_hz=10_000.0, step_pa=20, top_pa=110)
    for unit in ("mV", "V"):
        path = standin.write_abf(tmp_path / f"{unit}.abf", written, voltage_unit=unit)
        recording = Recording("cell", "files", "real", read_account(path, "cell").sweeps)
        assert [s.stimulus_pa for s in recording.sweeps] == [s.stimulus_pa for s in written]
        for sweep, steps in zip(recording.sweeps, written, strict=True):
            assert (sweep.onset_s, sweep.duration_s, sweep.rate_hz) == pytest.approx((0.6, 1.0, 10_000))
            # The writer keeps 16 bits of the largest range that holds the values.
            np.testing.assert_allclose(sweep.load()[0], voltage_mv(steps), atol=0.04)
        pair = choose_pair(recording)
        assert (pair.rheobase.stimulus_pa, pair.partner.stimulus_pa) == (50, 90)


def test_abf_without_a_step_or_a_voltage_says_so(tmp_path):
    sweeps = family(50, rate_hz=10_000.0, top_pa=20)
    flat = read_account(standin.write_abf(tmp_path / "flat.abf", sweeps, command=False), "cell")
    assert flat.reason == "no_long_square" and "stores no command" in flat.detail and len(flat.rows) == 2
    clamp = read_account(standin.write_abf(tmp_path / "clamp.abf", sweeps, voltage_unit="pA"), "cell")
    assert clamp.reason == "no_long_square" and "holds no voltage" in clamp.detail


def test_commands_of_abf_2_are_those_of_pyabf():
    samples = Path(pytest.importorskip("myokit").__file__).parent / "tests" / "data" / "formats"
    sample = samples / "abf-v2.abf"
    known = abf._open(sample)
    for number in known.sweepList:
        (output,) = abf._outputs(known)
        played = abf._stimulus(known, sample, number, output._replace(unit="pA"))
        known.setSweep(number)
        np.testing.assert_allclose(played, known.sweepC)
