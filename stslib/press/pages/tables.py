"""Pages of the book that are tables: all results, how they were made, all parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stslib.cohort import REASONS
from stslib.evaluation import COMPARABLE_DATA, METRIC_NAMES, PAPER_RESULTS
from stslib.figures.style import MODEL_NAMES
from stslib.press import runner
from stslib.press import stage as runs
from stslib.press.pages import benchmarks
from stslib.press.pages.claims import NOT_MEASURED, paper_text
from stslib.press.pages.evidence import DATA_WORDS, PUBLISHED_RUN, Evidence, Record
from stslib.press.pages.markup import code, page_link, plain, table
from stslib.press.parameters import read_parameters
from stslib.support.errors import ParameterError

# --- results --------------------------------------------------------------------------------------------------------


def results_page(run: str, pages: Sequence[str], evidence: Evidence) -> str:
    """Every metric record: real cells beside the paper's numbers, other cells apart from them.

    `run` and `pages` (notebooks with a page) say what can be linked to.
    """
    kinds = [k for k in evidence.kinds() if any(r.data == k for r in evidence.records)]
    real = [k for k in kinds if k in COMPARABLE_DATA]
    parts = ["(results-real)=\n## Real cells\n"]
    if not real:
        parts.append(f"Real cells were {NOT_MEASURED}. The baseline can be measured: see {{doc}}`howto/real_data`.\n")
    parts += [_results_of(k, run, pages, evidence, beside_paper=True) for k in real]
    for kind in (k for k in kinds if k not in COMPARABLE_DATA):
        words = DATA_WORDS.get(kind, kind)
        parts.append(f"(results-{kind.replace('_', '-')})=\n## {words[:1].upper()}{words[1:]}\n")
        parts.append(
            f"These numbers are about {words}. They show that the pipeline runs from end to end. They are not evidence "
            "about real neurons, so the paper's numbers do not stand beside them.\n"
        )
        parts.append(_results_of(kind, run, pages, evidence, beside_paper=False))
    parts.append("## The paper's numbers\n")
    rows = [
        (
            plain(MODEL_NAMES.get(r.model, r.model.capitalize() + " et al.")),
            plain(f"{METRIC_NAMES[r.metric]}, {'cross-validation' if r.split == 'cv' else r.split}"),
            paper_text(r.model, r.split, r.metric),
        )
        for r in PAPER_RESULTS.itertuples()
    ]
    parts.append(table(rows, ("Model", "Metric", "Paper"), "Scores that the paper reports (abstract, section IV.A)"))
    return "\n".join(parts)


def _results_of(data: str, run: str, pages: Sequence[str], evidence: Evidence, beside_paper: bool) -> str:
    """All records of one kind of data: an overview for each split, then a table for each model."""
    mine = [r for r in evidence.records if r.data == data]
    parts = []
    for split in dict.fromkeys(r.split for r in sorted(mine, key=lambda r: {"holdout": 0, "cv": 1}.get(r.split, 2))):
        here = [r for r in mine if r.split == split]
        title = {"holdout": "Holdout", "cv": "Cross-validation"}.get(split, f"Split {split}")
        how = "mean ± SD over the folds" if split == "cv" else "value [95 % bootstrap interval]"
        parts.append(f"### {plain(title)}, {DATA_WORDS.get(data, data)}\n\nEach number is {how}.\n")
        models = list(dict.fromkeys(r.model for r in here))
        if len(models) > 1:
            rows = [[_model(m), *(_cell(here, m, k) for k in ("balanced_accuracy", "weighted_f1"))] for m in models]
            parts.append(table(rows, ("Model", "Balanced accuracy", "Weighted F1"), classes="numbers"))
        for model in models:
            parts.append(_model_table([r for r in here if r.model == model], run, pages, beside_paper, len(models) > 1))
    return "\n".join(parts)


def _model_table(here: Sequence[Record], run: str, pages: Sequence[str], beside_paper: bool, folded: bool) -> str:
    first = here[0]
    rows = []
    for record in here:
        row = [plain(METRIC_NAMES.get(record.metric, record.metric)), plain(record.text)]
        if beside_paper:
            row.append(paper_text(record.model, record.split, record.metric))
        rows.append(row)
    header = ("Metric", "Measured", "Paper") if beside_paper else ("Metric", "Measured")
    if first.run == run:
        made = f"Made by {page_link(first.notebook, pages)} in run {code(first.run)}"
    else:
        made = f"Made by notebook {code(first.notebook)} in run {code(first.run)} (`sts run --profile {first.run}`)"
    text = f"{first.n:,} cells. {made}.\n\n" + table(rows, header, classes="numbers")
    if not folded:
        return f"**{_model(first.model)}.** {text}"
    return f":::::{{dropdown}} {_model(first.model)}: all metrics\n{text}\n:::::\n"


def _model(name: str) -> str:
    base, _, variant = name.partition(":")
    return plain(MODEL_NAMES.get(base, base) + (f" ({variant})" if variant else ""))


def _cell(records: Sequence[Record], model: str, metric: str) -> str:
    return next((plain(r.text) for r in records if (r.model, r.metric) == (model, metric)), NOT_MEASURED)


# --- status ---------------------------------------------------------------------------------------------------------


def status_page(sources: Sequence[tuple[str, Sequence[str]]]) -> str:
    """What made the results, for each of `sources` (run, notebooks): times, commits, machine, versions, parameters."""
    parts = []
    for run, notebooks in sources:
        manifests = {n: m for n in notebooks if (m := runs.read_manifest(runs.run_folder(run) / n)) is not None}
        absent = [n for n in notebooks if n not in manifests]
        if manifests or run != PUBLISHED_RUN:
            parts += [f"## Run {code(run)}\n", *_status_of(manifests)]
        if absent:
            parts.append("Not run: " + ", ".join(code(n) for n in absent) + ".\n")
    return "\n".join(parts)


def _status_of(manifests: Mapping[str, Mapping[str, Any]]) -> list[str]:
    if not manifests:
        return ["Nothing of this run is finished.\n"]
    commits = {str(m.get("git_commit", "unknown")) for m in manifests.values()}
    seconds = sum(float(m.get("duration_s", 0)) for m in manifests.values())
    parts = [f"{len(manifests)} notebooks, {_time(seconds)} in all.\n"]
    if any("+changes" in c for c in commits):
        parts.append("At least one notebook ran with files that differ from its commit (`+changes`).\n")
    rows = [
        (code(name), _time(float(m.get("duration_s", 0))), plain(str(m.get("finished", "?"))[:16].replace("T", " ")))
        for name, m in manifests.items()
    ]
    parts.append(table(rows, ("Notebook", "Time", "Finished (UTC)"), classes="numbers"))
    if len(commits) == 1:
        parts.append(f"Commit: {code(*commits)}.\n")
    else:
        parts.append("The notebooks ran at different commits; each is current for the code that it uses.\n")
        by_commit = [(code(name), code(m.get("git_commit", "unknown"))) for name, m in manifests.items()]
        parts.append(table(by_commit, ("Notebook", "Commit")))
    machines = {", ".join(str(v) for v in dict(m.get("machine", {})).values()) for m in manifests.values()}
    parts.append("Machine: " + "; ".join(plain(m) for m in sorted(machines)) + ".\n")
    found: dict[str, set[str]] = {}
    for manifest in manifests.values():
        for library, version in manifest.get("made_from", {}).get("versions", {}).items():
            found.setdefault(library, set()).add(str(version))
    rows2 = [(plain(k), plain(", ".join(sorted(v)))) for k, v in sorted(found.items(), key=lambda kv: kv[0].lower())]
    if rows2:
        parts.append(":::::{dropdown} Versions\n" + table(rows2, ("Library", "Version")) + ":::::\n")
    for name, manifest in manifests.items():
        values = [(code(k), code(v) if v != "" else "(empty)") for k, v in manifest["parameters"].items()]
        body = table(values, ("Parameter", "Value")) if values else "No parameters.\n"
        parts.append(f":::::{{dropdown}} Parameters of {plain(name)}\n{body}:::::\n")
    return parts


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


# --- benchmarks -----------------------------------------------------------------------------------------------------


def benchmarks_page() -> str:
    """The records of `make bench`, a table for each work; what was left out, and why."""
    records, left_out = benchmarks.read(), benchmarks.read(benchmarks.left_out_path())
    if not records:
        return (
            f"Nothing has been measured beside the results of this book. To measure, run `{benchmarks.HOW}` and build the "
            "book again: this page then shows the tables.\n"
        )
    parts = []
    for work, same in benchmarks.works(records).items():
        rows = [
            (plain(r["name"]), *(_number(c) for c in numbers), plain(remark))
            for r, ratio in zip(same, benchmarks.ratios(same), strict=True)
            for *numbers, remark in [benchmarks.cells(r, ratio)]
        ]
        parts.append(f"## {plain(work)}\n")
        parts.append(
            table(
                rows,
                ("", "Time", "Times stslib", "Processor time", "Memory", "Relative error", "Remark"),
                classes="numbers",
            )
        )
        missing = [r for r in left_out if r["work"] == work]
        parts += [f"Left out: {plain(r['name'])} ({code(r['reason'])}).\n" for r in missing]
    how = sorted({f"{r.get('machine', 'unknown')}, commit {r.get('commit', 'unknown')}" for r in records})
    parts.append("Measured on: " + "; ".join(plain(h) for h in how) + ".\n")
    return "\n".join(parts)


def _number(text: str) -> str:
    """A number that is not parted from its unit at the end of a line."""
    return plain(text.replace(" ", "\u00a0"))


# --- parameters -----------------------------------------------------------------------------------------------------

#: Mistakes that a reader could make; the page shows what they are told.
MISTAKES = (
    "03_scalograms.wavelt=mexh",
    "03_scalograms.wavelet=mexican_hat",
    "03_scalograms.frequency_max_hz=5000",
    "04_baseline.n_trials=many",
    "3_scalograms.wavelet=mexh",
)


def errors_page() -> str:
    """What `sts run` answers to each of `MISTAKES`, asked now; one that is no mistake (any more) is left out."""
    lines = []
    for text in MISTAKES:
        try:
            runner.plan("default", "default", [text])
        except ParameterError as error:
            lines += ["", f"$ sts run -p {text}", f"sts: {error}"]
    return "\n".join(["```{code-block} text", ":class: wrap", *lines, "```", ""])


def reasons_page() -> str:
    """Why a cell is left out: every code of `cohort.REASONS`."""
    return table([(code(name), plain(meaning)) for name, meaning in REASONS.items()], ("Reason", "Meaning"))


def parameters_page(notebooks: Sequence[str]) -> str:
    """Every parameter of every notebook: default, meaning and range."""
    known = runner.available()
    parts = []
    for name in (n for n in notebooks if n in known):
        rows = [
            (code(p.name), code(p.default) if p.default != "" else "(empty)", plain(p.comment))
            for p in read_parameters(known[name]).values()
        ]
        parts.append(f":::::{{dropdown}} {plain(name)}\n{table(rows, ('Name', 'Default', 'Meaning [range]'))}:::::\n")
    return "\n".join(parts) or "There are no notebooks.\n"
