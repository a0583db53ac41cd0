"""The six notebooks as a user runs them, once, with the smoke profile; the tests here look at what that run made."""

import json
import re
import shutil

import nbformat
import numpy as np
import pandas as pd
import papermill
import pytest
import torch
from PIL import Image
from sklearn.metrics import balanced_accuracy_score, f1_score

from stslib import networks, training
from stslib.cohort import CLASSES
from stslib.press import fingerprint, runner
from stslib.press.folders import project_root
from stslib.press.parameters import read_parameters
from stslib.press.stage import METRIC_KEYS, open_stage
from tests.conftest import made_once, sts

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


def records(smoke):
    return pd.DataFrame(json.loads((smoke / "metrics.json").read_text()))


def test_every_model_has_its_scores_and_they_follow_from_the_saved_predictions(smoke):
    """A number that a reader sees can be worked out again from the file beside it."""
    found = records(smoke)
    assert list(found.columns) == list(METRIC_KEYS)
    assert set(found.data) == {"simulated"}
    for model in (*networks.PAPER_ARCHITECTURES, "lightgbm"):
        for split in ("cv", "holdout"):
            one = found.query("model == @model and split == @split and metric == 'balanced_accuracy'")
            assert len(one) == 1, (model, split)
            assert 0 <= one.low.item() <= one.value.item() <= one.high.item() <= 1
    test_cells = set(stage("01_data").load_table("cells").query("status == 'kept' and split == 'test'").cell_id)
    for name in ("04_baseline", "05_deep_models"):
        predictions = stage(name).load_table("predictions")
        by_model = predictions.assign(model="lightgbm") if "model" not in predictions else predictions
        for model, rows in by_model[by_model.split == "test"].groupby("model"):
            proba = rows[[f"p:{c}" for c in CLASSES]].to_numpy()
            guess = np.asarray(CLASSES)[proba.argmax(axis=1)]
            np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-4)
            reported = found[(found.model == model) & (found.split == "holdout")].set_index("metric").value
            assert reported["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(rows.label, guess), abs=1e-6)
            assert reported["weighted_f1"] == pytest.approx(f1_score(rows.label, guess, average="weighted"), abs=1e-6)
            assert set(rows.cell_id) == test_cells


def test_saved_models_give_the_saved_predictions(smoke):
    predictions = stage("05_deep_models").load_table("predictions")
    cells = stage("01_data").load_table("cells").query("status == 'kept'").reset_index(drop=True)
    scalograms = stage("03_scalograms").load_array("scalograms")
    torch.set_num_threads(1)
    for architecture in networks.PAPER_ARCHITECTURES:
        rows = predictions[(predictions.model == architecture) & (predictions.split == "test")].iloc[:4]
        model, transform, _ = networks.load(smoke / "05_deep_models" / "models" / architecture)
        at = [int(cells.index[cells.cell_id == c][0]) for c in rows.cell_id]
        again = training.predict_proba(model, transform, np.asarray(scalograms[at]))
        np.testing.assert_allclose(again, rows[[f"p:{c}" for c in CLASSES]], atol=2e-4)


def test_every_notebook_follows_the_page_template_and_holds_no_outputs():
    for name, path in runner.available().items():
        notebook = nbformat.read(path, as_version=4)
        text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown").lower()
        for part in ("what you will see", "prerequisites", "minutes", "what this means", "what next"):
            assert part in text, f"{name} lacks {part!r}"
        assert notebook.cells[0].source.startswith("# "), name
        cells = [c for c in notebook.cells if c.cell_type == "code"]
        assert all(c.outputs == [] and c.execution_count is None for c in cells), name
        code = [c.source.strip() for c in cells]
        assert len(set(code)) == len(code), f"{name} holds a cell twice"  # the end of a notebook is known by its cells
        assert sum(f'begin("{name}", globals())' in source for source in code) == 1, name
        assert all(parameter.comment for parameter in read_parameters(path).values()), name
        assert all(len(source.splitlines()) <= 25 for source in code), name


def test_papermill_alone_runs_a_notebook_with_another_parameter(smoke, tmp_path, monkeypatch):
    """The student's way: `papermill notebooks/03_scalograms.ipynb out.ipynb -p wavelet gaus2 ...`."""
    shutil.copytree(smoke, tmp_path / "smoke", ignore=shutil.ignore_patterns(".lock"))
    before = stage("03_scalograms").load_array("scalograms")
    monkeypatch.setenv("STS_RESULTS", str(tmp_path))
    changed = {"run": "smoke", "wavelet": "gaus2", "frequency_max_hz": 400.0}
    notebook = runner.available()["03_scalograms"]
    papermill.execute_notebook(notebook, tmp_path / "out.ipynb", changed, cwd=str(project_root()), progress_bar=False)
    after = stage("03_scalograms")
    assert after.parameters["wavelet"] == "gaus2"
    assert not np.allclose(before, after.load_array("scalograms"))


@pytest.mark.parametrize(
    ("module", "reruns"),
    [
        ("explain/saliency", {"06_explainability"}),
        ("training/ablations", {"05_deep_models", "06_explainability"}),
        ("press/stage", set(NOTEBOOKS)),
    ],
)
def test_a_changed_module_reruns_exactly_its_dependents(smoke, tmp_path, monkeypatch, module, reruns):
    package = shutil.copytree(fingerprint.PACKAGE, tmp_path / "stslib", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(fingerprint, "PACKAGE", package)
    with (package / f"{module}.py").open("a") as stream:
        stream.write("touched = True\n")
    assert {t.name for t in runner.plan("smoke", "smoke") if t.reason} == reruns


@pytest.fixture(scope="session")
def html(smoke, tmp_path_factory):
    def build(output):
        done = sts("book", "--run", "smoke", "--results", smoke.parent, "--output", output)
        assert done.stdout.strip().endswith("html/index.html")

    return made_once(tmp_path_factory, "book", build) / "html"


def test_the_book_has_every_page_and_its_figures(html):
    """Built with warnings as errors; each notebook's page shows its figures with captions and alternative texts."""
    toc = (project_root() / "_toc.yml").read_text()
    texts = {page: (html / f"{page}.html").read_text() for page in re.findall(r"(?:root|file):\s*(\S+)", toc)}
    described = {p: len(re.findall(r'<img\b[^>]*alt="(?!_images|\.\.)[^"]{12,}"', text)) for p, text in texts.items()}
    for name in NOTEBOOKS:
        page = texts[f"notebooks/{name}"]
        wanted = sum("mystnb" in c.metadata for c in nbformat.read(runner.available()[name], as_version=4).cells)
        assert wanted >= 1, name
        assert described[f"notebooks/{name}"] >= wanted, (name, described)
        assert page.count("<figcaption") >= wanted, name
        assert "Traceback" not in page
        assert "Show the parameters of this run" in page
    assert described["book/index"] >= 1


def test_simulated_results_are_called_so_on_every_page_that_shows_them(html):
    for page in ("book/index", "notebooks/04_baseline", "notebooks/05_deep_models", "notebooks/06_explainability"):
        text = re.sub(r"<[^>]+>", " ", (html / f"{page}.html").read_text())
        assert "simulated" in text.lower(), page
