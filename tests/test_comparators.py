"""Classifiers of voltage, those in closed form, what answers together, and spikes by their rate: against planted truth."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from stslib import cohort, evaluation, models, networks, training
from stslib.baseline import traces
from stslib.models import fusion, rates, signal_models, signals
from stslib.models.card import read
from stslib.networks.closed_form import PENALTIES, ridge
from stslib.support.errors import DamagedFile, MissingInput, ParameterError, StsError
from stslib.sweeps import SweepSettings

SETTINGS = SweepSettings(rate_hz=4000.0)
LABELS = np.repeat(["Pvalb", "Sst"], 12)


def sweeps_of(interval_s, width_s, n=24, seed=0):
    """Prepared sweeps `(n, 2, 4800)`: spikes at `interval_s` (n,), each a Gaussian of `width_s` (n,)."""
    rng, times = np.random.default_rng(seed), np.arange(4800) / 4000 - 0.1
    v = rng.normal(0, 0.2, (n, 2, 4800))
    for cell in range(n):
        for t in np.arange(rng.uniform(0.03, 0.08), 0.95, interval_s[cell] * rng.uniform(0.9, 1.1)):
            v[cell] += 90 * np.exp(-(((times - t) / width_s[cell]) ** 2))
    return v


def balanced(held, labels=LABELS):
    return evaluation.score("balanced_accuracy", labels, evaluation.predicted(held.proba))


def test_each_comparator_reads_what_its_name_says():
    second = LABELS == "Sst"
    narrow, same = np.where(second, 1.2e-3, 6e-4), np.full(24, 8e-4)
    by_shape = sweeps_of(np.full(24, 0.1), narrow)
    by_time = sweeps_of(np.where(second, 0.2, 0.05), same)
    folds = cohort.folds(LABELS, 3)
    found = {
        (name, what): balanced(traces.held_out(name, v, SETTINGS, LABELS, folds))
        for name in ("svm_first_spike", "svm_spike_times")
        for what, v in (("shape", by_shape), ("time", by_time))
    }
    assert found["svm_first_spike", "shape"] == found["svm_spike_times", "time"] == 1
    assert found["svm_spike_times", "shape"] < 0.85 and found["svm_first_spike", "time"] < 0.9


def test_held_out_labels_choose_nothing():
    v, folds = sweeps_of(np.random.default_rng(1).uniform(0.05, 0.3, 24), np.full(24, 8e-4)), cohort.folds(LABELS, 3)
    other = LABELS.copy()
    other[folds[0][1]] = np.where(LABELS[folds[0][1]] == "Sst", "Pvalb", "Sst")
    one, two = (traces.held_out("svm_spike_times", v, SETTINGS, y, folds[:1]).proba for y in (LABELS, other))
    np.testing.assert_array_equal(one, two)


def test_minirocket_is_sktimes_and_says_how_to_install_it(monkeypatch):
    v, folds = sweeps_of(np.full(24, 0.1), np.where(LABELS == "Sst", 1.2e-3, 6e-4)), cohort.folds(LABELS, 3)
    monkeypatch.setitem(sys.modules, "sktime.transformations.rocket", None)
    with pytest.raises(MissingInput, match=r"minirocket needs sktime; install it: pip install 'stslib\[comparators\]'"):
        traces.held_out("minirocket", v, SETTINGS, LABELS, folds)
    monkeypatch.undo()
    pytest.importorskip("sktime")
    assert balanced(traces.held_out("minirocket", v, SETTINGS, LABELS, folds), LABELS) > 0.9


def test_too_few_cells_of_a_class_are_one_line():
    few = np.array(["Pvalb"] * 21 + ["Sst"] * 3)
    with pytest.raises(StsError, match=r"class Sst has 2 cells, fewer than 3 folds"):
        traces.held_out(
            "svm_spike_times", sweeps_of(np.full(24, 0.1), np.full(24, 1e-3)), SETTINGS, few, cohort.folds(few, 3)
        )


def test_the_ridges_leave_one_out_error_is_that_of_leaving_each_out():
    rng = np.random.default_rng(0)
    y = torch.arange(14) % 4
    x = torch.from_numpy(rng.normal(size=(14, 5)) + 2 * np.eye(4, 5)[y])
    targets = 2 * torch.nn.functional.one_hot(y, 4).double() - 1
    errors = []
    for penalty in PENALTIES:
        parts = []
        for out in range(14):
            rest = [k for k in range(14) if k != out]
            mean, means = x[rest].mean(0), targets[rest].mean(0)
            z = x[rest] - mean
            w = torch.linalg.solve(z.T @ z + penalty * torch.eye(5, dtype=torch.double), z.T @ (targets[rest] - means))
            parts.append((targets[out] - means - (x[out] - mean) @ w).square())
        errors.append(float(torch.stack(parts).mean()))
    assert ridge(x @ x.T, y)[0] == pytest.approx(min(errors), rel=0.01)


@pytest.mark.parametrize(
    ("name", "reads"), [("rocket", "first_spikes"), ("kernel", "first_spikes"), ("rocket", "scalograms")]
)
def test_closed_forms_learn_and_come_back_from_their_file(tmp_path, name, reads):
    cells = signals.example()
    recipe = cells.recipes([f"{name}:{reads}"], "none", "light", n_seeds=3, threads=1)[f"{name}:{reads}"]
    known = training.TrainingSet(cells.read(reads), cells.labels)
    fitted = training.refit(recipe, 1, known, 3, tmp_path, {"data": "made"})
    proba = training.predict_proba(fitted.model, fitted.transform, known.images)
    assert (evaluation.predicted(proba) == cells.labels).all() and proba.max() > 0.8
    model, transform, _ = networks.load(tmp_path)
    assert transform.reads == reads and recipe.n_seeds == 1
    np.testing.assert_array_equal(training.predict_proba(model, transform, known.images), proba)
    state = dict(model.state_dict())
    for wrong in ({**state, "weights": state["weights"][1:]}, {**state, "intercept": torch.full((4,), torch.nan)}, {}):
        with pytest.raises(DamagedFile, match="make the model again"):
            type(model)().restore(wrong, "file")


def test_what_a_classifier_reads_must_be_there():
    cells = signals.example()
    with pytest.raises(ParameterError, match=r"reads spike_times does not suit"):
        cells.read("spike_times")
    with pytest.raises(ParameterError, match=r"reads sweeps does not suit"):
        read("sweeps", cells.images, None, cells.preprocessing)
    assert cells.read("spike_scalograms").shape == (8, 1, 32, 150)


def test_a_fusion_takes_who_is_right_and_favours_a_rare_class_where_that_helps():
    labels = np.array(["Pvalb"] * 40 + ["Sst"] * 10)
    right = np.where(labels[:, None] == np.array(cohort.CLASSES), 0.6, 0.4 / 3)
    chosen = fusion.choose({"wrong": right[::-1], "right": right}, labels)
    assert chosen.members == ("right",) and np.allclose(chosen({"right": right}).sum(1), 1)
    shy = np.where(np.arange(50)[:, None] < 40, [0.9, 0.1, 0, 0], [0.55, 0.45, 0, 0])
    assert evaluation.predicted(shy)[-1] == "Pvalb"
    assert evaluation.predicted(fusion.choose({"shy": shy}, labels)({"shy": shy}))[-1] == "Sst"


def test_nested_choice_never_sees_the_fold_and_the_saved_mean_answers_from_voltage_too(tmp_path):
    cells = signals.example()
    recipes = cells.recipes(["rocket:spike_scalograms", "kernel:first_spikes"], "none", "light")
    scored = models.cross_validate_signals(cells, recipes, tmp_path / "folds", 2, 1, inner_folds=2)
    assert {"cv", "nested_cv"} == {r["split"] for r in scored.records if r["model"] == "mean"}
    table = scored.with_comparators().comparison(100)
    assert scored.best == "rocket:spike_scalograms" and (table["fit_s"].fillna(1) > 0).all()
    models.fit_signals(scored, {"run": "test"}, tmp_path / "models", tmp_path / "fits")
    joint = models.load(tmp_path / "models" / "mean")
    assert (evaluation.predicted(joint.proba(cells.images, cells.traces)) == cells.labels).all()


def test_cells_of_a_donor_stay_in_one_fold_and_a_class_without_donors_is_refused(tmp_path):
    cells = signals.example()
    assert signal_models.donors_of(cells) is None
    cells = dataclasses.replace(cells, cells=cells.cells.assign(donor=list("aabbccdd")))
    scored = models.cross_validate_signals(cells, cells.recipes(["kernel"], "none", "light"), tmp_path, 2, 1)
    for _, held in scored.folds:
        assert len(set(cells.cells["donor"].iloc[held])) == len(held) / 2
    cells = dataclasses.replace(cells, cells=cells.cells.assign(donor=[*"aabb", "", "", "", ""]))
    with pytest.raises(
        StsError, match=r"class Sst has 4 cells and none with a donor; give every class donors, or none"
    ):
        models.cross_validate_signals(cells, {}, tmp_path, 2)


def test_rates_are_told_from_noise_until_bands_and_noise_are_equalised():
    settings = SweepSettings(rate_hz=50000.0, before_s=0.001, after_s=0.002, baseline="keep", n_sweeps=1, step_s=0.0)
    rng, times = np.random.default_rng(0), np.arange(150) / 50000 - 0.001
    source_hz, labels = np.tile([50e3, 200e3], 40), np.repeat(["Pvalb", "Sst"], 40)
    width = np.where(labels == "Sst", 4e-4, 2e-4)[:, None, None] * rng.uniform(0.9, 1.1, (80, 1, 1))
    noise = rng.normal(size=(80, 1, 150)) * np.where(source_hz == 50e3, 0.1, 2.0)[:, None, None]
    spikes = 90 * np.exp(-((times / width) ** 2)) - 60 + noise
    level = rates.noise_mv(rates.equalised(spikes, settings), settings.rate_hz)
    assert level[source_hz == 50e3].mean() == pytest.approx(level[source_hz == 200e3].mean(), rel=0.15)
    table, records = rates.compare_rates(spikes, settings, source_hz, labels, "made")
    assert {r["split"] for r in records} == {"cv", "nested_cv", "transfer:50kHz->200kHz", "transfer:200kHz->50kHz"}
    across = table[(table["metric"] == "balanced_accuracy") & table["split"].str.startswith("transfer")]
    assert (across["value"] > 0.9).all() and isinstance(table, pd.DataFrame)
    with pytest.raises(StsError, match=r"of 1 sampling rates; give those of two"):
        rates.compare_rates(spikes, settings, np.full(80, 50e3), labels, "made")
