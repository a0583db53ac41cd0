"""Saliency, its checks, SHAP and the choice of cells: against finite differences, theory and faults made on purpose."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import nn

from stslib import baseline, explain, figures, networks
from stslib.cohort import CLASSES
from stslib.explain import regions, saliency
from stslib.networks import InputTransform
from stslib.scalograms import Bank, ImageSettings, Preprocessing
from stslib.support.errors import ParameterError, StsError
from stslib.sweeps import SweepSettings

torch.set_num_threads(1)
SIZE = (32, 32)
MADE = Preprocessing(SweepSettings(), Bank(), ImageSettings(height=18, width=120))
AXES = regions.axes_of(MADE)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(3)
    return rng.normal(0, [[[[5.0]], [[20.0]]]], (12, 2, 24, 40)).astype(np.float32)


@pytest.fixture(scope="module")
def transform(images):
    return InputTransform.fit(images, np.arange(12), "resnet18", SIZE)


def network(model, transform):
    return explain.Network("resnet18", model, transform, "simulated")


def linear(images, compress="none", scale=(1.0, 1.0)):
    """A linear model of the pixels behind a transform without resize, and its weights `(4, 3, h, w)`."""
    height, width = images.shape[2:]
    torch.manual_seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * height * width, 4))
    transform = InputTransform(height, width, compress, True, scale, (0.0, 0.0), (1.0, 1.0))
    return model, transform, model[1].weight.detach().numpy().reshape(4, 3, height, width)


def smooth_net(seed=0):
    """A small network without kinks, so that finite differences can be exact."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.Tanh(), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(36, 4))


def test_saliency_equals_finite_differences_of_the_score(images, transform):
    """Through asinh, resize and normalisation; at pixels drawn at random."""
    model, rng = smooth_net(), np.random.default_rng(0)
    maps = explain.saliency_maps(network(model, transform), images[:2], "partner", n_random=0).trained
    winners = model(transform(images[:2])).argmax(1)
    for cell in range(2):
        for row, column in zip(rng.integers(0, 24, 6), rng.integers(0, 40, 6), strict=True):
            moved = np.repeat(images[cell : cell + 1], 2, axis=0)
            moved[:, 1, row, column] += (0.5, -0.5)
            up, down = model(transform(moved))[:, winners[cell]].tolist()
            assert maps[cell, row, column] == pytest.approx(abs(up - down), rel=0.05, abs=3e-6)


def test_saliency_of_a_linear_model_is_the_size_of_its_weights(images):
    model, transform, weights = linear(images)
    # The network sees the rheobase channel twice, as channels 0 and 2.
    sizes, target = np.abs(np.stack([weights[:, 0] + weights[:, 2], weights[:, 1]], axis=1)), np.arange(12) % 4
    found = explain.gradients(model, transform, images, target)
    np.testing.assert_allclose(found, sizes[target], rtol=1e-4, atol=1e-7)
    winners = model(transform(images)).argmax(1)
    largest = explain.saliency_maps(network(model, transform), images, n_random=0).trained
    np.testing.assert_allclose(largest, sizes[winners].max(axis=1), rtol=1e-4, atol=1e-7)
    # With asinh(x / s) before it, the gradient for each unit of its input is the same for all values of x.
    model, transform, weights = linear(images, "asinh", (2.0, 7.0))
    ways = ("input", "stored")
    found, stored = (explain.gradients(model, transform, images, np.zeros(12), way)[:, 1] for way in ways)
    np.testing.assert_allclose(found, np.broadcast_to(np.abs(weights[0, 1]), found.shape), rtol=1e-3, atol=1e-7)
    large = np.abs(images[:, 1]) > 20
    assert (stored / found)[large].mean() < 0.5 * (stored / found)[~large].mean()


def test_saliency_leaves_the_model_alone_and_does_not_depend_on_batches(images, transform):
    model = networks.build("resnet18", dropout=0.5).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    one, many = (explain.gradients(model, transform, images, np.zeros(12), batch_size=size) for size in (1, 12))
    np.testing.assert_allclose(one, many, rtol=1e-3, atol=1e-3 * many.max())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_unknown_choices_other_shapes_and_a_diverged_network_are_refused(images, transform):
    model = smooth_net()
    for sweep, respect_to in (("third", "stored"), ("mean", "stored"), ("max", "pixels")):
        with pytest.raises(ParameterError, match="use one of"):
            explain.saliency_maps(network(model, transform), images, sweep, respect_to)
    with pytest.raises(StsError, match="give \\(n_cells, 2, height, width\\)"):
        explain.gradients(model, transform, images[:, :1], np.zeros(12))
    model[4].weight.data[:] = float("nan")
    with pytest.raises(StsError, match="not finite"):
        explain.gradients(model, transform, images, np.zeros(12))


def test_the_best_network_is_chosen_by_cross_validation_alone(tmp_path, images, transform):
    rows = [("resnet18", "cv", 0.7), ("resnet18", "holdout", 0.9), ("compact", "cv", 0.75), ("lightgbm", "cv", 0.99)]
    same = {"metric": "balanced_accuracy", "data": "simulated"}
    records = [{"model": m, "split": s, "value": v, **same} for m, s, v in rows]
    records.append({**records[0], "metric": "accuracy", "value": 1.0})
    for name in ("resnet18", "compact"):
        own = InputTransform.fit(images, np.arange(12), name, SIZE)
        networks.save(tmp_path / name, networks.build(name), own, {"architecture": name})
    assert explain.load_network(tmp_path, records).name == "compact"
    assert explain.load_network(tmp_path, records, "resnet18").data == "simulated"
    with pytest.raises(ParameterError, match="trained only: resnet18, compact"):
        explain.load_network(tmp_path, records, "mobilenet_v2")
    with pytest.raises(StsError, match="notebook 05"):
        explain.load_network(tmp_path, records[3:4])


def test_similarity_is_spearman_and_knows_equal_and_unrelated_maps():
    maps, others = np.random.default_rng(0).random((2, 5, 60, 60))
    expected = [stats.spearmanr(a.ravel(), b.ravel())[0] for a, b in zip(maps, others, strict=True)]
    np.testing.assert_allclose(saliency.similarity(maps, others), expected, atol=1e-10)
    np.testing.assert_allclose(saliency.similarity(maps, maps**3), 1, atol=1e-10)
    assert np.abs(saliency.similarity(maps, others)).max() < 0.1
    assert np.isnan(saliency.similarity(maps, np.zeros_like(maps))).all()


def test_randomisation_sets_the_same_network_apart_from_others_drawn_by_their_seeds(images, transform):
    model = saliency.untrained_network("resnet18", transform, images, 5)
    maps = explain.saliency_maps(network(model, transform), images, n_random=2, seed=11)
    check = maps.randomisation()
    assert list(check) == ["reinitialised", "two_random", "another_cell"]
    # Nothing was learnt, so the "trained" network is as far from new ones as those from each other, and far from 1.
    assert abs(check.reinitialised.mean() - check.two_random.mean()) < 0.1
    assert check.reinitialised.max() < 0.7
    same = explain.Maps(maps.trained, np.stack([maps.trained, maps.trained])).randomisation()
    np.testing.assert_allclose(same[["reinitialised", "two_random"]], 1, atol=1e-9)
    with pytest.raises(ParameterError, match="at least 2"):
        explain.Maps(maps.trained, maps.untrained[:1]).randomisation()
    assert maps.scaled().max(axis=(1, 2)).tolist() == [1.0] * 12
    draws = (saliency.untrained_network("resnet18", transform, images, one)(transform(images)) for one in (5, 5, 6))
    first, again, other = (scores.detach() for scores in draws)  # untrained networks follow from their seed only
    torch.testing.assert_close(first, again)
    assert not torch.allclose(first, other)


def test_image_axes_are_the_pixels_of_the_stored_image():
    axes = explain.image_axes(Bank(), 180, 4800, 0.1, 1.2)
    np.testing.assert_allclose(axes.frequencies_hz, np.arange(20, 200))
    np.testing.assert_allclose(axes.times_s, (np.arange(4800) + 0.5) / 4000 - 0.1)
    axes = explain.image_axes(Bank(), 90, 120, 0.1, 1.2)
    np.testing.assert_allclose(axes.frequencies_hz, np.arange(20.5, 200, 2))  # each pixel covers two rows
    np.testing.assert_allclose(axes.times_s[[0, -1]], [-0.095, 1.095])
    np.testing.assert_allclose(axes.time_edges_s[[0, -1]], [-0.1, 1.1])
    np.testing.assert_allclose(axes.frequency_edges_hz[1:-1], np.arange(21.5, 198, 2))
    with pytest.raises(StsError, match="ready-made"):
        regions.axes_of(Preprocessing(MADE.sweeps, MADE.bank, MADE.image, ready_made=True))


def test_shares_add_up_to_those_of_the_area_and_measures_find_what_was_put_in():
    rng = np.random.default_rng(0)
    table = regions.shares(rng.random((7, 18, 120)), AXES.times_s)
    for part in ("window:", "band:"):
        np.testing.assert_allclose(table.filter(like=part).sum(axis=1), 1)
    even = regions.shares(np.ones((1, 18, 120)), AXES.times_s).iloc[0]
    np.testing.assert_allclose(even.filter(like="window:"), np.array([0.1, 0.1, 0.9, 0.1]) / 1.2)
    np.testing.assert_allclose(even.filter(like="band:"), 1 / 3)
    assert regions.shares(np.zeros((1, 18, 120)), AXES.times_s).isna().all(axis=None)
    maps, times_s = np.ones((4, 18, 120)), AXES.times_s
    maps[1, :3, np.abs(times_s - 0.03) < 0.02] += 50  # low, at the first spike
    maps[2, 12:, np.abs(times_s - 0.5) < 0.02] += 50  # high, where the train ends
    marks = pd.DataFrame({"first_s": [0.03, 0.03, 0.03, np.nan], "last_s": [0.97, 0.97, 0.5, np.nan]})
    table = regions.measures(maps, AXES, marks)
    assert (table.first_spike[0], table.breadth[0]) == pytest.approx((1, 1))
    assert table.centre_hz[0] == pytest.approx(AXES.frequencies_hz.mean())
    assert table.first_spike[1] > 3 and table.burst_end[2] > 3 and table.breadth[1] < 0.95
    assert table["band:low"][1] == pytest.approx((720 + 600) / 2760)  # 720 pixels a band, 12 of them 50 brighter
    assert table.centre_hz[1] < AXES.frequencies_hz.mean() - 10
    assert table["band:high"][2] == pytest.approx((720 + 1200) / 3360)
    assert table.burst_end.isna().tolist() == [True, True, False, True]  # only where the train ends early
    assert np.isnan(table.first_spike[3])


def test_spike_marks_follow_the_sweep_and_only_a_train_can_end():
    """Spikes put at known times: the partner's train ends early or late, a lone spike is no train."""
    traces = np.zeros((3, 2, 4800))
    times = [([0.2], [0.03, 0.2, 0.4]), ([0.1, 0.2, 0.3], [0.05, 0.5, 0.95]), ([0.6], [0.5])]
    for cell, pair in enumerate(times):
        for sweep, spikes in enumerate(pair):
            for at in spikes:
                traces[cell, sweep, round((at + 0.1) * 4000) + np.arange(4)] = [30, 80, 90, 20]
    marks = {sweep: regions.spike_marks(traces, sweep, 4000.0, 0.1) for sweep in ("max", "rheobase", "partner")}
    np.testing.assert_allclose(marks["max"].first_s, [0.03, 0.05, 0.5], atol=2e-3)
    np.testing.assert_allclose(marks["max"].last_s, [0.4, 0.3, np.nan], atol=2e-3)
    np.testing.assert_allclose(marks["partner"].last_s, [0.4, 0.95, np.nan], atol=2e-3)
    np.testing.assert_allclose(marks["rheobase"].first_s, [0.2, 0.1, 0.6], atol=2e-3)


def test_statements_hold_only_where_the_trained_network_does_more_than_an_untrained_one():
    labels, times_s = np.repeat(["Excitatory", "Pvalb"], 20), AXES.times_s
    marks = pd.DataFrame({"first_s": np.full(40, 0.05), "last_s": np.full(40, 0.5)})
    maps, others = (np.random.default_rng(seed).gamma(4, 1, (40, 18, 120)) for seed in (0, 1))  # no preference

    def verdicts(trained, untrained, classes=labels):
        made = [regions.measures(one, AXES, marks) for one in (trained, untrained)]
        return explain.Measured(*made, classes).statements(400, 0).verdict.tolist()

    focused = maps.copy()
    focused[:20, :6, np.abs(times_s - 0.05) < 0.05] *= 4  # Excitatory: first spike, low frequencies
    found = verdicts(focused, others)
    assert found[:4] == ["holds"] * 4 and found[4] != "holds"  # nothing was put where bursts end
    # The same maps from a network without training: it is the scalogram, not learning.
    assert set(verdicts(focused, focused)[:4]) == {"not shown to be learnt"}
    focused[:20] = maps[:20, :, ::-1]
    focused[:20, :, np.abs(times_s - 0.05) < 0.05] *= 0.2
    assert verdicts(focused, others)[0] == "does not hold"
    assert set(verdicts(maps, others, np.where(np.arange(40) < 37, "Sst", "Pvalb"))) == {"too few cells"}


def test_intervals_cover_the_true_mean_as_often_as_they_say():
    rng = np.random.default_rng(4)
    ends = np.array([regions.mean_interval(rng.normal(1, 1, 40), 400, k)[1:3] for k in range(300)])
    # Nominal 0.95; the percentile interval of 40 values is a little narrow.
    assert 0.89 < ((ends[:, 0] <= 1) & (ends[:, 1] >= 1)).mean() < 0.98


@pytest.fixture(scope="module")
def fitted():
    """A baseline whose second feature sets Pvalb apart from the rest, and whose others are noise."""
    rng = np.random.default_rng(0)
    labels = rng.choice(CLASSES, 300)
    x = pd.DataFrame(rng.normal(size=(300, 4)), columns=["noise_a", "decisive", "noise_b", "half"])
    x["decisive"] += 6 * (labels == "Pvalb")
    x.loc[::7, "noise_b"] = np.nan
    return baseline.Learner(params={"n_estimators": 30}).fit(x, labels), x, labels


def test_shap_values_add_up_to_the_log_odds_and_a_decisive_feature_ranks_first(fitted):
    model, x, labels = fitted
    shap = explain.shap_values(model, x[["half", "noise_b", "decisive", "noise_a"]])
    assert shap.values.shape == (300, 4, 4) and list(shap.features) == list(x)
    scores = model.booster.predict(x.to_numpy(), raw_score=True)
    base = scores - shap.values.sum(axis=1)
    np.testing.assert_allclose(base, np.broadcast_to(base[0], base.shape), atol=1e-8)
    # Lundberg & Lee: the base is the mean score over the data that the trees were grown on.
    np.testing.assert_allclose(base[0], scores.mean(axis=0), atol=1e-6)
    with pytest.raises(StsError, match="'half'"):
        explain.shap_values(model, x.drop(columns="half"))
    top = shap.top("Pvalb", 3)
    assert top.feature[0] == "decisive" and top["rank"].tolist() == [1, 2, 3]
    assert top.mean_abs_shap[0] > 3 * top.mean_abs_shap[1]
    for_pvalb = shap.values[:, 1, CLASSES.index("Pvalb")]
    assert for_pvalb[labels == "Pvalb"].min() > for_pvalb[labels != "Pvalb"].max()


def test_representative_cells_are_correct_cells_of_median_confidence_or_the_papers_own():
    labels = np.array(["Pvalb"] * 4 + ["Sst"] * 3 + ["Excitatory"] * 2)
    ids, proba = np.array([f"cell-{k}" for k in range(9)]), np.full((9, 4), 0.1)
    own = [CLASSES.index(c) for c in labels]
    proba[np.arange(9), own] = [0.9, 0.5, 0.7, 0.05, 0.8, 0.8, 0.6, 0.02, 0.01]
    proba /= proba.sum(axis=1, keepdims=True)
    found = explain.representative_cells(labels, proba, ids).set_index("class")
    assert list(found.index) == ["Pvalb", "Sst", "Excitatory"]  # no Vip/Lamp5 among the test cells
    assert found.cell_id["Pvalb"] == "cell-2"  # of 0.9, 0.7, 0.5; not cell-3, which is wrong
    assert found.cell_id["Sst"] == "cell-4"  # of 0.6, 0.8, 0.8: the first id of the tie
    assert found.correct.to_dict() == {"Pvalb": True, "Sst": True, "Excitatory": False}
    assert found.position["Pvalb"] == 2
    order = np.random.default_rng(0).permutation(9)
    shuffled = explain.representative_cells(labels[order], proba[order], ids[order])
    assert shuffled.cell_id.tolist() == found.cell_id.tolist()
    renamed = np.where(ids == "cell-3", "765881829", ids)  # the paper's own cell is shown even when it is wrong
    found = explain.representative_cells(labels, proba, renamed).set_index("class")
    assert found.cell_id["Pvalb"] == "765881829" and not found.correct["Pvalb"]
    assert found.chosen_as[["Pvalb", "Sst"]].tolist() == ["the paper's cell", "median confidence"]


def test_the_conclusion_follows_from_the_numbers():
    check = pd.DataFrame({"reinitialised": [0.2] * 9, "two_random": [0.3] * 9, "another_cell": [0.1] * 9})
    found = pd.DataFrame({"statement": ["Pvalb: an example"], "n": [7], "verdict": ["holds"]})
    shap = explain.Shap(np.ones((9, 2, 4)), pd.DataFrame({"adaptation": [0] * 9, "trough_t_long_square": 0}))
    text = explain.conclusion(explain.Network("compact", None, None, "simulated"), check, found, shap, 100)
    assert "Pvalb: an example (n = 7): **holds**." in text and "neither confirm nor refute" in text
    assert "untrained ones by 0.20" in text and "mean difference -0.100, -0.100 to -0.100" in text
    assert "most of a map changes" in text and "no more in common" in text
    assert "1 of 2 are among the baseline's five strongest here: adaptation" in text and "here: trough_t;" in text
    other = check.assign(reinitialised=0.8, another_cell=0.5)
    text = explain.conclusion(explain.Network("compact", None, None, "hybrid"), other, found, shap, 100)
    assert "much of a map is there without learning" in text and "have more in common" in text
    assert "neither confirm" not in text and "The cells are hybrid." in text


def test_the_figure_shows_its_input(fitted):
    rng, map_ = np.random.default_rng(0), np.linspace(0.1, 1, 18 * 120, dtype=np.float32).reshape(18, 120)
    shap, maps = explain.shap_values(fitted[0], fitted[1]), explain.Maps(map_[None] / 3, map_[None, None])
    cells = pd.DataFrame({"class": ["Pvalb"], "cell_id": "7", "predicted": "Sst", "probability": 0.25, "position": 0})
    figure = figures.explanation(cells, rng.normal(size=(1, 2, 4800)), maps, shap, MADE, "simulated")
    axes = figure.subfigs[0].axes
    drawn = next(ax for ax in axes if ax.get_xlabel() == "Time from step onset (s)").collections[0]
    np.testing.assert_allclose(drawn.get_array().reshape(18, 120), map_, rtol=1e-6)
    np.testing.assert_allclose(drawn.get_coordinates()[0, [0, -1], 0], [-0.1, 1.1])
    swarm = next(ax for ax in axes if ax.get_xlabel() == "SHAP value (log-odds)")
    assert swarm.texts[0].get_text() == "decisive"
    shown = np.sort(swarm.collections[0].get_offsets()[:, 0])
    np.testing.assert_allclose(shown, np.sort(shap.values[:, 1, 0]))
    assert "taken for Sst" in axes[0].get_title() and "rheobase + 40 pA" in axes[0].get_title()
    assert "simulated" in figure.get_supxlabel()
    with pytest.raises(StsError, match="no cell"):
        figures.explanation(cells[:0], np.zeros((0, 2, 4800)), maps, shap, MADE, "simulated")
