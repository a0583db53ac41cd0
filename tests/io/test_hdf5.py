"""The two HDF5 layouts, the six real sweeps, and files that are something else."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

from stslib.cohort import account
from stslib.io import Source, open_source
from stslib.support.errors import DamagedFile, MissingInput, ParameterError
from stslib.sweeps import NoPair, SweepSettings, choose_pair, extract


def opened(path):
    return open_source("store", path=str(path))


def write_sweeps(path, cells=("1", "2"), **file_attributes):
    with h5py.File(path, "w") as file:
        file.attrs.update(file_attributes)
        for number, cell_id in enumerate(cells):
            group = file.create_group(cell_id)
            group.attrs.update({"label": "Sst", "split": "train"})
            for name, extra_pa in (("rheobase", 0), ("rheobase_plus_40", 40)):
                counts = np.full(14000, -7000, np.int16)
                counts[2000:12000] += 1500
                group.create_dataset(name, data=counts).attrs.update({
                    "rate_hz": 10000.0, "mv_per_count": 0.01, "stimulus_pa": 80.0 + 10 * number + extra_pa,
                    "stimulus_onset_s": 0.2, "stimulus_duration_s": 1.0, "n_spikes": 3 + extra_pa // 10,
                })  # fmt: skip
    return path


def why_no_pair(recording):
    with pytest.raises(NoPair) as raised:
        choose_pair(recording)
    return raised.value.reason


def write_peaks(path):
    with h5py.File(path, "w") as file:
        for cell_id, rate_hz in (("1", 50000.0), ("2", 200000.0)):
            v_mv = -70 + 100 * np.exp(-((np.arange(int(0.003 * rate_hz)) - int(0.001 * rate_hz)) ** 2) / 50)
            attributes = {"label": "Pvalb", "split": "none", "rate_hz": rate_hz, "peak_index": int(0.001 * rate_hz)}
            file.create_dataset(cell_id, data=v_mv.astype(np.float32)).attrs.update(attributes)
    return path


def test_sweeps_layout(tmp_path):
    source = opened(write_sweeps(tmp_path / "cells.h5"))
    cells = source.cells()
    assert isinstance(source, Source) and source.kind == "unknown" and list(cells.cell_id) == ["1", "2"]
    assert {"label", "dataset", "donor"} <= set(cells) and set(cells.split) == {""}
    assert set(cells.published_split) == {"train"}
    recording = source.recording("2")
    assert (recording.kind, recording.label) == ("unknown", "Sst")
    pair = choose_pair(recording)
    assert (pair.rheobase.stimulus_pa, pair.partner.stimulus_pa) == (90.0, 130.0)
    v_mv, i_pa = pair.partner.load()
    assert v_mv[[0, 5000]] == pytest.approx([-70, -55])
    assert (i_pa.max(), i_pa[1999], i_pa[2000], i_pa[12000]) == (130.0, 0.0, 130.0, 0.0)
    assert [r.cell_id for r in source.recordings()] == ["1", "2"]
    assert [r.cell_id for r in source.recordings(["2"])] == ["2"]
    with pytest.raises(ParameterError, match="2 cells such as '1'"):
        source.recording("99")
    # The file or the user may say what it holds; else it is not guessed.
    assert open_source("store", path=str(tmp_path / "cells.h5"), kind="real").kind == "real"
    source = opened(write_sweeps(tmp_path / "cells.h5", kind="simulated", dataset="Seq"))
    assert {source.kind, source.recording("1").kind} == {"simulated"} and set(source.cells().dataset) == {"Seq"}
    with pytest.raises(ParameterError, match="simulated, hybrid, real"):
        opened(write_sweeps(tmp_path / "other.h5", kind="guessed"))


def test_a_cell_without_a_class_or_a_partner_can_be_read_but_not_learnt_from(tmp_path):
    path = write_sweeps(tmp_path / "cells.h5")
    with h5py.File(path, "r+") as file:
        del file["1"].attrs["label"], file["1/rheobase_plus_40"]
    source = opened(path)
    assert source.recording("1").label is None
    assert list(account(source.cells(), {}).reason) == ["unsure_label", ""]
    assert why_no_pair(source.recording("1")) == "no_partner_sweep"


def test_one_to_three_sweeps_a_cell_in_millivolts_or_counts(tmp_path):
    path = write_sweeps(tmp_path / "cells.h5")
    with h5py.File(path, "r+") as file:
        for cell_id, amplitude_pa in (("1", 160.0), ("2", 170.0)):
            counts = file[f"{cell_id}/rheobase"]
            dataset = file[cell_id].create_dataset("rheobase_plus_80", data=counts[()] * np.float32(0.01))
            dataset.attrs.update({k: v for k, v in counts.attrs.items() if k not in ("mv_per_count", "n_spikes")})
            dataset.attrs["stimulus_pa"] = amplitude_pa
    recordings = list(opened(path).recordings())
    third = recordings[0].sweeps[2]
    assert third.load()[0] == pytest.approx(recordings[0].sweeps[0].load()[0], abs=1e-3)
    assert third.n_spikes is None  # not said in the file: counted from the voltage
    for n_sweeps in (1, 2, 3):
        array, table = extract(recordings, SweepSettings(n_sweeps=n_sweeps))
        assert array.shape == (2, n_sweeps, 4800) and list(table.reason) == ["", ""]
    with pytest.raises(ParameterError, match="n_sweeps is 4"):
        SweepSettings(n_sweeps=4)


def test_action_potentials_are_cut_around_their_peak_at_any_rate(tmp_path):
    source = opened(write_peaks(tmp_path / "peaks.h5"))
    assert source.kind == "unknown" and why_no_pair(source.recording("1")) == "no_long_square"
    for (sweep,) in (recording.sweeps for recording in source.recordings()):
        v_mv, i_pa = sweep.load()
        assert v_mv.argmax() / sweep.rate_hz == pytest.approx(sweep.onset_s)
        assert np.isnan(i_pa).all()  # the current is not in the file
    settings = SweepSettings(rate_hz=5e4, before_s=0.001, after_s=0.002, baseline="keep", n_sweeps=1, step_s=0.0)
    array, table = extract(source.recordings(), settings)
    assert array.shape == (2, 1, 150) and list(table.reason) == ["", ""]
    assert (array.argmax(axis=2) == 50).all() and array[:, 0, 50] == pytest.approx(30, abs=1)
    _, table = extract(source.recordings(), replace(settings, rate_hz=100_000.0))
    assert list(table.reason) == ["low_rate", ""]
    with pytest.raises(ParameterError, match="one a cell"):
        replace(settings, n_sweeps=2)


def changed(change):
    """A file of two cells after `change`."""

    def make(path):
        with h5py.File(write_sweeps(path), "a") as file:
            change(file)

    return make


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda path: path.write_text("cell_id,label\n1,Sst\n"), "not an HDF5 file"),
        (lambda path: path.write_bytes(b""), "not an HDF5 file"),
        (lambda path: path.write_bytes(write_sweeps(path).read_bytes()[:3000]), "not an HDF5 file"),
        (lambda path: h5py.File(path, "w").close(), "no cells"),
        (changed(lambda f: f["2/rheobase"].attrs.pop("rate_hz")), "cell 2, rheobase: attribute 'rate_hz' is missing"),
        (changed(lambda f: f["2/rheobase"].attrs.pop("mv_per_count")), "'mv_per_count' is missing"),
        (changed(lambda f: [f["1"].move(n, f"other_{n}") for n in list(f["1"])]), "cell 1 has 0 sweeps"),
        (changed(lambda f: f["2/rheobase"].attrs.update({"rate_hz": "fast"})), "'rate_hz' is 'fast'"),
        (changed(lambda f: f["2/rheobase"].attrs.update({"rate_hz": -1.0})), "makes sense"),
        (changed(lambda f: f.create_dataset("3", data=np.zeros(9))), "cell 3 has another layout"),
        (changed(lambda f: (f.pop("2/rheobase"), f.create_dataset("2/rheobase", data=np.zeros((2, 3))))), "flat"),
    ],
)
def test_files_that_are_something_else(tmp_path, make, part):
    make(tmp_path / "cells.h5")
    with pytest.raises(DamagedFile, match=f"^.*{part}.*$"):  # one line
        opened(tmp_path / "cells.h5")


def test_what_the_layout_does_not_name_is_left_alone(tmp_path):
    changed(lambda file: file.create_dataset("2/x", data=1))(tmp_path / "cells.h5")
    assert len(opened(tmp_path / "cells.h5").cells()) == 2


def test_a_missing_file_one_that_goes_away_and_one_of_a_missing_mirror_are_one_line(tmp_path, monkeypatch):
    for name in ("", tmp_path / "none.h5", tmp_path):
        with pytest.raises(MissingInput, match="give the path"):
            opened(name)
    path = write_sweeps(tmp_path / "cells.h5")
    monkeypatch.setenv("STS_DATA_MIRROR", str(tmp_path))
    sweep = opened("mirror:cells.h5").recording("1").sweeps[0]
    monkeypatch.delenv("STS_DATA_MIRROR")
    with pytest.raises(MissingInput, match="set STS_DATA_MIRROR"):
        opened("mirror:cells.h5")
    path.unlink()
    with pytest.raises(DamagedFile, match="cannot be read"):
        sweep.load()


def write_real(path, **changes):
    arrays = {"v_mV": np.full(72500, -70, np.float32), "dt_ms": 0.02, "t_on_ms": 205.0, "t_off_ms": 1204.98}
    i_pa = np.where((np.arange(72500) >= 10250) & (np.arange(72500) < 60250), 150, 0).astype(np.float32)
    np.savez(path, **{k: v for k, v in (arrays | {"i_pA": i_pa} | changes).items() if v is not None})


def test_real_sweeps_layout(tmp_path, monkeypatch):
    for name in ("ephys_cell_566517779_sweep_number_46.npz", "ephys_cell_509881736_sweep_number_39.npz"):
        write_real(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not a sweep")
    source = open_source("real_sweeps", path=str(tmp_path))
    assert isinstance(source, Source) and source.kind == "real"
    assert source.cells().set_index("cell_id").label.to_dict() == {"509881736": "Excitatory", "566517779": "Sst"}
    (sweep,) = source.recording("566517779").sweeps
    assert (sweep.number, sweep.stimulus_pa, sweep.rate_hz) == (46, 150.0, 50000.0)
    assert (sweep.onset_s, sweep.duration_s) == (pytest.approx(0.205), pytest.approx(1.0))
    monkeypatch.delenv("STS_DATA_MIRROR", raising=False)
    with pytest.raises(MissingInput, match="STS_DATA_MIRROR"):
        open_source("real_sweeps")
    (tmp_path / "mirror").mkdir()
    monkeypatch.setenv("STS_DATA_MIRROR", str(tmp_path / "mirror"))
    with pytest.raises(MissingInput, match="holds no file"):
        open_source("real_sweeps")


@pytest.mark.parametrize(
    "damage",
    [{"v_mV": None}, {"v_mV": np.zeros(5, np.float32)}, {"dt_ms": -1.0}, {"t_on_ms": 9999.0},
     {"i_pA": np.array([{"a": 1}], dtype=object)},  # would need unpickling
     b"", b"not an archive", b"PK\x03\x04 cut"],
)  # fmt: skip
def test_damaged_real_sweeps_are_named(tmp_path, damage):
    path = tmp_path / "ephys_cell_1_sweep_number_2.npz"
    path.write_bytes(damage) if isinstance(damage, bytes) else write_real(path, **damage)
    with pytest.raises(DamagedFile, match=path.name):
        open_source("real_sweeps", path=str(tmp_path))


@pytest.mark.mirror
def test_the_mirrors_files(mirror):
    """Counts from the mirror's own description."""
    hybrid = opened(mirror / "hybrid" / "hybrid.h5")
    assert (len(hybrid.cells()), hybrid.kind) == (522, "hybrid")
    peaks = opened(mirror / "action_potentials" / "action_potentials.h5")
    assert (len(peaks.cells()), peaks.kind) == (1237, "real")
    real = open_source("real_sweeps", path=str(mirror / "sweeps"))
    assert real.cells().label.value_counts().to_dict() == {"Excitatory": 5, "Sst": 1}
