"""Scores against scikit-learn, the bootstrap against theory, McNemar against the binomial test, calibration by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats
from sklearn import metrics as sk

from stslib import evaluation, figures
from stslib.cohort import CLASSES
from stslib.evaluation import temperature
from stslib.support.errors import ParameterError, StsError

HOLDOUT = {"Pvalb": 213, "Sst": 386, "Vip/Lamp5": 359, "Excitatory": 160}  # the paper's test split


def made_up(seed: int, share_right: float = 0.85, counts: dict[str, int] = HOLDOUT) -> tuple[np.ndarray, np.ndarray]:
    """Labels of the paper's holdout, and predictions that are right with probability `share_right`."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(list(counts), list(counts.values())).astype(object))
    wrong = rng.choice(np.array(CLASSES, dtype=object), len(labels))
    return labels, np.where(rng.random(len(labels)) < share_right, labels, wrong)


def proba_of(predictions: np.ndarray, confidence: float = 0.7) -> np.ndarray:
    proba = np.full((len(predictions), 4), (1 - confidence) / 3)
    proba[np.arange(len(predictions)), [CLASSES.index(p) for p in predictions]] = confidence
    return proba


LACKING = np.array(["Sst", "Sst", "Pvalb", "Pvalb"], dtype=object), np.array(["Sst", "Excitatory", "Pvalb", "Pvalb"])


@pytest.mark.parametrize(("labels", "said"), [*(made_up(seed, 0.3 + 0.2 * seed) for seed in range(4)), LACKING])
def test_scores_equal_scikit_learn(labels: np.ndarray, said: np.ndarray):
    records = evaluation.scores(labels, proba_of(said), "lightgbm", "simulated", "holdout", 10)
    y, p = labels.astype(str), said.astype(str)
    expected = {"balanced_accuracy": sk.balanced_accuracy_score(y, p), "accuracy": sk.accuracy_score(y, p)}
    expected["weighted_f1"] = sk.f1_score(y, p, average="weighted", zero_division=0)
    each = sk.f1_score(y, p, average=None, labels=list(CLASSES), zero_division=0)
    expected |= {f"f1:{c}": f1 for c, f1 in zip(CLASSES, each, strict=True) if c in y}  # else there is none to report
    assert {r["metric"]: r["value"] for r in records} == pytest.approx(expected)
    assert (evaluation.confusion(labels, said) == sk.confusion_matrix(y, p, labels=list(CLASSES))).all()


def test_multinomial_draws_are_the_bootstrap_of_the_cells():
    """The same intervals as resampling the cells themselves, one by one, and scoring by scikit-learn."""
    labels, said = made_up(2, counts={"Pvalb": 20, "Sst": 40, "Vip/Lamp5": 30, "Excitatory": 10})
    rng = np.random.default_rng(0)
    plain: list[float] = []
    for _ in range(1500):
        rows = np.concatenate([rng.choice(np.flatnonzero(labels == c), (labels == c).sum()) for c in CLASSES])
        plain.append(sk.f1_score(labels[rows].astype(str), said[rows].astype(str), average="weighted"))
    ours = evaluation.bootstrap(labels, said, 20000)["weighted_f1"]
    assert ours.std() == pytest.approx(np.std(plain), rel=0.08)
    assert evaluation.interval(ours) == pytest.approx(evaluation.interval(np.array(plain)), abs=0.012)


def test_95_percent_intervals_cover_the_truth_about_95_percent_of_the_time():
    """The true accuracy of the made-up classifier is known: 0.8 + 0.2 / 4."""
    drawn = (evaluation.bootstrap(*made_up(seed, share_right=0.8), 400, seed)["accuracy"] for seed in range(400))
    covered = [low <= 0.85 <= high for low, high in map(evaluation.interval, drawn)]
    assert 0.91 <= np.mean(covered) <= 0.985


def test_mcnemar_is_the_exact_test_by_hand():
    # 10 cells that only the first has right, 2 that only the second has: exact p = 2 P(X <= 2), X ~ B(12, 1/2)
    labels, a, b = ["Sst"] * 30, ["Sst"] * 28 + ["Pvalb"] * 2, ["Sst"] * 18 + ["Pvalb"] * 10 + ["Sst"] * 2
    test = evaluation.compare(labels, a, b)
    assert (test.only_first, test.only_second) == (10, 2)
    assert test.p == pytest.approx(2 * (1 + 12 + 66) / 4096)
    swapped = evaluation.compare(labels, b, a)
    assert (swapped.only_first, swapped.p) == (2, test.p)
    assert evaluation.compare(labels, a, a).p == 1
    assert evaluation.compare(labels, labels, ["Pvalb"] * 30).p == pytest.approx(2 / 2**30)  # 30 to none


def test_paired_difference_is_sharper_than_two_single_intervals_and_zero_for_equal_models():
    labels, a = made_up(5, 0.9)
    b = a.copy()
    b[np.random.default_rng(0).choice(len(b), 30, replace=False)] = "Sst"
    found = evaluation.compare(labels, a, b)
    first, second = (sk.balanced_accuracy_score(labels.astype(str), said.astype(str)) for said in (a, b))
    assert found.value == pytest.approx(first - second)
    assert found.low <= found.value <= found.high
    low, high = evaluation.interval(evaluation.bootstrap(labels, a)["balanced_accuracy"])
    assert found.high - found.low < 0.8 * (high - low)
    none = evaluation.compare(labels, a, a, "weighted_f1")
    assert (none.value, none.low, none.high) == (0, 0, 0)


def test_calibration_error_by_hand():
    labels, proba = np.array(["Sst"] * 10, dtype=object), np.tile([0.1, 0.9, 0, 0], (10, 1))  # right in all of 10
    table, error = evaluation.calibration(labels, proba)
    assert error == pytest.approx(0.1)
    assert (table["n"].tolist(), table["accuracy"].tolist()) == ([10], [1.0])
    labels[:5] = "Pvalb"  # now right in half of them
    assert evaluation.calibration(labels, proba)[1] == pytest.approx(0.4)


def test_paper_results_are_those_of_section_iv():
    f1 = evaluation.PAPER_RESULTS.query("metric == 'weighted_f1'").set_index("model")["value"].to_dict()
    assert f1.pop("lightgbm") == 0.89
    assert f1 == {"mobilenet_v2": 0.8972, "inception_v3": 0.9003, "densenet121": 0.8927, "resnet18": 0.8981,
                  "ophir": 0.877, "wang": 0.8875}  # fmt: skip
    assert evaluation.paper_value("inception_v3", "holdout", "balanced_accuracy") == (0.9053, "=")
    assert evaluation.paper_value("lightgbm", "cv", "balanced_accuracy") == (0.88, ">")
    assert evaluation.paper_value("lightgbm", "cv", "accuracy") is None


def test_scores_of_a_cross_validation_are_mean_and_sd_of_each_folds_scores():
    labels, said = made_up(4)
    folds = [(np.arange(0), np.arange(k, len(labels), 3)) for k in range(3)]
    records = evaluation.cv_scores(labels, proba_of(said), folds, "lightgbm", "published")
    expected = [sk.balanced_accuracy_score(labels[o].astype(str), said[o].astype(str)) for _, o in folds]
    assert evaluation.by_fold(labels, proba_of(said), folds)["balanced_accuracy"] == pytest.approx(expected)
    first, ends = records[0], np.mean(expected) + np.std(expected) * np.array([-1, 0, 1])
    assert (first["metric"], first["split"], first["n"]) == ("balanced_accuracy", "cv", len(labels))
    assert [first["low"], first["value"], first["high"]] == pytest.approx(ends)
    assert {r["metric"] for r in records} == set(evaluation.METRICS)


def test_shares_of_the_confusion_matrix_have_binomial_intervals():
    labels, said = made_up(1)
    share, low, high = evaluation.confusion_shares(labels, said, 20000)
    theirs = sk.confusion_matrix(labels.astype(str), said.astype(str), labels=list(CLASSES), normalize="true")
    assert share == pytest.approx(theirs)
    for i, label in enumerate(CLASSES):
        n = HOLDOUT[label]
        assert low[i] * n == pytest.approx(stats.binom.ppf(0.025, n, share[i]), abs=1.01)
        assert high[i] * n == pytest.approx(stats.binom.ppf(0.975, n, share[i]), abs=1.01)


def predictions(model: str = "lightgbm", share_right: float = 0.85, data: str = "published") -> evaluation.Predictions:
    labels, said = made_up(1, share_right)
    cells = pd.DataFrame({"cell_id": np.arange(len(labels)).astype(str), "label": labels, "donor": "d"})
    cells["split"] = np.resize(["test", "train", "train"], len(labels))
    train, proba = (cells["split"] == "train").to_numpy(), proba_of(said)
    folds = [(np.arange(0), np.arange(k, train.sum(), 3)) for k in range(3)]
    return evaluation.Predictions(model, data, cells, proba[train], proba[~train], folds)


def test_predictions_give_records_a_table_and_the_comparison_with_the_paper():
    found = predictions()
    train, labels = found.train, found.cells["label"].to_numpy()
    expected = evaluation.cv_scores(labels[train], found.inside, found.folds, "lightgbm", "published")
    expected += evaluation.scores(labels[~train], found.outside, "lightgbm", "published", "holdout", 50)
    assert found.records(50) == expected
    assert all(r["low"] <= r["value"] <= r["high"] for r in expected)
    table = found.table()
    assert list(table.columns) == ["cell_id", "label", "split", *[f"p:{c}" for c in CLASSES]]
    assert (table.loc[train, [f"p:{c}" for c in CLASSES]].to_numpy() == found.inside).all()
    beside = found.beside_paper(50)
    assert set(beside["split"]) == {"cv", "holdout", "cv, all held-out cells"}
    known = beside[beside["comparable"]].set_index(["split", "metric"])[["relation", "paper"]]
    assert known.T.to_dict("list") == {
        ("holdout", "weighted_f1"): ["=", 0.89], ("holdout", "balanced_accuracy"): [">", 0.88],
        ("cv", "balanced_accuracy"): [">", 0.88],
    }  # fmt: skip
    assert not predictions(data="simulated").beside_paper(50)["comparable"].any()  # not the paper's own cells
    assert found.calibration()[1] == evaluation.calibration(found.test_labels, found.outside)[1]


def test_two_models_side_by_side_are_the_single_scores_and_their_paired_differences():
    one, other = predictions(), predictions(share_right=0.7)
    table = one.compare(other, 300).set_index("metric")
    assert list(table.index) == list(evaluation.METRICS)
    for metric, row in table.iterrows():
        assert row["first"] == evaluation.score(str(metric), one.test_labels, one.test_classes)
        assert row["difference"] == pytest.approx(row["first"] - row["second"])
        assert row["low"] <= row["difference"] <= row["high"]
    assert (one.compare(one, 300)[["difference", "low", "high"]] == 0).all(axis=None)


def test_conclusions_name_the_scores_and_the_hardest_class_and_compare_only_real_cells():
    records = predictions().records(50)
    f1 = {r["metric"][3:]: r["value"] for r in records if r["split"] == "holdout" and r["metric"].startswith("f1:")}
    text = evaluation.baseline_conclusions(records, "relative", 0.123)
    assert "Weighted F1 on 373 real test cells" in text
    assert "89.00 % lie inside this interval. The features are not the paper's: this run uses the set" in text
    assert f"the hardest is {min(f1, key=lambda c: f1[c])} ({100 * min(f1.values()):.1f} %)" in text
    assert "Expected calibration error: 12.3 %" in text
    assert "ensemble" not in text
    both = evaluation.baseline_conclusions([*records, *predictions("lightgbm:ensemble").records(50)], "published", 0.1)
    assert "lie inside this interval.\n" in both
    assert "The ensemble, on the same test cells" in both.splitlines()[2]
    assert len(both.splitlines()) == 6
    other = evaluation.baseline_conclusions(predictions(data="simulated").records(50))
    assert "373 simulated test cells" in other
    assert "Simulated cells are not those cells, so the two numbers cannot be compared." in other
    assert "interval" not in other


@pytest.mark.parametrize(
    ("labels", "proba", "words"),
    [
        (["Sst"], [[0.5, 0.5, 0, 0], [1, 0, 0, 0]], r"shape \(2, 4\); they must be \(1, 4\)"),
        (["Sst"], [[0.5, 0.9, 0, 0]], "add up to 1"),
        (["Sst"], [[np.nan, 1, 0, 0]], "add up to 1"),
        (["Martinotti"], [[1, 0, 0, 0]], "label 'Martinotti' is unknown"),
        ([], np.zeros((0, 4)), "at least one"),
    ],
)
def test_bad_input_is_one_line(labels: list[str], proba: object, words: str):
    with pytest.raises(StsError, match=words) as caught:
        evaluation.scores(labels, np.asarray(proba, dtype=float), "m", "simulated", "holdout", 10)
    assert "\n" not in str(caught.value)


def test_unknown_metric_and_unequal_lengths_are_refused():
    with pytest.raises(ParameterError, match="use one of: balanced_accuracy"):
        evaluation.score("auc", ["Sst"], ["Sst"])
    with pytest.raises(StsError, match="2 predictions for 1 cells"):
        evaluation.compare(["Sst"], ["Sst", "Sst"], ["Sst"])
    with pytest.raises(ParameterError, match="n_bootstrap is 0"):
        evaluation.bootstrap(["Sst"], ["Sst"], 0)


def too_sure(n: int, by: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from true probabilities, and the probabilities of a model that is `by` times too sure of them."""
    rng = np.random.default_rng(seed)
    true = special.softmax(rng.normal(0, 1.2, (n, 4)), axis=1)
    return np.array(CLASSES)[[rng.choice(4, p=p) for p in true]], temperature.calibrated(true, 1 / by)


@pytest.mark.parametrize("by", [0.5, 1.0, 3.0])
def test_the_temperature_of_a_model_that_is_too_sure_is_found(by):
    labels, proba = too_sure(4000, by)
    assert temperature.fit(labels, proba) == pytest.approx(by, rel=0.08)


def test_it_corrects_the_calibration_and_changes_no_decision():
    labels, proba = too_sure(1500, 3.0)
    folds = [(np.arange(0), held) for held in np.array_split(np.arange(1500), 3)]
    card = temperature.summary(labels, proba, folds)
    assert card["ece_before"] > 0.15 > 0.05 > card["ece_after"]
    assert card["log_loss_after"] < card["log_loss_before"]
    after = temperature.calibrated(proba, card["temperature"])
    assert np.allclose(after.sum(1), 1) and np.array_equal(after.argmax(1), proba.argmax(1))


def test_certainties_and_senseless_temperatures():
    assert np.isfinite(temperature.calibrated(np.eye(4), 2.0)).all()
    assert temperature.fit(np.array(CLASSES), np.eye(4)) <= 1  # always right: no reason to doubt
    for wrong in (0.0, -1.0, float("nan")):
        with pytest.raises(StsError, match="must be a number above 0"):
            temperature.calibrated(np.eye(4), wrong)


def test_fig_4_has_a_pair_of_bars_a_model_at_the_recorded_values_and_names_its_data():
    records = [r for model in ("lightgbm", "resnet18") for r in predictions(model).records(50)]
    figure = figures.balanced_accuracy_bars(records, "simulated")
    (ax,) = figure.axes
    values = [r["value"] for r in records if r["metric"] == "balanced_accuracy"]
    assert [p.get_height() for p in ax.patches] == pytest.approx(values)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["ResNet18", "LightGBM"]  # networks first, as in the paper
    assert "simulated cells" in figure.get_supxlabel()
    legend = [t.get_text() for t in figure.legends[0].get_texts()]
    assert any("paper (real cells)" in t for t in legend)
    with pytest.raises(StsError, match="nothing to draw"):
        figures.balanced_accuracy_bars([], "simulated")


def test_confusion_picture_shows_counts_row_shares_and_f1():
    labels, said = made_up(1)
    ax = figures.confusion_matrix(labels, said, "published", "holdout").axes[0]
    n = evaluation.confusion(labels, said)[0, 0]
    assert len(ax.texts) == 16
    assert ax.texts[0].get_text() == f"{n}\n{100 * n / 213:.1f} %"
    columns = [t.get_text() for t in ax.get_xticklabels()]
    assert columns[0] == f"Pvalb\nF1 {100 * evaluation.score('f1:Pvalb', labels, said):.1f} %"
