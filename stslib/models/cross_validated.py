"""Cross-validated classifiers of the cells of one file: scores, costs, comparators on the same folds, what they show."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from stslib import baseline, cohort, evaluation, networks, training
from stslib.baseline import traces
from stslib.models import comparators, rates
from stslib.models.fusion import Fusion
from stslib.models.prediction import predict
from stslib.models.signals import Signals
from stslib.recordings import Recording

_SHOWN = ("weighted_f1", "balanced_accuracy", "accuracy")
#: What a score means on each kind of data.
_MEANING = {
    "action_potentials": "Each is one recorded action potential. The score says what its shape tells of the class; it says "
    "nothing of spike trains.",
    "hybrid": "The spike times come from fitted models and the spikes' shape from recordings, so the score is that of hybrid "
    "cells, not of recordings.",
}


@dataclass(frozen=True)
class CrossValidated:
    """Classifiers of the cells `inside` of a file, each cell predicted while a fold held it out: `(n_inside, 4)` each.

    `proba`: the `recipes`, and where there are several their `mean` and that of those that read scalograms. Settings of
    these were chosen on the same cells. `nested`: what chose its settings inside each fold, such as the comparators.
    """

    cells: Signals
    folds: Sequence[tuple[np.ndarray, np.ndarray]]
    seed: int
    recipes: Mapping[str, training.Recipe]
    proba: dict[str, np.ndarray]
    nested: dict[str, np.ndarray] = field(default_factory=dict)
    fusion: Fusion = field(default_factory=lambda: Fusion(()))  # of the `mean`
    cost: dict[str, tuple[float, float]] = field(default_factory=dict)  # s to fit a fold, s to classify 1,000 cells
    seeds: dict[str, list[np.ndarray]] = field(default_factory=dict)  # of a network: probabilities by each of its seeds
    notes: tuple[str, ...] = ()  # what was left out, and why

    @property
    def labels(self) -> np.ndarray:
        """Class of each cross-validated cell."""
        return self.cells.labels[self.cells.inside]

    @property
    def every(self) -> dict[tuple[str, str], np.ndarray]:
        """Probabilities of each model and split, `cv` or `nested_cv`."""
        return {
            (name, split): p for split, of in (("cv", self.proba), ("nested_cv", self.nested)) for name, p in of.items()
        }

    def held_out(self, name: str, split: str = "cv") -> evaluation.Predictions:
        """The predictions of a model; none of them is of a test cell."""
        about = self.cells.cells.loc[self.cells.inside, ["cell_id", "label"]].assign(split="train")
        proba = self.every[name, split]
        return evaluation.Predictions(name, self.cells.data, about, proba, proba[:0], self.folds)

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        """Metric records of all models."""
        return [
            {**record, "split": split}
            for (name, split), proba in self.every.items()
            for record in evaluation.cv_scores(self.labels, proba, self.folds, name, self.cells.data)
        ]

    def score(self, name: str, metric: str = "balanced_accuracy", split: str = "cv") -> float:
        """Mean of a metric over the folds."""
        wanted = (name, metric, split)
        return next(float(r["value"]) for r in self.records if (r["model"], r["metric"], r["split"]) == wanted)

    @property
    def best(self) -> str:
        """The model that reads scalograms alone of the highest balanced accuracy."""
        shown = [name for name, recipe in self.recipes.items() if recipe.reads in networks.SCALOGRAMS]
        return max(
            [*shown, *(name for name in self.proba if name == "mean:scalograms")] or self.recipes, key=self.score
        )

    def predicted(self, name: str, split: str = "cv") -> np.ndarray:
        """The class that a model predicts for each cell."""
        return evaluation.predicted(self.every[name, split])

    def with_comparators(self, features: pd.DataFrame | None = None) -> CrossValidated:
        """Add the comparators on voltage (`baseline.traces`) and, on features of the same sweeps, LightGBM; same folds.

        One whose library is missing is left out, which `notes` say.
        """
        sweeps_mv, settings = self.cells.traces[self.cells.inside], self.cells.preprocessing.sweeps
        found = comparators.voltage(sweeps_mv, settings, self.labels, self.folds, self.seed)
        nested, cost = {**self.nested, **found.proba}, {**self.cost, **found.cost}
        if features is not None:
            name, started = "lightgbm_same_sweeps", time.perf_counter()
            nested[name] = baseline.Learner(seed=self.seed).held_out(features, self.labels, self.folds)
            cost[name] = ((time.perf_counter() - started) / len(self.folds), float("nan"))
        return replace(self, nested=nested, cost=cost, notes=(*self.notes, *found.notes))

    def predictions(self) -> pd.DataFrame:
        """One row a cell, model and split: cell_id, label, model, the four probabilities, split."""
        tables = [self.held_out(*key).table().assign(model=key[0], split=key[1]) for key in self.every]
        columns = ["cell_id", "label", "model", *(f"p:{name}" for name in cohort.CLASSES), "split"]
        return pd.concat(tables, ignore_index=True)[columns]

    def summary(self, n_bootstrap: int = 2000) -> pd.DataFrame:
        """Scores of each model: mean of the folds; pooled over all cells, with its 95 % bootstrap interval; n."""
        rows = []
        for name, split in self.every:
            for metric in _SHOWN:
                pooled = evaluation.with_interval(
                    self.labels, self.predicted(name, split), n_bootstrap, self.seed, metric
                )
                rows.append((name, split, metric, self.score(name, metric, split), *pooled, len(self.labels)))
        return pd.DataFrame(rows, columns=["model", "split", "metric", "mean_of_folds", "pooled", "low", "high", "n"])

    def comparison(self, n_bootstrap: int = 2000) -> pd.DataFrame:
        """Every model beside the best on scalograms (see `models.comparators.table`)."""
        first = self.predicted(self.best)
        return comparators.table(self.labels, self.every, first, self.cost, self.seeds, n_bootstrap, self.seed)

    def by_rate(self, rates_hz: Mapping[str, float]) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
        """Scores of spikes by the rate that they were recorded at, of cells whose rate is known (see `models.rates`)."""
        ids = self.cells.cells["cell_id"].iloc[self.cells.inside].astype(str)
        source_hz = np.array([rates_hz.get(cell_id, np.nan) for cell_id in ids])
        known, settings = np.isfinite(source_hz), self.cells.preprocessing.sweeps
        if len(set(source_hz[known])) != 2:  # a file of one rate has no such question
            return pd.DataFrame(columns=["model", "split", "metric", "value", "low", "high", "n"]), []
        spikes_mv = traces.first_spikes(self.cells.traces[self.cells.inside][known], settings)
        return rates.compare_rates(
            spikes_mv, settings, source_hz[known], self.labels[known], self.cells.data, self.seed
        )

    def elsewhere(
        self, recordings: Iterable[Recording], folder: str | Path
    ) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
        """What each saved model of `folder` says of other cells of known class: accuracy, and how many it flags.

        A row a model: cells, classified, share `called` what they are, `flagged` as outside of the training range, and
        records of the split `transfer:<data>->external`.
        """
        cells, rows, records = list(recordings), [], []
        labels = {cell.cell_id: cell.label for cell in cells}
        for path in sorted(p.parent for p in [*Path(folder).glob("*/model.json"), *Path(folder).glob("*/joint.json")]):
            found = predict(cells, path).classified
            if len(found):
                name = next((own for own in self.proba if own.replace(":", "-") == path.name), path.name)
                right = found["predicted"].to_numpy() == found["cell_id"].map(labels).to_numpy()
                flagged = int(found["out_of_range"].sum())
                rows.append((name, len(cells), len(found), float(right.mean()), flagged))
                about = {"model": name, "data": "external", "split": f"transfer:{self.cells.data}->external"}
                ends = binomtest(int(right.sum()), len(right)).proportion_ci(method="exact")
                value = {"metric": "accuracy", "value": float(right.mean()), "low": ends.low, "high": ends.high}
                records.append(about | value | {"n": len(found)})
        return pd.DataFrame(rows, columns=["model", "cells", "classified", "called", "flagged"]), records


def signals_conclusion(scored: CrossValidated, comparison: pd.DataFrame) -> str:
    """What the models of a file say of each other (`CrossValidated.comparison`), in Markdown, and no more than that.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> row = {"model": "svm_first_spike", "split": "nested_cv", "balanced_accuracy": 0.8, "difference": 0.012}
    >>> table = pd.DataFrame([{**row, "difference_low": -0.01, "difference_high": 0.03}])
    >>> cells = SimpleNamespace(data="action_potentials", kind="real")
    >>> scored = SimpleNamespace(cells=cells, best="compact", notes=(), fusion=Fusion(()))
    >>> print(signals_conclusion(scored, table).splitlines()[0])
    - svm_first_spike against compact, balanced accuracy: +1.2 points (-1.0 to +3.0), not told apart.
    """
    lines, rows = (
        comparators.verdicts(comparison, scored.best),
        {(row.model, row.split): row for row in comparison.itertuples()},
    )
    for name, split in rows:
        if split == "nested_cv" and (name, "cv") in rows:
            chosen, clean = (100 * rows[name, of].balanced_accuracy for of in ("cv", "nested_cv"))
            known = (
                f"{chosen:.1f} % where its settings were chosen on the same cells, {clean:.1f} % where inside each fold"
            )
            lines.append(f"- {name}: {known}; the choice alone is worth {chosen - clean:+.1f} points.")
    if scored.fusion.members:
        lines.append(f"- The saved `mean` holds {', '.join(scored.fusion.members)}.")
    what = _MEANING.get(scored.cells.data, f"The cells are {scored.cells.kind}.")
    return "\n".join([*lines, *(f"- {note}." for note in scored.notes), f"- {what}"])
