"""`sts predict` gives recordings the probabilities that the notebook gave them; unlike cells are out of the training range."""

import dataclasses
import functools
import json
import pickle
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file, save_file

from stslib import models, sweeps
from stslib.cohort import CLASSES
from stslib.evaluation import temperature
from stslib.io import open_source
from stslib.models import prediction, signals, training_range
from stslib.press.folders import project_root
from stslib.scalograms import Bank, ImageSettings, cwt_resized
from stslib.support.errors import DamagedFile, MissingInput, StsError
from stslib.support.files import sha256_of
from tests.io import standin
from tests.io.test_hdf5 import write_sweeps

COLUMNS = [f"p:{name}" for name in CLASSES]


def sts_predict(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "stslib.press.cli", "predict", *map(str, arguments)],
        cwd=project_root(), capture_output=True, text=True, check=False,
    )  # fmt: skip


def simulated():
    """The cells of the smoke run."""
    return open_source("simulated", n_cells=72, seed=2026)


@pytest.mark.slow
def test_new_recordings_are_treated_as_the_training_cells(smoke):
    saved = pd.read_csv(smoke / "05_deep_models" / "predictions.csv", dtype={"cell_id": str})
    saved = saved[(saved.model == "resnet18") & (saved.split == "test")].set_index("cell_id")
    model = models.load(smoke / "05_deep_models" / "models" / "resnet18")
    table = prediction.predict(simulated().recordings(saved.index), model).table
    expected = temperature.calibrated(saved.loc[table.cell_id, COLUMNS].to_numpy(), model.temperature)
    np.testing.assert_allclose(table[COLUMNS], expected, atol=2e-4)
    assert list(table.predicted) == list(np.array(CLASSES)[table[COLUMNS].to_numpy().argmax(axis=1)])
    assert (table.reason == "").all()


@pytest.mark.slow
def test_a_store_is_classified_and_cells_without_a_pair_are_excluded_with_a_reason(smoke, tmp_path):
    store = write_sweeps(tmp_path / "cells.h5", [f"cell {number}" for number in range(6)])
    with h5py.File(store, "r+") as file:
        file["cell 0/rheobase_plus_40"].attrs["stimulus_pa"] += 50
    done = sts_predict(
        store, "--model", smoke / "05_deep_models/models/resnet18", "--output", tmp_path / "out.csv",
        "--figure", tmp_path / "pictures",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "5 of 6 cells classified" in done.stderr
    table = pd.read_csv(tmp_path / "out.csv", keep_default_na=False).set_index("cell_id")
    excluded, classified = table[table.predicted == ""], table[table.predicted != ""]
    assert list(excluded.reason) == ["no_partner_sweep"] and "\n" not in excluded.detail.iloc[0]
    assert np.allclose(classified[COLUMNS].astype(float).sum(axis=1), 1)
    pictures = sorted(path.stem for path in (tmp_path / "pictures").iterdir())
    assert pictures == [f"cell_{number}" for number in range(1, 6)]


@pytest.mark.slow
def test_a_wrong_gain_and_noise_are_marked_as_out_of_range_and_several_seeds_count_together(smoke, tmp_path):
    source = simulated()
    usual = list(source.recordings(source.cells().cell_id[:3]))

    rng = np.random.default_rng(0)

    def damaged(change):
        sweeps = [dataclasses.replace(s, reader=functools.partial(read, s, change)) for s in usual[0].sweeps]
        return dataclasses.replace(usual[0], sweeps=tuple(sweeps))

    def read(sweep, change):
        v_mv, i_pa = sweep.load()
        return change(v_mv), i_pa

    folder = smoke / "05_deep_models" / "models"
    wrong = [damaged(lambda v: 10 * v), damaged(lambda v: rng.normal(-65, 20, len(v)))]
    one = prediction.predict([*usual, *wrong], folder / "resnet18").table
    assert list(one.out_of_range) == [False, False, False, True, True]
    assert "in training" in one.range_reason[3] and (one.predicted != "").all()

    for seed in ("a", "b"):
        shutil.copytree(folder / "resnet18", tmp_path / "both" / seed)
    both = prediction.predict(usual, tmp_path / "both").table
    np.testing.assert_allclose(both[COLUMNS], one[COLUMNS][:3])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder of two small networks and their `mean`."""
    folder, cells = tmp_path_factory.mktemp("trained"), signals.example()
    recipes = cells.recipes(["compact", "resnet18"], "none", "light", max_epochs=1, n_seeds=1, batch_size=4)
    scored = models.cross_validate_signals(cells, recipes, folder / "folds", 2, 1)
    models.fit_signals(scored, {"run": "test"}, folder / "models", folder / "fits")
    return folder / "models"


def edit(file, *keys, value=None):
    """Set a field of a JSON file of the model, or remove it."""

    def change(folder):
        fields = json.loads((folder / file).read_text())
        inner = functools.reduce(dict.__getitem__, keys[:-1], fields)
        inner.pop(keys[-1]) if value is None else inner.update({keys[-1]: value})
        (folder / file).write_text(json.dumps(fields))

    return change


def write(file, content):
    return lambda folder: (folder / file).write_bytes(content)


def refill(make):
    """Other weights with the hash that the card gives for them."""

    def change(folder):
        path = folder / "model.safetensors"
        make(path)
        edit("model.json", "tensors_sha256", value=sha256_of(path))(folder)

    return change


def flip_a_bit(folder):
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:])


def reshape(path):
    tensors = load_file(path)
    save_file({**tensors, "conv1.weight": tensors["conv1.weight"][:, :1].contiguous()}, path)


def swap(folder):
    shutil.copy(folder.parent / "compact" / "model.json", folder / "resnet18" / "model.json")


CARD, JOINT = ("model.json", "card"), "joint.json"


@pytest.mark.parametrize(
    ("model", "change", "words"),
    [
        ("resnet18", write("model.safetensors", b"cut"), "not the file"),
        ("resnet18", flip_a_bit, "not the file"),
        ("resnet18", lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors is missing"),
        ("resnet18", refill(reshape), "do not fit"),
        ("resnet18", refill(lambda path: path.write_bytes(pickle.dumps({"a": 1}))), "cannot be read"),  # no pickle
        ("resnet18", write("model.json", b"{"), "damaged"),
        ("resnet18", edit("model.json", "format", value=99), "another kind of model"),
        ("resnet18", edit("model.json", "classes", value=["a", "b"]), "another kind"),
        ("resnet18", edit(*CARD, "architecture", value="densenet121"), "features.conv0.weight is missing"),
        ("resnet18", edit(*CARD, "calibration"), "no 'calibration'"),
        ("resnet18", edit(*CARD, "calibration", "temperature", value=-1.0), "temperature is -1"),
        ("resnet18", edit(*CARD, "preprocessing", "bank", "wavelet", value="nothing"), "wavelet"),
        ("resnet18", edit(*CARD, "preprocessing", "ready_made", value=True), "precomputed scalograms"),
        ("mean", write(JOINT, b"{"), "damaged"),
        ("mean", edit(JOINT, "format", value=99), "another kind"),
        ("mean", edit(JOINT, "members", "../mean/resnet18", value="0"), "no folder's name"),
        ("mean", swap, "is not the network that joint.json describes"),
    ],
)
def test_a_wrong_or_damaged_model_is_refused_in_one_line(trained, tmp_path, model, change, words):
    copy = shutil.copytree(trained, tmp_path / "models") / model
    change(copy)
    with pytest.raises(StsError) as caught:
        models.load(copy)
    assert words in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 450


def test_a_folder_of_unlike_models_and_one_without_any_are_refused(trained, tmp_path):
    with pytest.raises(DamagedFile, match="models of several kinds"):
        models.load(trained)
    with pytest.raises(MissingInput, match="05_deep_models"):
        prediction.predict([], tmp_path / "none")


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


def test_a_folder_of_which_nothing_can_be_used_gives_the_tables_and_status_1(trained, tmp_path):
    folder = tmp_path / "recordings"
    folder.mkdir()
    standin.write_bad_files(folder)
    done = sts_predict(folder, "--model", trained / "resnet18", "--output", tmp_path / "out.csv")
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "no cell can be classified" in done.stderr.splitlines()[-1]
    table = pd.read_csv(tmp_path / "out.csv", keep_default_na=False).set_index("cell_id")
    assert table["reason"].to_dict() == {**standin.BAD_FILES, "silent": "no_action_potential"}  # of this model
    account = pd.read_csv(tmp_path / "sweeps.csv", keep_default_na=False)
    assert set(account["cell_id"]) == set(table.index) and set(account["use"]) == {"", "available"}
    assert (account.loc[account["use"] == "", "reason"] != "").all()


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
    good = table.loc["good"]
    assert good["predicted"] in CLASSES and (int(good["rheobase_spikes"]), int(good["partner_spikes"])) == (1, 5)
    account = pd.read_csv(tmp_path / "sweeps.csv", keep_default_na=False)
    used = account[(account["cell_id"] == "good") & account["use"].isin(["rheobase", "partner"])]
    assert used["sweep"].astype(int).tolist() == [int(good["rheobase_sweep"]), int(good["partner_sweep"])]


@pytest.fixture(scope="module")
def cells():
    traces, table = sweeps.extract(open_source("simulated", n_cells=120, seed=3).recordings())
    return traces, table[table.reason == ""].reset_index(drop=True)


def described(traces, table):
    return training_range.describe(cwt_resized(traces, Bank(), ImageSettings(64, 128)), traces, table)


def test_new_cells_of_the_same_kind_are_inside_and_damaged_ones_are_not(cells):
    traces, table = cells
    train = np.arange(len(traces)) % 4 != 0
    ranges = training_range.fit(described(traces[train], table[train]))
    new, about = traces[~train], table[~train]
    assert sum(map(bool, training_range.outside(described(new, about), ranges))) <= 2  # of 28 or so
    noise = np.random.default_rng(0).normal(0, 20, new.shape).astype(np.float32)
    wrong = ((10 * new, "highest value"), (0.1 * new, "highest value"), (noise, "lowest value"), (0 * new, "power"))
    for damaged, named in wrong:
        for reason in training_range.outside(described(damaged, about), ranges):
            assert named in reason and "\n" not in reason and " in training " in reason


def test_missing_numbers_do_not_count_and_counts_have_no_negative_range(cells):
    traces, table = cells
    ranges, some = training_range.fit(described(traces, table)), traces[:8]
    assert ranges["spikes of the first sweep"][0] >= 0
    assert ranges["potential before the step (mV)"][1] < 0
    unknown = described(some, table[:8].assign(rheobase_pa=np.nan).drop(columns=["rest_mv"]))
    far = {**ranges, "current of the first sweep (pA)": [-2.0, -1.0], "potential before the step (mV)": [1.0, 2.0]}
    known = {name: limits for name, limits in ranges.items() if "current" not in name and "before" not in name}
    assert training_range.outside(unknown, far) == training_range.outside(unknown, known)
    assert "highest value of the second sweep (mV)" not in described(traces[:, :1], table)
    with pytest.raises(DamagedFile, match="training range is damaged"):
        training_range.outside(unknown, {"spikes of the first sweep": 3})
