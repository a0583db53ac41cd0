"""Pages of the book that hold numbers: written from result files, never typed.

`write` makes MyST snippets that the pages of `book/` include: `summary.md`, `claims.md`, `picture.md`, `results.md`,
`real_signals.md`, `model_card.md`, `status.md`, `benchmarks.md`, `errors.md` and `parameters.md`. Links in them are
relative to `book/`, where the including pages lie.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from stslib.evaluation import COMPARABLE_DATA
from stslib.press import runner
from stslib.press.pages import cards, claims, signals, tables
from stslib.press.pages.claims import NOT_MEASURED, Finding, paper_text
from stslib.press.pages.evidence import DATA_WORDS, PUBLISHED_RUN, Evidence, Record, gather, open_or_none, percent
from stslib.press.pages.markup import code, page_link, plain, table
from stslib.press.parameters import home_profile, read_notebook
from stslib.support import files

#: Figures for the landing page: the first one that the run has is shown.
PICTURES = (
    ("05_deep_models", "fig4_balanced_accuracy", "Balanced accuracy of the four networks and the LightGBM baseline: "
     "mean and standard deviation of the cross-validation beside the holdout, as in the paper's Fig. 4."),
    ("03_scalograms", "scalograms", "Scalograms of one cell of each class."),
    ("02_sweeps", "fig2_spike_trains", "Spike trains of the four classes, as in the paper's Fig. 2."),
)  # fmt: skip


def write(run: str, notebooks: Sequence[str], folder: Path) -> None:
    """Write the generated snippets of a run into `folder`.

    Parameters
    ----------
    run : str
        Run name. If a run called `published` exists beside it, its numbers are shown as well, marked as real cells.
    notebooks : sequence of str
        The notebooks that the book has as pages. What they have not produced is called not measured.
    folder : pathlib.Path
        Where the snippets and the landing page's picture go.

    Raises
    ------
    StsError
        A result is damaged, contradicts its own run, or `folder` cannot be written.
    """
    known = runner.available()
    elsewhere = [n for n in notebooks if n in known and home_profile(read_notebook(known[n])) not in ("", run)]
    mine = [n for n in notebooks if n not in elsewhere or open_or_none(run, n) is not None]
    sources: list[tuple[str, Sequence[str]]] = [(run, mine)]
    if run != PUBLISHED_RUN:
        sources.append((PUBLISHED_RUN, [n for n in notebooks if open_or_none(PUBLISHED_RUN, n) is not None]))
    evidence = gather(sources)
    pages = {
        "summary.md": _summary(run, evidence),
        "claims.md": _claims(run, notebooks, evidence),
        "picture.md": _picture(run, notebooks, evidence, folder),
        "model_card.md": cards.cards_page(run),
        "results.md": tables.results_page(run, notebooks, evidence),
        "real_signals.md": signals.signals_page(),
        "status.md": tables.status_page(sources),
        "benchmarks.md": tables.benchmarks_page(),
        "errors.md": tables.errors_page(),
        "reasons.md": tables.reasons_page(),
        "parameters.md": tables.parameters_page(notebooks),
    }
    for name, text in pages.items():
        with files.atomic(folder / name) as path:
            path.write_text(text, encoding="utf-8")


def _summary(run: str, evidence: Evidence) -> str:
    best, f1 = (paper_text("inception_v3", "holdout", m) for m in ("balanced_accuracy", "weighted_f1"))
    claimed = (
        "Two current-clamp sweeps a cell, turned into wavelet images, let a pre-trained network tell four classes of mouse "
        f"cortical neurons apart: balanced accuracy {best}, weighted F1 {f1}. Hand-made features with LightGBM: weighted F1 "
        f"{paper_text('lightgbm', 'holdout', 'weighted_f1')}."
    )
    real = _scored(evidence, COMPARABLE_DATA, ("lightgbm",))
    if real:
        record = real[0]
        holds = (
            f"On the authors' real tables the baseline has a weighted F1 of {record.text} on {record.n:,} test cells: "
            f"{claims.judge(record)[0]}."
        )
    else:
        holds = f"The baseline on real cells was {NOT_MEASURED}; `sts run --profile published` measures it."
    if not _scored(evidence, COMPARABLE_DATA, claims.NETWORKS):
        holds += (
            " The networks need the real recordings, and were not trained on them here: nothing follows about them."
        )
    mine = next((c for c in evidence.cohorts if c.run == run), None)
    data = f"Run {code(run)}: " + (
        f"{mine.kept:,} {DATA_WORDS.get(mine.data, mine.data)}." if mine else "no cells yet."
    )
    made = [r for r in _scored(evidence, ("simulated", "hybrid"), claims.NETWORKS) if r.run == run]
    if made:
        low, high = (f(r.value for r in made) for f in (min, max))
        data += (
            f" On them the networks reach a weighted F1 of {100 * low:.1f} to {percent(high)}. That shows that every "
            "step runs; it says nothing about real neurons."
        )
    return f"**Claimed.**\n: {claimed}\n\n**What holds.**\n: {holds}\n\n**On which data.**\n: {data}\n"


def _scored(evidence: Evidence, data: Sequence[str], models: Sequence[str]) -> list[Record]:
    """Weighted F1 on the holdout."""
    found = (evidence.find(d, m, "holdout", "weighted_f1") for d in data for m in models)
    return [r for r in found if r is not None]


def _claims(run: str, pages: Sequence[str], evidence: Evidence) -> str:
    rows = []
    for claim in claims.paper_claims():
        here, verdicts = [], []
        for finding in claim.findings(evidence):
            words = DATA_WORDS.get(finding.data, finding.data)
            here.append(f"*{words}:* {plain(finding.text)} ({_made_by(finding, run, pages)})")
            verdicts.append(f"[{plain(finding.verdict)}]{{.verdict .{finding.grade}}}")
        if not here:
            here, verdicts = ["no number"], [f"[{NOT_MEASURED}]{{.verdict .open}}"]
        rows.append(
            (f"{claim.text} [({claim.section})]{{.where}}", claim.paper, "\n\n".join(here), "\n\n".join(verdicts))
        )
    head = (
        "Numbers on simulated or hybrid cells stand here to show that a step runs. They neither support nor refute the "
        "paper. Only real cells can, and only there a verdict is given.\n\n"
    )
    return head + table(
        rows, ("Claim", "Paper", "Measured here", "Verdict"), "The paper's claims and what this book measured",
        "claims", "table-claims", "30 20 30 20",
    )  # fmt: skip


def _picture(run: str, pages: Sequence[str], evidence: Evidence, folder: Path) -> str:
    for notebook, figure, words in PICTURES:
        stage = open_or_none(run, notebook)
        if stage is None or not (stage.path / f"{figure}.png").is_file():
            continue
        data = next((d for n, f, d in evidence.figures if (n, f) == (notebook, figure)), "")
        kind = DATA_WORDS.get(data, data or "of unknown origin")
        folder.mkdir(parents=True, exist_ok=True)
        with files.atomic(folder / f"{figure}.png") as path:
            shutil.copyfile(stage.path / f"{figure}.png", path)
        return (
            f"::::{{figure}} /book/_generated/{figure}.png\n:alt: {words} Data - {kind}.\n:name: fig-landing\n\n"
            f"{words} Data: {kind}, run {code(run)}. Made by {page_link(notebook, pages)}.\n::::\n"
        )
    return f"*No picture: {NOT_MEASURED}.*\n"


def _made_by(finding: Finding, run: str, pages: Sequence[str]) -> str:
    if finding.run == run:
        return page_link(finding.notebook, pages)
    return f"{{ref}}`run {finding.run} <results-real>`"
