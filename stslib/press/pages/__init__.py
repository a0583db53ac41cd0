"""Pages of the book that hold numbers: written from result files, never typed.

`write` makes MyST snippets that the pages of `book/` include, one for each of `templates/*.md.jinja`. Links in them are
relative to `book/`, where the including pages lie.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from stslib.cohort import REASONS
from stslib.evaluation import COMPARABLE_DATA, PAPER_RESULTS
from stslib.networks import ARCHITECTURES
from stslib.press import benchmarks, runner
from stslib.press.folders import read_manifest, run_folder
from stslib.press.pages import claims, names, rules
from stslib.press.pages.evidence import DATA_WORDS, PUBLISHED_RUN, Evidence, Record, gather, open_or_none, outputs_of
from stslib.press.pages.markup import model_name, page_link, plain, render
from stslib.press.parameters import home_profile, read_notebook, read_parameters
from stslib.support import files
from stslib.support.errors import DamagedFile, ParameterError

#: Figures for the landing page: the first one that the run has is shown.
PICTURES = (
    ("05_deep_models", "fig4_balanced_accuracy", "Balanced accuracy of the four networks and the LightGBM baseline: "
     "mean and standard deviation of the cross-validation beside the holdout, as in the paper's Fig. 4."),
    ("03_scalograms", "scalograms", "Scalograms of one cell of each class."),
    ("02_sweeps", "fig2_spike_trains", "Spike trains of the four classes, as in the paper's Fig. 2."),
)  # fmt: skip

#: Notebook 08, and the profiles that run it, each on one file.
REAL_SIGNALS = "08_real_signals"
FILES = ("hybrid", "action_potentials")

#: Mistakes that a reader could make; a page shows the answers to them.
MISTAKES = (
    "03_scalograms.wavelt=mexh",
    "03_scalograms.wavelet=mexican_hat",
    "03_scalograms.frequency_max_hz=5000",
    "04_baseline.n_trials=many",
    "3_scalograms.wavelet=mexh",
)


def write(run: str, notebooks: Sequence[str], folder: Path) -> None:
    """Write the generated snippets of a run into `folder`; `notebooks` are those that the book has as pages.

    What they have not produced is called not measured. If a run called `published` exists beside this one, its numbers are
    shown as well, marked as real cells. A result that is damaged or contradicts its own run is an error.
    """
    known = runner.available()
    paths = [known[n] for n in notebooks if n in known]
    elsewhere = [path.stem for path in paths if home_profile(read_notebook(path)) not in ("", run)]
    mine = [n for n in notebooks if n not in elsewhere or open_or_none(run, n) is not None]
    sources: list[tuple[str, Sequence[str]]] = [(run, mine)]
    if run != PUBLISHED_RUN:
        sources.append((PUBLISHED_RUN, [n for n in notebooks if open_or_none(PUBLISHED_RUN, n) is not None]))
    evidence = gather(sources)
    common = {
        "run": run, "NOT_MEASURED": claims.NOT_MEASURED, "COMPARABLE_DATA": COMPARABLE_DATA, "paper": claims.paper_text,
        "link": lambda notebook: page_link(notebook, notebooks),
    }  # fmt: skip
    pages: dict[str, dict[str, Any]] = {
        "summary": _summary(run, evidence),
        "claims": {"claims": [(claim, claim.findings(evidence)) for claim in claims.paper_claims()]},
        "picture": _picture(run, evidence, folder),
        "results": {"splits": _by_split(evidence), "paper_results": list(PAPER_RESULTS.itertuples())},
        "real_signals": {"files": [_real_signals(profile) for profile in FILES], "model_and_start": _model_and_start},
        "status": {"runs": [_status(*source) for source in sources], "PUBLISHED_RUN": PUBLISHED_RUN},
        "benchmarks": benchmarks_of_book(),
        "errors": {"mistakes": answers()},
        "reasons": {"reasons": REASONS},
        "parameters": {"notebooks": {path.stem: list(read_parameters(path).values()) for path in paths}},
        "names": {"rooms": names.by_room(paths)},
    }  # fmt: skip
    texts = {name: render(name, **common, **values) for name, values in pages.items()}
    texts["model_card"] = _model_cards(run)
    for name, text in texts.items():
        with files.atomic(folder / f"{name}.md") as path:
            path.write_text(text, encoding="utf-8")


def _summary(run: str, evidence: Evidence) -> dict[str, Any]:
    """The baseline on real cells, whether networks were trained on them, and the run's own networks and cohort."""
    real = _holdout_f1(evidence, COMPARABLE_DATA, ("lightgbm",))
    made = _holdout_f1(evidence, ("simulated", "hybrid"), rules.NETWORKS)
    return {
        "baseline": next(iter(real), None),
        "judge": rules.judge,
        "networks_on_real_cells": bool(_holdout_f1(evidence, COMPARABLE_DATA, rules.NETWORKS)),
        "cohort": next((c for c in evidence.cohorts if c.run == run), None),
        "networks": [r.value for r in made if r.run == run],
    }


def _holdout_f1(evidence: Evidence, data: Sequence[str], models: Sequence[str]) -> list[Record]:
    found = (evidence.find(d, m, "holdout", "weighted_f1") for d in data for m in models)
    return [r for r in found if r is not None]


def _picture(run: str, evidence: Evidence, folder: Path) -> dict[str, Any]:
    """The landing page's picture, copied into `folder`."""
    for notebook, figure, caption in PICTURES:
        opened = open_or_none(run, notebook)
        if opened is None or not (opened.path / f"{figure}.png").is_file():
            continue
        data = next((d for n, f, d in evidence.figures if (n, f) == (notebook, figure)), "")
        with files.atomic(folder / f"{figure}.png") as path:
            shutil.copyfile(opened.path / f"{figure}.png", path)
        kind = DATA_WORDS.get(data, data or "of unknown origin")
        return {"figure": figure, "caption": caption, "kind": kind, "notebook": notebook}
    return {"figure": ""}


def _by_split(evidence: Evidence) -> dict[str, dict[str, dict[str, list[Record]]]]:
    """All records by kind of data, split and model: comparable kinds first, the holdout first."""
    found: dict[str, dict[str, dict[str, list[Record]]]] = {}
    for kind in evidence.kinds():
        mine = [r for r in evidence.records if r.data == kind]
        for record in sorted(mine, key=lambda r: {"holdout": 0, "cv": 1}.get(r.split, 2)):
            by_model = found.setdefault(kind, {}).setdefault(record.split, {})
            by_model.setdefault(record.model, []).append(record)
    return found


def _real_signals(profile: str) -> tuple[str, list[Any], int, dict[str, list[Any]]]:
    """What notebook 08 measured in the run of a profile: a row for each model and score, and more tables; none without it."""
    opened = open_or_none(profile, REAL_SIGNALS)
    if opened is None:
        return profile, [], 0, {}
    names = [name for name in ("comparison", "by_rate", "external") if f"{name}.csv" in outputs_of(opened)]
    tables = {name: list(opened.load_table(name).itertuples()) for name in names}
    return profile, list(opened.load_table("summary").itertuples()), opened.parameters["n_folds"], tables


def _model_and_start(model: str) -> str:
    """A model of notebook 08: after a colon stands what it reads, or a network's weights before training."""
    base, _, start = model.partition(":")
    if base in ARCHITECTURES:
        return plain(f"{model_name(base)}, from {'ImageNet' if start == 'imagenet' else 'random'} weights")
    return plain(model_name(model))


def _status(run: str, notebooks: Sequence[str]) -> dict[str, Any]:
    """What made the results of a run: the manifest of each notebook, and what they have in common."""
    read = {n: read_manifest(run_folder(run) / n) for n in notebooks}
    manifests = {n: m for n, m in read.items() if m is not None}
    made_with = {pair for m in manifests.values() for pair in m["made_from"]["versions"].items()}
    versions: dict[str, list[str]] = {}
    for library, version in sorted(made_with, key=lambda pair: (pair[0].lower(), pair[1])):
        versions.setdefault(library, []).append(version)
    return {
        "run": run,
        "manifests": manifests,
        "absent": [n for n in notebooks if n not in manifests],
        "seconds": sum(m["duration_s"] for m in manifests.values()),
        "commits": sorted({m["git_commit"] for m in manifests.values()}),
        "machines": sorted({", ".join(m["machine"].values()) for m in manifests.values()}),
        "versions": versions,
    }


def benchmarks_of_book() -> dict[str, Any]:
    """The records of `make bench` by their work, and what could not be measured."""
    records = benchmarks.read()
    return {
        "works": benchmarks.tables(records),
        "left_out": benchmarks.read(benchmarks.left_out_path()),
        "machines": sorted({f"{r.get('machine', 'unknown')}, commit {r.get('commit', 'unknown')}" for r in records}),
    }


def answers() -> list[tuple[str, str]]:
    """What `sts run` answers to each of `MISTAKES`; one that is no mistake (any more) is not listed."""
    found = []
    for text in MISTAKES:
        try:
            runner.plan("default", "default", [text])
        except ParameterError as error:
            found.append((text, str(error)))
    return found


def _model_cards(run: str) -> str:
    """A section for each network that notebook 05 of the run saved, and notebook 08 of its runs.

    Models that answer together come last in a folder, in one card.
    """
    parts = []
    for made_by, notebook in ((run, "05_deep_models"), *((profile, REAL_SIGNALS) for profile in FILES)):
        opened = open_or_none(made_by, notebook)
        found = sorted(opened.path.glob("models/*/model.json")) if opened else []
        found += sorted(opened.path.glob("models/*/joint.json")) if opened else []
        if not found and made_by == run:
            way_out = f"Make one: `sts run {notebook} --run {run}`, then build the book again."
            parts.append(f"The run `{run}` has no network: {claims.NOT_MEASURED}. {way_out}\n")
        for path in found:
            where = {"folder": "results/" + "/".join(path.parts[-5:-1]), "notebook": notebook}
            try:
                parts.append(render("model_card", model=json.loads(path.read_text(encoding="utf-8")), **where))
            except (jinja2.UndefinedError, ValueError, TypeError, AttributeError) as error:
                raise DamagedFile(f"{path} is damaged ({error!r}); make the model again ({notebook})") from error
    return "\n".join(parts)
