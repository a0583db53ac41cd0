"""Networks on the hybrid cells and on recorded action potentials of the data mirror: the profiles' own way, whole folds.

On another machine a network comes out a little different, by about a hundredth of either score.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from stslib import cohort, evaluation, networks, training
from stslib.evaluation import temperature
from stslib.figures.predicted import predicted_cells
from stslib.io import open_source
from stslib.models import card as modelcard
from stslib.models import prediction
from stslib.models import signals as realsignals
from stslib.press import runner
from stslib.scalograms import Bank, CloseUp, ImageSettings, Preprocessing, ScalogramWarning
from stslib.support.errors import ParameterError, StsError
from stslib.sweeps import SweepSettings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.mirror,
    pytest.mark.filterwarnings("ignore::stslib.scalograms.ScalogramWarning"),
]

FOLD_SEED = 2026
HOW = ("offset_pa", "rate_hz", "before_s", "after_s", "baseline", "n_sweeps", "step_s")
BANK = ("wavelet", "frequency_min_hz", "frequency_max_hz", "rate_hz")


def parameters_of(profile: str) -> dict[str, Any]:
    """What the profile gives notebook 08."""
    (task,) = runner.plan("real-signals-test", profile)
    return task.parameters


def prepared(p: dict[str, Any], path: str = "") -> realsignals.Signals:
    """The cells of a profile's file, or of another, prepared with its parameters."""
    close_up = CloseUp() if p["close_up"] else None
    image = ImageSettings(p["height"], p["width"], p["output"], "edge", antialias=True, close_up=close_up)
    bank = Bank(**{k: p[k] for k in BANK}, normalisation="L1", n_frequencies=p["height"], spacing="log")
    store = open_source("store", store_path=path or p["store_path"])
    return realsignals.prepare(store, Preprocessing(SweepSettings(**{k: p[k] for k in HOW}), bank, image), n_jobs=2)


def recipe_of(p: dict[str, Any], model: str = "compact", **changes: Any) -> training.Recipe:
    own = training.REGULARISATIONS[p["regularisation"]] | {"n_seeds": p["n_seeds"], "max_epochs": p["max_epochs"]}
    return realsignals.recipes([model], p["weights"], p["close_up"], **{**own, "threads": 1, **changes})[model]


def cross_validated(p: dict[str, Any], folder: Path, model: str, n_run: int = 5, **changes: Any) -> dict[str, float]:
    """Mean over the folds, or the first `n_run` of the five, of each metric, of cells that the profile cross-validates."""
    cells = prepared(p)
    inside, _ = realsignals.divide(cells, p["cv_split"])
    x, labels = cells.images[inside], cells.labels[inside]
    parts = cohort.folds(labels, p["n_folds"], FOLD_SEED)[:n_run]
    proba, _ = training.cross_validate(
        recipe_of(p, model, **changes), training.TrainingSet(x, labels), parts, FOLD_SEED, folder, n_jobs=2
    )
    # Cells of folds that were not run have no probabilities, and are in none of `parts`.
    found = evaluation.by_fold(labels, np.nan_to_num(proba, nan=0.25), parts)
    return {metric: float(np.mean(values)) for metric, values in found.items()} | {"n": len(inside)}


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("model", "n_run"), [("compact", 5), ("mobilenet_v2:imagenet", 2)])
def test_hybrid_cells_are_told_apart_in_folds(mirror, tmp_path, model, n_run):
    """From random weights, of one seed where the profile takes several; and from ImageNet's, two folds for the sake of time."""
    p = parameters_of("hybrid")
    assert model in p["models"]
    found = cross_validated(p, tmp_path, model, n_run, n_seeds=1)
    assert found["n"] == 522
    assert found["weighted_f1"] >= 0.80, found
    assert found["balanced_accuracy"] >= 0.70, found


@pytest.mark.timeout(1800)
def test_single_action_potentials_are_told_apart_in_five_folds(mirror, tmp_path):
    """Of one seed, for the sake of time; the profile takes five."""
    p = parameters_of("action_potentials")
    found = cross_validated(p, tmp_path, "compact", n_seeds=1)
    assert found["n"] == 890  # the file's cells with the attribute split "train"
    assert found["accuracy"] >= 0.84, found
    assert found["balanced_accuracy"] >= 0.79, found


@pytest.mark.parametrize("profile", ["hybrid", "action_potentials"])
def test_cells_that_nobody_has_seen_go_the_training_cells_way(mirror, tmp_path, profile):
    """A file without labels, through `predict`, gives what the network says of the same cells prepared for training."""
    p = parameters_of(profile)
    seen, unseen = tmp_path / "seen.h5", tmp_path / "unseen.h5"
    with h5py.File(mirror / p["store_path"].removeprefix("mirror:")) as file:
        names = list(file)[::16]
        for path, keep_labels in ((seen, True), (unseen, False)):
            with h5py.File(path, "w") as out:
                for name in names:
                    file.copy(name, out)
                    if not keep_labels:
                        del out[name].attrs["label"]
                        out[name].attrs.pop("split", None)
    cells = prepared(p, str(seen))
    what = recipe_of(p, max_epochs=1, n_seeds=2, batch_size=8)
    every = np.arange(len(names))
    card = {"data": cells.data, "preprocessing": cells.preprocessing.as_dict()}
    fitted = training.refit(what, 1, training.TrainingSet(cells.images, cells.labels), 1, tmp_path / "fit", card)
    expected = training.predict_proba(fitted.model, fitted.transform, cells.images)
    parts = cohort.folds(cells.labels, 2, 1)
    scored = realsignals.CrossValidated(every, parts, {"compact": expected}, [])
    whole = scored.card(fitted.card, "compact", cells)
    networks.save(tmp_path / "model", fitted.model, fitted.transform, whole)
    model = modelcard.load(tmp_path / "model")
    done = prediction.predict(open_source("store", store_path=str(unseen)).recordings(), model)
    table, expected = done.table, temperature.calibrated(expected, model.temperature)
    assert not table["out_of_range"].all()
    assert len(list(predicted_cells(done))) == len(names)
    assert list(table["reason"]) == [""] * len(names)
    assert list(table["cell_id"]) == names
    assert np.allclose(table[[f"p:{c}" for c in cohort.CLASSES]].to_numpy(float), expected, atol=1e-6)


def test_settings_that_do_not_suit_a_file_are_one_line(mirror):
    p = parameters_of("action_potentials")
    with pytest.raises(StsError, match=r"no cell of action_potentials.h5 can be used, first: no_long_square"):
        prepared(p | {"step_s": 1.0})
    with pytest.raises(ParameterError, match=r"12000.0; a sweep at 10000 Hz"):
        prepared(p | {"rate_hz": 10000.0})
    with pytest.raises(ParameterError, match=r"cv_split is 'all'.*'none', 'train'"):
        realsignals.divide(prepared(p), "all")


def test_a_sweep_shorter_than_a_wavelet_is_said(mirror):
    with pytest.warns(ScalogramWarning):
        prepared(parameters_of("action_potentials"))
