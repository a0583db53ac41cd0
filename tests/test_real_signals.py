"""Networks on files of signals: the profiles' settings, small cases; whole cross-validations are in tests/bench."""

import dataclasses
from typing import Any

import h5py
import numpy as np
import pytest

from stslib import cohort, io, models, training
from stslib.evaluation import predicted, score, temperature
from stslib.figures.predicted import save_predicted
from stslib.models import prediction, signals
from stslib.models.signals import Signals
from stslib.press import runner
from stslib.scalograms import ScalogramWarning
from stslib.support.errors import ParameterError, StsError

pytestmark = pytest.mark.filterwarnings("ignore::stslib.scalograms.ScalogramWarning")
SEED = 2026


def parameters_of(profile: str) -> dict[str, Any]:
    """What the profile gives notebook 08."""
    (task,) = runner.plan("real-signals-test", profile)
    return task.parameters


def prepared(p: dict[str, Any], n_jobs: int = 1, path: str = "", every: int = 1, **settings: Any) -> Signals:
    """The cells of a profile's file, or every n-th of it, or of another file, prepared with its parameters."""
    opened = io.open_cells({"source": "store", "path": path or p["store_path"]})
    cells = opened.cells.iloc[::every].reset_index(drop=True)
    recordings = opened.recordings(cells["cell_id"])
    return models.prepare_signals(cells, recordings, p["signal"], p["settings"] | settings, p["cv_split"], n_jobs)


def recipe_of(p: dict[str, Any], cells: Signals, model: str = "compact", **changes: Any) -> training.Recipe:
    numbers = {"n_seeds": p["n_seeds"], "max_epochs": p["max_epochs"], "threads": 1}
    return cells.recipes([model], p["weights"], p["regularisation"], **{**numbers, **changes})[model]


@pytest.mark.slow
@pytest.mark.mirror
@pytest.mark.parametrize(
    ("profile", "every", "settings", "epochs", "least"),
    [("action_potentials", 1, {}, 3, 0.6), ("hybrid", 2, {"n_sweeps": 1}, 8, 0.5)],
)
def test_a_network_learns_the_classes_in_one_fold(mirror, tmp_path, profile, every, settings, epochs, least):
    """Balanced accuracy of one fold of five, of few epochs, on all action potentials or one sweep of half the hybrid cells.

    Three seeds gave 0.71 to 0.78 and 0.66 to 0.68; with shuffled labels 0.25, and 0.03 to 0.41.
    """
    p = parameters_of(profile)
    cells = prepared(p, every=every, **settings)
    recipe, labels = recipe_of(p, cells, n_seeds=1, max_epochs=epochs), cells.labels[cells.inside]
    fold = cohort.folds(labels, 5, SEED)[:1]
    known = training.TrainingSet(cells.images[cells.inside], labels)
    proba, _ = training.cross_validate(recipe, known, fold, SEED, tmp_path)
    held = fold[0][1]
    assert score("balanced_accuracy", labels[held], predicted(proba[held])) > least


@pytest.mark.slow
@pytest.mark.mirror
@pytest.mark.parametrize("profile", ["hybrid", "action_potentials"])
def test_new_cells_are_treated_as_the_training_cells_were(mirror, tmp_path, profile):
    """A file without labels, through `predict`, gives what the network gives for the same cells prepared for training."""
    p = parameters_of(profile)
    unseen = tmp_path / "unseen.h5"
    with h5py.File(mirror / p["store_path"].removeprefix("mirror:")) as file, h5py.File(unseen, "w") as out:
        names = list(file)[::32]
        for name in names:
            file.copy(name, out)
            del out[name].attrs["label"]
            out[name].attrs.pop("split", None)
    cells = prepared(p | {"cv_split": ""}, every=32)
    recipe = recipe_of(p, cells, max_epochs=1, n_seeds=2, batch_size=8)
    scored = models.cross_validate_signals(cells, {"compact": recipe}, tmp_path / "folds", 2, 1)
    models.fit_signals(scored, {"run": "test"}, tmp_path / "models", tmp_path / "fits")
    model = models.load(tmp_path / "models" / "compact")
    (network, transform), new = model.members[0], io.open_cells({"source": "store", "path": str(unseen)})
    done = prediction.predict(new.recordings(), model)
    expected = temperature.calibrated(training.predict_proba(network, transform, cells.images), model.temperature)
    table = done.table
    assert list(table["cell_id"]) == names and not table["reason"].any() and not table["out_of_range"].all()
    np.testing.assert_allclose(table[[f"p:{c}" for c in cohort.CLASSES]].to_numpy(float), expected, atol=1e-6)
    assert len(save_predicted(done, tmp_path / "pictures")) == len(names)


@pytest.mark.slow
@pytest.mark.mirror
def test_pyramids_of_rats_are_classified_and_those_unlike_the_training_cells_are_flagged(mirror, tmp_path):
    """19 of 22 have a sweep 40 pA above the rheobase; by a kernel on the first spikes of every eighth hybrid cell."""
    cells = prepared(parameters_of("hybrid"), every=8)
    scored = models.cross_validate_signals(
        cells, cells.recipes(["kernel:first_spikes"], "none", "light"), tmp_path, 2, 1
    )
    models.fit_signals(scored, {"run": "test"}, tmp_path / "models", tmp_path / "fits")
    rats = io.open_cells({"source": "store", "path": "mirror:external/rat_l5_pyramidal.h5"})
    table, records = scored.elsewhere(rats.recordings(), tmp_path / "models")
    (row,), (record,) = table.itertuples(index=False), records
    assert (row.model, row.cells, row.classified) == ("kernel:first_spikes", 22, 19)
    assert 0 < row.flagged <= 19 and 0.5 < row.called <= 1 and record["low"] < row.called == record["value"]
    assert (record["data"], record["split"], record["n"]) == ("external", "transfer:hybrid->external", 19)


def test_networks_of_a_file_are_scored_refitted_and_saved_with_a_holdout(tmp_path):
    """Two networks and their mean, a holdout, and a card each that `load` takes."""
    cells = signals.example()
    cells = dataclasses.replace(cells, inside=np.array([0, 1, 2, 4, 5, 6]), outside=np.array([3, 7]))
    both = cells.recipes(["compact", "resnet18"], "none", "light", max_epochs=1, n_seeds=1, batch_size=2)
    scored = models.cross_validate_signals(cells, both, tmp_path / "folds", 2, 1).with_comparators()
    np.testing.assert_allclose(scored.proba["mean"], (scored.proba["compact"] + scored.proba["resnet18"]) / 2)
    assert scored.best in both and "svm_first_spike was left out: class Pvalb has" in scored.notes[0]
    table = scored.predictions()
    assert len(table) == 3 * 6 and table.groupby("model")["cell_id"].apply(list).iloc[0] == cells.cell_ids
    records = models.fit_signals(scored, {"run": "test"}, tmp_path / "models", tmp_path / "fits")
    assert {(r["model"], r["split"]) for r in records} == {
        *((name, "cv") for name in ("compact", "resnet18", "mean")),
        *((name, "holdout") for name in ("compact", "resnet18", "mean")),
    }
    joint = models.load(tmp_path / "models" / "mean")
    each = [models.load(tmp_path / "models" / name) for name in both]
    plain = np.mean([training.predict_proba(*one.members[0], cells.images) for one in each], axis=0)
    np.testing.assert_allclose(joint.proba(cells.images), temperature.calibrated(plain, joint.temperature), atol=1e-6)
    assert joint.preprocessing == cells.preprocessing and {r["model"] for r in joint.card["metrics"]} == {"mean"}


@pytest.mark.mirror
def test_settings_change_single_numbers_and_wrong_ones_are_named(mirror):
    p = parameters_of("action_potentials")
    usual = signals.preprocessing_of("action_potentials", {})
    assert p["settings"] == {} and usual == signals.SIGNALS["action_potentials"]
    changes = {"rate_hz": 6000, "frequency_max_hz": 2000.0, "height": 32, "n_sweeps": 1}
    made = signals.preprocessing_of("sweeps", changes)
    assert (made.sweeps.rate_hz, made.bank.rate_hz, made.bank.n_frequencies, made.image.height) == (6000, 6000, 32, 32)
    assert made.image.close_up.frequency_max_hz == 3000  # no higher than half the rate
    assert signals.preprocessing_of("sweeps", {"close_up": False}).image.close_up is None
    with pytest.raises(ParameterError, match=r"settings have no 'colour'; they take: .*frequency_max_hz"):
        runner.plan("t", "hybrid", ["08_real_signals.settings={'colour': 1}"])
    with pytest.raises(ParameterError, match=r"'resnet19'; name .*resnet18"):
        runner.plan("t", "hybrid", ["08_real_signals.architectures=compact,resnet19"])
    with pytest.raises(ParameterError, match=r"'resnet18:other'; name"):
        signals.check_parameters({**p, "architectures": ["resnet18:other"]}, {})
    with pytest.raises(StsError, match=r"no cell of the file can be used with signal 'sweeps', first: no_long_square"):
        prepared(p | {"signal": "sweeps"}, every=100)
    with pytest.raises(ParameterError, match=r"12000.0; a sweep at 10000 Hz"):
        prepared(p, every=100, rate_hz=10000.0)
    with pytest.raises(ParameterError, match=r"cv_split is 'all'.*'none', 'train'"):
        prepared(p | {"cv_split": "all"}, every=50)
    with pytest.warns(ScalogramWarning):  # a sweep is shorter than a wavelet
        prepared(p, every=100)
