"""`sts predict`: a saved network gives recordings the very probabilities that the notebook gave them."""

import json
import os
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pandas as pd
import pytest

from stslib import prediction, provenance
from stslib.cohort import CLASSES
from stslib.errors import MissingInput, StsError
from stslib.sources import open_source
from tests import standin

COLUMNS = [f"p:{name}" for name in CLASSES]


def sts_predict(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "stslib.cli", "predict", *map(str, arguments)],
        cwd=provenance.project_root(), capture_output=True, text=True, check=False, env={**os.environ},
    )  # fmt: skip


@pytest.mark.slow
def test_new_recordings_go_the_way_of_the_training_cells(smoke):
    saved = pd.read_csv(smoke / "05_deep_models" / "predictions.csv", dtype={"cell_id": str})
    saved = saved[(saved.model == "resnet18") & (saved.split == "test")].set_index("cell_id")
    source = open_source("simulated", n_cells=72, seed=2026)
    table = prediction.predict(source.recordings(saved.index), smoke / "05_deep_models" / "models" / "resnet18")
    np.testing.assert_allclose(table[COLUMNS], saved.loc[table.cell_id, COLUMNS], atol=2e-4)
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
    done = sts_predict(store, "--model", smoke / "05_deep_models/models/resnet18", "--output", tmp_path / "out.csv")
    assert done.returncode == 0, done.stderr
    assert "5 of 6 cells classified" in done.stderr
    table = pd.read_csv(tmp_path / "out.csv", keep_default_na=False).set_index("cell_id")
    left_out = table[table.predicted == ""]
    assert list(left_out.reason) == ["no_partner_sweep"]
    assert "\n" not in left_out.detail.iloc[0]


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
