"""The audit: every check is run on made-up cells whose answer is known, and its six sweeps on the real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn import metrics as sk

from stslib import audit, baseline, cohort, evaluation, features, figures, io
from stslib.audit import checks, rigs
from stslib.baseline import learner, trees
from stslib.cohort import CLASSES
from stslib.press import parameters
from stslib.press.runner import available, read_profile
from stslib.recordings import Recording
from stslib.support.errors import StsError
from tests.test_features import shared_table, sweep

SMALL = {"n_estimators": 25, "num_leaves": 8, "min_child_samples": 5, "learning_rate": 0.2}
QUICK = baseline.Learner("lightgbm", SMALL)


def cells(n: int = 800, seed: int = 0, shift: float = 0.0) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Four Gaussian classes in two features, in two data sets of other class shares; `shift` moves one of the two sets."""
    rng = np.random.default_rng(seed)
    rigs = np.where(rng.random(n) < 0.5, "Clamp", "Seq").astype(object)
    shares = np.where((rigs == "Clamp")[:, None], [0.2, 0.15, 0.25, 0.4], [0.25, 0.35, 0.3, 0.1])
    numbers = (rng.random(n)[:, None] > np.cumsum(shares, axis=1)).sum(axis=1).clip(max=3)
    points = np.column_stack([numbers % 2, numbers // 2]) * 4.0 + rng.normal(0, 0.8, (n, 2))
    points += shift * (rigs == "Seq")[:, None]
    return pd.DataFrame(points, columns=["a", "b"]), np.asarray(CLASSES, dtype=object)[numbers], rigs


def test_the_rig_is_predicted_by_what_knows_it_and_not_by_what_knows_only_the_class():
    """The classes have other shares in the two sets: a plain classifier would beat chance by them, this must not."""
    x, y, datasets = cells(3000)
    found = rigs.rig_accuracy(x, y, datasets)
    assert found["value"] == pytest.approx(0.5, abs=0.04)
    assert found["low"] <= found["value"] <= found["high"]
    assert found["value"] == pytest.approx(np.mean([found[c] for c in CLASSES]))
    assert rigs.rig_accuracy(x.assign(onset=np.where(datasets == "Clamp", 1.02, 0.5)), y, datasets)["value"] == 1
    noisy = pd.DataFrame({"v": np.random.default_rng(1).normal(size=3000) + 1.5 * (datasets == "Seq")})
    overlap = stats.norm.cdf(0.75)  # the Bayes rate
    assert rigs.rig_accuracy(noisy, y, datasets)["value"] == pytest.approx(overlap, abs=0.04)


def test_bad_rigs_are_one_line():
    x, y, datasets = cells(200)
    pvalb = y == "Pvalb"
    few = np.where(pvalb, np.where(np.cumsum(pvalb) > 2, "Clamp", "Seq"), datasets)
    for words, wrong in (
        ("come from 1 data sets", np.full(200, "Seq", dtype=object)),
        ("class Pvalb occurs in one data set only", np.where(pvalb, "Clamp", datasets)),
        ("Pvalb, Seq: 2 cells, fewer than 3 folds", few),
    ):
        with pytest.raises(StsError, match=words):
            rigs.rig_accuracy(x, y, wrong)
    with pytest.raises(StsError, match="two are compared"):
        list(rigs.directions(np.array(["Seq"] * 4), np.ones(4, dtype=bool)))


def test_directions_never_learn_from_the_other_data_set_and_the_strict_ones_test_on_test_cells():
    _, _, datasets = cells(400)
    train = np.arange(400) % 5 > 0
    ways = list(rigs.directions(datasets, train))
    assert [split for split, *_ in ways] == [
        "transfer:Clamp->Seq", "transfer:Seq->Clamp", "transfer-test:Clamp->Seq", "transfer-test:Seq->Clamp",
    ]  # fmt: skip
    for split, fit, unlabelled, test in ways:
        source = split.split(":")[1].split("->")[0]
        assert set(datasets[fit]) == {source}
        assert source not in set(datasets[test]) | set(datasets[unlabelled])
        strict = split.startswith("transfer-test")
        assert train[fit].all() == (~train[test]).all() == train[unlabelled].all() == strict


def test_self_training_follows_a_shift_of_the_rig_without_its_labels():
    x, y, datasets = cells(1200, shift=1.8)
    fit, other = datasets == "Clamp", datasets == "Seq"
    plain = rigs.adapted(x[fit], y[fit], x[other], x[other], rounds=0)
    moved = rigs.adapted(x[fit], y[fit], x[other], x[other])
    before, after = (evaluation.score("balanced_accuracy", y[other], evaluation.predicted(p)) for p in (plain, moved))
    assert after > before + 0.05
    assert moved.sum(axis=1) == pytest.approx(1)
    across = rigs.across(QUICK)  # takes no notice of the other set
    assert (across(x[fit], y[fit], x[other], x[other]) == across(x[fit], y[fit], x[fit], x[other])).all()


def test_parts_are_scored_as_scikit_learn_scores_them():
    x, y, datasets = cells(600)
    said = evaluation.predicted(QUICK.held_out(x, y, cohort.folds(y, 3)))
    table = checks.by_part(y, said, datasets, 200).set_index(["part", "metric"])
    for rig in ("Clamp", "Seq"):
        of_rig = y[datasets == rig].astype(str), said[datasets == rig].astype(str)
        recall = sk.recall_score(*of_rig, labels=list(CLASSES), average=None)
        expected = [sk.accuracy_score(*of_rig), sk.balanced_accuracy_score(*of_rig), *recall]
        assert table.loc[rig]["value"].loc[["accuracy", "balanced accuracy", *CLASSES]].tolist() == pytest.approx(
            expected
        )
    assert (table["low"] <= table["value"]).all() and (table["value"] <= table["high"]).all()


def test_more_cells_help_wrong_labels_cost_and_neither_changes_the_whole_cross_validation():
    x, y, _ = cells(900)
    folds = cohort.folds(y, 3)
    whole = evaluation.score("balanced_accuracy", y, evaluation.predicted(QUICK.held_out(x, y, folds)))
    curve = checks.curve(checks.fewer_cells, (0.03, 1.0), QUICK, x, y, folds, 200)
    assert curve["value"].iloc[0] < curve["value"].iloc[1] == whole
    assert curve["n"].tolist() == pytest.approx([18, 600], abs=2)
    noise = checks.curve(checks.wrong_labels, (0.0, 0.7), QUICK, x, y, folds, 200)
    assert noise["value"].iloc[1] + 0.2 < noise["value"].iloc[0] == whole


def test_planted_wrong_labels_are_doubted_and_right_ones_hardly_ever():
    x, y, _ = cells(1500)
    rng = np.random.default_rng(0)
    wrong = rng.random(len(y)) < 0.05
    given = np.where(wrong, np.roll(np.asarray(CLASSES, dtype=object), 1)[[CLASSES.index(v) for v in y]], y)
    proba = QUICK.held_out(x, given, cohort.folds(given, 3))
    rather = checks.suspects(given, proba)
    assert (rather[wrong] == y[wrong]).mean() > 0.8
    assert (rather[~wrong] != "").mean() < 0.03


def test_calibration_error_of_honest_probabilities_is_small_and_of_boasts_is_the_boast():
    rng = np.random.default_rng(0)
    proba = rng.dirichlet([2, 1, 1, 1], 3000)
    labels = np.asarray(CLASSES)[(rng.random(3000)[:, None] > np.cumsum(proba, axis=1)).sum(axis=1).clip(max=3)]
    assert checks.calibration_interval(labels, proba, 200)[0] == evaluation.calibration(labels, proba)[1] < 0.03
    sure = np.tile([0.97, 0.01, 0.01, 0.01], (3000, 1))
    error, low, high = checks.calibration_interval(labels, sure, n_bootstrap=500)
    assert error == pytest.approx(0.97 - np.mean(labels == "Pvalb"))
    assert low < error < high
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.24 / 3000), rel=0.2)  # binomial: every cell is in one bin


def test_shap_sizes_are_those_of_the_shap_library():
    import shap

    x, y, _ = cells(200)
    model = QUICK.fit(x, y)
    theirs = np.abs(np.asarray(shap.TreeExplainer(model.booster).shap_values(x.to_numpy()))).mean(axis=0)  # (2, 4)
    assert rigs.shap_sizes(model, x).to_numpy() == pytest.approx(theirs, abs=1e-6)


def test_a_feature_that_carries_the_rig_is_separated_from_one_that_carries_the_cell():
    x, y, datasets = cells(1500)
    named = x.rename(columns={"a": "f_i_curve_slope"})
    onset_s = np.where(datasets == "Clamp", 1.02, 0.5)  # later in Clamp, where most Excitatory cells are
    named["fast_trough_t_long_square"] = onset_s + np.random.default_rng(0).uniform(0, 0.3, 1500)
    sizes = rigs.shap_sizes(QUICK.fit(named, y), named)
    table = rigs.class_or_rig(sizes, named, y, datasets, "Excitatory", n=3).set_index("feature")
    assert table.loc["fast_trough_t_long_square", "rig_auc"] > 0.99
    assert table.loc["f_i_curve_slope", "rig_auc"] < 0.6
    assert table.loc["f_i_curve_slope", "class_auc"] > 0.8
    assert table["paper"].to_dict() == {"f_i_curve_slope": False, "b": False, "fast_trough_t_long_square": True}
    assert sorted(table["rank"]) == [1, 2, 3]


@pytest.fixture(scope="module")
def study():
    """Made-up cells whose f-I slope and one voltage know the class, and whose absolute times know the rig."""
    x, y, datasets = cells(400)
    rng = np.random.default_rng(3)
    table = pd.DataFrame({c: rng.normal(size=400) for c in features.SHARED})
    table["onset_s"] = np.where(datasets == "Clamp", 1.02, 0.5)
    for c in table.filter(like="_t_"):
        table[c] = 0.05 * table[c].abs() + table["onset_s"]
    table["f_i_curve_slope"], table["peak_v_long_square"], table["cell_id"] = x["a"], x["b"], table.index.astype(str)
    about = table[["cell_id"]].assign(label=y, dataset=datasets, donor=rng.integers(0, 150, 400).astype(str))
    about = about.assign(split=np.resize(["train"] * 4 + ["test"], 400), line="Cre-A", t_type="Sst Tac2")
    with pytest.MonkeyPatch.context() as patch:  # small trees: the questions count here, not the scores
        patch.setitem(trees.DEFAULTS, "n_estimators", 8)
        patch.setitem(learner.ENSEMBLE_TREES, "n_estimators", 8)
        others = about[["cell_id", "dataset"]].tail(30).assign(reason=["not_mouse", "unsure_label"] * 15)
        about = about.head(370)  # the rest does not belong, so they say
        yield audit.Audit(about, features.FeatureTable(table), n_folds=2, n_bootstrap=20, others=others)


@pytest.fixture(scope="module")
def saved(study):
    """Predictions as notebook 4 saves them, of a model that learnt the training cells by heart."""
    proba = study.learner().fit(study.sets["published"], study.y).predict_proba(study.sets["published"])
    return {"LightGBM": study.cells[["cell_id"]].assign(**{f"p:{c}": proba[:, k] for k, c in enumerate(CLASSES)})}


def test_each_question_has_its_table_and_the_conclusions_follow_from_them(study, saved):
    rig = study.rig_accuracy().set_index("features")["value"]
    assert list(rig.index) == ["published", "intended", "stimulus_aligned", "all", "relative", "times", "aligned times"]
    assert rig["times"] > 0.95 > 0.65 > rig["aligned times"]  # times know the rig until they are aligned
    records = pd.DataFrame(study.transfer())
    assert records["model"].nunique() == 8
    assert records.groupby("model")["split"].nunique().eq(4).all()
    by_part, of_parts = study.by_part(saved)
    assert {r["split"] for r in of_parts} == {"holdout:Clamp", "holdout:Seq"}
    donors, (curves, errors), chance = study.donors(), study.calibration(saved), study.shuffled(2)
    assert set(curves) == {"LightGBM"}
    assert curves["LightGBM"][1] == errors["error"].iloc[0]
    assert (donors["by donor"] - donors["random"]).tolist() == pytest.approx(donors["difference"].tolist())
    assert donors["features"].iloc[-1] == "lightgbm:ensemble"
    assert 0 < study.shared_donors() <= 1
    assert errors["n"].tolist()[0] == errors["n"].iloc[1:].sum() == (~study.train).sum()
    assert chance.to_numpy().mean() == pytest.approx(0.25, abs=0.1)
    tables = {"rig": rig.reset_index(), "transfer": records, "donors": donors, "by_part": by_part}
    earlier, (sets, promised) = pd.DataFrame(study.earlier_networks()), study.prediction_sets(saved)
    tables |= {"two_sweeps": study.two_sweeps(), "earlier": earlier, "sets": sets, "outsiders": study.outsiders()}
    assert (tables["two_sweeps"]["difference"] < -0.1).all()  # here the slope knows half of the class
    assert set(earlier["split"]) == {"cv:Clamp"} and earlier["n"].unique().tolist() == [(study.rigs == "Clamp").sum()]
    assert [r["metric"] for r in promised] == ["coverage:Clamp", "coverage:Seq"] and len(sets) == 12
    odd = tables["outsiders"]
    assert odd["cells"].unique().tolist() == ["test cells", "human", "no clear class"]
    assert study.t_types(saved["LightGBM"])["n"].sum() == study.train.sum()
    assert study.abstention(saved)["model"].unique().tolist() == ["LightGBM, Clamp", "LightGBM, Seq"]
    text = audit.conclusions(tables | {"calibration": errors, "shuffled": chance})
    assert "32 scores above used test cells (8 models in 4 splits, each once)" in text
    assert f"at most {100 * donors['difference'].abs().max():.1f} points" in text
    for words in (
        "need more sweeps",
        "On the ground of the earlier",
        "that promise 90 %",
        "no proof that a cell belongs",
    ):
        assert words in text


def test_curves_suspects_and_features_have_the_columns_that_are_saved(study, saved):
    table, gap = study.times()
    assert set(table["columns"]) == {"times", "aligned times"}
    assert gap.n == study.train.sum()
    doubted, origins = study.suspects(saved["LightGBM"])
    assert list(doubted.columns) == ["cell_id", "label", "rather", "dataset", "origin"]
    assert (origins["cells"].sum(), set(origins["origin"])) == (study.train.sum(), {"Cre-A", "Sst"})
    table, share = study.features_read_again()
    assert set(table["class"]) == {"Excitatory", "Pvalb"}
    assert 0 <= share["stimulus_aligned"] <= share["published"] <= 1
    noise = study.label_noise()
    assert list(noise.columns) == ["share", "value", "low", "high", "model"]
    assert noise["model"].unique().tolist() == ["LightGBM, published", "LightGBM, relative"]


def test_pictures_name_their_data_and_refuse_nothing_to_draw():
    table = pd.DataFrame({"value": [0.5, 0.6], "low": [0.4, 0.5], "high": [0.6, 0.7], "set": ["a", "b"], "n": [10, 20]})
    dots = figures.score_dots(table, "published", "set")
    for figure in (dots, figures.score_curves(table.assign(model="m"), "published", "n", "cells")):
        assert "published feature tables (real cells)" in figure.get_supxlabel()
    assert [t.get_text() for t in dots.axes[0].get_yticklabels()] == ["a", "b"]
    with pytest.raises(StsError, match="nothing to draw"):
        figures.score_dots(table.iloc[:0], "published", "set")
    with pytest.raises(StsError, match="6 series"):
        figures.score_dots(pd.concat([table.assign(s=k) for k in range(6)]), "published", "set", series="s")


def test_the_audit_belongs_to_the_published_profile_and_refuses_other_cells():
    notebook = parameters.read_notebook(available()["07_audit"])
    assert parameters.home_profile(notebook) == "published"
    assert "07_audit" in read_profile("published")["notebooks"]
    assert not any("07_audit" in read_profile(name)["notebooks"] for name in ("default", "smoke", "paper"))
    with pytest.raises(StsError, match="sts run --profile published") as caught:
        audit.Audit.of(io.open_cells({"source": "simulated", "n_cells": 24, "seed": 1}))
    assert "\n" not in str(caught.value)


@pytest.mark.mirror
def test_six_real_sweeps_beside_their_published_rows(mirror: Path):
    """Each is above rheobase: the spike's own shape agrees, and what depends on the current differs as it must."""
    table = features.compare_sweeps(io.mirrored(n_hybrid=0)["real"], io.open_cells({"source": "published"}).features())
    assert table["cell_id"].nunique() == 6
    assert table["above_rheobase_pa"].between(40, 100).all()
    wide = table.pivot(index="cell_id", columns="feature")
    difference, ratio = wide["difference"], "upstroke_downstroke_ratio_long_square"
    assert (difference[ratio].abs() < 0.1 * wide["published"][ratio]).all()
    assert difference["fast_trough_v_long_square"].abs().max() < 2
    assert difference["threshold_v_long_square"].abs().max() < 6
    for sooner in ("first_spike_s", "latency", "avg_isi"):
        assert (difference[sooner] < 0).all(), sooner
    assert (difference["threshold_i_long_square"] > 0).all()
    assert (table["why"] != "").all()


def test_sweeps_that_cannot_be_compared_are_one_line():
    for cell_id, current_pa, spikes, words in (("77", 120, [0.2], "no cell 77"), ("1", 20, [], "no action potential")):
        recording = Recording(cell_id, "Seq", "real", (sweep(1, current_pa, spikes),))
        with pytest.raises(StsError, match=words):
            features.compare_sweeps([recording], shared_table())
