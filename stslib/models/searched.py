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
from stslib.models.card import HeldOut, finish

Record = Mapping[str, Any]
_PROBABILITIES = [f"p:{name}" for name in CLASSES]


@dataclass(frozen=True)
class ScoredNetworks:
    """The networks of one search, each scored in cross-validation and once on the test cells."""

    cells: pd.DataFrame  # `cell_id`, `label` and `split` of all cells
    outcomes: Mapping[str, training.Outcome]
    proba: Mapping[str, np.ndarray]  # (n_cells, 4): of a training cell from the fold that held it out
    records: list[dict[str, Any]]
    cards: Mapping[str, dict[str, Any]]

    @property
    def best(self) -> str:
        """The network of the highest balanced accuracy in cross-validation."""
        scores = {r["model"]: r["value"] for r in self.records if _is(r, "cv")}
        return max(self.outcomes, key=scores.__getitem__)

    @property
    def test(self) -> np.ndarray:
        """Positions of the test cells."""
        return np.flatnonzero(self.cells["split"] == "test")

    @property
    def test_labels(self) -> np.ndarray:
        """Classes of the test cells."""
        return self.cells["label"].to_numpy()[self.test]

    def predicted(self, name: str) -> np.ndarray:
        """The classes that a network predicts for the test cells."""
        return evaluation.predicted(self.proba[name][self.test])

    def predictions(self) -> pd.DataFrame:
        """One row a network and cell: cell_id, label, split, p:<class>, model."""
        tables = [
            self.cells.assign(**dict(zip(_PROBABILITIES, proba.T, strict=True)), model=name)
            for name, proba in self.proba.items()
        ]
        return pd.concat(tables, ignore_index=True)

    def history(self) -> pd.DataFrame:
        """Losses of the winners' folds, one row an epoch."""
        return pd.concat([done.history for done in self.outcomes.values()], ignore_index=True)

    def trials(self) -> pd.DataFrame:
        """Finished trials of all searches."""
        return pd.concat([done.trials.assign(model=name) for name, done in self.outcomes.items()], ignore_index=True)

    def table(self, others: Sequence[Record] = ()) -> pd.DataFrame:
        """Balanced accuracy and weighted F1 with their intervals in %, a row a model; `others` are records of more models."""
        names = ("balanced_accuracy", "weighted_f1")
        shown = pd.DataFrame([r for r in (*self.records, *others) if r["metric"] in names])
        shown["score"] = [f"{100 * r.value:.1f} ({100 * r.low:.1f} to {100 * r.high:.1f})" for r in shown.itertuples()]
        models = [*self.outcomes, *dict.fromkeys(r["model"] for r in others)]
        table = shown.pivot(index="model", columns=["metric", "split"], values="score").reindex(models)
        table.columns = [f"{evaluation.METRIC_NAMES[metric]}, {split} (%)" for metric, split in table.columns]
        return table.dropna(how="all")

    def reliability(self, name: str) -> dict[str, tuple[pd.DataFrame, float]]:
        """A network's calibration on the test cells, before and after its temperature (see `evaluation.calibration`)."""
        before = self.proba[name][self.test]
        after = temperature.calibrated(before, self.cards[name]["calibration"]["temperature"])
        both = {"before": before, "after": after}
        return {when: evaluation.calibration(self.test_labels, proba) for when, proba in both.items()}

    def compare(self, predictions: pd.DataFrame, n_bootstrap: int, seed: int) -> dict[str, Any]:
        """The best network and another model, from its predictions, on the same test cells; `p_exact` is McNemar's."""
        theirs = predictions[predictions["split"] == "test"].set_index("cell_id").loc[self.cells["cell_id"][self.test]]
        other = evaluation.predicted(theirs[_PROBABILITIES].to_numpy())
        labels, own = self.test_labels, self.predicted(self.best)
        gap = evaluation.compare(labels, own, other, "balanced_accuracy", n_bootstrap, seed)
        return {
            "network": self.best, "only_network": gap.only_first, "only_baseline": gap.only_second, "p_exact": gap.p,
            "difference": gap.value, "low": gap.low, "high": gap.high, "n": len(labels),
        }  # fmt: skip

    def save(self, folder: str | Path) -> None:
        """Write each network with its card into a folder of its name, for `sts predict`."""
        for name, done in self.outcomes.items():
            networks.save(Path(folder) / name, done.fitted.model, done.fitted.transform, self.cards[name])


def score_networks(
    outcomes: Mapping[str, training.Outcome],
    cells: pd.DataFrame,
    images: np.ndarray,
    described: pd.DataFrame,
    n_bootstrap: int = 2000,
    seed: int = 2026,
) -> ScoredNetworks:
    """Score networks on the cells that their folds held out and, once, on the test cells; finish their model cards.

    Parameters
    ----------
    outcomes : mapping of name to training.Outcome, from `training.search_networks`; the card of each names its `data`
    cells, images : DataFrame with `cell_id`, `label` and `split` of all cells, and their (n_cells, c, h, w) scalograms
    described : DataFrame, `models.describe_cells` of them, from which the training range follows
    n_bootstrap, seed : int, of the intervals on the test cells

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import pandas as pd
    >>> from stslib import models, training
    >>> images = np.random.default_rng(0).standard_normal((12, 2, 32, 32))
    >>> labels, split = ["Sst", "Pvalb"] * 6, ["train"] * 8 + ["test"] * 4
    >>> cells = pd.DataFrame({"cell_id": range(12), "label": labels, "split": split})
    >>> known = training.TrainingSet(images, cells["label"], np.arange(8))
    >>> recipes = {"compact": training.recipe("compact", height=32, width=32, max_epochs=2, batch_size=2)}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     settings = training.SearchSettings(n_trials=1, n_folds=2)
    ...     outcomes = training.search_networks(known, recipes, settings, folder, {"data": "made_up"})
    >>> models.score_networks(outcomes, cells, images, models.describe_cells(images), n_bootstrap=100).best
    'compact'
    """
    cells = cells[["cell_id", "label", "split"]].reset_index(drop=True)
    labels = cells["label"].to_numpy()
    train, test = (np.flatnonzero(cells["split"] == part) for part in ("train", "test"))
    proba: dict[str, np.ndarray] = {}
    records: list[dict[str, Any]] = []
    cards: dict[str, dict[str, Any]] = {}
    for name, done in outcomes.items():
        card = done.fitted.card or {}
        proba[name] = np.zeros((len(cells), len(CLASSES)))
        proba[name][train] = done.cv_proba
        proba[name][test] = training.predict_proba(done.fitted.model, done.fitted.transform, images, test)
        own = evaluation.cv_scores(labels[train], done.cv_proba, done.folds, name, card["data"])
        own += evaluation.scores(labels[test], proba[name][test], name, card["data"], "holdout", n_bootstrap, seed)
        cards[name] = finish(card, own, HeldOut(labels, proba[name], train, test, done.folds, described))
        records += own
    return ScoredNetworks(cells, outcomes, proba, records, cards)


def networks_conclusion(records: Sequence[Record], comparison: Mapping[str, Any], name: str) -> str:
    """What networks on a holdout show, as Markdown: `comparison` is `ScoredNetworks.compare` of the one called `name`.

    Examples
    --------
    >>> from stslib import models
    >>> record = {"model": "compact", "split": "holdout", "metric": "balanced_accuracy", "data": "simulated"}
    >>> records, gap = [{**record, "value": 0.8, "low": 0.7, "high": 0.9}], {"low": -0.05, "high": 0.08, "n": 60}
    >>> "Compact and the baseline cannot be told apart" in models.networks_conclusion(records, gap, "Compact")
    True
    """
    holdout = [r for r in records if _is(r, "holdout")]
    values = [r["value"] for r in holdout]
    width = np.mean([r["high"] - r["low"] for r in holdout])
    kind = holdout[0]["data"]
    same = comparison["low"] <= 0 <= comparison["high"]
    return "\n".join(
        [
            f"- On the {comparison['n']} test cells the networks lie {100 * (max(values) - min(values)):.1f} points apart, "
            f"and the interval of each is {100 * width:.0f} points wide on average: a holdout of this size does not rank "
            "networks.",
            f"- {name} and the baseline {'cannot be told apart' if same else 'differ by more than chance'} on these cells.",
            "- The cells are simulated, so this says nothing about the paper's claim, only that the whole way works."
            if kind == "simulated"
            else f"- These are {kind} cells; see the data page for what they can show.",
        ]
    )


def _is(record: Record, split: str) -> bool:
    return (record["split"], record["metric"]) == (split, "balanced_accuracy")
