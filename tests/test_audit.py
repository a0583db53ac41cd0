"""The audit: every check is run on made-up cells whose answer is known, and its six sweeps on the real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from stslib import audit, baseline, cohort, evaluation
from stslib.audit import importance
from stslib.cohort import CLASSES
from stslib.figures import audit as pictures
from stslib.press import parameters
from stslib.press.runner import available, read_profile
from stslib.press.stage import Stage
from stslib.support.errors import ParameterError, StsError

SMALL = {"n_estimators": 25, "num_leaves": 8, "min_child_samples": 5, "learning_rate": 0.2}
QUICK = baseline.boosted(SMALL)


def cells(n: int = 800, seed: int = 0, shift: float = 0.0) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Four Gaussian classes in two features, in two data sets of other class shares; `shift` moves one of the two sets."""
    rng = np.random.default_rng(seed)
    rigs = np.where(rng.random(n) < 0.5, "Clamp", "Seq").astype(object)
    shares = np.where((rigs == "Clamp")[:, None], [0.2, 0.15, 0.25, 0.4], [0.25, 0.35, 0.3, 0.1])
    numbers = (rng.random(n)[:, None] > np.cumsum(shares, axis=1)).sum(axis=1).clip(max=3)
    points = np.column_stack([numbers % 2, numbers // 2]) * 4.0 + rng.normal(0, 0.8, (n, 2))
    points += shift * (rigs == "Seq")[:, None]
    return pd.DataFrame(points, columns=["a", "b"]), np.asarray(CLASSES, dtype=object)[numbers], rigs


# --- rigs ---------------------------------------------------------------------------------------------------------------


def test_features_that_know_only_the_class_do_not_tell_the_rig() -> None:
    """The classes have other shares in the two sets: a plain classifier would beat chance by them, this must not."""
    x, y, rigs = cells(3000)
    told = audit.rig_told(x, y, rigs)
    assert told["value"] == pytest.approx(0.5, abs=0.04)
    assert told["low"] <= told["value"] <= told["high"]
    assert told["value"] == pytest.approx(np.mean([told[c] for c in CLASSES]))


def test_a_feature_with_the_rigs_onset_tells_it_and_its_overlap_is_the_bayes_rate() -> None:
    from scipy import stats

    x, y, rigs = cells(3000)
    assert audit.rig_told(x.assign(onset=np.where(rigs == "Clamp", 1.02, 0.5)), y, rigs)["value"] == 1
    rng = np.random.default_rng(1)
    noisy = pd.DataFrame({"v": rng.normal(size=3000) + 1.5 * (rigs == "Seq")})
    assert audit.rig_told(noisy, y, rigs)["value"] == pytest.approx(stats.norm.cdf(0.75), abs=0.04)


def test_bad_rigs_are_one_line() -> None:
    x, y, rigs = cells(200)
    with pytest.raises(StsError, match="come from 1 data sets"):
        audit.rig_told(x, y, np.full(200, "Seq", dtype=object))
    alone = np.where(y == "Pvalb", "Clamp", rigs)
    with pytest.raises(StsError, match="class Pvalb occurs in one data set only"):
        audit.rig_told(x, y, alone)
    few = np.where((y == "Pvalb") & (np.cumsum(y == "Pvalb") > 2), "Clamp", "Seq")
    few = np.where(y == "Pvalb", few, rigs)
    with pytest.raises(StsError, match="Pvalb, Seq: 2 cells, fewer than 3 folds"):
        audit.rig_told(x, y, few)
    with pytest.raises(StsError, match="transfer needs two"):
        list(audit.directions(["Seq"] * 4, np.ones(4, dtype=bool)))


# --- transfer -----------------------------------------------------------------------------------------------------------


def test_directions_never_learn_from_the_other_data_set_and_the_strict_ones_test_on_test_cells() -> None:
    _, _, rigs = cells(400)
    train = np.arange(400) % 5 > 0
    ways = list(audit.directions(rigs, train))
    assert [w.split for w in ways] == [
        "transfer:Clamp->Seq", "transfer:Seq->Clamp", "transfer-test:Clamp->Seq", "transfer-test:Seq->Clamp",
    ]  # fmt: skip
    for way in ways:
        source = way.split.split(":")[1].split("->")[0]
        assert set(rigs[way.fit]) == {source}
        assert source not in set(rigs[way.test]) | set(rigs[way.unlabelled])
        strict = way.split.startswith("transfer-test")
        assert train[way.fit].all() == strict
        assert (~train[way.test]).all() == strict
        assert train[way.unlabelled].all() == strict


def test_self_training_follows_a_shift_of_the_rig_without_its_labels() -> None:
    x, y, rigs = cells(1200, shift=1.8)
    fit, other = rigs == "Clamp", rigs == "Seq"
    plain = audit.discriminant(x[fit], y[fit], x[other], x[other])
    moved = audit.adapted(x[fit], y[fit], x[other], x[other])
    before, after = (evaluation.score("balanced_accuracy", y[other], evaluation.predicted(p)) for p in (plain, moved))
    assert after > before + 0.05
    assert moved.sum(axis=1) == pytest.approx(1)
    with pytest.raises(ParameterError, match="rounds is -1"):
        audit.adapted(x[fit], y[fit], x[other], x[other], rounds=-1)


def test_without_self_training_it_is_the_plain_discriminant_and_across_ignores_the_other_set() -> None:
    x, y, rigs = cells(300)
    fit, other = rigs == "Clamp", rigs == "Seq"
    none = audit.adapted(x[fit], y[fit], x[other], x[other], rounds=0)
    assert (none == audit.discriminant(x[fit], y[fit], x[other], x[other])).all()
    learner = audit.across(QUICK)
    assert (learner(x[fit], y[fit], x[other], x[other]) == learner(x[fit], y[fit], x[fit], x[other])).all()


# --- checks -------------------------------------------------------------------------------------------------------------


def test_parts_are_scored_as_scikit_learn_scores_them() -> None:
    x, y, rigs = cells(600)
    said = evaluation.predicted(baseline.held_out(QUICK, x, y, cohort.folds(y, 3)))
    table = audit.by_part(y, said, rigs, 200).set_index(["part", "metric"])
    for rig in ("Clamp", "Seq"):
        here = rigs == rig
        true, guess = y[here].astype(str), said[here].astype(str)
        assert table.loc[(rig, "accuracy"), "value"] == pytest.approx(sk.accuracy_score(true, guess))
        assert table.loc[(rig, "balanced accuracy"), "value"] == pytest.approx(sk.balanced_accuracy_score(true, guess))
        recall = sk.recall_score(true, guess, labels=list(CLASSES), average=None)
        assert [table.loc[(rig, c), "value"] for c in CLASSES] == pytest.approx(list(recall))
    assert (table["low"] <= table["value"]).all()
    assert (table["value"] <= table["high"]).all()


def test_learning_curve_rises_and_its_end_is_the_whole_cross_validation() -> None:
    x, y, _ = cells(900)
    folds = cohort.folds(y, 3)
    curve = audit.learning_curve(QUICK, x, y, folds, (0.03, 1.0), 200)
    whole = evaluation.predicted(baseline.held_out(QUICK, x, y, folds))
    assert curve["value"].iloc[1] == evaluation.score("balanced_accuracy", y, whole)
    assert curve["n"].tolist() == pytest.approx([18, 600], abs=2)
    assert curve["value"].iloc[0] < curve["value"].iloc[1]
    with pytest.raises(ParameterError, match="share is 0"):
        audit.learning_curve(QUICK, x, y, folds, (0,))


def test_wrong_labels_cost_and_none_cost_nothing() -> None:
    x, y, _ = cells(900)
    folds = cohort.folds(y, 3)
    table = audit.noisy_labels(QUICK, x, y, folds, (0.0, 0.7), 200)
    whole = evaluation.predicted(baseline.held_out(QUICK, x, y, folds))
    assert table["value"].iloc[0] == evaluation.score("balanced_accuracy", y, whole)
    assert table["value"].iloc[1] < table["value"].iloc[0] - 0.2
    with pytest.raises(ParameterError, match=r"share is 1\.0"):
        audit.noisy_labels(QUICK, x, y, folds, (1.0,))


def test_planted_wrong_labels_are_doubted_and_right_ones_hardly_ever() -> None:
    x, y, _ = cells(1500)
    rng = np.random.default_rng(0)
    wrong = rng.random(len(y)) < 0.05
    given = np.where(wrong, np.roll(np.asarray(CLASSES, dtype=object), 1)[[CLASSES.index(v) for v in y]], y)
    proba = baseline.held_out(QUICK, x, given, cohort.folds(given, 3))
    rather = audit.suspects(given, proba)
    assert (rather[wrong] == y[wrong]).mean() > 0.8
    assert (rather[~wrong] != "").mean() < 0.03


def test_calibration_error_of_honest_probabilities_is_small_and_of_boasts_is_the_boast() -> None:
    rng = np.random.default_rng(0)
    proba = rng.dirichlet([2, 1, 1, 1], 3000)
    drawn = (rng.random(3000)[:, None] > np.cumsum(proba, axis=1)).sum(axis=1).clip(max=3)
    labels = np.asarray(CLASSES, dtype=object)[drawn]
    error, low, high = audit.calibration_interval(labels, proba, n_bootstrap=200)
    assert error == evaluation.calibration(labels, proba)[1]
    assert error < 0.03
    sure = np.tile([0.97, 0.01, 0.01, 0.01], (3000, 1))
    error, low, high = audit.calibration_interval(labels, sure, n_bootstrap=500)
    assert error == pytest.approx(0.97 - np.mean(labels == "Pvalb"))
    assert low < error < high
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.24 / 3000), rel=0.2)  # binomial: every cell is in one bin


# --- features read again ------------------------------------------------------------------------------------------------


def test_shap_sizes_are_those_of_the_shap_library() -> None:
    import shap

    x, y, _ = cells(200)
    model = baseline.fit(x, y, SMALL)
    theirs = np.abs(np.asarray(shap.TreeExplainer(model.booster).shap_values(x.to_numpy()))).mean(axis=0)  # (2, 4)
    assert importance.shap_sizes(model, x).to_numpy() == pytest.approx(theirs, abs=1e-6)


def test_a_feature_that_carries_the_rig_is_told_from_one_that_carries_the_cell() -> None:
    x, y, rigs = cells(1500)
    named = x.rename(columns={"a": "f_i_curve_slope"})
    # the absolute time: later in Clamp, where most Excitatory cells are
    named["fast_trough_t_long_square"] = np.where(rigs == "Clamp", 1.02, 0.5) + np.random.default_rng(0).uniform(
        0, 0.3, 1500
    )
    model = baseline.fit(named, y, SMALL)
    table = audit.reread(model, named, y, rigs, "Excitatory", n=3).set_index("feature")
    assert table.loc["fast_trough_t_long_square", "tells_rig"] > 0.99
    assert table.loc["f_i_curve_slope", "tells_rig"] < 0.6
    assert table.loc["f_i_curve_slope", "tells_class"] > 0.8
    assert table["paper"].to_dict() == {"f_i_curve_slope": False, "b": False, "fast_trough_t_long_square": True}
    assert sorted(table["rank"]) == [1, 2, 3]
    share = audit.share_of_times(model, named)
    assert 0 < share["Excitatory"] < 1
    with pytest.raises(ParameterError, match="class"):
        audit.reread(model, named, y, rigs, "Martinotti")


# --- pictures, notebook -------------------------------------------------------------------------------------------------


def test_pictures_name_their_data_and_refuse_nothing_to_draw() -> None:
    table = pd.DataFrame({"value": [0.5, 0.6], "low": [0.4, 0.5], "high": [0.6, 0.7], "set": ["a", "b"], "n": [10, 20]})
    figures = [pictures.dots(table, "published", "set"), pictures.curves({"m": table}, "published", "n", "cells")]
    for figure in figures:
        assert "published feature tables (real cells)" in figure.get_supxlabel()
    assert [t.get_text() for t in figures[0].axes[0].get_yticklabels()] == ["a", "b"]
    with pytest.raises(StsError, match="nothing to draw"):
        pictures.dots(table.iloc[:0], "published", "set")
    with pytest.raises(StsError, match="6 series"):
        pictures.dots(pd.concat([table.assign(s=k) for k in range(6)]), "published", "set", series="s")


def test_the_audit_belongs_to_the_published_profile_and_refuses_other_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = parameters.read_notebook(available()["07_audit"])
    assert parameters.home_profile(notebook) == "published"
    assert "07_audit" in read_profile("published")["notebooks"]
    for name in ("default", "smoke", "paper"):
        assert "07_audit" not in read_profile(name)["notebooks"]
    monkeypatch.setenv("STS_RESULTS", str(tmp_path))
    stage = Stage("01_data", "default", {"source": "simulated"}, writable=False)
    with pytest.raises(StsError, match="sts run --profile published") as caught:
        audit.load(stage)
    assert "\n" not in str(caught.value)


@pytest.mark.mirror
def test_six_real_sweeps_beside_their_published_rows(mirror: Path) -> None:
    """Each is above rheobase: the spike's own shape agrees, and what depends on the current differs as it must."""
    from stslib.io import open_source

    table = audit.compare_or_none(open_source("published").features())
    assert table is not None
    assert table["cell_id"].nunique() == 6
    assert table["above_rheobase_pa"].between(40, 100).all()
    difference = table.set_index(["feature", "cell_id"])["difference"].unstack("feature")
    assert difference["fast_trough_v_long_square"].abs().max() < 2
    assert difference["threshold_v_long_square"].abs().max() < 6
    for sooner in ("first_spike_s", "latency", "avg_isi"):
        assert (difference[sooner] < 0).all(), sooner
    assert (difference["threshold_i_long_square"] > 0).all()
    assert (table["why"] != "").all()


def test_sweeps_that_cannot_be_compared_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from stslib.recordings import Recording
    from tests.test_features import shared_table, sweep

    monkeypatch.delenv("STS_DATA_MIRROR", raising=False)
    assert audit.compare_or_none(shared_table()) is None
    with pytest.raises(StsError, match="no cell 77"):
        audit.compare_sweeps([Recording("77", "Seq", "real", (sweep(1, 120, [0.2]),))], shared_table())
    with pytest.raises(StsError, match="cell 1 has no action potential"):
        audit.compare_sweeps([Recording("1", "Seq", "real", (sweep(1, 20, []),))], shared_table())
