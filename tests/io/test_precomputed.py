"""The authors' precomputed scalograms."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from stslib.io import open_source
from stslib.io.files.traces import BadRecording
from stslib.io.precomputed import SHAPE, Precomputed
from stslib.support.errors import MissingInput, ParameterError, StsError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(3)
    for cell_id in ("12", "7"):
        np.save(tmp_path / f"cell_{cell_id}.npy", rng.normal(size=SHAPE).astype(np.float32))
    return tmp_path


TABLE = {"cell_id": ["7", "12"], "label": ["Sst", "Pvalb"], "dataset": "Seq", "donor": "1", "split": ["train", "test"]}
LABELS = pd.DataFrame(TABLE)


def test_scalograms_come_at_the_size_of_a_network(folder):
    source = Precomputed(folder, LABELS)
    assert source.cells()["cell_id"].tolist() == ["7", "12"] and source.cells()["split"].tolist() == ["train", "test"]
    out = np.zeros((2, 2, 64, 96), np.float16)
    source.fill(out, ["12", "7"])
    whole = torch.from_numpy(np.load(folder / "cell_12.npy").transpose(2, 0, 1).copy())[None]
    expected = torch.nn.functional.interpolate(whole, (64, 96), mode="bilinear", align_corners=False)[0].numpy()
    np.testing.assert_array_equal(out[0], expected.astype(np.float16))
    # Rows: the mean of the third row of a 2:1 reduction lies between rows 4 and 5 of the file.
    half = np.zeros((1, 2, 90, 2400), np.float32)
    source.fill(half, ["7"])
    held = np.load(folder / "cell_7.npy")
    np.testing.assert_allclose(half[0, 1, 2, 10], held[4:6, 20:22, 1].mean(), rtol=1e-5)


def test_files_that_are_no_scalograms_are_said_so_and_do_not_stop_the_others(folder):
    whole = (folder / "cell_7.npy").read_bytes()
    (folder / "cell_1.npy").write_bytes(whole[:100_000])
    (folder / "cell_2.npy").write_text("text")
    np.save(folder / "cell_3.npy", np.zeros((2, 180, 4800), np.float32))
    np.save(folder / "cell_4.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.save(folder / "cell_5.npy", np.full(SHAPE, np.nan, np.float32))
    cells = Precomputed(folder, LABELS).cells().set_index("cell_id")
    reasons = {**dict.fromkeys("1234", "unreadable_file"), "5": "unsure_label", "7": "", "12": ""}
    assert cells["reason"].to_dict() == reasons
    with pytest.raises(BadRecording, match=r"cell_5\.npy holds values that are not numbers"):
        Precomputed(folder, LABELS).fill(np.zeros((1, 2, 8, 8)), ["5"])


def test_wrong_requests_are_one_line(folder, tmp_path):
    source = open_source("precomputed", path=folder, labels=LABELS)
    with pytest.raises(ParameterError, match="do not fit"):
        source.fill(np.zeros((3, 2, 8, 8)), ["7"])
    with pytest.raises(ParameterError, match="'9'"):
        source.scalogram("9")
    with pytest.raises(StsError, match="scalograms only"):
        source.recording("7")
    with pytest.raises(MissingInput, match="Kaggle"):
        Precomputed(tmp_path / "nowhere")


@pytest.mark.mirror
def test_labels_come_from_the_published_tables(folder, mirror):
    (folder / "cell_7.npy").rename(folder / "cell_718650384.npy")
    cells = Precomputed(folder).cells().set_index("cell_id")
    assert cells.loc["718650384", ["dataset", "split", "reason"]].tolist() == ["Seq", "train", ""]
    assert cells.loc["12", "reason"] == "unsure_label"
