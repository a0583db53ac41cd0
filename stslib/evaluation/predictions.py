"""A model's predictions of cells that it did not learn from, and every number that follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from stslib.cohort import CLASSES
from stslib.evaluation.metrics import METRICS, compare, cv_scores, predicted, scores
from stslib.evaluation.paper import COMPARABLE_DATA, paper_value
from stslib.evaluation.temperature import calibration


@dataclass(frozen=True)
class Predictions:
    """Probabilities of training cells while they were held out, `inside`, and of test cells by another model, `outside`.

    `model`, `data`: names in records; `cells`: `cell_id`, `label`, `split` (train or test); `folds` count training cells.
    """

    model: str
    data: str
    cells: pd.DataFrame
    inside: np.ndarray
    outside: np.ndarray
    folds: Sequence[tuple[np.ndarray, np.ndarray]]

    @property
    def train(self) -> np.ndarray:
        """Which cells are training cells, `(n_cells,)` of bool."""
        return (self.cells["split"] == "train").to_numpy()

    @property
    def test_labels(self) -> np.ndarray:
        """Classes of the test cells."""
        return self.cells["label"].to_numpy()[~self.train]

    @property
    def test_classes(self) -> np.ndarray:
        """Predicted classes of the test cells."""
        return predicted(self.outside)

    def records(self, n_bootstrap: int = 2000, seed: int = 2026) -> list[dict[str, Any]]:
        """Metric records of the cross-validation and of the holdout (`evaluation.cv_scores`, `evaluation.scores`)."""
        labels = self.cells["label"].to_numpy()[self.train]
        inside = cv_scores(labels, self.inside, self.folds, self.model, self.data)
        return inside + scores(self.test_labels, self.outside, self.model, self.data, "holdout", n_bootstrap, seed)

    def pooled(self, n_bootstrap: int = 2000, seed: int = 2026) -> list[dict[str, Any]]:
        """Metric records of all held-out training cells together (split `cv_pooled`), with intervals over cells."""
        labels = self.cells["label"].to_numpy()[self.train]
        return scores(labels, self.inside, self.model, self.data, "cv_pooled", n_bootstrap, seed)

    def beside_paper(self, n_bootstrap: int = 2000, seed: int = 2026) -> pd.DataFrame:
        """`records` and scores of all held-out cells together, and the paper's, `comparable` if of its own cells."""
        table = pd.DataFrame([*self.records(n_bootstrap, seed), *self.pooled(n_bootstrap, seed)])
        table["split"] = table["split"].replace("cv_pooled", "cv, all held-out cells")
        base = self.model.split(":")[0]
        theirs = [paper_value(base, *key) or (np.nan, "") for key in zip(table["split"], table["metric"], strict=True)]
        table["paper"], table["relation"] = zip(*theirs, strict=True)
        return table.assign(comparable=(table["relation"] != "") & (self.data in COMPARABLE_DATA))

    def table(self) -> pd.DataFrame:
        """`cell_id`, `label`, `split`, and the probability of each class, `p:<class>`."""
        proba = np.empty((len(self.cells), len(CLASSES)))
        proba[self.train], proba[~self.train] = self.inside, self.outside
        head = self.cells[["cell_id", "label", "split"]].reset_index(drop=True)
        return head.assign(**{f"p:{c}": proba[:, k] for k, c in enumerate(CLASSES)})

    def calibration(self) -> tuple[pd.DataFrame, float]:
        """Reliability of the test cells' probabilities, and their expected calibration error."""
        return calibration(self.test_labels, self.outside)

    def compare(self, other: Predictions, n_bootstrap: int = 2000, seed: int = 2026) -> pd.DataFrame:
        """Every metric of these and other predictions of the same test cells, as in `evaluation.Comparison`."""
        pair = self.test_classes, other.test_classes
        rows = [asdict(compare(self.test_labels, *pair, metric, n_bootstrap, seed)) for metric in METRICS]
        return pd.DataFrame(rows).rename(columns={"value": "difference"})
