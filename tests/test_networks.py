"""The networks: four classes from any of the four, weights that fit or are refused, files that come back the same."""

import copy
import dataclasses
import json
from unittest.mock import Mock
from urllib.error import URLError

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from stslib import networks
from stslib.networks import ARCHITECTURES, InputTransform
from stslib.support.errors import DamagedFile, MissingInput, ParameterError, StsError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def scalograms() -> np.ndarray:
    """Twelve random scalograms (12, 2, 20, 90), the second channel four times as large."""
    x = np.random.default_rng(1).standard_normal((12, 2, 20, 90)).astype(np.float16)
    x[:, 1] *= 4
    return x


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_each_network_learns_at_its_smallest_image_and_a_smaller_one_is_refused(name):
    """Every weight that decides about the output gets a gradient, at the smallest image that is allowed."""
    side = ARCHITECTURES[name].minimum_px
    with pytest.raises(ParameterError, match=f"{name} needs images of at least {side}"):
        networks.check_size(name, 4 * side, side - 1)
    model = networks.build(name, dropout=0.3).train()
    scores = model(torch.randn(3, 3, side, side))
    assert scores.shape == (3, 4)
    nn.functional.cross_entropy(scores, torch.tensor([0, 1, 2])).backward()
    for key, weight in model.named_parameters():
        assert weight.grad is not None and weight.grad.isfinite().all(), key
    if name == "inception_v3":  # below its minimum it would fail
        with pytest.raises(RuntimeError):
            model.eval()(torch.randn(1, 3, 74, 74))


def test_the_head_is_dropout_and_four_outputs():
    assert [type(layer) for layer in networks.build("resnet18", 0.5).fc] == [nn.Dropout, nn.Linear]
    classifier = networks.build("mobilenet_v2", 0.5).classifier  # its own dropout stays
    assert (classifier[0].p, classifier[1][0].p, classifier[1][1].out_features) == (0.2, 0.5, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"architecture": "resnet19"}, "resnet19.*resnet18"),
        ({"architecture": "resnet18", "dropout": 1.0}, "dropout is 1.0"),
        ({"architecture": "resnet18", "weights": "no/such/file.npz"}, "no/such/file.npz"),
    ],
)
def test_a_request_that_makes_no_sense_is_one_line(options, message):
    with pytest.raises(StsError, match=message) as caught:
        networks.build(**options)
    assert "\n" not in str(caught.value)


def torchvision_state(name: str, **extra) -> dict[str, torch.Tensor]:
    from torchvision import models

    return getattr(models, name)(weights=None, **extra).state_dict()


def test_weights_from_a_file_arrive_and_those_of_another_network_are_refused_by_their_first_key(tmp_path):
    state = {key: value.contiguous() for key, value in torchvision_state("resnet18").items()}
    save_file(state, tmp_path / "resnet.safetensors")
    np.savez(tmp_path / "resnet.npz", **{key: value.numpy() for key, value in state.items()})
    for file in ("resnet.safetensors", "resnet.npz"):
        found = networks.build("resnet18", weights=tmp_path / file).state_dict()
        assert torch.equal(found["layer3.0.conv1.weight"], state["layer3.0.conv1.weight"])
    with pytest.raises(DamagedFile, match=r"features\.0\.0\.weight is missing"):
        networks.build("mobilenet_v2", weights=tmp_path / "resnet.safetensors")
    state["layer1.0.conv1.weight"] = torch.zeros(64, 64, 5, 5)
    save_file(state, tmp_path / "wide.safetensors")
    with pytest.raises(DamagedFile, match=r"layer1\.0\.conv1\.weight has shape \(64, 64, 5, 5\), not \(64, 64, 3, 3\)"):
        networks.build("resnet18", weights=tmp_path / "wide.safetensors")


def test_damaged_or_pickled_weights_are_refused(tmp_path):
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{")
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 not a zip")
    np.savez(tmp_path / "pickled.npz", a=np.array([{"an": "object"}], dtype=object))
    for file in ("cut.safetensors", "cut.npz", "pickled.npz"):
        with pytest.raises(DamagedFile, match="cannot be read"):
            networks.build("resnet18", weights=tmp_path / file)
    (tmp_path / "model.pth").write_bytes(b"")
    with pytest.raises(ParameterError, match=r"\.safetensors or \.npz"):
        networks.build("resnet18", weights=tmp_path / "model.pth")


def test_imagenet_weights_go_through_torchvision_and_say_what_to_do_offline(monkeypatch):
    from torchvision.models import Inception_V3_Weights
    from torchvision.models._api import WeightsEnum

    assert hasattr(torch.ops.torchvision, "nms")  # whether torchvision brought its operators or they had to be declared
    asked = []

    def get_state_dict(self, *_, **__):
        asked.append(self)
        return torchvision_state("inception_v3", aux_logits=True, init_weights=False)

    monkeypatch.setattr(WeightsEnum, "get_state_dict", get_state_dict)
    networks.build("inception_v3", weights="imagenet")  # its auxiliary head is left out
    assert asked == [Inception_V3_Weights.IMAGENET1K_V1]
    monkeypatch.setattr(WeightsEnum, "get_state_dict", Mock(side_effect=URLError("no route to host")))
    with pytest.raises(MissingInput, match=r"resnet18 could not be downloaded.*go online") as caught:
        networks.build("resnet18", weights="imagenet")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "file"), [("resnet18", ""), ("mobilenet_v2", "mobilenet_v2_imagenet.npz")])
def test_recalibration_keeps_the_function_and_gives_each_layer_the_statistics_of_its_input(request, name, file):
    """On folded weights; without it, the first batch in training goes through another function altogether."""
    torch.manual_seed(3)
    path = request.getfixturevalue("mirror") / "weights" / file if file else "none"
    if file and not path.is_file():
        pytest.skip(f"{path} is not there")
    model = networks.build(name, weights=path).eval()
    if file:
        model.classifier[0].p = 0.0  # so that training mode differs by batch normalisation only
    x = torch.randn(24, 3, 64, 64) * 2 + 1
    with torch.no_grad():
        before = model(x)
        uncalibrated = copy.deepcopy(model).train()(x)
        networks.recalibrate_batch_norm(model, x)
        after = model(x)
        in_training = model.train()(x)  # takes the batch's own statistics, which are now the stored ones
    size = float(before.abs().max())
    assert torch.allclose(before, after, rtol=1e-3, atol=1e-4 * size)
    assert float((in_training - before).abs().max()) < 0.01 * size
    assert float((uncalibrated - before).abs().max()) > 0.5 * size
    again = {key: value.clone() for key, value in model.state_dict().items()}
    networks.recalibrate_batch_norm(model, x[:8])  # what is no longer folded stays as it is
    assert all(torch.equal(value, again[key]) for key, value in model.state_dict().items())


def test_the_transform_standardises_the_training_cells_alone_and_repeats_rheobase(scalograms):
    changed = scalograms.copy()
    changed[8:] *= 50
    transform, other = (InputTransform.fit(x, np.arange(8), "resnet18", (32, 32)) for x in (scalograms, changed))
    assert transform == other
    images = transform(scalograms[:8])
    assert images.shape == (8, 3, 32, 32) and images.dtype == torch.float32
    assert torch.equal(images[:, 0], images[:, 2])
    assert torch.allclose(images.mean((0, 2, 3)), torch.zeros(3), atol=1e-4)
    assert torch.allclose(images.std((0, 2, 3), unbiased=False), torch.ones(3), atol=1e-3)


def test_averaging_keeps_the_envelope_of_an_oscillation_that_single_points_lose():
    """Of an oscillation with a period of 13 samples, at 16 samples a pixel, the mean magnitude is 2 / pi of the envelope."""
    t = np.arange(1024)
    signal = np.where((t > 256) & (t < 768), np.abs(np.sin(2 * np.pi * t / 13)), 0.0)
    x = np.broadcast_to(signal, (2, 2, 32, 1024)).astype(np.float32)
    base = InputTransform.fit(x, np.arange(2), "resnet18", (32, 64), compress="none", normalise="none")
    both = [dataclasses.replace(base, antialias=choice).shrink(x)[0, 0, 0, 20:44] for choice in (True, False)]
    averaged, points = (np.abs(shrunk - 2 / np.pi).max() for shrunk in both)
    assert averaged < 0.06 and points > 0.3


def test_pretrained_normalisation_is_the_networks_own(scalograms):
    """The mean image must land where a mid-grey picture lies for the pre-trained network."""
    for name in ("resnet18", "inception_v3"):
        transform = InputTransform.fit(scalograms, np.arange(12), name, (80, 80), normalise="pretrained")
        grey = (0.5 - torch.tensor(ARCHITECTURES[name].mean)) / torch.tensor(ARCHITECTURES[name].std)
        assert torch.allclose(transform(scalograms).mean((0, 2, 3)), grey, atol=1e-3)


def test_a_transform_survives_json_and_a_damaged_one_is_refused(scalograms):
    transform = InputTransform.fit(scalograms, np.arange(12), "resnet18", (32, 40), normalise="pretrained")
    fields = json.loads(json.dumps(transform.to_json()))
    assert InputTransform.from_json(fields) == transform
    for change in ({"scale": [1.0]}, {"std": "x"}, {"height": -3}, {"compress": "log"}, {"other": 1}):
        with pytest.raises(DamagedFile, match="input transform"):
            InputTransform.from_json({**fields, **change})


def test_scalograms_without_content_are_refused(scalograms):
    for fault, message in ((np.nan, "NaN"), (0.0, "constant")):
        broken = scalograms.copy()
        broken[:, 1] = fault
        with pytest.raises(StsError, match=message):
            InputTransform.fit(broken, np.arange(12), "resnet18", (32, 32))
    with pytest.raises(ParameterError, match="inception_v3 needs images of at least 75 x 75 px, not 20 x 90"):
        InputTransform.fit(scalograms, np.arange(12), "inception_v3")
