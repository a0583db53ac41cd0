"""The book's numbers: they follow the result files, and no verdict is stronger than the numbers and the cells behind it."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
import yaml
from click.testing import CliRunner
from markdown_it import MarkdownIt

from stslib import evaluation
from stslib.cohort import CLASSES
from stslib.figures.style import new_figure
from stslib.press import pages
from stslib.press.binder import JUPYTER_BOOK
from stslib.press.cli import main
from stslib.press.folders import project_root
from stslib.press.pages import claims, evidence, markup, names, rules, write
from stslib.press.stage import Stage, begin
from stslib.support.errors import DamagedFile, StsError
from tests.conftest import RUN, write_checkout, write_notebook

NETWORKS = rules.NETWORKS
NAMES = ("01_data", "04_baseline", "05_deep_models")
PARAMETERS = {
    "01_data": 'source = "simulated"  # {simulated, published, store}',
    "04_baseline": 'feature_set = "published"  # {published}\nn_trials = 5  # trials of the search [1, 1000]',
    "05_deep_models": 'weights = "none"  # {none, imagenet}\nnote = "a|b`c*"  # any text',
    "08_real_signals": "n_folds = 5  # folds [2, 10]",
}
ROOT = project_root(Path(__file__).parent)


def cells_of(name: str) -> tuple[str, ...]:
    """The cells of a notebook that is never run."""
    sections = "## First\n\n```sh\n# not a heading\n```\n\n## Scores, on the holdout"
    parameters = f"{RUN}\n{PARAMETERS.get(name, '')}"
    return f"# Notebook {name[:2]}", parameters, sections, "stage.metrics(records)", "## What this means"


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with three notebooks that have never been run, as the current folder."""
    monkeypatch.chdir(write_checkout(tmp_path, {name: cells_of(name) for name in NAMES}))
    monkeypatch.delenv("STS_RESULTS", raising=False)
    return tmp_path


def finish(
    name: str,
    records: Sequence[dict] = (),
    cells: pd.DataFrame | None = None,
    results: Sequence = (),
    **parameters: object,
) -> None:
    """Finish a stage with made-up results, as its notebook would."""
    stage = begin(name, {"run": "default", **parameters})
    if cells is not None:
        stage.save_table("cells", cells)
    if records:
        stage.metrics(records)
    if name == "05_deep_models":
        if results:
            stage.save_json("comparison", results[0])
            stage.save_table("history", results[1])
        for figure in ("fig3_losses", "fig4_balanced_accuracy"):
            stage.save_figure(figure, new_figure(2, 1))
    stage.done()


def record(model: str, data: str, split: str, metric: str, value: float, half: float = 0.02, n: int = 0) -> dict:
    n = n or rules.PAPER_CELLS[split]
    return {"model": model, "data": data, "split": split, "metric": metric, "value": value, "low": value - half,
            "high": value + half, "n": n}  # fmt: skip


def paper_records(data: str, models: tuple[str, ...] = (*rules.NETWORKS, "lightgbm")) -> list[dict]:
    """Records that say exactly what the paper says, with its numbers of cells."""
    rows = evaluation.PAPER_RESULTS.query("model in @models")
    values = rows["value"] + 0.03 * (rows["relation"] == ">")
    found = [record(r.model, data, r.split, r.metric, v) for r, v in zip(rows.itertuples(), values, strict=True)]
    return found + [{**r, "split": "cv_pooled"} for r in found if r["split"] == "cv"]


def cell_table(train: int = 4472, test: int = 1118) -> pd.DataFrame:
    labels = ["Sst"] * 1931 + ["Vip/Lamp5"] * 1797 + ["Pvalb"] * 1065 + ["Excitatory"] * 797
    return pd.DataFrame(
        {"cell_id": [str(k) for k in range(5590)], "label": labels, "status": "kept", "reason": "",
         "split": ["train"] * train + ["test"] * test}
    )  # fmt: skip


def page(name: str, run: str = "default", notebooks: tuple[str, ...] = NAMES) -> str:
    write(run, notebooks, Path("book/_generated"))
    return Path("book/_generated", name).read_text(encoding="utf-8")


def finding(words: str) -> rules.Finding:
    """What the run says of the claim with these words."""
    claim = next(c for c in claims.paper_claims() if words in c.text)
    (found,) = claim.findings(evidence.gather([("default", NAMES)]))
    return found


def whole_run(data: str, source: str) -> None:
    finish("01_data", cells=cell_table(), source=source)
    finish("04_baseline", paper_records(data, ("lightgbm",)))
    finish("05_deep_models", paper_records(data, rules.NETWORKS), weights="imagenet")


@pytest.mark.parametrize(("data", "source"), [("simulated", "simulated"), ("hybrid", "store")])
def test_no_number_of_unreal_cells_ever_supports_or_refutes_the_paper(book, data, source):
    """Even where every value, interval and count equals the paper's."""
    whole_run(data, source)
    text = page("claims.md") + page("summary.md")
    assert not any(word in text for word in ("reproduced", ".good}", ".bad}"))
    assert text.count(f"not comparable: {data} cells") == 6  # all claims that this run has numbers or figures for
    # The picture of the landing page is the run's own, and named so in its caption and its alternative text.
    picture, name = page("picture.md"), "fig4_balanced_accuracy.png"
    assert Path("book/_generated", name).read_bytes() == Path("results/default/05_deep_models", name).read_bytes()
    assert all(data in part for part in (re.search(r":alt: (.+)", picture).group(1), picture.split("\n\n", 1)[1]))
    found = [f for c in claims.paper_claims() for f in c.findings(evidence.gather([("default", NAMES)]))]
    assert {f.grade for f in found} == {"open"}


def test_the_papers_numbers_on_the_papers_cells_are_reproduced(book):
    whole_run("published", "published")
    text = page("claims.md")
    assert text.count("reproduced on real tables") == 4 and ".bad}" not in text
    assert "true of the authors' tables" in text
    assert "5,590 cells kept, 4,472 to train and 1,118 to test; smallest class Excitatory (14\u00a0%)" in text
    finish("01_data", cells=cell_table(4400, 1190), source="published")
    assert "not so in the authors' tables" in page("claims.md")


def one(value: float, half: float = 0.02, **changes: object) -> evidence.Record:
    fields = {"model": "lightgbm", "data": "published", "split": "holdout", "metric": "weighted_f1", "n": 1118}
    options = changes.pop("options", {"feature_set": "published"})
    return evidence.Record(**{**fields, "value": value, "low": value - half, "high": value + half, **changes},
                           run="published", notebook="04_baseline", options=options)  # fmt: skip


@pytest.mark.parametrize(
    ("number", "verdict", "grade"),
    [
        (one(0.897), "reproduced on real tables", "good"),
        (one(0.93), "higher than the paper on real tables", "good"),
        (one(0.86), "lower than the paper on real tables", "bad"),
        (one(0.89, data="allen"), "reproduced on real recordings", "good"),
        (one(0.89, data="simulated"), "not comparable: simulated cells", "open"),
        (one(0.89, n=1117), "not comparable: 1,117 real cells, the paper has 1,118", "open"),
        (one(0.89, options={"feature_set": "intended"}), "not comparable: other features (intended)", "open"),
        (one(0.89, low=None), "not decided: no interval", "open"),
        (one(0.89, metric="accuracy"), "the paper gives no number", "open"),
        (one(0.89, split="transfer:Clamp->Seq"), "not comparable: 1,118 real cells", "open"),
        (one(0.91, metric="balanced_accuracy"), "reproduced on real tables", "good"),
        (one(0.89, metric="balanced_accuracy"), "not decided: within the interval", "open"),
        (one(0.85, metric="balanced_accuracy"), "below the paper's bound on real tables", "bad"),
        (one(0.89, split="cv", n=4472, metric="balanced_accuracy"),
         "not decided: the spread of the folds is not an interval", "open"),
        *[(one(0.90, model="inception_v3", data="allen", options=options), f"not comparable: {why}", "open")
          for options, why in (
              ({"weights": "none"}, "networks without pre-trained weights"),
              ({"protocol": "small"}, "another protocol (small)"),
              ({"wavelet": "morl"}, "another wavelet (morl)"),
              ({"frequency_max_hz": 400.0}, "another frequency_max_hz (400.0)"),
              ({"settings": {"freeze": True, "device": "cuda"}}, "other settings (freeze)"),
          )],
    ],
)  # fmt: skip
def test_the_verdict_on_one_number(number, verdict, grade):
    assert rules.judge(number) == (verdict, grade)


def test_a_claim_about_four_networks_is_not_settled_by_three(book):
    three = [r for r in paper_records("allen") if r["split"] == "cv" and r["model"] != "resnet18"]
    finish("05_deep_models", three, weights="imagenet")
    found = finding("cross-validation")
    assert found.grade == "open" and "only 3 of 4" in found.verdict


def test_one_failing_number_fails_its_claim(book):
    records = paper_records("published", ("lightgbm",))
    records[0] |= {"value": 0.80, "low": 0.78, "high": 0.82}
    finish("04_baseline", records)
    found = finding("LightGBM")
    assert found.grade == "bad" and "weighted F1: lower than the paper" in found.verdict
    assert "balanced accuracy: reproduced" in found.verdict


def deep(gap: tuple[float, float, float], last: int = 12, records: Sequence[dict] = ()) -> None:
    """Finish a made-up notebook 05 on recorded cells: the paired difference, and folds whose loss falls until `last`."""
    ends = dict(zip(("difference", "low", "high"), gap, strict=True))
    loss = [0.9**k for k in range(last)] + [0.9**last] * (30 - last)
    history = [
        pd.DataFrame({"model": m, "fold": f, "epoch": range(1, 31), "valid_loss": loss})
        for m in NETWORKS
        for f in (0, 1)
    ]
    records = [*(records or paper_records("allen")), record("resnet18", "allen", "holdout", "balanced_accuracy", 0.9)]
    results = [{"network": "inception_v3", "n": 1118, **ends}, pd.concat(history)]
    finish("05_deep_models", records, results=results, weights="imagenet")


@pytest.mark.parametrize(
    ("gap", "verdict", "grade"),
    [
        ((0.01, 0.001, 0.02), "better", "good"), ((0.0, -0.015, 0.015), "not worse", "good"),
        ((0.0, -0.025, 0.025), "not decided", "open"), ((-0.05, -0.07, -0.03), "worse", "bad"),
    ],
)  # fmt: skip
def test_no_loss_is_a_paired_test_of_non_inferiority(book, gap, verdict, grade):
    deep(gap)
    found = finding("lose nothing")
    assert (found.verdict, found.grade) == (f"{verdict} on real cells, with a margin of 2 points", grade)


def test_a_plateau_is_read_off_the_losses_and_overfitting_is_judged_as_the_paper_does(book):
    deep((0, 0, 0))
    assert finding("15 epochs").grade == finding("overfits").grade == "good"
    assert "ResNet18 13 (13 to 13, of 30 epochs)" in finding("15 epochs").text
    assert finding("88").grade == "good"
    folds = [
        r if r["split"] != "cv" else r | {"low": r["value"] - 1e-4, "high": r["value"] - 1e-5}
        for r in paper_records("allen")
    ]
    deep((0, 0, 0), 20, [r for r in folds if r["split"] != "cv_pooled"])
    assert "not so for MobileNetV2" in finding("15 epochs").verdict and finding("overfits").grade == "bad"
    assert "the spread of the folds is not an interval" in finding("88").verdict


def test_claims_of_the_tables_follow_the_audit(book):
    write_notebook(book / "notebooks" / "07_audit.ipynb", cells_of("07_audit"))
    gap = pd.DataFrame([("published", -0.01, -0.016, -0.005)], columns=["features", "difference", "low", "high"])
    stage = begin("07_audit", {"run": "default"})
    stage.save_table("two_sweeps", gap)
    own = record("lightgbm:published", "published", "holdout", "weighted_f1", 0.81) | {"split": "cv:Clamp"}
    stage.metrics([own])
    stage.done()
    everything = evidence.gather([("default", ("07_audit",))])
    (sweeps,), (earlier,) = ([f for c in claims.paper_claims() if w in c.text for f in c.findings(everything)]
                             for w in ("full range", "earlier networks"))  # fmt: skip
    assert sweeps.grade == "bad" and "within a margin of 2 points" in sweeps.verdict
    assert earlier.grade == "open" and earlier.verdict.endswith("score lower than Ophir and Wang")


def test_a_simulated_run_cannot_call_its_cells_real(book):
    finish("01_data", cells=cell_table())
    finish("04_baseline", paper_records("published", ("lightgbm",)))
    with pytest.raises(StsError, match="'published', but the run's cells are simulated"):
        page("claims.md")


def test_a_changed_result_changes_the_pages(book):
    finish("01_data", cells=cell_table())
    for value in (0.613, 0.738):
        finish("04_baseline", [record("lightgbm", "simulated", "holdout", "weighted_f1", value, n=80)])
        shown = f"{100 * value:.1f}\u00a0% [{100 * value - 2:.1f}, {100 * value + 2:.1f}]"
        assert shown in page("claims.md").replace("\\", "")
        assert shown in page("results.md").replace("\\", "")
    assert "61.3" not in page("claims.md") + page("results.md")


def test_an_altered_result_is_refused(book):
    finish("04_baseline", [record("lightgbm", "published", "holdout", "weighted_f1", 0.61)])
    path = Path("results/default/04_baseline/metrics.json")
    path.write_text(path.read_text().replace("0.61", "0.91"))
    with pytest.raises(DamagedFile, match=r"metrics\.json is damaged"):
        page("claims.md")


def test_what_was_not_run_is_called_not_measured(book):
    text = page("claims.md")
    assert text.count("not measured in this run") == len(claims.paper_claims())
    assert all("not measured in this run" in page(f"{name}.md") for name in ("summary", "results", "picture"))
    assert all(f"`{name}`" in page("status.md") for name in NAMES)
    assert not list(Path("book/_generated").glob("*.png"))


def test_real_tables_stand_beside_a_simulated_run_and_are_marked(book):
    whole_run("simulated", "simulated")
    finish("01_data", cells=cell_table(), source="published", run="published")
    finish("04_baseline", paper_records("published", ("lightgbm",)), run="published")
    text = page("claims.md")
    assert "*real cells (authors' tables):* weighted F1 89.0" in text and "`run published <results-real>`" in text
    assert text.count("reproduced on real tables") == 1  # the baseline, not the networks
    assert "reproduced on real tables" in page("summary.md")
    real, simulated, paper = re.split("## Simulated cells|## The paper's numbers", page("results.md"))
    assert "- Paper" in real and "InceptionV3" in paper
    assert "- Paper" not in simulated, "a simulated number must not stand beside the paper's"


def real_signals(rows: list[tuple[str, str, float]]) -> Stage:
    """Finish notebook 08 in the run `hybrid` with a summary of model, metric and value."""
    write_notebook(Path("notebooks/08_real_signals.ipynb"), cells_of("08_real_signals"))
    stage = begin("08_real_signals", {"run": "hybrid", "n_folds": 5})
    columns = ["model", "metric", "mean_of_folds", "pooled", "low", "high", "n"]
    summary = [(model, metric, v, v, v - 0.02, v + 0.02, 522) for model, metric, v in rows]
    stage.save_table("summary", pd.DataFrame(summary, columns=columns))
    stage.done()
    return stage


def test_real_signals_are_shown_from_their_own_runs(book):
    text = page("real_signals.md")
    assert text.count("Not measured here") == 2 and "sts run --profile action_potentials" in text
    real_signals([("compact", "weighted_f1", 0.81), ("lightgbm", "weighted_f1", 0.84)])
    text = page("real_signals.md")
    assert text.count("Not measured here") == 1
    assert "522 hybrid cells, 5-fold cross-validation, measured by `sts run --profile hybrid`" in text
    assert "- Compact CNN, from random weights\n  - weighted F1\n  - 81.0\u00a0%\n  - 79.0 to 83.0\u00a0%" in text
    assert "- LightGBM\n" in text


def test_models_of_real_signals_have_their_cards_and_one_that_is_no_card_is_said(book):
    assert "has no network" in page("model_card.md")
    fit = {"max_epochs": 40, "batch_size": 32, "learning_rate": 0.004}
    recipe = {"weights": "none", "dropout": 0.3, "n_seeds": 3, "fit": fit}
    made = {"recipe": recipe, "seed": 7, "cells_sha256": "ab" * 32}
    card = {
        "data": "hybrid", "test_cells": 0, "versions": {"torch": "2"},
        "metrics": [{"metric": "balanced_accuracy", "split": "cv", "value": 0.79, "low": 0.76, "high": 0.82}],
        "calibration": {"temperature": 1.2, "ece_before": 0.1, "ece_after": 0.05, "n": 522},
        "preprocessing": {"sweeps": {"step_s": 1.0}, "bank": {"wavelet": "mexh"}, "image": {"close_up": None}},
        "training_range": {"ranges": {"spikes": [1, 9]}, "central": 0.99, "margin": 0.5, "n_test_cells": 0,
                           "flagged_test_cells": 0},
    }  # fmt: skip
    own = card | {"architecture": "compact", "n_cells": {"Sst": 68}, "made_with": made}
    models = real_signals([("compact", "balanced_accuracy", 0.7)]).path / "models"
    compact = {"tensors_sha256": "cd" * 32, "members": 3, "transform": {"scale": [1.0]}, "card": own}
    mean = {"format": 1, "members": {"compact": "ef" * 32}, "card": card}
    for file, fields in (("compact/model.json", compact), ("mean/joint.json", mean)):
        (models / file).parent.mkdir(parents=True)
        (models / file).write_text(json.dumps({"classes": list(CLASSES), **fields}))
    text = page("model_card.md").replace("\\", "")
    assert "## Compact CNN, hybrid cells" in text and "## Mean of classifiers, hybrid cells" in text
    assert "seed 7 and 2 more; their mean answers" in text and "79.0\u00a0% ±\u00a03.0" in text
    assert "results/hybrid/08_real_signals/models/mean" in text and text.count("the folds only") == 2
    (models / "mean" / "joint.json").write_text("{}")
    with pytest.raises(DamagedFile, match=r"joint.json is damaged .*make the model again \(08_real_signals\)"):
        page("model_card.md")


def test_every_metric_of_every_model_is_on_the_results_page(book):
    labels = pd.Series(["Pvalb", "Sst", "Vip/Lamp5", "Excitatory"] * 5)
    proba = pd.get_dummies(labels)[list(CLASSES)].to_numpy(float)
    models = ("lightgbm", "lightgbm:aligned")
    made = [r for m in models for r in evaluation.scores(labels, proba, m, "simulated", "holdout", 50)]
    finish("04_baseline", [*made, {**made[0], "model": "resnet18", "value": None, "low": None, "high": None}])
    text = page("results.md").replace("\\", "")
    assert text.count("F1 of Vip/Lamp5") == 2
    assert "LightGBM (aligned): all metrics" in text and "no number" in text


def test_the_status_page_repeats_the_manifest(book):
    finish("05_deep_models", [], weights="imagenet", note="a|b`c*")
    manifest = json.loads(Path("results/default/05_deep_models/manifest.json").read_text())
    text = page("status.md").replace("\\", "")
    for words in (f"`{manifest['git_commit']}`", manifest["made_from"]["versions"]["torch"], manifest["finished"][:10],
                  "`imagenet`", "`` a|b`c* ``", "Not run: `01_data`, `04_baseline`"):  # fmt: skip
        assert words in text


def test_numbers_link_to_the_section_that_made_them(book):
    finish("04_baseline", [record("lightgbm", "simulated", "holdout", "weighted_f1", 0.5, n=80)])
    assert "(../notebooks/04_baseline.ipynb#scores-on-the-holdout)" in page("claims.md")
    assert "](../notebooks" not in page("claims.md", notebooks=("01_data",))


@pytest.mark.parametrize("text", pages.MISTAKES)
def test_the_messages_on_the_page_are_those_of_the_command(book, text):
    shown = markup.render("errors", mistakes=pages.answers())
    result = CliRunner().invoke(main, ["run", "-p", text])
    refused = result.exit_code == 2
    assert (f"$ sts run -p {text}\n{result.output.strip()}" in shown) == refused == (text in shown)


def test_every_parameter_is_listed(book):
    text = page("parameters.md")
    assert all(f"- `{name}`" in text for name in ("source", "feature_set", "n_trials", "weights", "note"))
    assert r"trials of the search \[1, 1000\]" in text


def test_every_name_that_a_notebook_calls_is_listed_with_its_example(book):
    path = book / "notebooks" / "04_baseline.ipynb"
    code = "from stslib import cohort, sweeps\nfrom stslib.scalograms import Bank\n"
    code += "cohort.folds(cohort.CLASSES)\nBank()\nstage.metrics(sweeps)"
    write_notebook(path, [cells_of("04_baseline")[1], code])
    rooms = names.by_room([path])
    assert {room: [n.name for n in listed] for room, listed in rooms.items()} == {
        "cohort": ["cohort.folds"], "scalograms": ["scalograms.Bank"],
    }  # fmt: skip
    (folds,) = rooms["cohort"]
    assert folds.notebooks == ("04_baseline",)
    text = page("names.md")
    assert f"`cohort.folds`\n: {folds.summary} [04\\_baseline](../notebooks/04_baseline.ipynb" in text
    docstring = "Do.\n\nExamples\n--------\n>>> 1 + 1\n2\n\nNotes\n-----\nOnce."
    assert names.example(docstring) == ">>> 1 + 1\n2" and names.example("Do.") == ""


@pytest.mark.parametrize("text", ["a_b*c*", "[x](y)", "{ref}`z`", "<b>", "$x$", "a|b", "# x"])
def test_plain_text_stays_text(text):
    html = MarkdownIt().render(markup.plain(text))
    assert re.sub(r"</?p>|\n", "", html) == text.replace("<", "&lt;").replace(">", "&gt;")


def test_formulas_need_no_script(tmp_path):
    settings = "extensions = ['myst_parser', 'stslib.press.pages.mathml']\nhtml_math_renderer = 'mathml'\n"
    (tmp_path / "conf.py").write_text(f"{settings}myst_enable_extensions = ['dollarmath']\n")
    (tmp_path / "index.md").write_text("# A\n\nText $\\sqrt{2}$.\n\n$$\n\\frac{a}{b}\n$$\n\n$$\n\\nosuchthing{a}\n$$\n")
    command = [sys.executable, "-m", "sphinx", "-b", "html", str(tmp_path), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    html = (tmp_path / "out" / "index.html").read_text()
    assert html.count("<math") == 2 and "<msqrt>" in html and "<mfrac>" in html
    assert not re.search(r"<script[^>]*mathjax", html, flags=re.IGNORECASE)
    # A formula that cannot be read is a warning with its line.
    assert "index.md:" in done.stderr and "nosuchthing" in done.stderr


def test_every_page_is_in_the_contents_and_the_paper_is_cited():
    listed = set(re.findall(r"(?:root|file):\s*(book/\S+)", (ROOT / "_toc.yml").read_text()))
    texts = [p for p in (ROOT / "book").rglob("*.md") if "_generated" not in p.parts]
    assert listed == {str(p.relative_to(ROOT).with_suffix("")) for p in texts}
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["references"][0]["title"]


def test_paths_and_make_targets_that_the_readme_names_exist():
    text = re.sub(r"<!--.*?-->", "", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    for path in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
        assert (ROOT / path).is_file(), path
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert set(re.findall(r"\bmake ([a-z]+)", text)) - {"python"} <= set(targets)
    assert (ROOT / "book/_static/pipeline.svg").stat().st_size < 20_000


@pytest.mark.slow
def test_the_prose_builds_with_nothing_measured_and_asks_nothing_of_the_network(book):
    """The pages of the book as they are, over notebooks that hold a title only; any warning fails, as of a citation unknown."""
    source = book / "source"
    shutil.copytree(ROOT / "book", source / "book", ignore=shutil.ignore_patterns("_generated"))
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, source / name)
    names = re.findall(r"notebooks/(\S+)", (ROOT / "_toc.yml").read_text())
    for name in names:
        write_notebook(source / "notebooks" / f"{name}.ipynb", cells_of(name))
    write("default", names, source / "book" / "_generated")
    command = [sys.executable, "-c", JUPYTER_BOOK, "build", str(source), "--path-output", str(book)]
    done = subprocess.run([*command, "-W", "-n", "--keep-going"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "WARNING" not in done.stderr, (done.stdout + done.stderr)[-3000:]
    html = book / "_build" / "html"
    for path in html.rglob("*.html"):
        loaded = re.findall(r"<(?:script|img|link|iframe)\b[^>]*?(?:src|href)=\"(https?:[^\"]+)", path.read_text())
        assert not loaded, (path.name, loaded)
    assert "not measured in this run" in (html / "book" / "index.html").read_text()
