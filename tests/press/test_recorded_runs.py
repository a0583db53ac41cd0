"""Recorded cells from nothing to scores, as a user types it: fetched, own files, and the authors' scalograms.

The recordings are written by the tests and the archive is the stand-in server; the notebooks are the real ones.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stslib.cohort import CLASSES
from stslib.press.stage import Stage, open_stage
from tests.conftest import sts
from tests.io import standin
from tests.io.standin import Steps
from tests.io.standin_server import Archives

pytestmark = pytest.mark.slow

LINES = {
    "Pvalb": "Pvalb-IRES-Cre", "Sst": "Sst-IRES-Cre", "Vip/Lamp5": "Vip-IRES-Cre", "Excitatory": "Cux2-CreERT2"
}  # fmt: skip
#: Rheobase in pA, and spikes for each 10 pA above it.
FIRING = {"Pvalb": (90, 6), "Sst": (50, 4), "Vip/Lamp5": (60, 3), "Excitatory": (70, 1)}
SMALL = (
    "-p", "04_baseline.n_trials=2", "-p", "04_baseline.n_shuffles=1", "-p", "04_baseline.n_bootstrap=200",
    "-p", "04_baseline.n_jobs=1",
)  # fmt: skip
N_EACH = 8


def steps(label: str, place: int, **same: object) -> list[Steps]:
    """A family of steps of 10 pA, up to 50 pA above the rheobase; no two cells are alike."""
    rheobase, gain = FIRING[label]
    rheobase += 10 * (place % 3)
    return [
        Steps(n, float(pa), 0 if pa < rheobase else 1 + (pa - rheobase) // 10 * gain + place % 2, rate_hz=10_000.0,
              onset_s=0.3, **same)  # type: ignore[arg-type]
        for n, pa in enumerate(range(rheobase - 20, rheobase + 60, 10))
    ]  # fmt: skip


def cohort_cells() -> Iterator[tuple[str, str, int]]:
    """Cell id, class and place of each cell."""
    for k, label in enumerate(CLASSES):
        for place in range(N_EACH):
            yield str(100 * (k + 1) + place), label, place


def run(results: Path, profile: str, *arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    return sts("run", "--profile", profile, *arguments, "--results", results, code=code)


def stage(results: Path, run: str, name: str, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setenv("STS_RESULTS", str(results))
    return open_stage(run, name)


def check_account(cells: pd.DataFrame, counts: pd.DataFrame) -> None:
    """Every cell is kept or excluded with a reason, and the saved counts are those of the table."""
    assert set(cells["status"]) <= {"kept", "excluded"} and cells["cell_id"].is_unique
    assert ((cells["status"] == "kept") == (cells["reason"] == "")).all()
    table = counts.set_index("reason")["total"]
    assert table["all cells"] == len(cells) == table.drop("all cells").sum()
    assert table["kept"] == (cells["status"] == "kept").sum()
    found = cells.loc[cells["status"] == "excluded", "reason"].value_counts().to_dict()
    assert table.drop(["kept", "all cells"]).to_dict() == found


# --- fetched --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`sts data fetch` from the stand-in, then notebooks 1 to 4; returns the results folder."""
    root = tmp_path_factory.mktemp("fetched")
    archives = Archives()
    for cell_id, label, place in cohort_cells():
        shown = steps(label, place, description="Long Square")
        file = standin.write_nwb1(root / f"{cell_id}.nwb", shown, seed=int(cell_id))
        if cell_id == "107":
            shown = [s for s in shown if s.stimulus_pa < 130]
        rheobase_sweep = 5 if cell_id == "101" else 2
        archives.add_cell(
            int(cell_id), file, shown, LINES[label], donor__id=place, rheobase_sweep_number=rheobase_sweep
        )
    archives.add_cell(901, root / "none.nwb", line="", donor__species="Homo Sapiens")
    archives.add_cell(902, root / "none.nwb", line="Gad2-IRES-Cre")
    address = archives.start()
    fetch = ("data", "fetch", "--source", "allen", "--output", root / "store", "--base-uri", address)
    sts(*fetch)
    archives.stop()
    run(root / "results", "fetched", "-p", f"01_data.path={root / 'store'}",
        "-p", "01_data.split=drawn", *SMALL, "04_baseline", "03_scalograms")  # fmt: skip
    return root / "results"


def test_fetched_cells_go_through_the_notebooks(fetched, monkeypatch):
    data, sweeps, third, fourth = (
        stage(fetched, "fetched", name, monkeypatch)
        for name in ("01_data", "02_sweeps", "03_scalograms", "04_baseline")
    )
    cells = data.load_table("cells", keep_default_na=False)
    check_account(cells, data.load_table("counts"))
    reasons = cells.set_index("cell_id")["reason"]
    assert reasons[reasons != ""].to_dict() == {"107": "no_partner_sweep", "901": "not_mouse", "902": "unsure_label"}
    included = cells[cells["status"] == "kept"]
    table = sweeps.load_table("sweeps")
    assert sweeps.load_array("sweeps").shape == (4 * N_EACH - 1, 2, 4800)
    assert table["cell_id"].tolist() == included["cell_id"].tolist() and set(table["kind"]) == {"allen"}
    scalograms = third.load_array("scalograms")
    assert scalograms.shape[:2] == (len(included), 2) and np.isfinite(scalograms).all()
    # The fetched cells hold two sweeps each, and the list of all: partners are counted over every cell that was examined.
    partners = sweeps.load_table("partners").set_index("offset_pa")
    assert partners["n_rheobase"].tolist() == [4 * N_EACH] * 4
    assert partners["n_cells"].to_dict() == {20.0: 4 * N_EACH, 40.0: 4 * N_EACH - 1, 60.0: 0, 80.0: 0}
    # Their sweeps have 4 kHz; resampling errors and spectra were measured on the raw ones, at the fetch ...
    at = sweeps.load_table("resampling").groupby("rate_hz")["relative"].median()
    assert set(at.index) == {1000.0, 2000.0, 4000.0, 8000.0} and (np.diff(at.sort_index()) < 0).all() and at.min() > 0
    assert sweeps.load_table("spectra")["frequency_hz"].max() > 2000
    # ... and so were features. A spike of the stand-in (0.4 ms wide) would lose its peak of 30 mV and more at 4 kHz.
    features = fourth.load_table("features")
    assert len(features) == 4 * N_EACH - 1 and (features["peak_v_long_square"] > 25).all()
    assert features["f_i_curve_slope"].notna().all() and features["latency"].notna().all()
    records = json.loads((fetched / "fetched" / "metrics.json").read_text())
    assert {record["data"] for record in records} == {"allen"}


# --- files ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of NWB 2, NWB 1 and ABF files in turn, with bad ones among them, and a table of labels."""
    root = tmp_path_factory.mktemp("files")
    folder = root / "recordings"
    folder.mkdir()
    rows = []
    for cell_id, label, place in cohort_cells():
        if place % 3 == 0:
            standin.write_nwb2(folder / f"{cell_id}.nwb", steps(label, place), seed=int(cell_id))
        elif place % 3 == 1:
            standin.write_nwb1(folder / f"{cell_id}.nwb", steps(label, place, description="Long Square"))
        else:
            standin.write_abf(folder / f"{cell_id}.abf", steps(label, place))
        rows.append((cell_id, label, f"mouse {place}"))
    standin.write_bad_files(folder)
    for name in ("unlabelled", "odd", "twice"):
        standin.write_nwb2(folder / f"{name}.nwb", steps("Sst", 0))
    rows += [
        ("silent", "Sst", ""),
        ("odd", "Martinotti", ""),
        ("twice", "Sst", ""),
        ("twice", "Pvalb", ""),
        ("lost", "Sst", ""),
    ]
    pd.DataFrame(rows, columns=["cell_id", "label", "donor"]).to_csv(root / "labels.csv", index=False)
    return root


@pytest.fixture(scope="module")
def own(recordings: Path) -> Path:
    """Notebooks 1 to 4 on that folder; returns the results folder."""
    run(recordings / "results", "files", "-p", f"01_data.path={recordings / 'recordings'}",
        "-p", f"01_data.labels={recordings / 'labels.csv'}", *SMALL, "04_baseline", "03_scalograms")  # fmt: skip
    return recordings / "results"


def test_own_files_go_through_the_notebooks_and_bad_ones_are_accounted_for(own, monkeypatch):
    data, sweeps, fourth = (stage(own, "files", name, monkeypatch) for name in ("01_data", "02_sweeps", "04_baseline"))
    cells = data.load_table("cells", keep_default_na=False)
    check_account(cells, data.load_table("counts"))
    left_out = cells[cells["status"] == "excluded"].set_index("cell_id")
    assert left_out["reason"].to_dict() == {
        **standin.BAD_FILES, "silent": "no_spiking_sweep", "unlabelled": "unsure_label", "odd": "unsure_label",
        "twice": "unsure_label",
    }  # fmt: skip
    assert (left_out["detail"] != "").all()
    array = sweeps.load_array("sweeps")
    assert array.shape == (4 * N_EACH, 2, 4800) and array.max() > 60
    table = sweeps.load_table("sweeps").set_index("cell_id")
    assert set(table["kind"]) == {"real"}
    for cell_id, label, place in cohort_cells():
        rheobase = FIRING[label][0] + 10 * (place % 3)
        assert (table.loc[cell_id, "rheobase_pa"], table.loc[cell_id, "partner_pa"]) == (rheobase, rheobase + 40)
    assert len(fourth.load_table("features")) == 4 * N_EACH


def test_a_run_knows_when_the_files_changed(own, recordings, monkeypatch):
    arguments = ("-p", f"01_data.path={recordings / 'recordings'}", "-p",
                 f"01_data.labels={recordings / 'labels.csv'}", "03_scalograms", "--plan")  # fmt: skip
    assert "run (" not in run(own, "files", *arguments).stdout
    extra = recordings / "recordings" / "new.nwb"
    extra.write_text("one more")
    try:
        assert "01_data: run (input recordings changed)" in run(own, "files", *arguments).stdout
    finally:
        extra.unlink()


@pytest.mark.parametrize(
    ("path", "labels", "words"),
    [
        ("recordings", "", ("its class is not clear", "sts predict")),
        ("recordings", "nowhere.csv", ("no label table",)),
        ("empty", "", ("holds no recording",)),
    ],
)
def test_files_without_classes_or_recordings_are_one_line(recordings, tmp_path, path, labels, words):
    (recordings / "empty").mkdir(exist_ok=True)
    options = ["-p", f"01_data.path={recordings / path}"]
    options += ["-p", f"01_data.labels={recordings / labels}"] if labels else []
    done = run(tmp_path, "files", "01_data", *options, code=1)
    assert all(word in done.stderr for word in words), done.stderr


# --- precomputed ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def precomputed(tmp_path_factory: pytest.TempPathFactory, mirror: Path) -> Path:
    """A folder of scalograms in the authors' form for 24 of their cells, three of them not usable, and notebooks 1 to 4."""
    from stslib.io.published import Published

    root = tmp_path_factory.mktemp("precomputed")
    folder = root / "scalograms"
    folder.mkdir()
    table = Published().cells()
    rng = np.random.default_rng(5)
    for (label, _), rows in table[table["split"] != ""].groupby(["label", "split"]):
        for cell_id in rows["cell_id"].iloc[:3]:
            held = rng.normal(10 * (1 + CLASSES.index(str(label))), 1, (180, 4800, 2)).astype(np.float32)
            np.save(folder / f"cell_{cell_id}.npy", held)
    np.save(folder / "cell_1.npy", np.zeros((180, 4800, 2), np.float32))  # nobody knows it
    human = table.loc[table["reason"] == "not_mouse", "cell_id"].iloc[0]
    (folder / f"cell_{human}.npy").write_bytes((folder / "cell_1.npy").read_bytes())
    (folder / "cell_2.npy").write_text("not an array")
    run(root / "results", "precomputed", "-p", f"01_data.path={folder}", *SMALL, "-p",
        "03_scalograms.height=60", "-p", "03_scalograms.width=240", "04_baseline", "03_scalograms")  # fmt: skip
    return root


@pytest.mark.mirror
def test_the_authors_scalograms_come_at_the_size_of_notebook_3(precomputed, monkeypatch):
    results = precomputed / "results"
    data = stage(results, "precomputed", "01_data", monkeypatch)
    cells = data.load_table("cells", keep_default_na=False)
    check_account(cells, data.load_table("counts"))
    assert (cells["status"] == "kept").sum() == 24 and set(cells["reason"]) == {
        "", "unsure_label", "not_mouse", "unreadable_file"
    }  # fmt: skip
    kept = cells[cells["status"] == "kept"]
    assert kept.groupby(["label", "split"]).size().tolist() == [3] * 8
    third = stage(results, "precomputed", "03_scalograms", monkeypatch)
    images = third.load_array("scalograms")
    assert images.shape == (24, 2, 60, 240)
    for place, cell_id in enumerate(kept["cell_id"]):
        held = np.load(precomputed / "scalograms" / f"cell_{cell_id}.npy", mmap_mode="r")
        # 180 rows to 60 and 4,800 samples to 240: bilinear reads the middle row of three and two middle samples of twenty.
        expected = held[1::3, 9:4800:20].astype(float) / 2 + held[1::3, 10:4800:20] / 2
        np.testing.assert_allclose(np.moveaxis(images[place].astype(float), 0, -1), expected, rtol=2e-3)
    bank = third.load_json("bank")
    assert bank["ready_made"] and bank["data"] == "allen"
    records = json.loads((results / "precomputed" / "metrics.json").read_text())
    assert {r["data"] for r in records} == {"allen"}


@pytest.mark.mirror
def test_ready_made_scalograms_cannot_be_given_another_wavelet(precomputed):
    given = ("-p", f"01_data.path={precomputed / 'scalograms'}", "-p", "03_scalograms.wavelet=gaus2")
    done = run(precomputed / "results", "precomputed", "03_scalograms", *given, code=1)
    assert "wavelet is 'gaus2'; the precomputed scalograms were made with 'mexh'" in done.stderr
