"""torchvision's architectures with a four-class head, and the weights that they start from.

Paper section III.B.b and c: the network's last layer becomes dropout and a linear layer of four outputs, one a class.
"""

from __future__ import annotations

import contextlib
import struct
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from stslib.cohort import CLASSES
from stslib.networks.compact import Compact
from stslib.support.errors import DamagedFile, MissingInput, ParameterError, one_of


def _import_torchvision() -> None:
    """Import torchvision, also beside a CPU-only torch from another index, where its two box operators are missing.

    torchvision only describes `nms` and `qnms` for the compiler at import and needs them to be known; no image classifier
    calls them. They are declared here only when the import failed for want of them.
    """
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]  # what the failed import left half done
        for operator in ("nms", "qnms"):
            torch.library.define(
                f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )
        import torchvision  # noqa: F401


_import_torchvision()
from torchvision import models  # noqa: E402


@dataclass(frozen=True)
class Architecture:
    """What is fixed about a network.

    Attributes
    ----------
    minimum_px : int
        Smallest image side that its layers allow; below it a feature map would be empty.
    native_px : int
        Image side of its ImageNet training.
    mean, std : tuple of float
        Normalisation of its pre-trained weights, for images in 0 to 1. InceptionV3's weights were trained with 0.5 and 0.5,
        which is what torchvision's own `transform_input` works out from the usual ImageNet numbers.
    head : str
        Attribute path of the layer that is replaced.
    gmacs : float
        Billions of multiplications for one image of its native size (torchvision's table), to start long fits first.
    paper : bool
        Whether it is one of the paper's four (section III.B.b).
    """

    minimum_px: int
    native_px: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    head: str
    gmacs: float
    paper: bool = True


_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

#: Every network, by the name that parameters and results use: the paper's four, and a small one of ours.
ARCHITECTURES = {
    "mobilenet_v2": Architecture(32, 224, _MEAN, _STD, "classifier.1", 0.3),
    "resnet18": Architecture(32, 224, _MEAN, _STD, "fc", 1.81),
    "densenet121": Architecture(32, 224, _MEAN, _STD, "classifier", 2.83),
    "inception_v3": Architecture(75, 299, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "fc", 5.71),
    "compact": Architecture(32, 64, _MEAN, _STD, "fc", 0.02, paper=False),
}


PAPER_ARCHITECTURES = tuple(name for name, architecture in ARCHITECTURES.items() if architecture.paper)


def check_size(architecture: str, height: int, width: int) -> None:
    """Refuse an image smaller than an architecture's layers allow.

    Raises
    ------
    ParameterError
        When the architecture is unknown, or height or width (pixels) is below its minimum.
    """
    one_of("architecture", architecture, ARCHITECTURES)
    minimum = ARCHITECTURES[architecture].minimum_px
    if min(height, width) < minimum:
        raise ParameterError(
            f"{architecture} needs images of at least {minimum} x {minimum} px, not {height} x {width}"
        )


def build(architecture: str, dropout: float = 0.0, weights: str | Path = "none", freeze: bool = False) -> nn.Module:
    """One of the four networks with dropout and a linear layer of four classes at its end.

    MobileNetV2 and InceptionV3 keep their own dropout before the new head, and InceptionV3 has no auxiliary head, as in
    the paper's code.

    Parameters
    ----------
    architecture : str
        A key of `ARCHITECTURES`.
    dropout : float
        Probability of the new dropout layer, in [0, 1).
    weights : str or Path
        "none" (random), "imagenet" (torchvision downloads them), or the path of a .safetensors or .npz file with a state
        dict of torchvision's network or of one saved here.
    freeze : bool
        Train only the new layer. Batch normalisation then also keeps its statistics (see `training.fit`).

    Returns
    -------
    nn.Module
        Takes `(n, 3, H, W)` float32, gives scores `(n, 4)` in the order of `cohort.CLASSES`.

    Raises
    ------
    ParameterError
        Unknown architecture, or dropout out of range.
    MissingInput
        Weights that are not there or cannot be downloaded.
    DamagedFile
        Weights that cannot be read or do not fit.
    """
    one_of("architecture", architecture, ARCHITECTURES)
    if not 0 <= dropout < 1:
        raise ParameterError(f"dropout is {dropout}; use a value from 0 to below 1")
    extra: dict[str, Any] = {"aux_logits": False, "init_weights": False} if architecture == "inception_v3" else {}
    make = Compact if architecture == "compact" else partial(getattr(models, architecture), weights=None)
    model: nn.Module = make(**extra)
    state = {} if str(weights) == "none" else _weights_state(architecture, weights)
    head_path = ARCHITECTURES[architecture].head
    own_head = f"{head_path}.1.weight" in state
    if state and not own_head:
        load_state(model, state, str(weights))
    old = model.get_submodule(head_path)
    head = nn.Sequential(nn.Dropout(dropout), nn.Linear(int(old.in_features), len(CLASSES)))  # type: ignore[arg-type]
    parent, _, attribute = head_path.rpartition(".")
    setattr(model.get_submodule(parent), attribute, head)
    if own_head:
        load_state(model, state, str(weights))
    if freeze:
        model.requires_grad_(False)
        head.requires_grad_(True)
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


#: Smallest image side for InceptionV3's second head: its 5 x 5 filters must fit on a map that was pooled three times.
AUXILIARY_PX = 299


@contextlib.contextmanager
def with_auxiliary(model: nn.Module, architecture: str, height: int, width: int) -> Iterator[None]:
    """Give InceptionV3 its second head inside the block: in training it then returns `(scores, auxiliary scores)`.

    Raises
    ------
    ParameterError
        Another architecture, or images too small for it.
    """
    if architecture != "inception_v3":
        raise ParameterError(f"aux_weight is for inception_v3, and {architecture} has no second head; use 0")
    if min(height, width) < AUXILIARY_PX:
        raise ParameterError(
            f"aux_weight needs images of at least {AUXILIARY_PX} x {AUXILIARY_PX} px, not {height} x {width}; use 0"
        )
    inception: Any = model
    inception.AuxLogits, inception.aux_logits = models.inception.InceptionAux(768, len(CLASSES)), True
    try:
        yield
    finally:
        inception.AuxLogits, inception.aux_logits = None, False


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """Number of weights of `model`: `(all, trainable)`."""
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return sum(size for size, _ in sizes), sum(size for size, trainable in sizes if trainable)


def _weights_state(architecture: str, weights: str | Path) -> dict[str, Tensor]:
    """Read the state dict that `weights` names."""
    if str(weights) == "imagenet":
        if architecture not in PAPER_ARCHITECTURES:
            raise ParameterError(f'there are no ImageNet weights of {architecture}; use weights="none" or a file')
        try:
            state = models.get_model_weights(architecture).DEFAULT.get_state_dict(progress=False, check_hash=True)
        except (URLError, OSError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise MissingInput(
                f"the ImageNet weights of {architecture} could not be downloaded ({reason}); go online, or use "
                'weights="none" or the path of a .safetensors or .npz file'
            ) from error
        return {key: value for key, value in state.items() if not key.startswith("AuxLogits.")}
    path = Path(weights)
    if not path.is_file():
        raise MissingInput(f'there are no weights at {path}; use "none", "imagenet" or a .safetensors or .npz file')
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return {key: torch.from_numpy(arrays[key]) for key in arrays.files}
    except (SafetensorError, ValueError, OSError, EOFError, zipfile.BadZipFile, struct.error) as error:
        raise DamagedFile(f"the weights {path} cannot be read ({error}); fetch the file again") from error
    raise ParameterError(f"weights is {path}; use a file that ends in .safetensors or .npz")


def load_state(model: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Load `state` after naming the first key that does not fit; counters of batches may be missing."""
    own = model.state_dict()
    for key, value in own.items():
        if key not in state:
            if key.endswith("num_batches_tracked"):
                continue
            raise DamagedFile(f"the weights {name} do not fit: {key} is missing; use weights of the same architecture")
        if tuple(state[key].shape) != tuple(value.shape):
            raise DamagedFile(
                f"the weights {name} do not fit: {key} has shape {tuple(state[key].shape)}, not {tuple(value.shape)}; "
                "use weights of the same architecture"
            )
    extra = next((key for key in state if key not in own), None)
    if extra is not None:
        raise DamagedFile(f"the weights {name} do not fit: {extra} is unknown; use weights of the same architecture")
    model.load_state_dict({key: state.get(key, value) for key, value in own.items()})


def batch_norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    """The batch-normalisation layers of `model`, in order."""
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]


def has_folded_batch_norm(model: nn.Module) -> bool:
    """Whether every batch-normalisation layer has mean 0 and variance 1: weights whose statistics were folded in."""
    layers = batch_norms(model)
    return bool(layers) and all(
        bool((bn.running_mean == 0).all() and (bn.running_var == 1).all())  # type: ignore[union-attr]
        for bn in layers
    )


@torch.no_grad()
def recalibrate_batch_norm(model: nn.Module, x: Tensor | Iterable[Tensor]) -> None:
    """Give each batch-normalisation layer the statistics of its input, and keep what the network computes.

    Weights with folded statistics (mean 0, variance 1) compute the right thing, but training replaces the layers' stored
    statistics by those of the batch and so breaks the network at its first step. Here each layer gets the mean and variance
    of its input over `x`, and its weight and bias change so that its output in evaluation stays the same.

    Parameters
    ----------
    model : nn.Module
        Changed in place; keeps its training or evaluation mode.
    x : Tensor (n, 3, H, W) or iterable of such
        Transformed training images.
    """
    layers = batch_norms(model)
    counts = [0.0] * len(layers)
    sums = [torch.zeros(2, bn.num_features, dtype=torch.float64) for bn in layers]  # of the values, of their squares

    def watch(position: int) -> Any:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            values = inputs[0].double().cpu()
            counts[position] += values.numel() / values.shape[1]
            sums[position] += torch.stack([values.sum((0, 2, 3)), values.square().sum((0, 2, 3))])

        return hook

    was_training = model.training
    model.eval()
    hooks = [bn.register_forward_pre_hook(watch(position)) for position, bn in enumerate(layers)]
    try:
        for batch in x.split(64) if isinstance(x, Tensor) else x:
            model(batch)
    finally:
        for hook in hooks:
            hook.remove()
        model.train(was_training)
    for bn, count, (total, squares) in zip(layers, counts, sums, strict=True):
        mean = (total / count).to(bn.weight)
        variance = (squares / count - (total / count).square()).clamp(min=0).to(bn.weight)
        old_mean, old_variance = bn.running_mean, bn.running_var
        if old_mean is None or old_variance is None:
            continue
        slope = bn.weight / torch.sqrt(old_variance + bn.eps)
        bn.bias.add_(slope * (mean - old_mean))
        bn.weight.copy_(slope * torch.sqrt(variance + bn.eps))
        old_mean.copy_(mean)
        old_variance.copy_(variance)
