"""Can simulated cells be told from real ones? Features of their sweeps beside those of the published training cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from stslib import baseline, cohort, evaluation
from stslib.audit import checks
from stslib.cohort import CLASSES
from stslib.features import FEATURE_SETS, FeatureTable, extract

#: Every feature that is measured on long squares; times from the onset or the threshold.
COLUMNS = list(FEATURE_SETS["stimulus_aligned"])
#: What counts as the same value, for no rig measures finer: 20 us, 1 pA, 0.001 Hz/pA, else 0.01 (mV, ms).
_PRECISION = {"threshold_i_long_square": 1.0, "f_i_curve_slope": 1e-3, "adaptation": 1e-3, "latency": 2e-5}
_FEWEST = 15  # cells of a class on either side of a comparison


@dataclass(frozen=True)
class Realism:
    """Cells beside the published training cells: `ours` and `real` hold `label` and `COLUMNS`; `real` may be empty.

    Examples
    --------
    >>> from stslib import audit, cohort
    >>> rng = np.random.default_rng(0)
    >>> tables = [pd.DataFrame(rng.normal(size=(120, 16)), columns=audit.realism.COLUMNS) for _ in range(2)]
    >>> same = audit.Realism(*(table.assign(label=cohort.CLASSES * 30) for table in tables))
    >>> bool(abs(same.two_sample["auc"].mean() - 0.5) < 0.2)
    True
    """

    ours: pd.DataFrame
    real: pd.DataFrame
    data: str = "simulated"
    seed: int = 2026

    @classmethod
    def of(
        cls, cells: Any, included: pd.DataFrame, real: pd.DataFrame | None = None, n_each: int = 0, n_jobs: int = 1
    ) -> Realism:
        """Measure the `included` ones of cells (`stslib.io.Cells`): 100 simulated ones a class, 20 others, or `n_each`.

        Simulated ones are judged by `real`, their `real_training()`, where it is at hand.
        """
        simulated = cells.kind == "simulated"
        known = included[included["label"].isin(CLASSES)]
        chosen = known.groupby("label").head(n_each or (100 if simulated else 20))
        table = extract(cells.recordings(chosen["cell_id"]), n_jobs, len(chosen)).assign(
            label=chosen["label"].to_numpy()
        )
        nothing = pd.DataFrame(columns=["label", *COLUMNS])
        return cls(columns_of(table), columns_of(real) if simulated and real is not None else nothing, cells.data)

    def _classes(self) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame]]:
        for label in CLASSES:
            real, ours = (table.loc[table["label"] == label, COLUMNS] for table in (self.real, self.ours))
            if min(len(real), len(ours)) >= _FEWEST:
                yield label, real, ours

    def feature_auc(self) -> pd.DataFrame:
        """AUC of each feature, a row, in each class: the chance that a simulated cell's value is above a real one's."""
        found: dict[str, dict[str, float]] = {}
        for label, real, ours in self._classes():
            for column in COLUMNS:
                a, b = real[column].dropna(), ours[column].dropna()
                if min(len(a), len(b)) >= _FEWEST:
                    auc = roc_auc_score(np.repeat([0, 1], [len(a), len(b)]), np.r_[a, b])
                    found.setdefault(label, {})[column] = float(auc)
        return pd.DataFrame(found, index=pd.Index(COLUMNS, name="feature"))

    @cached_property
    def two_sample(self) -> pd.DataFrame:
        """For each class the AUC (with 95 % interval) of LightGBM that tells simulated from as many real cells, held out.

        `gives_away` is the feature that it uses most. Interval: Hanley and McNeil 1982, Radiology 143:29.
        """
        rows = []
        model = lightgbm.LGBMClassifier(n_jobs=1, verbose=-1, random_state=self.seed, importance_type="gain")
        folds = StratifiedKFold(5, shuffle=True, random_state=self.seed)
        for label, real, ours in self._classes():
            n = min(len(real), len(ours))
            x, y = pd.concat([t.sample(n, random_state=self.seed) for t in (real, ours)]), np.repeat([0, 1], n)
            auc = roc_auc_score(y, cross_val_predict(model, x, y, cv=folds, method="predict_proba")[:, 1])
            pairs = auc / (2 - auc) + 2 * auc**2 / (1 + auc) - 2 * auc**2
            wide = 1.96 * np.sqrt(auc * (1 - auc) + (n - 1) * pairs) / n
            rows.append((label, n, auc, auc - wide, auc + wide, COLUMNS[model.fit(x, y).feature_importances_.argmax()]))
        return pd.DataFrame(rows, columns=["label", "n", "auc", "low", "high", "gives_away"])

    @cached_property
    def transfer(self) -> pd.DataFrame:
        """Balanced accuracy of LightGBM that learns the classes from one side and is tested on the other, both ways."""
        rows = []
        for names, here, there in (
            ((self.data, "published"), self.ours, self.real),
            (("published", self.data), self.real, self.ours),
        ):
            model = baseline.Learner("lightgbm", {"class_weight": "balanced"}).fit(here[COLUMNS], here["label"])
            predicted = evaluation.predicted(model.predict_proba(there[COLUMNS]))
            rows.append((*names, len(there), *evaluation.with_interval(there["label"].to_numpy(), predicted, 500)))
        return pd.DataFrame(rows, columns=["trained_on", "tested_on", "n", "value", "low", "high"])

    def learning_curve(self, shares: tuple[float, ...] = (0.1, 0.25, 0.5, 1.0)) -> pd.DataFrame:
        """How many cells do I need? Balanced accuracy against the cells learnt from; `model` says which cells."""
        tables = [pd.DataFrame(columns=["model", "n", "value", "low", "high"])]
        for name, table in ((self.data, self.ours), ("published", self.real)):
            if table["label"].value_counts().reindex(CLASSES, fill_value=0).min() >= 6:
                x, y = table[COLUMNS], table["label"].to_numpy()
                found = checks.curve(checks.fewer_cells, shares, baseline.Learner(), x, y, cohort.folds(y, 3), 300)
                tables.append(found.assign(model=f"LightGBM on {name} cells", n=found["n"].round()))
        return pd.concat(tables[1:] or tables, ignore_index=True)

    def records(self) -> list[dict[str, Any]]:
        """Metric records of `two_sample`, its mean, and the transfer to the published cells; none without real cells."""
        if not len(self.real):
            return []
        means = self.two_sample[["auc", "low", "high"]].mean() if len(self.two_sample) else (np.nan,) * 3
        rows = [("two_sample_auc", *means, 2 * int(self.two_sample["n"].sum()))]
        rows += [(f"two_sample_auc:{r.label}", r.auc, r.low, r.high, 2 * r.n) for r in self.two_sample.itertuples()]
        about = [("simulator", "train", *row) for row in rows]
        there = self.transfer.iloc[0]
        values = (there["value"], there["low"], there["high"], int(there["n"]))
        about.append(("lightgbm", f"transfer:{self.data}->published", "balanced_accuracy", *values))
        keys = ("model", "split", "metric", "value", "low", "high", "n")
        return [{"data": self.data, **dict(zip(keys, row, strict=True))} for row in about]

    def text(self) -> str:
        """What the comparison found, in Markdown."""
        if not len(self.real):
            return (
                "The authors' tables are not at hand: the cells stand beside the quartiles of the simulator's own table. "
                "With `STS_DATA_MIRROR`, or after `sts run --profile published`, a classifier judges simulated cells here."
            )
        table, (there, back), auc = self.two_sample, self.transfer["value"], self.feature_auc()
        if table.empty:
            return f"Fewer than {_FEWEST} cells of each class were measured: too few to tell them from real ones."
        each = ", ".join(f"{r.label} {r.auc:.2f}, most by `{r.gives_away}`" for r in table.itertuples())
        feature, label = (auc - 0.5).abs().stack().idxmax()
        return (
            f"**Two-sample test.** LightGBM with all {len(COLUMNS)} features tells simulated from real training cells with "
            f"AUC {table['auc'].mean():.2f} in the mean over classes (0.5: not at all): {each}. Alone, `{feature}` in {label} "
            f"cells gives the simulation away most (AUC {auc.loc[feature, label]:.2f}).\n\n**Transfer.** Trained on simulated "
            f"cells, LightGBM reaches a balanced accuracy of {there:.2f} on the real training cells; trained on these, "
            f"{back:.2f} on the simulated ones. No test cell takes part."
        )


def columns_of(table: pd.DataFrame) -> pd.DataFrame:
    """`label` and `COLUMNS` of a table of features in published units, times aligned, at the precision of a rig."""
    x = FeatureTable(table).select("stimulus_aligned")
    step = pd.Series({c: _PRECISION.get(c, 2e-5 if "_t_from_" in c else 0.01) for c in COLUMNS})
    return ((x / step).round() * step).assign(label=table["label"].to_numpy()).reset_index(drop=True)
