"""The source `files`: every bad file ends as one line, and none of them stops the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stslib import cohort
from stslib.io import open_source
from stslib.io.files.folder import Files
from stslib.support.errors import MissingInput, ParameterError, StsError
from stslib.sweeps import NoPair, choose_pair, extract
from tests.io import standin
from tests.io.standin import family

SLOW = {"rate_hz": 10_000.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three good files, one of each layout, among every kind of bad one."""
    root = tmp_path_factory.mktemp("recordings")
    few = family(50, step_pa=20, top_pa=110, **SLOW)
    standin.write_nwb2(root / "good2.nwb", few)
    standin.write_nwb1(root / "good1.nwb", family(50, step_pa=20, top_pa=110, description="Long Square", **SLOW))
    (root / "day2").mkdir()
    standin.write_abf(root / "day2" / "good3.abf", few)
    standin.write_bad_files(root)
    return root


def test_every_bad_file_has_its_reason_in_one_line_and_the_good_ones_stay(folder):
    cells = Files(folder).cells().set_index("cell_id")
    assert cells["reason"].to_dict() == {**standin.BAD_FILES, "good1": "", "good2": "", "day2/good3": "", "silent": ""}
    bad = cells[cells["reason"] != ""]
    for cell_id, detail in bad["detail"].items():
        assert detail and "\n" not in detail and Path(cell_id).name in detail, (cell_id, detail)
    assert set(bad["reason"]) <= set(cohort.REASONS)


def test_good_files_of_every_layout_go_through_the_sweeps(folder):
    source = Files(folder)
    array, table = extract(source.recordings())
    table = table.set_index("cell_id")
    assert array.shape == (3, 2, 4800) and table["reason"].to_dict() == {
        "good1": "", "good2": "", "day2/good3": "", "silent": "no_spiking_sweep"
    }  # fmt: skip
    good = table[table["reason"] == ""]
    assert set(good["rheobase_pa"]) == {50} and set(good["partner_pa"]) == {90}
    with pytest.raises(NoPair, match="no spike in 2 sweeps"):
        choose_pair(source.recording("silent"))


def test_asking_for_a_bad_file_is_one_line(folder):
    source = Files(folder)
    for cell_id in ("truncated", "text", "empty", "half", "nothing"):
        with pytest.raises(StsError) as caught:
            source.recording(cell_id)
        assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(ParameterError, match="'nobody'"):
        source.recording("nobody")


def test_labels_are_joined_and_doubtful_ones_leave_their_cell_out(folder, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text(
        "cell_id,label,donor\n good1 , Sst,mouse 1\ngood2,Martinotti,mouse 2\nday2/good3,Pvalb,\nday2/good3,Sst,\n"
        "silent,Vip/Lamp5,\nsilent,Vip/Lamp5,\nstranger,Sst,\n"
    )
    source = open_source("files", path=folder, labels=table, dataset="mine")
    assert isinstance(source, Files) and source.recording("good2").dataset == "mine"
    cells = source.cells().set_index("cell_id")
    assert cells.loc["good1", ["label", "donor", "reason"]].tolist() == ["Sst", "mouse 1", ""]
    assert cells.loc["silent", ["label", "reason"]].tolist() == ["Vip/Lamp5", ""]
    for cell_id, said in (("good2", "'Martinotti'"), ("day2/good3", "Pvalb and Sst")):
        assert cells.loc[cell_id, "label"] == "" and cells.loc[cell_id, "reason"] == "unsure_label"
        assert said in cells.loc[cell_id, "detail"]
    assert source.unused_labels() == ["stranger"]
    accounted = cohort.account(source.cells())
    assert cohort.count_table(accounted).loc["all cells", "total"] == len(standin.BAD_FILES) + 4


@pytest.mark.parametrize(
    ("content", "said"),
    [("id,label\na,Sst\n", "no column 'cell_id'"), ("", "cannot be read as CSV"), (None, "no label table")],
)
def test_label_table_that_cannot_be_read_is_one_line(folder, tmp_path, content, said):
    table = tmp_path / "labels.csv"
    if content is not None:
        table.write_text(content)
    with pytest.raises(StsError, match=said):
        Files(folder, labels=table)


def test_no_folder_and_an_empty_folder_are_one_line(tmp_path):
    with pytest.raises(ParameterError, match="path is empty"):
        Files("")
    with pytest.raises(MissingInput, match="no file or folder"):
        Files(tmp_path / "nowhere")
    with pytest.raises(MissingInput, match="holds no recording"):
        Files(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(MissingInput, match="holds no recording"):
        Files(tmp_path / "notes.txt")


@pytest.mark.parametrize("name", ["good2.nwb", "good1.nwb", "day2/good3.abf"])
def test_a_file_cut_anywhere_is_one_line(folder, tmp_path, name):
    whole = (folder / name).read_bytes()
    cut = tmp_path / f"cut{Path(name).suffix}"
    for length in np.linspace(0, 0.95 * len(whole), 15).astype(int):
        cut.write_bytes(whole[:length])
        row = Files(cut).cells().iloc[0]
        assert row["reason"] == "unreadable_file" and "\n" not in row["detail"], (length, row["reason"], row["detail"])


def test_an_abf_header_that_promises_too_much_is_refused_at_once(folder, tmp_path):
    raw = bytearray((folder / "day2" / "good3.abf").read_bytes())
    raw[16:20] = (2**30).to_bytes(4, "little")
    (tmp_path / "many.abf").write_bytes(raw)
    row = Files(tmp_path).cells().iloc[0]
    assert row["reason"] == "unreadable_file" and "promises 1073741824 sweeps" in row["detail"]
