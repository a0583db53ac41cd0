"""Training: it learns, it cannot learn from shuffled labels, it stops and decays as the protocol says, it repeats exactly."""

import dataclasses
from unittest.mock import Mock

import numpy as np
import optuna
import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from stslib import cohort, networks, training
from stslib.cohort import CLASSES
from stslib.networks import InputTransform
from stslib.support.errors import DamagedFile, ParameterError, StsError
from stslib.training import FitConfig, Fitted, Recipe, TrainingSet
from stslib.training.cells import augment, class_weights, mix
from stslib.training.loop import EarlyStopping

pytestmark = pytest.mark.usefixtures("one_thread")


def cohort_of(n: int, train: np.ndarray | None = None, valid: np.ndarray = (), seed: int = 0) -> TrainingSet:
    """Scalograms (n, 2, 32, 32) float16 in which each class is a bright square in a corner of its own."""
    rng = np.random.default_rng(seed)
    number = np.arange(n) % 4
    images = rng.standard_normal((n, 2, 32, 32))
    for cell, k in enumerate(number):
        images[cell, :, 16 * (k // 2) :, 16 * (k % 2) :][:, :16, :16] += 2.5
    return TrainingSet(images.astype(np.float16), np.array(CLASSES)[number], train, valid)


def tiny(architecture: str = "mobilenet_v2", **changes) -> Recipe:
    side = networks.ARCHITECTURES[architecture].minimum_px
    base = Recipe(architecture, height=side, width=side)
    return base.with_changes({"max_epochs": 1, "batch_size": 8, "patience": 0, **changes})


def proba_of(fitted: Fitted, cells: TrainingSet, indices: np.ndarray | None = None) -> np.ndarray:
    return training.predict_proba(fitted.model, fitted.transform, cells.images, indices)


def share_right(fitted: Fitted, cells: TrainingSet, indices: np.ndarray) -> float:
    return float((proba_of(fitted, cells, indices).argmax(1) == cohort.class_index(cells.labels)[indices]).mean())


def test_it_generalises_when_there_is_something_to_learn_and_gives_chance_on_shuffled_labels():
    cells, test = cohort_of(160, np.arange(96)), np.arange(96, 160)
    shuffled = dataclasses.replace(cells, labels=np.random.default_rng(3).permutation(cells.labels))
    recipe = tiny("resnet18", max_epochs=6, batch_size=16, learning_rate=2e-3, schedule="one_cycle", keep="last")
    learnt, chance = (share_right(training.train(recipe, some, seed=2), cells, test) for some in (cells, shuffled))
    # Chance is 1 in 4; of 64 cells, 25 right or more (0.39) would happen by chance in fewer than one case in a hundred.
    assert learnt > 0.9 and chance < 0.40


@pytest.mark.parametrize("architecture", networks.ARCHITECTURES)
def test_an_epoch_of_each_network_repeats_to_the_last_bit(architecture):
    """With everything random switched on: dropout, order, augmentation. Another seed gives other weights."""
    cells = cohort_of(12, np.arange(8), np.arange(8, 12))
    recipe = tiny(architecture, dropout=0.5, batch_size=6, jitter_columns=1, gain_sd=0.05)
    one, again, other = (training.train(recipe, cells, seed) for seed in (7, 7, 8))
    states = again.model.state_dict()
    assert all(torch.equal(value, states[key]) for key, value in one.model.state_dict().items())
    assert one.history == again.history and one.history.train_loss != other.history.train_loss


def test_training_leaves_the_callers_random_numbers_and_threads_alone():
    before = torch.get_rng_state()
    training.train(tiny("compact", threads=2), cohort_of(8), seed=1)
    assert torch.equal(torch.get_rng_state(), before) and torch.get_num_threads() == 1


def test_a_refitted_model_predicts_the_same_after_loading(tmp_path):
    cells = cohort_of(24)
    fitted = training.refit(tiny(), 2, cells, 3, tmp_path, {"data": "made"})
    model, transform, card = networks.load(tmp_path)
    again = training.predict_proba(model, transform, cells.images)
    assert np.array_equal(again, proba_of(fitted, cells)) and np.allclose(again.sum(1), 1)
    assert card["data"] == "made" and card["n_cells"] == dict.fromkeys(CLASSES, 6) and card == fitted.card
    # Asked for again it comes from the file; with other cells it is made anew.
    before = (tmp_path / "model.safetensors").stat().st_mtime_ns
    assert training.refit(tiny(), 2, cells, 3, tmp_path).card == card
    assert (tmp_path / "model.safetensors").stat().st_mtime_ns == before
    training.refit(tiny(), 2, cells.only(np.arange(20)), 3, tmp_path)
    assert (tmp_path / "model.safetensors").stat().st_mtime_ns != before


def test_seeds_answer_together_in_any_number_of_processes_and_survive_the_file(tmp_path):
    cells, recipe = cohort_of(24), tiny("compact", n_seeds=3, threads=1)
    fitted = training.refit(recipe, 1, cells, 3, tmp_path)
    proba = proba_of(fitted, cells)
    alone = [training.predict_proba(member, fitted.transform, cells.images) for member in fitted.model.members]
    assert np.allclose(proba, np.mean(alone, axis=0), atol=1e-6)
    assert not np.allclose(alone[0], alone[1], atol=1e-3)
    single = training.train(recipe.with_changes({"n_seeds": 1}), cells, 3)
    assert np.array_equal(alone[0], proba_of(single, cells))
    assert np.array_equal(proba_of(training.train(recipe, cells, 3, n_jobs=2), cells), proba)
    model, transform, _ = networks.load(tmp_path)
    assert np.array_equal(training.predict_proba(model, transform, cells.images), proba)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_one_to_three_sweeps_can_be_learnt(channels):
    cells = cohort_of(48, np.arange(32))
    cells = dataclasses.replace(cells, images=np.concatenate([cells.images] * 2, axis=1)[:, :channels])
    fitted = training.train(tiny("compact", max_epochs=15, learning_rate=3e-3), cells, 1)
    assert fitted.transform.channels == channels and share_right(fitted, cells, np.arange(32, 48)) > 0.8


def test_early_stopping_asks_for_five_per_cent_within_the_patience():
    stop = EarlyStopping(patience=3, min_improvement=0.05)
    losses = [1.0, 0.96, 0.955, 0.94, 0.92, 0.91, 0.9]
    # 0.94 is the first 5 % below 1.0, so the wait starts anew there; the next 5 % would be 0.893, which never comes.
    assert [stop.should_stop(loss) for loss in losses] == [False] * 6 + [True]
    patient = EarlyStopping(patience=0, min_improvement=0.05)
    assert not any(patient.should_stop(1.0) for _ in range(50))


def test_the_learning_rate_decays_every_k_epochs_or_never_or_runs_through_one_cycle():
    def rates(**changes):
        return training.train(tiny("compact", **changes), cohort_of(8), 1).history.learning_rate

    decayed = [1e-3, 1e-3, 1e-4, 1e-4, 1e-5]
    assert rates(max_epochs=5, decay_every=2, decay_factor=0.1) == pytest.approx(decayed)
    assert rates(max_epochs=3, decay_every=1, decay_factor=0.0) == pytest.approx([1e-3] * 3)
    cycle = rates(max_epochs=10, batch_size=4, schedule="one_cycle")
    assert max(cycle) == cycle[2] and cycle[-1] < 1e-6  # it peaks after a third of the steps


def test_a_fit_stops_early_and_keeps_the_best_or_the_last_weights():
    """A learning rate at which the loss soon stops falling: with the same seed both runs are the same up to the choice."""
    cells = cohort_of(24, np.arange(12), np.arange(12, 24), seed=4)
    cells.images[12:] = cells.images[12:][::-1]  # images that do not fit their labels: the validation loss must rise
    shared = {"max_epochs": 30, "patience": 2, "learning_rate": 3e-3}
    fitted = {keep: training.train(tiny(keep=keep, **shared), cells, 5) for keep in ("best", "last")}
    history = fitted["best"].history
    assert history == fitted["last"].history and history.stopped == "patience" and history.n_epochs < 30
    truth = cohort.class_index(cells.labels[12:])
    for keep, expected in (("best", min(history.valid_loss)), ("last", history.valid_loss[-1])):
        proba = proba_of(fitted[keep], cells, np.arange(12, 24))
        assert float(-np.log(proba[np.arange(12), truth]).mean()) == pytest.approx(expected, rel=1e-3)
    assert history.best_epoch < history.n_epochs


def test_the_search_space_is_that_of_the_papers_code():
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    training.search_space(trial, training.recipe("mobilenet_v2", "published"))
    assert trial.distributions == {
        "batch_size": CategoricalDistribution((32, 64)), "learning_rate": FloatDistribution(1e-3, 0.08, log=True),
        "decay_factor": CategoricalDistribution((0.0, 0.01, 0.1)), "decay_every": IntDistribution(5, 20),
        "patience": IntDistribution(10, 20), "dropout": CategoricalDistribution((0.0, 0.3, 0.5, 0.7)),
    }  # fmt: skip


def test_the_refit_runs_for_the_mean_number_of_epochs():
    losses = [[3, 2, 1, 2], [1, 2, 3], [3, 2, 2.5, 3, 4]]  # best after 3, 1 and 2 epochs
    fits = [training.FoldFit({}, [], [], training.History([1.0] * len(fold), fold)) for fold in losses]
    assert (training.refit_epochs(fits, "best"), training.refit_epochs(fits, "last")) == (2, 4)


def test_the_inner_validation_part_is_a_fifth_of_each_class_and_apart():
    labels = np.repeat(CLASSES, [40, 25, 10, 1])
    whole = TrainingSet(np.zeros(76), labels, np.random.default_rng(0).permutation(76))
    parts = whole.split_off(seed=1, fraction=0.2)
    assert sorted([*parts.train, *parts.valid]) == list(range(76))
    assert [int((labels[parts.valid] == name).sum()) for name in CLASSES] == [8, 5, 2, 0]


def test_a_finished_fold_is_kept_and_a_killed_run_gives_the_same(tmp_path, monkeypatch):
    cells, recipe = cohort_of(48), tiny("compact", max_epochs=2, learning_rate=2e-3)
    folds = cohort.folds(cells.labels, 3, 1)[:2]
    whole = training.cross_validate(recipe, cells, folds, 1, tmp_path / "whole")
    with monkeypatch.context() as patch:  # killed in the second fold
        train = training.crossval.train
        stop = [False, True]
        patch.setattr(training.crossval, "train", lambda *args: 1 / 0 if stop.pop(0) else train(*args))
        with pytest.raises(ZeroDivisionError):
            training.cross_validate(recipe, cells, folds, 1, tmp_path / "killed")
    before = (tmp_path / "killed" / "slot-0000_fold-0.json").stat().st_mtime_ns
    proba, fits = training.cross_validate(recipe, cells, folds, 1, tmp_path / "killed")
    assert (tmp_path / "killed" / "slot-0000_fold-0.json").stat().st_mtime_ns == before
    assert fits == whole[1] and np.array_equal(proba, whole[0], equal_nan=True)
    table = training.history_table("compact", fits)
    assert table.groupby("fold")["epoch"].max().tolist() == [2, 2] and table["valid_loss"].notna().all()
    # Other images of the same cells are not taken for the same.
    other = dataclasses.replace(cells, images=cells.images[::-1])
    assert training.cross_validate(recipe, other, folds, 1, tmp_path / "killed")[1] != fits
    (tmp_path / "killed" / "slot-0000_fold-1.json").write_text("{")
    with pytest.raises(DamagedFile, match="is damaged"):
        training.cross_validate(recipe, cells, folds, 1, tmp_path / "killed")


@pytest.mark.parametrize("architecture", networks.PAPER_ARCHITECTURES)
def test_published_keeps_the_codes_quirks_and_corrected_mends_them(architecture):
    published, corrected = (training.recipe(architecture, p) for p in ("published", "corrected"))
    side = 299 if architecture == "inception_v3" else 224
    assert (published.height, published.width) == (side, 299 if side == 299 else 244)
    assert (published.normalise, published.fit.keep) == ("none", "last")
    changes = {"protocol": "corrected", "width": side, "normalise": "pretrained", "keep": "best"}
    assert published.with_changes(changes) == corrected  # nothing else differs
    fit = published.fit
    assert (fit.aux_weight, fit.class_weights, fit.label_smoothing, fit.weight_decay) == (0, False, 0, 0)
    assert (fit.max_epochs, fit.min_improvement, fit.schedule, published.freeze) == (1000, 0.05, "step", False)


def test_the_second_head_of_inception_takes_part_in_learning_and_is_gone_afterwards(tmp_path):
    cells, large = cohort_of(4), {"batch_size": 4, "height": 299, "width": 299}
    plain, aided = (training.train(tiny("inception_v3", aux_weight=w, **large), cells, 1) for w in (0, 0.4))
    # Both heads start near chance, so the loss holds 0.4 of another log 4.
    assert aided.history.train_loss[0] - plain.history.train_loss[0] == pytest.approx(0.4 * np.log(4), rel=0.5)
    assert set(aided.model.state_dict()) == set(plain.model.state_dict())
    networks.save(tmp_path, aided.model, aided.transform, {"architecture": "inception_v3"})
    networks.load(tmp_path)
    with pytest.raises(ParameterError, match="aux_weight needs images of at least 299 x 299 px, not 75 x 75"):
        training.train(tiny("inception_v3", aux_weight=0.4), cells, 1)
    with pytest.raises(ParameterError, match="resnet18 has no second head"):
        training.train(tiny("resnet18", aux_weight=0.4), cohort_of(8), 1)


def test_label_smoothing_and_class_weights_change_the_loss_as_they_should():
    cells = cohort_of(16)
    cells.labels[4:] = CLASSES[0]  # thirteen of one class, one of each other
    losses = {}
    for name, change in (("plain", {}), ("smooth", {"label_smoothing": 0.5}), ("weighted", {"class_weights": True})):
        recipe = tiny("compact", batch_size=16, learning_rate=1e-12, **change)
        losses[name] = training.train(recipe, cells, 3).history.train_loss[0]
    assert losses["smooth"] != losses["plain"] != losses["weighted"]
    # Half of the target is spread evenly, so the loss moves towards what guessing costs or above, never below a half of both.
    assert losses["smooth"] >= 0.5 * losses["plain"] + 0.5 * np.log(4) - 1e-3
    assert class_weights(torch.tensor([0] * 6 + [1] * 2)).tolist() == pytest.approx([8 / 12, 2.0, 0.0, 0.0])


def test_half_precision_learns_what_full_precision_learns():
    """bfloat16 on the processor; the same lines run with CUDA."""
    cells = cohort_of(96, np.arange(64), np.arange(64, 96))
    recipe = tiny("resnet18", max_epochs=4, batch_size=16, learning_rate=2e-3, amp="bf16")
    fitted = training.train(recipe, cells, 2)
    assert share_right(fitted, cells, cells.valid) > 0.8
    assert all(p.dtype == torch.float32 for p in fitted.model.parameters())
    if not torch.cuda.is_available():
        with pytest.raises(ParameterError, match="no CUDA device"):
            FitConfig(device="cuda")


def test_compilation_is_asked_of_torch_and_the_plain_network_is_kept(monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "compile", lambda model: asked.append(model) or model)
    fitted = training.train(tiny("compact", compile=True), cohort_of(8), 1)
    assert asked == [fitted.model]


def test_freeze_changes_nothing_but_the_new_layer():
    cells, model = cohort_of(16), networks.build("resnet18", freeze=True)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    transform = InputTransform.fit(cells.images, cells.train, "resnet18")
    training.fit(model, transform, cells, FitConfig(max_epochs=2, batch_size=8), 1)
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {"fc.1.weight", "fc.1.bias"}


@pytest.mark.parametrize("n", [2, 9, 17])
def test_no_batch_is_left_with_a_single_cell(n):
    """Batch normalisation of a 1 x 1 map fails on one cell; 9 and 17 cells in batches of 8 would leave one."""
    assert np.isfinite(training.train(tiny(batch_size=min(8, n)), cohort_of(n), 1).history.train_loss).all()


def test_augmentation_shifts_both_sweeps_alike_scales_and_blends():
    z = torch.arange(8.0).expand(50, 2, 3, 8).clone()
    moved = augment(z, FitConfig(jitter_columns=2), np.random.default_rng(0))
    assert torch.equal(moved[:, 0], moved[:, 1])
    shifts = {tuple(row.tolist()) for row in moved[:, 0, 0]}
    assert shifts == {tuple(float(np.clip(c - s, 0, 7)) for c in range(8)) for s in (-2, -1, 0, 1, 2)}
    scaled = augment(z, FitConfig(gain_sd=0.1), np.random.default_rng(0))
    factors = scaled[:, 0, 0, 1:] / z[:, 0, 0, 1:]
    assert torch.allclose(factors, factors[:, :1].expand_as(factors)) and 0.05 < float(factors[:, 0].std()) < 0.2
    assert torch.equal(augment(z, FitConfig(), np.random.default_rng(0)), z)
    # Mixup blends an image with another of its batch, and is off by default.
    z = torch.arange(8.0).view(8, 1, 1, 1).expand(8, 2, 4, 4)
    same, _, share = mix(z, FitConfig(), np.random.default_rng(0))
    assert same is z and share == 1
    blended, partners, share = mix(z, FitConfig(mixup=1.0), np.random.default_rng(0))
    assert 0 < share < 1 and sorted(partners) == list(range(8))
    assert torch.allclose(blended[:, 0, 0, 0], share * torch.arange(8.0) + (1 - share) * torch.tensor(partners).float())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 64}, "batch_size is 64, and there are 16 training cells"),
        ({"batch_size": 1}, "batch_size is 1"), ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"schedule": "cosine"}, "schedule is 'cosine'"), ({"label_smoothing": 1.0}, "label_smoothing is 1.0"),
        ({"amp": "fp16"}, 'amp is "fp16", which needs a GPU'), ({"amp": "half"}, "amp is 'half'"),
        ({"warmth": 1}, "no 'warmth'"),
        ({"height": 16, "width": 16}, "needs images of at least 32 x 32 px, not 16 x 16"),
    ],
)  # fmt: skip
def test_a_setting_that_makes_no_sense_is_one_line(change, message):
    with pytest.raises(ParameterError, match=message) as caught:
        training.train(tiny(**change), cohort_of(16), 1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "message"),
    [(["Sst"] * 16, "all 8 training cells are of class Sst"), (["Chandelier"] * 16, "class 'Chandelier' is unknown")],
)
def test_one_class_or_an_unknown_class_is_refused(labels, message):
    with pytest.raises(StsError, match=message):
        training.train(tiny(), dataclasses.replace(cohort_of(16, np.arange(8)), labels=labels), 1)


def test_a_fit_that_diverges_ends_and_says_so(tmp_path):
    cells, wild = cohort_of(16, np.arange(12), np.arange(12, 16)), tiny(learning_rate=1e30, max_epochs=4)
    fitted = training.train(wild, cells, 1)
    assert fitted.history.stopped == "diverged"
    assert np.isfinite(proba_of(fitted, cells)).all()
    with pytest.raises(StsError, match=r"diverged in epoch .* lower learning_rate"):
        training.refit(wild, 4, cells, 1, tmp_path)
    assert not (tmp_path / "model.json").exists()


def test_too_little_memory_says_what_to_lower(monkeypatch):
    full = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 80 GB")
    monkeypatch.setattr(torch.nn.CrossEntropyLoss, "forward", Mock(side_effect=full))
    with pytest.raises(StsError, match="lower batch_size or the image size"):
        training.train(tiny("compact"), cohort_of(16), 1)


@pytest.mark.parametrize("architecture", networks.ARCHITECTURES)
@pytest.mark.parametrize("protocol", training.PROTOCOLS)
def test_every_recipe_fits_its_network_and_takes_changes(architecture, protocol):
    base = training.recipe(architecture, protocol, max_epochs=0, batch_size=0, threads=2)
    networks.check_size(architecture, base.height or 32, base.width or 32)  # 0 is as stored
    assert base.fit.max_epochs > 0 and base.fit.batch_size > 0 and base.fit.threads == 2
    assert training.recipe(architecture, protocol, max_epochs=3, height=80, width=80).fit.max_epochs == 3
