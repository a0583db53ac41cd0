"""Ablations: one choice changes at a time, on the same folds; where a choice holds what tells the classes apart, it shows."""

import numpy as np
import pytest

from stslib import training
from stslib.figures.training import ablations as picture
from stslib.scalograms import Bank, ImageSettings, Preprocessing
from stslib.support.errors import ParameterError
from stslib.sweeps import SweepSettings
from stslib.training.ablations import corrections
from tests.test_training import cohort_of, tiny

PREPROCESSING = Preprocessing(SweepSettings(), Bank(), ImageSettings(height=32, width=32))


pytestmark = pytest.mark.usefixtures("one_thread")


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
