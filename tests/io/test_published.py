"""The authors' tables: counts of the paper, and one clear line for a mirror that lacks a file or holds another."""

import functools
import hashlib
import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from stslib import cohort
from stslib.io import Source, open_source, published
from stslib.support.errors import DamagedFile, MissingInput, StsError


@pytest.fixture(scope="module")
def cells(mirror: Path) -> pd.DataFrame:
    return open_source("published").cells()


@pytest.mark.mirror
def test_5590_cells_with_the_papers_split_and_classes(cells):
    done = cohort.account(cells)
    kept = cohort.kept(done)
    assert kept["dataset"].value_counts().to_dict() == {"Seq": 4220, "Clamp": 1370}
    counts = pd.crosstab(kept["label"], kept["split"])
    assert counts["train"].to_dict() == {"Sst": 1545, "Vip/Lamp5": 1438, "Pvalb": 852, "Excitatory": 637}
    assert counts["test"].to_dict() == {"Sst": 386, "Vip/Lamp5": 359, "Pvalb": 213, "Excitatory": 160}
    assert (kept["donor"] != "").all()
    # Every other cell has one reason.
    assert len(done) == 6768 == cohort.count_table(done).loc["all cells", "total"]
    assert done["reason"].value_counts().to_dict() == {
        "": 5590, "not_in_split": 615, "not_mouse": 413, "unsure_label": 150,
    }  # fmt: skip
    # The figure of the protocol: 87 % of the test cells share a donor with a training cell.
    shared = kept.loc[kept["split"] == "test", "donor"].isin(kept.loc[kept["split"] == "train", "donor"]).mean()
    assert shared == pytest.approx(0.87, abs=0.01)


@pytest.mark.mirror
def test_it_holds_no_recordings_but_features_of_each_cell_of_the_split_in_45_shared_columns(mirror, cells):
    source = open_source("published")
    assert isinstance(source, Source)
    for ask in (source.recordings, lambda: source.recording("1003020818")):
        with pytest.raises(StsError, match="tables only"):
            ask()
    features = source.features()
    assert len(features.columns) == 48 and features["cell_id"].is_unique
    assert set(cells.loc[cells["split"] != "", "cell_id"]) <= set(features["cell_id"])
    one = features.set_index("cell_id").loc["1003020818"]  # as printed in the file
    assert (one["threshold_t_long_square"], one["dataset"]) == (0.5895, "Seq")
    # The onsets 1.02 s and 0.5 s are measured, not published: every first spike lies within the 1 s step after them.
    features = features.dropna(subset=["threshold_t_long_square"])
    since_s = features["threshold_t_long_square"] - features["onset_s"]
    assert since_s.between(0, 1).all()
    assert (since_s < 0.01).groupby(features["dataset"]).any().all()  # and some spike right after it, in either set


@pytest.mark.mirror
def test_a_mirror_that_lacks_a_file_or_holds_another_is_one_line(mirror, tmp_path, monkeypatch):
    copy = tmp_path / "mirror" / "published"
    shutil.copytree(mirror / "published", copy, copy_function=shutil.copyfile)
    monkeypatch.setenv("STS_DATA_MIRROR", str(tmp_path / "mirror"))
    lines = (copy / "Train_split.csv").read_text().splitlines()
    (copy / "Train_split.csv").write_text("\n".join(lines[:-1]))
    with pytest.raises(DamagedFile, match=r"Train_split\.csv is not the published file \(sha256 "):
        open_source("published").cells()
    (copy / "Train_split.csv").unlink()
    with pytest.raises(MissingInput, match=r"published/Train_split\.csv") as caught:
        open_source("published").cells()
    assert str(tmp_path / "mirror") in str(caught.value) and "\n" not in str(caught.value)


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server that holds one file, `Train_split.csv`; the cache of downloads is a fresh folder; no mirror."""
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "Train_split.csv").write_text("1, Seq\n")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("STS_DATA_MIRROR", raising=False)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_without_a_mirror_a_file_is_downloaded_once_and_checked(address, monkeypatch):
    sha256 = hashlib.sha256(b"1, Seq\n").hexdigest()
    monkeypatch.setitem(published.FILES, "Train_split.csv", (address, sha256))
    path = published.fetch("Train_split.csv")
    assert path.read_text() == "1, Seq\n"
    monkeypatch.setitem(published.FILES, "Train_split.csv", ("http://127.0.0.1:9", sha256))
    assert published.fetch("Train_split.csv") == path  # kept: nothing is fetched again


@pytest.mark.parametrize(
    ("path", "error", "words"), [("", DamagedFile, "its sha256 is not 85ab0a7062c0"),
                                 ("/none", MissingInput, "cannot download .* STS_DATA_MIRROR")],
)  # fmt: skip
def test_a_download_that_fails_or_differs_is_one_line(address, monkeypatch, path, error, words):
    _, sha256 = published.FILES["Train_split.csv"]
    monkeypatch.setitem(published.FILES, "Train_split.csv", (f"{address}{path}", sha256))
    with pytest.raises(error, match=f"^.*{words}.*$"):
        published.fetch("Train_split.csv")
