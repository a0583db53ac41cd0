"""The page on real signals: what networks reach on hybrid cells and recorded action potentials, from the runs of that name."""

from __future__ import annotations

from dataclasses import dataclass

from stslib.evaluation import METRIC_NAMES
from stslib.figures.style import MODEL_NAMES
from stslib.press.pages.evidence import DATA_WORDS, open_or_none, percent
from stslib.press.pages.markup import code, plain, table

NOTEBOOK = "08_real_signals"


@dataclass(frozen=True)
class Aim:
    """What this project asks of a network on one file.

    Attributes
    ----------
    run : str
        Name of the run and of its profile.
    asked : dict
        Metric to the figure that a network must reach in cross-validation.
    beyond : dict
        Metric to the figure of a classical classifier on these cells, as the project's makers measured it.
    beyond_words : str
        What that classifier is.
    """

    run: str
    asked: dict[str, float]
    beyond: dict[str, float]
    beyond_words: str


AIMS = (
    Aim(
        "hybrid",
        {"weighted_f1": 0.80, "balanced_accuracy": 0.70},
        {"weighted_f1": 0.86, "balanced_accuracy": 0.78},
        "LightGBM on features of these sweeps",
    ),
    Aim(
        "action_potentials",
        {"accuracy": 0.84, "balanced_accuracy": 0.79},
        {"accuracy": 0.845, "balanced_accuracy": 0.797},
        "support vector machine on the raw trace",
    ),
)


def signals_page() -> str:
    """A table for each file: asked, reached and its interval, or how to measure it where that was not done."""
    return "\n".join(_section(aim) for aim in AIMS)


def _section(aim: Aim) -> str:
    words = DATA_WORDS.get(aim.run, aim.run)
    title = f"## {words[0].upper()}{words[1:]}\n"
    stage = open_or_none(aim.run, NOTEBOOK)
    if stage is None:
        return f"{title}\n*Not measured here.* `sts run --profile {aim.run}` measures it; it needs the file.\n"
    summary = stage.load_table("summary")
    rows = []
    for r in summary[summary["metric"].isin(aim.asked)].itertuples():
        base, _, start = str(r.model).partition(":")
        network = base not in ("lightgbm", "svm")
        asked = aim.asked[r.metric]
        name = MODEL_NAMES.get(base, base.upper())
        if base == "mean":
            name = "Mean of these networks"
        elif network:
            name += ", from ImageNet weights" if start else ", from random weights"
        verdict = ("reached" if r.mean_of_folds >= asked else "**not reached**") if network else ""
        rows.append(
            (
                plain(name),
                METRIC_NAMES[r.metric],
                percent(asked) if network else "",
                percent(r.mean_of_folds),
                f"{100 * r.low:.1f} to {percent(r.high)}",
                verdict,
            )
        )
    n, folds = int(summary["n"].iloc[0]), stage.parameters["n_folds"]
    caption = f"{n} {words}, {folds}-fold cross-validation, run {code(aim.run)}"
    beyond = ", ".join(f"{METRIC_NAMES[m]} {percent(v)}" for m, v in aim.beyond.items())
    head = ("Model", "Score", "Asked", "Mean of folds", "95 % over cells", "")
    shown = table(rows, head, caption, "results", f"table-{aim.run.replace('_', '-')}")
    return f"{title}\n{shown}\nThe figure to match, given with the file: {aim.beyond_words}, {beyond}.\n"
