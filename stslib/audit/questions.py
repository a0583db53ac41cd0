"""The audit of the published cells: one question, one table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd

from stslib import baseline, cohort, evaluation
from stslib.audit import checks, outsiders, rigs
from stslib.features import FEATURE_SETS, FeatureTable, compare_sweeps, of_cells
from stslib.recordings import Recording
from stslib.support.errors import StsError

#: The five times of the first action potential alone, as published and aligned.
TIMES = {"times": "intended", "aligned times": "stimulus_aligned"}
_NAMES = {"LightGBM": "lightgbm", "ensemble": "lightgbm:ensemble"}  # models of notebook 4 in metric records
_LEARNT = ("published", "relative")  # sets of the learning curve, of wrong labels and of shuffled ones


@dataclass
class Audit:
    """The published cells with every set of features, and the questions that are asked of them, mostly with LightGBM.

    Parameters
    ----------
    cells : DataFrame, included cells: `cell_id`, `label`, `dataset` (rig), `donor`, `split`, `line`, `t_type`
    features : FeatureTable, published features of these cells or more; n_folds, n_bootstrap, seed, threads : int
    others : DataFrame, cells that do not belong: `cell_id`, `dataset`, and `reason` for which they were excluded

    Examples
    --------
    >>> from stslib.features import SHARED
    >>> cells = pd.DataFrame({"cell_id": list("abcdefgh"), "label": cohort.CLASSES * 2, "donor": list("pqrsprtu")})
    >>> cells = cells.assign(split=["train"] * 4 + ["test"] * 4, dataset="Seq")
    >>> own = pd.DataFrame(0.0, range(8), ["onset_s", *SHARED]).assign(cell_id=cells["cell_id"])
    >>> Audit(cells, FeatureTable(own)).shared_donors()
    0.5
    """

    cells: pd.DataFrame
    features: FeatureTable
    n_folds: int = 3
    n_bootstrap: int = 2000
    seed: int = 2026
    threads: int = 1
    others: pd.DataFrame = field(default_factory=pd.DataFrame)

    @classmethod
    def of(cls, cells: Any, share: float = 1.0, **settings: int) -> Audit:
        """The audit of the authors' own cells (`stslib.io.reopen`), or of a `share` of each class, rig and split."""
        if cells.name != "published":
            why = f"the audit needs the authors' tables, and these cells are from {cells.name!r}"
            raise StsError(f"{why}; make a run of the tables with: sts run --profile published")
        seed = settings.get("seed", cls.seed)
        drawn = cells.cells.groupby(["label", "dataset", "split"]).sample(frac=share, random_state=seed).sort_index()
        others = cells.source.cells().query("reason in ('not_mouse', 'unsure_label')")
        others = others.groupby("reason").sample(frac=share, random_state=seed).reset_index(drop=True)
        features = of_cells(cells, "relative", cell_ids=[*cells.cells["cell_id"], *others["cell_id"]])
        return cls(drawn.reset_index(drop=True), features, others=others, **settings)

    def __post_init__(self) -> None:
        self.y, self.rigs = (self.cells[column].to_numpy() for column in ("label", "dataset"))
        self.train = (self.cells["split"] == "train").to_numpy()

    @cached_property
    def sets(self) -> dict[str, pd.DataFrame]:
        """Every set of features by its name, and `TIMES`."""
        sets = {name: self.features.select(name).loc[self.cells["cell_id"]] for name in FEATURE_SETS}
        return sets | {name: sets[whole].filter(like="_t_") for name, whole in TIMES.items()}

    @cached_property
    def folds(self) -> baseline.Folds:
        """Folds inside the training cells."""
        return cohort.folds(self.y[self.train], self.n_folds, self.seed)

    def learner(self, name: str = "lightgbm") -> baseline.Learner:
        """A model with its default settings."""
        return baseline.Learner(name, seed=self.seed, threads=self.threads)

    def _inside(self, name: str) -> tuple[pd.DataFrame, np.ndarray]:
        """A set of features and the classes, of the training cells."""
        return self.sets[name][self.train], self.y[self.train]

    def _classes(self, name: str, folds: baseline.Folds, model: str = "lightgbm") -> np.ndarray:
        return evaluation.predicted(self.learner(model).held_out(*self._inside(name), folds))

    def _compare(self, first: np.ndarray, second: np.ndarray) -> evaluation.Comparison:
        y = self.y[self.train]
        return evaluation.compare(y, first, second, n_bootstrap=self.n_bootstrap, seed=self.seed)

    def rig_accuracy(self) -> pd.DataFrame:
        """How well does each set of features predict the rig, within classes (`rigs.rig_accuracy`)?"""
        settings = self.n_folds, self.n_bootstrap, self.seed
        found = {name: rigs.rig_accuracy(*self._inside(name), self.rigs[self.train], *settings) for name in self.sets}
        return pd.DataFrame(found).T.rename_axis("features").reset_index()

    def times(self) -> tuple[pd.DataFrame, evaluation.Comparison]:
        """What do five absolute times classify, by rig (`checks.by_part`), and what is left of it once aligned?"""
        y, settings = self.y[self.train], (self.rigs[self.train], self.n_bootstrap, self.seed)
        classes = {name: self._classes(name, self.folds) for name in TIMES}
        parts = [checks.by_part(y, found, *settings).assign(columns=name) for name, found in classes.items()]
        return pd.concat(parts, ignore_index=True), self._compare(*classes.values())

    def transfer(self) -> list[dict[str, Any]]:
        """What do models score that learn from one data set and are tested on the other? Metric records."""
        models: dict[str, tuple[str, Any]]
        models = {f"lightgbm:{name}": (name, rigs.across(self.learner())) for name in FEATURE_SETS}
        models["lightgbm:ensemble"] = "relative", rigs.across(self.learner("lightgbm:ensemble"))
        models["discriminant:relative"] = "relative", partial(rigs.adapted, rounds=0)
        models["discriminant:adapted"] = "relative", rigs.adapted
        records = []
        for model, (name, cross) in models.items():
            x = self.sets[name]
            for split, fit, unlabelled, test in rigs.directions(self.rigs, self.train):
                proba = cross(x[fit], self.y[fit], x[unlabelled], x[test])
                about = model, "published", split, self.n_bootstrap, self.seed
                records += evaluation.scores(self.y[test], proba, *about)
        return records

    def donors(self) -> pd.DataFrame:
        """Does the score fall when a donor's cells share a fold? Balanced accuracy both ways, and the difference."""
        donors = self.cells.loc[self.train, "donor"]
        grouped = cohort.folds(self.y[self.train], self.n_folds, self.seed, groups=donors)
        rows = []
        for name, model in [*((name, "lightgbm") for name in FEATURE_SETS), ("relative", "lightgbm:ensemble")]:
            change = self._compare(*(self._classes(name, folds, model) for folds in (grouped, self.folds)))
            shown = name if model == "lightgbm" else model
            rows.append((shown, change.second, change.first, change.value, change.low, change.high, change.p))
        columns = ["features", "random", "by donor", "difference", "low", "high", "McNemar p"]
        return pd.DataFrame(rows, columns=columns)

    def shared_donors(self) -> float:
        """Share of the test cells that have a donor in common with a training cell."""
        donors = self.cells["donor"]
        return float(donors[~self.train].isin(set(donors[self.train])).mean())

    def _probabilities(self, predictions: pd.DataFrame) -> np.ndarray:
        columns = [f"p:{c}" for c in cohort.CLASSES]
        return predictions.set_index("cell_id").loc[self.cells["cell_id"], columns].to_numpy()

    def by_part(self, predictions: Mapping[str, pd.DataFrame]) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
        """How good are saved predictions of the test cells of each rig (`checks.by_part`, and the metric records)?"""
        tables, records, draws = [], [], (self.n_bootstrap, self.seed)
        for model, table in predictions.items():
            y, proba, where = (v[~self.train] for v in (self.y, self._probabilities(table), self.rigs))
            tables.append(checks.by_part(y, evaluation.predicted(proba), where, *draws).assign(model=model))
            for rig in sorted(set(where)):
                here = where == rig
                records += evaluation.scores(y[here], proba[here], _NAMES[model], "published", f"holdout:{rig}", *draws)
        return pd.concat(tables, ignore_index=True), records

    def learning_curve(self) -> pd.DataFrame:
        """Would more cells help? Scores of each `model` by the `share` of each class, `n` cells, learnt from."""
        return self._curves(checks.fewer_cells, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)

    def label_noise(self) -> pd.DataFrame:
        """What do wrong labels cost? Scores of each `model` by the `share` of wrong ones."""
        return self._curves(checks.wrong_labels, 0.0, 0.05, 0.1, 0.2, 0.4).drop(columns="n")

    def _curves(self, change: Any, *shares: float) -> pd.DataFrame:
        tables = []
        for name in _LEARNT:
            cells = *self._inside(name), self.folds, self.n_bootstrap
            tables.append(checks.curve(change, shares, self.learner(), *cells).assign(model=f"LightGBM, {name}"))
        return pd.concat(tables, ignore_index=True)

    def suspects(self, predictions: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Which labels of training cells are doubted (`checks.suspects`), and how many by mouse line or T-type?"""
        proba = self._probabilities(predictions)[self.train]
        table = self.cells[self.train].assign(rather=checks.suspects(self.y[self.train], proba))
        first_word = table["t_type"].str.split().str[0].fillna("")  # in Seq; in Clamp the mouse line
        table["origin"] = table["line"].where(table["dataset"] == "Clamp", first_word)
        groups = table.assign(suspect=table["rather"] != "").groupby(["dataset", "label", "origin"])["suspect"]
        origins = groups.agg(cells="size", doubted="sum", share="mean").reset_index()
        columns = ["cell_id", "label", "rather", "dataset", "origin"]
        return table.loc[table["rather"] != "", columns], origins

    def calibration(
        self, predictions: Mapping[str, pd.DataFrame]
    ) -> tuple[dict[str, tuple[pd.DataFrame, float]], pd.DataFrame]:
        """Are probabilities of test cells honest? Reliability curves by model, and errors by model and data set."""
        curves, rows = {}, []
        for model, table in predictions.items():
            y, proba, where = (v[~self.train] for v in (self.y, self._probabilities(table), self.rigs))
            curves[model] = evaluation.calibration(y, proba)
            for part in ("both", *sorted(set(where))):
                here = (where == part) | (part == "both")
                error = checks.calibration_interval(y[here], proba[here], self.n_bootstrap, self.seed)
                rows.append((model, part, *error, int(here.sum())))
        return curves, pd.DataFrame(rows, columns=["model", "data set", "error", "low", "high", "n"])

    def shuffled(self, n_shuffles: int = 3) -> pd.DataFrame:
        """Does anything leak? Balanced accuracy on shuffled labels, one column a set of features."""
        score = self.learner().shuffled_scores
        return pd.DataFrame({name: score(*self._inside(name), n_shuffles, self.n_folds) for name in _LEARNT})

    def features_read_again(self) -> tuple[pd.DataFrame, dict[str, float]]:
        """Do the paper's strongest features know class or rig; what share of Excitatory's |SHAP| is times?"""
        sizes = {}
        for name in ("published", "stimulus_aligned"):
            x, y = self._inside(name)
            sizes[name] = rigs.shap_sizes(baseline.trees.fit(x, y, seed=self.seed, threads=self.threads), x)
        of_cells = *self._inside("published"), self.rigs[self.train]
        tables = [rigs.class_or_rig(sizes["published"], *of_cells, label) for label in rigs.PAPER_TOP]
        of_excitatory = {name: size["Excitatory"] for name, size in sizes.items()}
        share = {
            name: float(size.filter(regex="_t_.*long_square$").sum() / size.sum())
            for name, size in of_excitatory.items()
        }
        return pd.concat(tables, ignore_index=True), share

    def compare_sweeps(self, recordings: Iterable[Recording]) -> pd.DataFrame:
        """Do features measured on recordings of published cells agree with their rows?"""
        return compare_sweeps(recordings, self.features.table)

    def two_sweeps(self) -> pd.DataFrame:
        """What do features lose without the f-I slope, the only one of the long squares that needs more than two sweeps?

        Balanced accuracy of held-out training cells `with` and `without` it, the paired difference, and what its interval
        says (`evaluation.non_inferiority`).
        """
        rows, (y, folds) = [], (self.y[self.train], self.folds)
        for name in ("published", "intended", "stimulus_aligned"):
            x = self.sets[name][self.train]
            fewer = evaluation.predicted(self.learner().held_out(x.drop(columns="f_i_curve_slope"), y, folds))
            gap = self._compare(fewer, self._classes(name, folds))
            verdict = evaluation.non_inferiority(gap.low, gap.high)
            rows.append((name, gap.second, gap.first, gap.value, gap.low, gap.high, gap.p, verdict))
        columns = ["features", "with", "without", "difference", "low", "high", "McNemar p", "verdict"]
        return pd.DataFrame(rows, columns=columns)

    def earlier_networks(self) -> list[dict[str, Any]]:
        """What do features score where Ophir's and Wang's networks were tried: patch-clamp cells, by cross-validation?

        Metric records of all held-out Clamp cells together, of models that learnt from the other Clamp cells only.
        """
        here = self.rigs == "Clamp"
        y, records = self.y[here], []
        for shown in ("lightgbm:published", "lightgbm:stimulus_aligned", "lightgbm:relative", "lightgbm:ensemble"):
            model, name = (shown, "relative") if shown == "lightgbm:ensemble" else shown.split(":")
            folds = cohort.folds(y, self.n_folds, self.seed)
            proba = self.learner(model).held_out(self.sets[name][here], y, folds)
            records += evaluation.scores(y, proba, shown, "published", "cv:Clamp", self.n_bootstrap, self.seed)
        return records

    def prediction_sets(self, predictions: Mapping[str, pd.DataFrame]) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
        """Do sets of classes hold the true one as often as they promise, on each rig (`evaluation.sets_by_group`)?

        Calibrated on training cells while they were held out, all rigs in one or each by itself, and tried on test cells.
        The metric records are those of 90 % and each rig by itself.
        """
        tables = []
        for model, table in predictions.items():
            cells = self.y, self._probabilities(table), self.rigs, self.train
            tables.append(checks.kept_promises(*cells).assign(model=model))
        whole = pd.concat(tables, ignore_index=True)
        own = whole[(whole["level"] == 0.9) & (whole["thresholds"] == "each its own")]
        about = {"metric": "coverage:" + own["rig"], "data": "published", "split": "holdout"}
        records = own.assign(**about, model=own["model"].map(_NAMES))
        return whole, records[["model", "data", "split", "metric", "value", "low", "high", "n"]].to_dict("records")

    def abstention(self, predictions: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """How right are the surest test cells alone, on each rig (`evaluation.accuracy_by_coverage`)?"""
        tables = []
        for model, table in predictions.items():
            proba = self._probabilities(table)
            for rig in sorted(set(self.rigs)):
                here = ~self.train & (self.rigs == rig)
                curve = evaluation.accuracy_by_coverage(self.y[here], proba[here])
                tables.append(curve.assign(model=f"{model}, {rig}", rig=rig))
        return pd.concat(tables, ignore_index=True)

    def t_types(self, predictions: pd.DataFrame, fewest: int = 20) -> pd.DataFrame:
        """Of which transcriptomic types are held-out training cells recognised? Recall of each of at least `fewest` cells."""
        inside = self.train & (self.cells["t_type"] != "").to_numpy()
        right = evaluation.predicted(self._probabilities(predictions)[inside]) == self.y[inside]
        groups = pd.Series(right).groupby([self.y[inside], self.cells["t_type"].to_numpy()[inside]])
        rows = [(*name, *evaluation.share(hits), len(hits)) for name, hits in groups if len(hits) >= fewest]
        table = pd.DataFrame(rows, columns=["label", "t_type", "value", "low", "high", "n"])
        return table.sort_values("value", ignore_index=True)

    def outsiders(self) -> pd.DataFrame:
        """Are cells that do not belong told apart: human ones, and mouse cells without a clear class (`outsiders.judged`)?"""
        (x, y), where = self._inside("relative"), self.rigs[self.train]
        more = self.features.select("relative").loc[self.others["cell_id"]]
        asked = pd.concat([self.sets["relative"][~self.train], more])
        there = np.r_[self.rigs[~self.train], self.others["dataset"]].astype(object)
        kinds = self.others["reason"].map({"not_mouse": "human", "unsure_label": "no clear class"})
        groups = np.r_[np.full((~self.train).sum(), "test cells"), kinds].astype(object)
        held_out = self.learner().held_out(x, y, self.folds).max(axis=1)
        sure = self.learner().fit(x, y).predict_proba(asked, self.threads).max(axis=1)
        known = pd.DataFrame({"distance": outsiders.distances(x, where), "doubt": 1 - held_out})
        scores = pd.DataFrame({"distance": outsiders.distances(x, where, asked, there), "doubt": 1 - sure})
        return outsiders.judged(outsiders.oddness(scores, known, there, where), sure > 0.9, groups, "test cells")
