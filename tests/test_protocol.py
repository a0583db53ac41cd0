"""A network's search, refit and score, which another machine takes over; and ablations, one choice at a time."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import interpolate

from stslib import evaluation, models, networks, training
from stslib.figures.training import ablations as picture
from stslib.io.precomputed import Precomputed
from stslib.networks import InputTransform
from stslib.press.parameters import read_parameters
from stslib.scalograms import Bank, ImageSettings, Preprocessing, cwt
from stslib.support.errors import ParameterError, StsError
from stslib.sweeps import SweepSettings
from stslib.training.ablations import corrections
from stslib.training.cells import shrink
from tests.test_training import cohort_of, tiny

pytestmark = pytest.mark.usefixtures("one_thread")
CELLS = cohort_of(48, np.arange(40))
PREPROCESSING = Preprocessing(SweepSettings(), Bank(), ImageSettings(height=32, width=32))


def search(folder: Path, storage: Path, **changes) -> dict[str, training.Outcome]:
    recipes = {
        name: tiny(name, max_epochs=2, learning_rate=3e-3, threads=1, **changes) for name in ("compact", "mobilenet_v2")
    }
    settings = training.SearchSettings(2, 2, 1, storage, True)
    return training.search_networks(CELLS, recipes, settings, folder, {"data": "simulated"}, n_jobs=1)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, training.Outcome]]:
    folder = tmp_path_factory.mktemp("search")
    return folder / "shared.journal", search(folder / "one", folder / "shared.journal")


def test_a_machine_without_the_winners_folds_makes_them_again_to_the_same_numbers(found, tmp_path):
    storage, outcomes = found
    again = search(tmp_path / "two", storage)  # every trial is finished: it only takes over
    for name, first in outcomes.items():
        second = again[name]
        loser = 1 - int(second.trials["mean"].argmax())
        assert not list((tmp_path / "two" / name / "folds").glob(f"slot-{loser:04d}*"))
        assert second.trials.equals(first.trials) and second.fitted.card == first.fitted.card
        assert np.array_equal(second.cv_proba, first.cv_proba)
        states = [done.fitted.model.state_dict() for done in (first, second)]
        assert all((states[0][key] == states[1][key]).all() for key in states[0])
    with pytest.raises(ParameterError, match=r"was made with recipe_sha256 .* use another storage or study"):
        search(tmp_path / "three", storage, batch_size=6)


def test_networks_are_scored_once_on_the_test_cells_and_saved_with_their_cards(found, tmp_path):
    test = np.arange(40, 48)
    split = np.where(np.arange(48) < 40, "train", "test")
    cells = pd.DataFrame({"cell_id": np.arange(48), "label": CELLS.labels, "split": split, "donor": "d"})
    scored = models.score_networks(found[1], cells, CELLS, n_bootstrap=100, seed=1)
    means = {name: np.mean(done.trials["mean"].max()) for name, done in found[1].items()}
    assert scored.best == max(means, key=means.get)
    assert {(r["model"], r["split"]) for r in scored.records} == {
        (n, s) for n in means for s in ("cv", "cv_pooled", "holdout")
    }
    scored.save(tmp_path)
    for name in means:
        model, transform, card = networks.load(tmp_path / name)
        proba = training.predict_proba(model, transform, CELLS.images, test)
        assert np.array_equal(proba, scored.held_out[name].outside)
        assert card["calibration"]["holdout"]["n"] == card["training_range"]["n_test_cells"] == 8
        value = evaluation.score("balanced_accuracy", CELLS.labels[test], scored.predicted(name))
        assert f"{100 * value:.1f} (" in scored.table().loc[name, "balanced accuracy, holdout (%)"]
    predictions = scored.predictions()
    assert list(predictions.columns[:3]) == ["cell_id", "label", "split"] and len(predictions) == 2 * 48
    same = scored.compare(predictions[predictions["model"] == scored.best].sample(frac=1, random_state=1), 100, 1)
    assert (same["difference"], same["only_network"], same["only_baseline"], same["n"]) == (0, 0, 0, 8)
    text = models.networks_conclusion(scored.records, same, "It")
    assert "On the 8 test cells" in text and "It and the baseline cannot be told apart" in text and "simulated" in text
    text = models.networks_conclusion(scored.records, {**same, "low": 0.1, "high": 0.2}, "It")
    assert "differ by more than chance" in text


@pytest.mark.parametrize("address", ["postgresql://me:s3cret@host/x", "postgresql://me@host/x?password=s3cret"])
def test_a_password_in_a_notebooks_storage_is_refused_before_anything_is_written(address):
    with pytest.raises(ParameterError, match="carries a password") as caught:
        training.search_networks(CELLS, {}, training.SearchSettings(1, 2, 1, address), "x")
    assert "s3cret" not in str(caught.value)
    assert training.search_networks(CELLS, {}, training.SearchSettings(1, 2, 1, "postgresql://me@host/x"), "x") == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"settings": {"warmth": 1}}, "a recipe has no 'warmth'; it has: architecture, .*learning_rate"),
        ({"settings": {"batch_size": "many"}}, "batch_size is 'many'; it must be of type int"),
        ({"settings": {"class_weights": 1}}, "class_weights is 1; it must be of type bool"),
        ({"settings": {"threads": -1}}, "threads is -1; use at least 0"),
        ({"search": {"trials": 3}}, "a search has no 'trials'; it has: n_trials, "),
    ],
)
def test_the_dicts_of_notebook_05_are_checked_before_it_runs(change, message):
    notebook = Path(__file__).parents[1] / "notebooks" / "05_deep_models.ipynb"
    parameters = {name: parameter.default for name, parameter in read_parameters(notebook).items()}
    training.check_parameters(parameters, {})
    with pytest.raises(ParameterError, match=message):
        training.check_parameters({**parameters, **change}, {})


def test_a_sweep_that_holds_nothing_is_found_out(tmp_path):
    cells = cohort_of(96, np.arange(80))
    x, settings = cells.images, training.SearchSettings(n_folds=2, seed=1)
    x[:, 1] = np.random.default_rng(0).standard_normal(x[:, 1].shape)  # the second sweep is noise
    base = tiny("resnet18", max_epochs=4, batch_size=16, learning_rate=2e-3, threads=1)
    chosen = training.ablation_variants(["sweeps"], cells, np.zeros((96, 2, 4800)), PREPROCESSING, base)
    table, records = training.compare_variants(chosen, cells, settings, tmp_path, "simulated")
    score = table.set_index("name")["mean"]
    assert score["rheobase only"] > 0.8 > 0.55 > score["+40 pA only"]
    assert table.set_index("name").loc["both", "difference"] == 0
    assert {r["model"] for r in records} == {f"resnet18:sweeps={name}" for name in score.index}
    again, _ = training.compare_variants(chosen, cells, settings, tmp_path, "simulated")  # from the files
    assert again.equals(table)
    assert len(picture(table, "simulated").axes) == 1


def test_each_group_varies_one_thing():
    rng = np.random.default_rng(1)
    traces = rng.standard_normal((3, 2, 4800)).astype(np.float32)
    own = PREPROCESSING.draw(traces)
    cells = training.TrainingSet(own, ["Sst"] * 3)
    base = training.recipe("resnet18", "small")
    for group in ("wavelet", "band", "sign"):
        first, *others = training.ablation_variants([group], cells, traces, PREPROCESSING, base)
        assert np.array_equal(first.images, own)
        assert others and all(not np.array_equal(one.images, own) and one.recipe == base for one in others)
    assert (training.ablation_variants(["sign"], cells, traces, PREPROCESSING, base)[1].images >= 0).all()
    sizes = training.ablation_variants(["size"], cells, traces, PREPROCESSING, base)
    assert [one.recipe.height for one in sizes] == [48, 36, 72] and all(one.images is own for one in sizes)


def test_the_corrections_lead_from_the_published_recipe_to_the_corrected_one_at_every_size():
    base = training.recipe("mobilenet_v2", "small", height=56, width=56)
    found = corrections(base)
    published, corrected = found["as published"], found["all three"]
    assert (published.width, published.normalise, published.fit.keep) == (61, "none", "last")
    assert (corrected.width, corrected.normalise, corrected.fit.keep) == (56, "pretrained", "best")
    for name, changed in (("square input", "width"), ("normalisation", "normalise")):
        assert getattr(found[name], changed) == getattr(corrected, changed)
        assert found[name].with_changes({changed: getattr(published, changed)}) == published


def test_an_unknown_group_and_weights_without_any_are_refused():
    base = training.recipe("resnet18", "small")
    for groups, said in ((["colour"], "ablations is 'colour'"), (["weights"], "set ablation_weights")):
        with pytest.raises(ParameterError, match=said):
            training.ablation_variants(groups, cohort_of(4), np.zeros((4, 2, 4800)), PREPROCESSING, base)


@pytest.mark.parametrize("protocol", ["published", "corrected"])
def test_a_networks_input_is_one_resize_of_the_whole_scalogram_to_its_own_size(protocol, tmp_path):
    """To 1e-5, from sweeps and from the authors' precomputed scalograms; of images of another size it is refused."""
    rng = np.random.default_rng(2)
    traces = (20 * rng.standard_normal((4, 2, 4800))).astype(np.float32)
    whole, every = torch.from_numpy(cwt(traces, Bank())), np.arange(4)  # (4, 2, 180, 4800)
    for cell, held in enumerate(whole.numpy()):
        np.save(tmp_path / f"cell_{cell}.npy", np.moveaxis(held, 0, -1))
    precomputed = Precomputed(tmp_path, pd.DataFrame({"cell_id": ["0"], "label": "Sst"}))
    sizes = {}
    for name in networks.PAPER_ARCHITECTURES:
        recipe = training.recipe(name, protocol)
        sizes[name] = size = recipe.height, recipe.width
        direct = interpolate(whole, size, mode="bilinear", align_corners=False)
        for fill in (
            lambda out, size=size: PREPROCESSING.at(*size).fill(out, traces),
            lambda out: precomputed.fill(out, "0123"),
        ):
            fill(images := np.empty((4, 2, *size), np.float32))
            cells = training.TrainingSet(
                PREPROCESSING.draw(traces), ["Sst", "Pvalb"] * 2, sized={size: images}
            ).read_by(recipe)
            how = recipe.compress, recipe.antialias, recipe.normalise
            read = shrink(InputTransform.fit(cells.images, every, name, size, *how), cells.images, every)
            assert torch.linalg.norm(read - direct) < 1e-5 * torch.linalg.norm(direct)
        with pytest.raises(
            StsError, match=f"{name} reads {size[0]} x {size[1]} pixels .* the images have 32 x 32; draw"
        ):
            training.TrainingSet(PREPROCESSING.draw(traces), ["Sst", "Pvalb"] * 2).read_by(recipe)
    width = 244 if protocol == "published" else 224
    assert sizes == dict.fromkeys(networks.PAPER_ARCHITECTURES[:3], (224, width)) | {"inception_v3": (299, 299)}


def test_the_published_inception_with_pre_trained_weights_gets_torchvisions_own_transform_of_its_input():
    from torchvision.models import inception_v3

    x = np.random.default_rng(3).standard_normal((3, 2, 299, 299)).astype(np.float32)
    ways = {
        w: training.recipe("inception_v3", "published", weights=w).normalise for w in ("none", "imagenet", "some.npz")
    }
    assert ways == {"none": "none", "imagenet": "inception", "some.npz": "inception"}
    found = InputTransform.fit(x, np.arange(3), "inception_v3", (299, 299), "none", False, "inception")(x)
    theirs = inception_v3(weights=None, transform_input=True, aux_logits=False, init_weights=False)
    expected = theirs._transform_input(torch.from_numpy(x[:, [0, 1, 0]]))
    torch.testing.assert_close(found.contiguous(), expected, rtol=1e-5, atol=1e-6)
