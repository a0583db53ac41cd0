"""Networks after their search and refit: scored on the test cells, saved with their cards, and what they show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stslib import evaluation, networks, training
from stslib.cohort import CLASSES
from stslib.evaluation import temperature
from stslib.models import comparators, training_range
from stslib.models.card import finish
from stslib.sweeps import SweepSettings
from stslib.training.crossval import plateaus

Record = Mapping[str, Any]


@dataclass(frozen=True)
class ScoredNetworks:
    """The networks of one search, each scored in cross-validation and once on the test cells."""

    outcomes: Mapping[str, training.Outcome]
    held_out: Mapping[str, evaluation.Predictions]
    records: list[dict[str, Any]]
    cards: Mapping[str, dict[str, Any]]

    @property
    def best(self) -> str:
        """The network of the highest balanced accuracy in cross-validation."""
        scores = {r["model"]: r["value"] for r in self.records if _is(r, "cv")}
        return max(self.outcomes, key=scores.__getitem__)

    @property
    def test_labels(self) -> np.ndarray:
        """Classes of the test cells."""
        return self.held_out[self.best].test_labels

    def predicted(self, name: str) -> np.ndarray:
        """The classes that a network predicts for the test cells."""
        return self.held_out[name].test_classes

    def predictions(self) -> pd.DataFrame:
        """One row a network and cell: cell_id, label, split, p:<class>, model."""
        return pd.concat([own.table().assign(model=name) for name, own in self.held_out.items()], ignore_index=True)

    def history(self) -> pd.DataFrame:
        """Losses of the winners' folds, one row an epoch."""
        return pd.concat([done.history for done in self.outcomes.values()], ignore_index=True)

    def plateaus(self) -> str:
        """When each network stopped to learn (`stslib.training.crossval.plateaus`), in words."""
        found = plateaus(self.history())
        parts = [f"{r.model} in epoch {r.median:.0f} (folds: {r.first} to {r.last})" for r in found.itertuples()]
        return "The validation loss fell by 5 % for the last time: " + ", ".join(parts) + "."

    def trials(self) -> pd.DataFrame:
        """Finished trials of all searches."""
        return pd.concat([done.trials.assign(model=name) for name, done in self.outcomes.items()], ignore_index=True)

    def table(self, others: Sequence[Record] = ()) -> pd.DataFrame:
        """Balanced accuracy and weighted F1 with their intervals in %, a row a model; `others` are records of more models."""
        names = ("balanced_accuracy", "weighted_f1")
        wanted = [r for r in (*self.records, *others) if r["metric"] in names and r["split"] != "cv_pooled"]
        shown = pd.DataFrame(wanted)
        shown["score"] = [f"{100 * r.value:.1f} ({100 * r.low:.1f} to {100 * r.high:.1f})" for r in shown.itertuples()]
        models = [*self.outcomes, *dict.fromkeys(r["model"] for r in others)]
        table = shown.pivot(index="model", columns=["metric", "split"], values="score").reindex(models)
        table.columns = [f"{evaluation.METRIC_NAMES[metric]}, {split} (%)" for metric, split in table.columns]
        return table.dropna(how="all")

    def reliability(self, name: str) -> dict[str, tuple[pd.DataFrame, float]]:
        """A network's calibration on the test cells, before and after its temperature (see `evaluation.calibration`)."""
        own = self.held_out[name]
        after = temperature.calibrated(own.outside, self.cards[name]["calibration"]["temperature"])
        return {"before": own.calibration(), "after": evaluation.calibration(own.test_labels, after)}

    def compare(self, predictions: pd.DataFrame, n_bootstrap: int, seed: int) -> dict[str, Any]:
        """The best network and another model, from its predictions, on the same test cells; `p_exact` is McNemar's."""
        own = self.held_out[self.best]
        theirs = predictions[predictions["split"] == "test"].set_index("cell_id").loc[own.cells["cell_id"][~own.train]]
        other = evaluation.predicted(theirs[[f"p:{label}" for label in CLASSES]].to_numpy())
        gap = evaluation.compare(own.test_labels, own.test_classes, other, "balanced_accuracy", n_bootstrap, seed)
        verdict = {"margin": evaluation.MARGIN, "verdict": evaluation.non_inferiority(gap.low, gap.high)}
        return verdict | {
            "network": self.best, "only_network": gap.only_first, "only_baseline": gap.only_second, "p_exact": gap.p,
            "difference": gap.value, "low": gap.low, "high": gap.high, "n": gap.n,
        }  # fmt: skip

    def beside_voltage(
        self, sweeps_mv: np.ndarray, settings: SweepSettings, n_bootstrap: int = 2000, seed: int = 2026
    ) -> tuple[pd.DataFrame, list[dict[str, Any]], str]:
        """Every network and the comparators on the voltage of the training cells, same folds (`models.comparators.table`).

        `sweeps_mv` are the prepared sweeps of all cells. Gives the table, metric records of the split `nested_cv`, and
        what it says of each comparator against the best network, in Markdown.
        """
        own, folds = self.held_out[self.best], self.outcomes[self.best].folds
        labels = own.cells["label"].to_numpy()[own.train]
        found = comparators.voltage(np.asarray(sweeps_mv)[own.train], settings, labels, folds, seed)
        every = {(name, "cv"): held.inside for name, held in self.held_out.items()}
        every |= {(name, "nested_cv"): proba for name, proba in found.proba.items()}
        compared = comparators.table(labels, every, evaluation.predicted(own.inside), found.cost, {}, n_bootstrap, seed)
        records = [
            {**record, "split": "nested_cv"}
            for name, proba in found.proba.items()
            for record in evaluation.cv_scores(labels, proba, folds, name, own.data)
        ]
        said = [*comparators.verdicts(compared, self.best), *(f"- {note}." for note in found.notes)]
        return compared, records, "\n".join(said)

    def save(self, folder: str | Path) -> None:
        """Write each network with its card into a folder of its name, for `sts predict`."""
        for name, done in self.outcomes.items():
            networks.save(Path(folder) / name, done.fitted.model, done.fitted.transform, self.cards[name])


def score_networks(
    outcomes: Mapping[str, training.Outcome],
    cells: pd.DataFrame,
    known: training.TrainingSet,
    sweeps_mv: np.ndarray | None = None,
    table: pd.DataFrame | None = None,
    n_bootstrap: int = 2000,
    seed: int = 2026,
) -> ScoredNetworks:
    """Score networks on the cells that their folds held out and, once, on the test cells; finish their model cards.

    `outcomes` are of `training.search_networks`; `cells` (`cell_id`, `label`, `split`) are all cells, `known` holds their
    scalograms, `sweeps_mv` and `table` are what `training_range.describe` takes; the rest is of the intervals.

    Examples
    --------
    >>> import tempfile
    >>> from stslib.models.signals import example
    >>> images, cells = example().images, example().cells.assign(split=["train", "train", "train", "test"] * 2)
    >>> known = training.TrainingSet(images, cells["label"], [0, 1, 2, 4, 5, 6])
    >>> recipes = {"compact": training.recipe("compact", max_epochs=2, batch_size=2)}
    >>> settings = training.SearchSettings(n_trials=1, n_folds=2)
    >>> outcomes = training.search_networks(known, recipes, settings, tempfile.mkdtemp(), {"data": "made_up"})
    >>> score_networks(outcomes, cells, known, n_bootstrap=100).best
    'compact'
    """
    cells = cells[["cell_id", "label", "split"]].reset_index(drop=True)
    test = np.flatnonzero(cells["split"] == "test")
    held_out: dict[str, evaluation.Predictions] = {}
    records: list[dict[str, Any]] = []
    cards: dict[str, dict[str, Any]] = {}
    described: dict[tuple[int, ...], pd.DataFrame] = {}
    for name, done in outcomes.items():
        fitted, card = done.fitted, done.fitted.card or {}
        images = known.at(fitted.transform.height, fitted.transform.width).images
        if images.shape not in described:
            described[images.shape] = training_range.describe(images, sweeps_mv, table)
        outside = training.predict_proba(fitted.model, fitted.transform, images, test)
        held_out[name] = evaluation.Predictions(name, card["data"], cells, done.cv_proba, outside, done.folds)
        own = held_out[name].records(n_bootstrap, seed)
        cards[name] = finish(card, own, held_out[name], described[images.shape])
        records += own + held_out[name].pooled(n_bootstrap, seed)
    return ScoredNetworks(outcomes, held_out, records, cards)


def networks_conclusion(records: Sequence[Record], comparison: Mapping[str, Any], name: str) -> str:
    """What networks on a holdout show, as Markdown: `comparison` is `ScoredNetworks.compare` of the one called `name`.

    Examples
    --------
    >>> record = {"model": "compact", "split": "holdout", "metric": "balanced_accuracy", "data": "simulated"}
    >>> records, gap = [{**record, "value": 0.8, "low": 0.7, "high": 0.9}], {"low": -0.05, "high": 0.08, "n": 60}
    >>> "Compact and the baseline cannot be told apart" in networks_conclusion(records, gap, "Compact")
    True
    """
    holdout = [r for r in records if _is(r, "holdout")]
    values, widths = [r["value"] for r in holdout], [r["high"] - r["low"] for r in holdout]
    kind, same = holdout[0]["data"], comparison["low"] <= 0 <= comparison["high"]
    limits = f"These are {kind} cells; see the data page for what they can show."
    if kind == "simulated":
        limits = "The cells are simulated, so this says nothing about the paper's claim, only that the whole way works."
    return (
        f"- On the {comparison['n']} test cells the networks lie {100 * (max(values) - min(values)):.1f} points apart, and "
        f"the interval of each is {100 * np.mean(widths):.0f} points wide on average: a holdout of this size does not rank "
        f"networks.\n- {name} and the baseline {'cannot be told apart' if same else 'differ by more than chance'} on "
        f"these cells.\n- {limits}"
    )


def _is(record: Record, split: str) -> bool:
    return (record["split"], record["metric"]) == (split, "balanced_accuracy")
