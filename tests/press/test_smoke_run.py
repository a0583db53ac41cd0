"""The six notebooks as a user runs them, once, with the smoke profile; the tests here look at what that run made."""

import json
import re
import shutil
import subprocess
import sys
import time

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from stslib import evaluation, networks
from stslib.cohort import CLASSES
from stslib.press import binder, fingerprint, runner
from stslib.press.folders import project_root
from stslib.press.parameters import read_parameters
from stslib.press.stage import METRIC_KEYS, open_stage

pytestmark = pytest.mark.slow

NOTEBOOKS = ["01_data", "02_sweeps", "03_scalograms", "04_baseline", "05_deep_models", "06_explainability"]
PAPER_FIGURES = {
    "01_data": ["fig1_pipeline"],
    "02_sweeps": ["fig2_spike_trains"],
    "05_deep_models": ["fig3_losses", "fig4_balanced_accuracy"],
    "06_explainability": ["fig5_explainability", "fig5_supplement"],
}


@pytest.fixture(autouse=True)
def _results(smoke, monkeypatch):
    monkeypatch.setenv("STS_RESULTS", str(smoke.parent))


def stage(name):
    return open_stage("smoke", name)


def test_every_notebook_ran_and_nothing_would_run_again(smoke):
    tasks = runner.plan("smoke", "smoke")
    assert [t.name for t in tasks] == NOTEBOOKS
    assert {t.reason for t in tasks} == {""}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_figures_are_pictures(smoke, name):
    figures = sorted((smoke / name).glob("*.png"))
    assert figures, f"{name} saved no figure"
    for wanted in PAPER_FIGURES.get(name, []):
        assert (smoke / name / f"{wanted}.png").is_file(), f"{wanted} is missing"
    for path in figures:
        assert path.with_suffix(".svg").is_file()
        pixels = np.asarray(Image.open(path).convert("L"))
        assert min(pixels.shape) > 200, path
        assert pixels.std() > 5, f"{path} is blank"


def test_arrays_and_tables_agree(smoke):
    cells = stage("01_data").load_table("cells")
    kept = cells[cells.status == "kept"]
    assert set(cells.status) <= {"kept", "excluded"}
    assert (cells[cells.status == "excluded"].reason.fillna("") != "").all()
    sweeps, scalograms = stage("02_sweeps").load_array("sweeps"), stage("03_scalograms").load_array("scalograms")
    assert sweeps.shape == (len(kept), 2, 4800)
    assert sweeps.dtype == np.float32
    assert scalograms.shape[:2] == (len(kept), 2)
    assert scalograms.dtype == np.float16
    assert np.isfinite(scalograms).all()
    assert list(stage("02_sweeps").load_table("sweeps").cell_id) == list(kept.cell_id)
    assert set(kept.split) == {"train", "test"}
    assert set(kept[kept.split == "test"].label) == set(CLASSES)


def test_metrics_have_every_model_in_cv_and_holdout(smoke):
    records = pd.DataFrame(json.loads((smoke / "metrics.json").read_text()))
    assert list(records.columns) == list(METRIC_KEYS)
    assert set(records.data) == {"simulated"}
    for model in (*networks.PAPER_ARCHITECTURES, "lightgbm"):
        for split in ("cv", "holdout"):
            found = records.query("model == @model and split == @split and metric == 'balanced_accuracy'")
            assert len(found) == 1, (model, split)
            assert 0 <= found.value.item() <= 1
            assert found.low.item() <= found.value.item() <= found.high.item()


def test_reported_scores_follow_from_the_saved_predictions(smoke):
    """A number that a reader sees can be worked out again from the file beside it."""
    from sklearn.metrics import balanced_accuracy_score, f1_score

    records = pd.DataFrame(json.loads((smoke / "metrics.json").read_text()))
    for name in ("04_baseline", "05_deep_models"):
        predictions = stage(name).load_table("predictions")
        if "model" not in predictions:
            predictions["model"] = "lightgbm"
        for model, rows in predictions[predictions.split == "test"].groupby("model"):
            guess = np.asarray(CLASSES)[rows[[f"p:{c}" for c in CLASSES]].to_numpy().argmax(axis=1)]
            np.testing.assert_allclose(rows[[f"p:{c}" for c in CLASSES]].sum(axis=1), 1, atol=1e-4)
            reported = records[(records.model == model) & (records.split == "holdout")].set_index("metric").value
            assert reported["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(rows.label, guess), abs=1e-6)
            assert reported["weighted_f1"] == pytest.approx(f1_score(rows.label, guess, average="weighted"), abs=1e-6)
            assert set(rows.cell_id) == set(
                stage("01_data").load_table("cells").query("status == 'kept' and split == 'test'").cell_id
            )


def test_saved_models_give_the_saved_predictions(smoke):
    predictions = stage("05_deep_models").load_table("predictions")
    cells = stage("01_data").load_table("cells").query("status == 'kept'").reset_index(drop=True)
    scalograms = stage("03_scalograms").load_array("scalograms")
    torch.set_num_threads(1)
    for architecture in networks.PAPER_ARCHITECTURES:
        rows = predictions[(predictions.model == architecture) & (predictions.split == "test")].iloc[:4]
        from stslib import training

        model, transform, _ = networks.load(smoke / "05_deep_models" / "models" / architecture)
        at = [int(cells.index[cells.cell_id == c][0]) for c in rows.cell_id]
        again = training.predict_proba(model, transform, np.asarray(scalograms[at]))
        np.testing.assert_allclose(again, rows[[f"p:{c}" for c in CLASSES]], atol=2e-4)


def test_no_outputs_are_committed():
    for path in runner.available().values():
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                assert cell.outputs == [], path.name
                assert cell.execution_count is None, path.name


def test_every_notebook_follows_the_page_template():
    for name, path in runner.available().items():
        notebook = nbformat.read(path, as_version=4)
        text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
        for part in ("What you will see", "Prerequisites", "Minutes", "What this means", "What next"):
            assert part.lower() in text.lower(), f"{name} lacks {part!r}"
        assert notebook.cells[0].source.startswith("# "), name
        code = [c.source.strip() for c in notebook.cells if c.cell_type == "code"]
        assert len(set(code)) == len(code), f"{name} holds a cell twice"  # the end of a notebook is known by its cells
        assert sum(f'begin("{name}", globals())' in source for source in code) == 1, name
        for parameter in read_parameters(path).values():
            assert parameter.comment, f"{name}.{parameter.name} has no comment"
        long = [c.source for c in notebook.cells if c.cell_type == "code" and len(c.source.splitlines()) > 25]
        assert not long, f"{name}: a cell of over 25 lines: {long[0][:80]}"


def test_papermill_alone_runs_a_notebook_with_another_parameter(smoke, tmp_path):
    """The student's way: `papermill notebooks/03_scalograms.ipynb out.ipynb -p wavelet gaus2`, changed within a minute."""
    shutil.copytree(smoke, tmp_path / "results" / "smoke", ignore=shutil.ignore_patterns(".lock"))
    before = open_stage("smoke", "03_scalograms")
    started = time.monotonic()
    command = [sys.executable, "-m", "papermill", "notebooks/03_scalograms.ipynb", str(tmp_path / "out.ipynb"),
               "-p", "run", "smoke", "-p", "wavelet", "gaus2", "-p", "frequency_max_hz", "400"]  # fmt: skip
    environment = {**__import__("os").environ, "STS_RESULTS": str(tmp_path / "results")}
    done = subprocess.run(command, cwd=project_root(), env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    print(f"notebook 03 alone: {time.monotonic() - started:.0f} s")
    changed = json.loads((tmp_path / "results/smoke/03_scalograms/manifest.json").read_text())
    assert changed["parameters"]["wavelet"] == "gaus2"
    old = before.load_array("scalograms")
    new = np.load(tmp_path / "results/smoke/03_scalograms/scalograms.npy")
    if old.shape == new.shape:
        assert not np.allclose(old, new)


@pytest.mark.parametrize(
    ("module", "reruns"),
    [
        ("explain/saliency", {"06_explainability"}),
        ("training/loop", {"05_deep_models", "06_explainability"}),
        ("press/stage", set(NOTEBOOKS)),
    ],
)
def test_a_changed_module_reruns_exactly_its_dependents(smoke, tmp_path, monkeypatch, module, reruns):
    package = shutil.copytree(fingerprint.PACKAGE, tmp_path / "stslib", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(fingerprint, "PACKAGE", package)
    with (package / f"{module}.py").open("a") as stream:
        stream.write("touched = True\n")
    assert {t.name for t in runner.plan("smoke", "smoke") if t.reason} == reruns


def test_a_changed_parameter_reruns_exactly_its_dependents(smoke):
    tasks = runner.plan("smoke", "smoke", overrides=["04_baseline.n_bootstrap=150"])
    assert "01_data" not in {t.name for t in tasks if t.reason}
    assert "03_scalograms" not in {t.name for t in tasks if t.reason}
    assert "04_baseline" in {t.name for t in tasks if t.reason}


def test_no_network_trained_beside_the_baseline_was_left_out(smoke):
    history = stage("05_deep_models").load_table("history")
    assert set(history.model if "model" in history else history.architecture) == set(networks.PAPER_ARCHITECTURES)
    assert evaluation.PAPER_RESULTS is not None


@pytest.fixture(scope="module")
def html(smoke, tmp_path_factory):
    output = tmp_path_factory.mktemp("book")
    command = [sys.executable, "-m", "stslib.press.cli", "book", "--run", "smoke", "--results", str(smoke.parent),
               "--output", str(output)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=project_root())
    assert done.returncode == 0, done.stderr + (output / "book.log").read_text()[-3000:]
    assert done.stdout.strip().endswith("html/index.html")
    return output / "html"


def test_the_book_has_every_page_and_its_figures(html):
    """Built with warnings as errors; each notebook's page shows its figures with captions and alternative texts."""
    counts = binder.check_pages(html)
    for name in NOTEBOOKS:
        page = (html / "notebooks" / f"{name}.html").read_text()
        wanted = sum("mystnb" in c.metadata for c in nbformat.read(runner.available()[name], as_version=4).cells)
        assert wanted >= 1, name
        assert counts[f"notebooks/{name}"] >= wanted, (name, counts)
        assert page.count("<figcaption") >= wanted, name
        assert "Traceback" not in page
    assert counts["book/index"] >= 1


def test_simulated_results_are_called_so_on_every_page_that_shows_them(html):
    for page in ("book/index", "notebooks/04_baseline", "notebooks/05_deep_models", "notebooks/06_explainability"):
        text = re.sub(r"<[^>]+>", " ", (html / f"{page}.html").read_text())
        assert "simulated" in text.lower(), page


def test_a_page_cannot_show_outputs_of_other_code(smoke):
    source = nbformat.read(runner.available()["03_scalograms"], as_version=4)
    executed = nbformat.read(smoke / "03_scalograms" / "03_scalograms.ipynb", as_version=4)
    merged = binder.merge(source, executed, "03_scalograms")
    assert any(c.get("outputs") for c in merged.cells)
    code = next(c for c in source.cells if c.cell_type == "code" and "parameters" not in c.metadata.get("tags", []))
    code.source += "\n1 + 1"
    with pytest.raises(Exception, match="not the one that was run"):
        binder.merge(source, executed, "03_scalograms")
