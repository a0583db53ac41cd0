"""Everything the book's numbers come from: metric records, cell counts and figures of one or several runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stslib.evaluation import COMPARABLE_DATA
from stslib.press.folders import read_manifest
from stslib.press.stage import Stage, open_stage
from stslib.support.errors import MissingInput, StsError

#: The run that holds the authors' tables; its numbers are shown beside those of the book's own run.
PUBLISHED_RUN = "published"

#: Words for each kind of data.
DATA_WORDS = {
    "simulated": "simulated cells",
    "hybrid": "hybrid cells",
    "action_potentials": "single action potentials",
    "published": "real cells (authors' tables)",
    "allen": "real cells (recordings)",
    "real": "real cells (a file of the user)",
}


def percent(fraction: float, digits: int = 1) -> str:
    """A fraction in per cent; the sign never stands alone on a line."""
    return f"{100 * fraction:.{digits}f}\u00a0%"


def interval(value: float, low: float | None, high: float | None, split: str) -> str:
    """A value with its interval, in per cent: 95 % bootstrap interval, or ± SD over folds for `cv` and `nested_cv`."""
    if math.isnan(value):
        return "no number"
    if low is None or high is None:
        return percent(value)
    if split in ("cv", "nested_cv"):
        return f"{percent(value)} ±\u00a0{50 * (high - low):.1f}"
    return f"{percent(value)} [{100 * low:.1f}, {100 * high:.1f}]"


@dataclass(frozen=True)
class Record:
    """A metric record (see `Stage.metrics`) the run and notebook that made it, and the parameters of the run (`options`).

    A value that is none is NaN, `low` and `high` may be None.
    """

    model: str
    data: str
    split: str
    metric: str
    value: float
    low: float | None
    high: float | None
    n: int
    run: str
    notebook: str
    options: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def text(self) -> str:
        """The value with its interval, in per cent."""
        return interval(self.value, self.low, self.high, self.split)


@dataclass(frozen=True)
class Cohort:
    """Counts of the kept cells of a run, from the cell table of notebook 01."""

    data: str
    run: str
    kept: int
    train: int
    test: int
    classes: dict[str, int]


#: Tables and JSON that claims are judged by, beside the metric records.
RESULTS = {
    "05_deep_models": ("comparison.json", "history.csv"), "06_explainability": ("statements.csv",),
    "07_audit": ("two_sweeps.csv", "features_read_again.csv"),
}  # fmt: skip


@dataclass(frozen=True)
class Result:
    """A table or the values of a JSON file, what they are about, and the run and notebook that made them."""

    data: str
    run: str
    notebook: str
    name: str  # without suffix
    value: Any


@dataclass(frozen=True)
class Evidence:
    """All that the runs measured."""

    records: tuple[Record, ...] = ()
    cohorts: tuple[Cohort, ...] = ()
    figures: tuple[tuple[str, str, str], ...] = ()  # (notebook, figure, data)
    results: tuple[Result, ...] = ()

    def result(self, data: str, notebook: str, name: str) -> Result | None:
        """One of `RESULTS` about a kind of data, or None."""
        wanted = (data, notebook, name)
        return next((r for r in self.results if (r.data, r.notebook, r.name) == wanted), None)

    def find(self, data: str, model: str, split: str, metric: str) -> Record | None:
        """The record of that name, or None; a record without a value does not count."""
        wanted = (data, model, split, metric)
        found = (r for r in self.records if (r.data, r.model, r.split, r.metric) == wanted)
        return next((r for r in found if not math.isnan(r.value)), None)

    def kinds(self) -> list[str]:
        """Kinds of data that occur, the comparable ones first."""
        found = {r.data for r in self.records} | {c.data for c in self.cohorts}
        order = [*COMPARABLE_DATA, "hybrid", "action_potentials", "simulated"]
        return sorted(found, key=lambda k: (order.index(k) if k in order else len(order), k))


def gather(sources: Sequence[tuple[str, Sequence[str]]]) -> Evidence:
    """Read the metric records, cell counts and figures of notebooks, each source a run and its notebooks.

    What a run has not made is left out. A damaged result is an error, and so is a record of a run on simulated cells that
    says that it is about other data.
    """
    records: list[Record] = []
    cohorts: list[Cohort] = []
    figures: list[tuple[str, str, str]] = []
    results: list[Result] = []
    for run, names in sources:
        stages = {n: s for n in names if (s := open_or_none(run, n)) is not None}
        data = _data_of(stages)
        chosen = {k: v for stage in stages.values() for k, v in stage.parameters.items()}  # of all notebooks of the run
        for name, stage in stages.items():
            outputs = outputs_of(stage)
            if "metrics.json" in outputs:
                for entry in stage.load_json("metrics"):
                    if data == "simulated" and entry["data"] != data:
                        said = f"{stage.path / 'metrics.json'} calls its data {entry['data']!r}"
                        way_out = f"correct the notebook {name} and run it again"
                        raise StsError(f"{said}, but the run's cells are {data}; {way_out}")
                    value = math.nan if entry["value"] is None else float(entry["value"])
                    where = {"run": run, "notebook": name, "options": chosen | stage.parameters}
                    records.append(Record(**{**entry, "value": value, **where}))
            for file in set(RESULTS.get(name, ())) & set(outputs):
                stem, _, kind = file.rpartition(".")
                value = stage.load_json(stem) if kind == "json" else stage.load_table(stem)
                results.append(Result(data, run, name, stem, value))
            figures += [(name, path[: -len(".png")], data) for path in outputs if path.endswith(".png")]
            if name == "01_data" and "cells.csv" in outputs:
                cohorts.append(_count(stage, data))
    return Evidence(tuple(records), tuple(cohorts), tuple(figures), tuple(results))


def open_or_none(run: str, name: str) -> Stage | None:
    """A finished stage, or None where there is none."""
    try:
        return open_stage(run, name)
    except MissingInput:
        return None


def _data_of(stages: Mapping[str, Stage]) -> str:
    """Kind of data of a run: by the source of notebook 01, or by the records where the source may hold any kind."""
    first = stages.get("01_data")
    source = str(first.parameters.get("source", "")) if first else ""
    if source in ("simulated", "published", "allen"):
        return source
    measured = [stage.load_json("metrics") for stage in stages.values() if "metrics.json" in outputs_of(stage)]
    return next((str(entry["data"]) for entries in measured for entry in entries), source)


def outputs_of(stage: Stage) -> dict[str, Any]:
    """Names of the files that a finished stage wrote, with what its manifest says of each."""
    return dict((read_manifest(stage.path) or {}).get("outputs", {}))


def _count(stage: Stage, data: str) -> Cohort:
    cells = stage.load_table("cells")
    kept = cells[cells["status"] == "kept"]
    n_train, n_test = (int((kept["split"] == part).sum()) for part in ("train", "test"))
    return Cohort(data, stage.run, len(kept), n_train, n_test, kept["label"].value_counts().to_dict())
