"""`sts predict`: a saved network gives recordings the very probabilities that the notebook gave them."""

import dataclasses
import functools
import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file, save_file

from stslib import models, networks, training
from stslib.cohort import CLASSES
from stslib.evaluation import temperature
from stslib.io import open_source
from stslib.models import prediction
from stslib.press.folders import project_root
from stslib.support.errors import DamagedFile, MissingInput, StsError
from tests.io import standin

COLUMNS = [f"p:{name}" for name in CLASSES]


def sts_predict(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "stslib.press.cli", "predict", *map(str, arguments)],
        cwd=project_root(), capture_output=True, text=True, check=False, env={**os.environ},
    )  # fmt: skip


@pytest.mark.slow
def test_new_recordings_go_the_way_of_the_training_cells(smoke):
    saved = pd.read_csv(smoke / "05_deep_models" / "predictions.csv", dtype={"cell_id": str})
    saved = saved[(saved.model == "resnet18") & (saved.split == "test")].set_index("cell_id")
    source = open_source("simulated", n_cells=72, seed=2026)
    model = models.load(smoke / "05_deep_models" / "models" / "resnet18")
    table = prediction.predict(source.recordings(saved.index), model).table
    expected = temperature.calibrated(saved.loc[table.cell_id, COLUMNS].to_numpy(), model.temperature)
    np.testing.assert_allclose(table[COLUMNS], expected, atol=2e-4)
    assert list(table.predicted) == list(np.array(CLASSES)[table[COLUMNS].to_numpy().argmax(axis=1)])
    assert (table.reason == "").all()


@pytest.mark.slow
def test_a_store_is_classified_and_cells_without_a_pair_are_left_out_with_a_reason(smoke, tmp_path):
    source = open_source("simulated", n_cells=72, seed=2026)
    store = tmp_path / "cells.h5"
    with h5py.File(store, "w") as file:
        for number, recording in enumerate(source.recordings(source.cells().cell_id[:6])):
            group = file.create_group(recording.cell_id)
            group.attrs["label"] = recording.label
            strong = sorted((s for s in recording.sweeps if s.n_spikes), key=lambda s: s.stimulus_pa)[0]
            for name, offset in (("rheobase", 0), ("rheobase_plus_40", 90 if number == 0 else 40)):
                v_mv, _ = strong.load()
                step = max(1, round(strong.rate_hz / 10000))
                data = group.create_dataset(name, data=np.round(v_mv[::step] / 0.01).astype(np.int16))
                data.attrs.update(
                    rate_hz=strong.rate_hz / step, mv_per_count=0.01, stimulus_pa=strong.stimulus_pa + offset,
                    stimulus_onset_s=strong.onset_s, stimulus_duration_s=1.0, n_spikes=strong.n_spikes,
                )  # fmt: skip
    done = sts_predict(
        store, "--model", smoke / "05_deep_models/models/resnet18", "--output", tmp_path / "out.csv",
        "--figure", tmp_path / "pictures",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "5 of 6 cells classified" in done.stderr
    table = pd.read_csv(tmp_path / "out.csv", keep_default_na=False).set_index("cell_id")
    left_out = table[table.predicted == ""]
    assert list(left_out.reason) == ["no_partner_sweep"]
    assert "\n" not in left_out.detail.iloc[0]
    kept = table[table.predicted != ""]
    assert np.allclose(kept[COLUMNS].astype(float).sum(axis=1), 1)
    pictures = sorted(path.stem for path in (tmp_path / "pictures").iterdir())
    assert pictures == sorted(kept.index) and len(pictures) == 5


@pytest.mark.slow
def test_a_wrong_gain_and_noise_are_marked_as_out_of_range_and_several_seeds_count_together(smoke, tmp_path):
    source = open_source("simulated", n_cells=72, seed=2026)
    usual = list(source.recordings(source.cells().cell_id[:3]))

    def changed(recording, change):
        def reader(sweep):
            v_mv, i_pa = sweep.load()
            return change(v_mv), i_pa

        sweeps = tuple(dataclasses.replace(s, reader=functools.partial(reader, s)) for s in recording.sweeps)
        return dataclasses.replace(recording, sweeps=sweeps)

    rng = np.random.default_rng(0)
    tenfold = changed(usual[0], lambda v: 10 * v)
    noise = changed(usual[0], lambda v: rng.normal(-65, 20, len(v)))
    folder = smoke / "05_deep_models" / "models"
    one = prediction.predict([*usual, tenfold, noise], folder / "resnet18").table
    assert list(one.out_of_range) == [False, False, False, True, True]
    assert "in training" in one.range_reason[3] and (one.predicted != "").all()

    for seed in ("a", "b"):
        shutil.copytree(folder / "resnet18", tmp_path / "both" / seed)
    both = prediction.predict(usual, tmp_path / "both").table
    np.testing.assert_allclose(both[COLUMNS], one[COLUMNS][:3])
    with pytest.raises(DamagedFile, match="models of several kinds"):
        models.load(folder)


@pytest.mark.slow
def test_networks_of_two_architectures_answer_together(smoke, tmp_path):
    """Their mean probability counts, at the temperature of the mean; what is not theirs is refused in one line."""
    source = open_source("simulated", n_cells=24, seed=5)
    usual = list(source.recordings(source.cells().cell_id[:3]))
    folder = smoke / "05_deep_models" / "models"
    members = {name: networks.load(folder / name) for name in ("resnet18", "mobilenet_v2")}
    card = members["resnet18"][2]
    card = card | {"calibration": card["calibration"] | {"temperature": 1.5}}
    models.save_joint(tmp_path / "mean", members, card)
    images = prediction.predict(usual, tmp_path / "mean").images
    plain = np.mean([training.predict_proba(m, t, images) for m, t, _ in members.values()], axis=0)
    together = prediction.predict(usual, tmp_path / "mean").table[COLUMNS].to_numpy(float)
    np.testing.assert_allclose(together, temperature.calibrated(plain, 1.5), atol=1e-6)

    def refused(name, change):
        spoilt = shutil.copytree(tmp_path / "mean", tmp_path / name)
        fields = json.loads((spoilt / "joint.json").read_text())
        (spoilt / "joint.json").write_text(change(fields, spoilt) or json.dumps(fields))
        with pytest.raises(DamagedFile) as caught:
            models.load(spoilt)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "damaged" in refused("cut", lambda fields, _: "{")
    assert "another kind" in refused("old", lambda fields, _: fields.update(format=99))
    outside = "../mean/resnet18"
    assert "no folder's name" in refused("outside", lambda fields, _: fields["members"].update({outside: "0"}))
    other = folder / "densenet121" / "model.json"
    swapped = refused("swapped", lambda _, at: shutil.copy(other, at / "resnet18" / "model.json") and None)
    assert "is not the network that joint.json describes" in swapped


@pytest.mark.slow
def test_a_wrong_or_damaged_model_is_refused_in_one_line(smoke, tmp_path):
    good = smoke / "05_deep_models" / "models" / "resnet18"

    def spoil(name, change):
        folder = tmp_path / name
        shutil.copytree(good, folder)
        change(folder)
        with pytest.raises(StsError) as caught:
            models.load(folder)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
        return str(caught.value)

    def edit(path, *keys, value=None):
        fields = json.loads(path.read_text())
        place = fields
        for key in keys[:-1]:
            place = place[key]
        if value is None:
            del place[keys[-1]]
        else:
            place[keys[-1]] = value
        path.write_text(json.dumps(fields))

    def refill(folder, tensors):
        save_file(tensors, folder / "model.safetensors")
        digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
        edit(folder / "model.json", "tensors_sha256", value=digest)

    def reshape(folder):
        tensors = load_file(folder / "model.safetensors")
        tensors["conv1.weight"] = tensors["conv1.weight"][:, :1].contiguous()
        refill(folder, tensors)

    cut = spoil("cut", lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-9]))
    assert "not the file" in cut
    assert "do not fit" in spoil("shapes", reshape)
    assert "damaged" in spoil("text", lambda f: (f / "model.json").write_text("{"))
    assert "another kind of model" in spoil("version", lambda f: edit(f / "model.json", "format", value=99))
    assert "another kind" in spoil("classes", lambda f: edit(f / "model.json", "classes", value=["a", "b"]))
    assert "no 'calibration'" in spoil("calibration", lambda f: edit(f / "model.json", "card", "calibration"))
    assert "wavelet" in spoil(
        "wavelet", lambda f: edit(f / "model.json", "card", "preprocessing", "bank", "wavelet", value="nothing")
    )
    heat = ("card", "calibration", "temperature")
    assert "temperature is -1" in spoil("temperature", lambda f: edit(f / "model.json", *heat, value=-1.0))

    def pickled(folder):  # a pickle under the name of the weights is never opened as one
        (folder / "model.safetensors").write_bytes(pickle.dumps({"a": 1}))
        digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
        edit(folder / "model.json", "tensors_sha256", value=digest)

    assert "cannot be read" in spoil("pickle", pickled)


def test_wrong_input_is_one_line_and_writes_nothing(tmp_path):
    (tmp_path / "empty").mkdir()
    for arguments in (
        (tmp_path / "nothing.nwb", "--model", tmp_path),
        (tmp_path / "empty", "--model", tmp_path, "--output", tmp_path / "out.csv"),
    ):
        done = sts_predict(*arguments)
        assert done.returncode == 1
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
        assert done.stderr.startswith("sts: ")
    assert not (tmp_path / "out.csv").exists()


def test_a_missing_model_says_who_makes_it(tmp_path):
    with pytest.raises(MissingInput, match="05_deep_models"):
        prediction.predict([], tmp_path)


@pytest.mark.slow
def test_bad_files_have_their_reason_in_the_table_and_do_not_stop_the_good_one(smoke, tmp_path):
    folder = tmp_path / "recordings"
    folder.mkdir()
    standin.write_bad_files(folder)
    standin.write_nwb2(folder / "good.nwb", standin.family(50, top_pa=110, rate_hz=10_000.0))
    model, output = smoke / "05_deep_models/models/resnet18", tmp_path / "out.csv"
    done = sts_predict(folder, "--model", model, "--output", output)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    table = pd.read_csv(output, keep_default_na=False).set_index("cell_id")
    assert table["reason"].to_dict() == {**standin.BAD_FILES, "silent": "no_spiking_sweep", "good": ""}
    assert (table.loc[table["reason"] != "", "detail"] != "").all() and not table["detail"].str.contains("\n").any()
    assert table.loc["good", "predicted"] in CLASSES


@pytest.mark.slow
def test_a_network_that_learnt_from_ready_made_scalograms_is_refused(smoke, tmp_path):
    model = shutil.copytree(smoke / "05_deep_models/models/resnet18", tmp_path / "model")
    card = json.loads((model / "model.json").read_text())
    card["card"]["preprocessing"]["ready_made"] = True
    (model / "model.json").write_text(json.dumps(card))
    with pytest.raises(StsError, match="precomputed scalograms"):
        prediction.predict([], model)
