"""Saliency, its checks, SHAP and the choice of cells: against finite differences, captum, theory and faults made on purpose."""

import numpy as np
import pandas as pd
import pytest
import torch
from captum.attr import Saliency
from torch import nn

from stslib import baseline, explain, networks
from stslib.cohort import CLASSES
from stslib.figures import explained as pictures
from stslib.networks import InputTransform
from stslib.scalograms import Bank
from stslib.support.errors import ParameterError, StsError

torch.set_num_threads(1)
SIZE = 32


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(3)
    return rng.normal(0, [[[[5.0]], [[20.0]]]], (12, 2, 24, 40)).astype(np.float32)


@pytest.fixture(scope="module")
def transform(images):
    return InputTransform.fit(images, np.arange(12), "resnet18", (SIZE, SIZE))


def plain(height, width, compress="none"):
    """A transform that changes nothing but the number of channels."""
    return InputTransform(height, width, compress, True, (1.0, 1.0), (0.0, 0.0), (1.0, 1.0))


def smooth_net(seed=0):
    """A small network without kinks, so that finite differences can be exact."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.Tanh(), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(36, 4))


def test_saliency_equals_finite_differences_of_the_score(images, transform):
    """Through asinh, resize and normalisation; in double precision, at pixels drawn at random."""
    model = smooth_net()
    maps = explain.saliency(model, transform, images[:2], channel=1)
    winners = explain.winning(model, transform, images[:2])
    rng = np.random.default_rng(0)
    for cell in range(2):
        for row, column in zip(rng.integers(0, 24, 6), rng.integers(0, 40, 6), strict=True):
            step, scores = 0.5, []
            for sign in (1, -1):
                moved = images[cell : cell + 1].copy()
                moved[0, 1, row, column] += sign * step
                with torch.no_grad():
                    scores.append(model(transform(moved))[0, winners[cell]].item())
            slope = abs(scores[0] - scores[1]) / (2 * step)
            assert maps[cell, row, column] == pytest.approx(slope, rel=0.05, abs=3e-6)


def test_saliency_of_a_linear_model_is_the_size_of_its_weights(images):
    height, width = images.shape[2:]
    torch.manual_seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * height * width, 4))
    weights = model[1].weight.detach().numpy().reshape(4, 3, height, width)
    target = np.arange(12) % 4
    # The network sees the rheobase channel twice, as channels 0 and 2.
    rheobase, partner = np.abs(weights[:, 0] + weights[:, 2])[target], np.abs(weights[:, 1])[target]
    for channel, expected in ((0, rheobase), (1, partner), ("max", np.maximum(rheobase, partner))):
        maps = explain.saliency(model, plain(height, width), images, target, channel)
        np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-7)


def test_captum_agrees(images, transform):
    model = networks.build("resnet18").eval()
    target = torch.from_numpy(explain.winning(model, transform, images))
    tensor = torch.tensor(images, requires_grad=True)
    expected = Saliency(lambda z: model(transform(z))).attribute(tensor, target=target).amax(1).detach().numpy()
    found = explain.saliency(model, transform, images, batch_size=5)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * expected.max())


def test_respect_to_input_undoes_the_compression(images):
    """With asinh(x / s) before a linear model, the gradient for each unit of its input is the same for all values of x."""
    height, width = images.shape[2:]
    torch.manual_seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * height * width, 4))
    weights = np.abs(model[1].weight.detach().numpy().reshape(4, 3, height, width)[:, 1])
    squeezing = InputTransform(height, width, "asinh", True, (2.0, 7.0), (0.0, 0.0), (1.0, 1.0))
    target = np.zeros(12, int)
    found = explain.saliency(model, squeezing, images, target, 1, "input")
    np.testing.assert_allclose(found, np.broadcast_to(weights[0], found.shape), rtol=1e-3, atol=1e-7)
    stored = explain.saliency(model, squeezing, images, target, 1, "stored")
    large = np.abs(images[:, 1]) > 20
    assert (stored / found)[large].mean() < 0.5 * (stored / found)[~large].mean()


def test_saliency_leaves_the_model_alone_and_does_not_depend_on_batches(images, transform):
    model = networks.build("resnet18", dropout=0.5).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    one, many = (explain.saliency(model, transform, images, batch_size=size) for size in (1, 12))
    np.testing.assert_allclose(one, many, rtol=1e-3, atol=1e-3 * many.max())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(("channel", "respect_to"), [(2, "stored"), ("mean", "stored"), ("max", "pixels")])
def test_unknown_choices_are_named(images, transform, channel, respect_to):
    with pytest.raises(ParameterError, match="use one of"):
        explain.saliency(smooth_net(), transform, images, None, channel, respect_to)


def test_a_diverged_network_is_refused(images, transform):
    model = smooth_net()
    model[4].weight.data[:] = float("nan")
    with pytest.raises(StsError, match="not finite"):
        explain.saliency(model, transform, images)


def test_the_best_network_is_chosen_by_cross_validation_alone():
    rows = [
        ("resnet18", "cv", 0.7),
        ("resnet18", "holdout", 0.9),
        ("densenet121", "cv", 0.8),
        ("densenet121", "holdout", 0.1),
    ]
    rows += [("lightgbm", "cv", 0.99)]
    records = [{"model": m, "split": s, "metric": "balanced_accuracy", "value": v} for m, s, v in rows]
    records.append({"model": "resnet18", "split": "cv", "metric": "accuracy", "value": 1.0})
    assert explain.choose_network(records) == "densenet121"
    assert explain.choose_network(records, "resnet18") == "resnet18"
    with pytest.raises(ParameterError, match="trained only: resnet18, densenet121"):
        explain.choose_network(records, "mobilenet_v2")
    with pytest.raises(StsError, match="notebook 05"):
        explain.choose_network(records[4:5])


# --- the check --------------------------------------------------------------------------------------------------------


def test_similarity_is_spearman_and_knows_equal_and_unrelated_maps():
    from scipy.stats import spearmanr

    rng = np.random.default_rng(0)
    maps, others = rng.random((5, 60, 60)), rng.random((5, 60, 60))
    expected = [spearmanr(a.ravel(), b.ravel())[0] for a, b in zip(maps, others, strict=True)]
    np.testing.assert_allclose(explain.similarity(maps, others), expected, atol=1e-10)
    np.testing.assert_allclose(explain.similarity(maps, maps**3), 1, atol=1e-10)
    assert np.abs(explain.similarity(maps, others)).max() < 0.1
    assert np.isnan(explain.similarity(maps, np.zeros_like(maps))).all()


def test_randomisation_check_tells_the_same_network_from_others(images, transform):
    model = explain.randomised("resnet18", transform, images, 5)
    own = explain.saliency(model, transform, images)
    winners = explain.winning(model, transform, images)
    random = explain.random_maps("resnet18", transform, images, winners, 11, n_random=2)
    check = explain.randomisation_check(own, random)
    assert list(check) == ["reinitialised", "two_random", "another_cell"]
    # Nothing was learnt, so the "trained" network is as far from new ones as those from each other, and far from 1.
    assert abs(check.reinitialised.mean() - check.two_random.mean()) < 0.1
    assert check.reinitialised.max() < 0.7
    same = explain.randomisation_check(own, np.stack([own, own]))
    np.testing.assert_allclose(same[["reinitialised", "two_random"]], 1, atol=1e-9)
    with pytest.raises(ParameterError, match="at least 2"):
        explain.randomisation_check(own, random[:1])


def test_randomised_networks_follow_from_their_seed_only(images, transform):
    first = explain.randomised("resnet18", transform, images, 5)
    torch.rand(3)
    again, other = (explain.randomised("resnet18", transform, images, seed) for seed in (5, 6))
    with torch.no_grad():
        scores = [model(transform(images)) for model in (first, again, other)]
    torch.testing.assert_close(scores[0], scores[1])
    assert not torch.allclose(scores[0], scores[2])


# --- where saliency lies ----------------------------------------------------------------------------------------------


def axes(height=18, width=120):
    return explain.image_axes(Bank(), height, width, 0.1, 1.2)


def test_image_axes_are_the_centres_of_the_stored_pixels():
    frequencies_hz, times_s = explain.image_axes(Bank(), 180, 4800, 0.1, 1.2)
    np.testing.assert_allclose(frequencies_hz, np.arange(20, 200))
    np.testing.assert_allclose(times_s, (np.arange(4800) + 0.5) / 4000 - 0.1)
    frequencies_hz, times_s = axes(90, 120)
    np.testing.assert_allclose(frequencies_hz, np.arange(20.5, 200, 2))  # each pixel covers two rows
    np.testing.assert_allclose(times_s[[0, -1]], [-0.095, 1.095])


def test_shares_add_up_and_even_maps_have_the_shares_of_the_area():
    _, times_s = axes()
    rng = np.random.default_rng(0)
    table = explain.shares(rng.random((7, 18, 120)), times_s)
    for part in ("window:", "band:"):
        np.testing.assert_allclose(table.filter(like=part).sum(axis=1), 1)
    even = explain.shares(np.ones((1, 18, 120)), times_s).iloc[0]
    np.testing.assert_allclose(even.filter(like="window:"), np.array([0.1, 0.1, 0.9, 0.1]) / 1.2)
    np.testing.assert_allclose(even.filter(like="band:"), 1 / 3)
    assert explain.shares(np.zeros((1, 18, 120)), times_s).isna().all(axis=None)


def test_measures_find_what_was_put_in():
    frequencies_hz, times_s = axes()
    maps = np.ones((4, 18, 120))
    maps[1, :3, np.abs(times_s - 0.03) < 0.02] += 50  # low, at the first spike
    maps[2, 12:, np.abs(times_s - 0.5) < 0.02] += 50  # high, where the train ends
    first_s, last_s = np.array([0.03, 0.03, 0.03, np.nan]), np.array([0.97, 0.97, 0.5, np.nan])
    table = explain.measures(maps, frequencies_hz, times_s, first_s, last_s)
    assert table.first_spike[0] == pytest.approx(1)
    assert table.breadth[0] == pytest.approx(1)
    assert table.centre_hz[0] == pytest.approx(frequencies_hz.mean())
    assert table.first_spike[1] > 3
    assert table["band:low"][1] == pytest.approx((720 + 600) / 2760)  # 720 pixels a band, 12 of them 50 brighter
    assert table.centre_hz[1] < frequencies_hz.mean() - 10
    assert table.burst_end[2] > 3
    assert table["band:high"][2] == pytest.approx((720 + 1200) / 3360)
    assert table.breadth[1] < 0.95
    assert table.burst_end.isna().tolist() == [True, True, False, True]  # only where the train ends early
    assert np.isnan(table.first_spike[3])


def cohort_of_measures(n=40, seed=0):
    """Labels and measures of maps without any preference, a little scattered."""
    frequencies_hz, times_s = axes()
    rng = np.random.default_rng(seed)
    labels = np.repeat(["Excitatory", "Pvalb"], n // 2)
    make = lambda maps: explain.measures(maps, frequencies_hz, times_s, np.full(n, 0.05), np.full(n, 0.5))  # noqa: E731
    return labels, times_s, rng.gamma(4, 1, (n, 18, 120)), make


def test_spike_marks_follow_the_sweep_and_only_a_train_can_end():
    """Spikes put at known times: the partner's train ends early or late, a lone spike is no train."""
    traces = np.zeros((3, 2, 4800))
    times = [([0.2], [0.03, 0.2, 0.4]), ([0.1, 0.2, 0.3], [0.05, 0.5, 0.95]), ([0.6], [0.5])]
    for cell, pair in enumerate(times):
        for sweep, spikes in enumerate(pair):
            for at in spikes:
                traces[cell, sweep, round((at + 0.1) * 4000) + np.arange(4)] = [30, 80, 90, 20]
    marks = explain.spike_marks(traces, "max", 4000.0, 0.1)
    np.testing.assert_allclose(marks.first_s, [0.03, 0.05, 0.5], atol=2e-3)
    np.testing.assert_allclose(marks.last_s, [0.4, 0.3, np.nan], atol=2e-3)
    np.testing.assert_allclose(explain.spike_marks(traces, 1, 4000.0, 0.1).last_s, [0.4, 0.95, np.nan], atol=2e-3)
    np.testing.assert_allclose(explain.spike_marks(traces, 0, 4000.0, 0.1).first_s, [0.2, 0.1, 0.6], atol=2e-3)


def test_statements_hold_only_where_the_trained_network_does_more_than_an_untrained_one():
    labels, times_s, maps, make = cohort_of_measures()
    untrained = make(cohort_of_measures(seed=1)[2])
    focused = maps.copy()
    focused[:20, :6, np.abs(times_s - 0.05) < 0.05] *= 4  # Excitatory: first spike, low frequencies
    found = explain.statements(make(focused), untrained, labels, 400, 0)
    assert found.verdict.tolist()[:4] == ["holds"] * 4
    assert found.verdict[4] != "holds"  # nothing was put where bursts end
    # The same maps from a network without training: it is the scalogram, not learning.
    assert set(explain.statements(make(focused), make(focused), labels, 400, 0).verdict[:4]) == {
        "not shown to be learnt"
    }
    focused[:20] = maps[:20, :, ::-1]
    focused[:20, :, np.abs(times_s - 0.05) < 0.05] *= 0.2
    assert explain.statements(make(focused), untrained, labels, 400, 0).verdict[0] == "does not hold"
    few = np.where(np.arange(40) < 37, "Sst", "Pvalb")
    assert set(explain.statements(make(maps), untrained, few, 400, 0).verdict) == {"too few cells"}


def test_intervals_cover_the_true_mean_as_often_as_they_say():
    rng = np.random.default_rng(4)
    inside = 0
    for k in range(300):
        _, low, high, _ = explain.mean_interval(rng.normal(1, 1, 40), 400, k)
        inside += low <= 1 <= high
    assert 0.89 < inside / 300 < 0.98  # nominal 0.95; the percentile interval of 40 values is a little narrow


# --- SHAP -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted():
    """A baseline whose second feature tells Pvalb from the rest, and whose others are noise."""
    rng = np.random.default_rng(0)
    labels = rng.choice(CLASSES, 300)
    x = pd.DataFrame(rng.normal(size=(300, 4)), columns=["noise_a", "decisive", "noise_b", "half"])
    x["decisive"] += 6 * (labels == "Pvalb")
    x.loc[::7, "noise_b"] = np.nan
    return baseline.fit(x, labels, {"n_estimators": 30}), x, labels


def test_shap_values_add_up_to_the_log_odds(fitted):
    model, x, _ = fitted
    values = explain.shap_values(model, x[["half", "noise_b", "decisive", "noise_a"]])
    assert values.shape == (300, 4, 4)
    scores = model.booster.predict(x.to_numpy(), raw_score=True)
    base = scores - values.sum(axis=1)
    np.testing.assert_allclose(base, np.broadcast_to(base[0], base.shape), atol=1e-8)
    # Lundberg & Lee: the base is the mean score over the data that the trees were grown on.
    np.testing.assert_allclose(base[0], scores.mean(axis=0), atol=1e-6)


def test_a_decisive_feature_ranks_first_and_points_the_right_way(fitted):
    model, x, labels = fitted
    values = explain.shap_values(model, x)
    top = explain.top_features(values, x, "Pvalb", 3)
    assert top.feature[0] == "decisive"
    assert top["rank"].tolist() == [1, 2, 3]
    assert top.mean_abs_shap[0] > 3 * top.mean_abs_shap[1]
    for_pvalb = values[:, 1, CLASSES.index("Pvalb")]
    assert for_pvalb[labels == "Pvalb"].min() > for_pvalb[labels != "Pvalb"].max()


def test_a_missing_column_is_named(fitted):
    model, x, _ = fitted
    with pytest.raises(StsError, match="'half'"):
        explain.shap_values(model, x.drop(columns="half"))


# --- cells to show ----------------------------------------------------------------------------------------------------


def predictions():
    labels = ["Pvalb"] * 5 + ["Sst"] * 3 + ["Excitatory"] * 2
    ids = [f"cell-{k}" for k in range(10)]
    split = ["test"] * 4 + ["train"] + ["test"] * 5
    proba = np.full((10, 4), 0.1)
    own = [CLASSES.index(c) for c in labels]
    proba[np.arange(10), own] = [0.9, 0.5, 0.7, 0.05, 0.71, 0.8, 0.8, 0.6, 0.02, 0.01]
    return labels, proba / proba.sum(axis=1, keepdims=True), ids, split


def test_representative_cells_are_correct_test_cells_of_median_confidence():
    labels, proba, ids, split = predictions()
    found = explain.representative_cells(labels, proba, ids, split).set_index("class")
    assert list(found.index) == ["Pvalb", "Sst", "Excitatory"]  # no Vip/Lamp5 among the test cells
    assert found.cell_id["Pvalb"] == "cell-2"  # of 0.9, 0.7, 0.5; not cell-3 (wrong), not cell-4 (a training cell)
    assert found.cell_id["Sst"] == "cell-5"  # of 0.6, 0.8, 0.8: the first id of the tie
    assert found.correct.to_dict() == {"Pvalb": True, "Sst": True, "Excitatory": False}
    assert found.position["Pvalb"] == 2
    order = np.random.default_rng(0).permutation(10)
    shuffled = explain.representative_cells(
        np.array(labels)[order], proba[order], np.array(ids)[order], np.array(split)[order]
    )
    assert shuffled.cell_id.tolist() == found.cell_id.tolist()


def test_the_papers_own_cell_is_shown_even_when_it_is_wrong():
    labels, proba, ids, split = predictions()
    ids[3], ids[8] = "765881829", "599334696"
    found = explain.representative_cells(labels, proba, ids, split).set_index("class")
    assert found.cell_id["Pvalb"] == "765881829"
    assert not found.correct["Pvalb"]
    assert found.chosen_as.to_dict() == {
        "Pvalb": "the paper's cell", "Sst": "median confidence", "Excitatory": "the paper's cell",
    }  # fmt: skip
    ids[3], ids[4] = "cell-3", "765881829"  # a training cell of this run is not shown
    assert explain.representative_cells(labels, proba, ids, split).cell_id[0] == "cell-2"


# --- figures ----------------------------------------------------------------------------------------------------------


def test_the_figure_shows_what_it_was_given(fitted):
    model, x, _ = fitted
    rng = np.random.default_rng(0)
    saliency = rng.random((18, 120)).astype(np.float32)
    saliency[:, :60] *= 0.1
    cell = pictures.ExplainedCell("Pvalb", "7", "Sst", 0.25, rng.normal(size=4800), "rheobase + 40 pA", saliency)
    figure = pictures.explanation([cell], explain.shap_values(model, x), x, Bank(), "simulated")
    part = figure.subfigs[0]
    drawn = next(ax for ax in part.axes if ax.get_xlabel() == "Time from step onset (s)").collections[0]
    shown = drawn.get_array().reshape(18, 120)
    np.testing.assert_allclose(shown, saliency / saliency.max())
    corners = drawn.get_coordinates()
    np.testing.assert_allclose(corners[0, [0, -1], 0], [-0.1, 1.1])
    swarm = next(ax for ax in part.axes if ax.get_xlabel() == "SHAP value (log-odds)")
    assert swarm.texts[0].get_text() == "decisive"
    np.testing.assert_allclose(
        np.sort(swarm.collections[0].get_offsets()[:, 0]), np.sort(explain.shap_values(model, x)[:, 1, 0])
    )
    assert "taken for Sst" in part.axes[0].get_title()
    assert "simulated" in figure.get_supxlabel()
    with pytest.raises(StsError, match="no cell"):
        pictures.explanation([], np.zeros((1, 1, 4)), x, Bank(), "simulated")
