"""torchvision's architectures with dropout and a four-class head (paper section III.B.b and c), and their weights."""

from __future__ import annotations

import contextlib
import math
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
from stslib.networks.closed_form import CLOSED_FORM
from stslib.networks.small import SMALL
from stslib.support.errors import DamagedFile, MissingInput, ParameterError, one_of


def _import_torchvision() -> None:
    """Import torchvision, also beside a CPU-only torch of another index, which lacks two box operators."""
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]  # what the failed import left half done
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision  # noqa: F401


_import_torchvision()
from torchvision import models  # noqa: E402


@dataclass(frozen=True)
class Architecture:
    """What is fixed about a network; `mean` and `std` normalise images from 0 to 1 for its pre-trained weights."""

    minimum_px: int  # smallest image side: below it a feature map would be empty
    native_px: int  # image side of its ImageNet training
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    head: str  # attribute path of the layer that is replaced
    gmacs: float  # billions of multiplications for an image of its native size, to start long fits first
    paper: bool = True  # whether it is one of the paper's four (section III.B.b)
    minimum_rows: int = 0  # smallest height, where a lower one than `minimum_px` will do


IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

#: Every network, by the name that parameters and results use: the paper's four, and a small one of ours.
ARCHITECTURES = {
    "mobilenet_v2": Architecture(32, 224, IMAGENET_MEAN, IMAGENET_STD, "classifier.1", 0.3),
    "resnet18": Architecture(32, 224, IMAGENET_MEAN, IMAGENET_STD, "fc", 1.81),
    "densenet121": Architecture(32, 224, IMAGENET_MEAN, IMAGENET_STD, "classifier", 2.83),
    # Its weights were trained with 0.5 and 0.5: torchvision's own `transform_input` works that out.
    "inception_v3": Architecture(75, 299, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "fc", 5.71),
    "compact": Architecture(32, 64, IMAGENET_MEAN, IMAGENET_STD, "fc", 0.02, paper=False),
    "cnn_1d": Architecture(32, 64, IMAGENET_MEAN, IMAGENET_STD, "fc", 0.04, paper=False, minimum_rows=1),
}


PAPER_ARCHITECTURES = tuple(name for name, architecture in ARCHITECTURES.items() if architecture.paper)

#: With the classifiers that need no epochs.
CLASSIFIERS = ARCHITECTURES | {
    name: Architecture(1, 1, IMAGENET_MEAN, IMAGENET_STD, "", 0.0, paper=False) for name in CLOSED_FORM
}


def check_size(architecture: str, height: int, width: int) -> None:
    """Refuse an image smaller than an architecture's layers allow, height and width in pixels."""
    one_of("architecture", architecture, CLASSIFIERS)
    minimum, rows = CLASSIFIERS[architecture].minimum_px, CLASSIFIERS[architecture].minimum_rows
    if width < minimum or height < (rows or minimum):
        raise ParameterError(
            f"{architecture} needs images of at least {minimum} x {minimum} px, not {height} x {width}"
        )


def build(architecture: str, dropout: float = 0.0, weights: str | Path = "none", freeze: bool = False) -> nn.Module:
    """A network that takes `(n, 3, H, W)` float32 and gives scores `(n, 4)` in the order of `cohort.CLASSES`.

    `weights`: "none" (random), "imagenet" (downloaded), or a .safetensors or .npz file of torchvision's network or of one
    saved here; what does not fit is an `StsError`. `freeze` trains the new layer only. As in the paper's code MobileNetV2
    and InceptionV3 keep their own dropout, and InceptionV3 has no auxiliary head.
    """
    one_of("architecture", architecture, CLASSIFIERS)
    if architecture in CLOSED_FORM:
        closed = CLOSED_FORM[architecture]()
        if str(weights) != "none":
            closed.restore(read_weights(architecture, weights), str(weights))
        return closed
    if not 0 <= dropout < 1:
        raise ParameterError(f"dropout is {dropout}; use a value from 0 to below 1")
    extra: dict[str, Any] = {"aux_logits": False, "init_weights": False} if architecture == "inception_v3" else {}
    make = SMALL.get(architecture) or partial(getattr(models, architecture), weights=None)
    model: nn.Module = make(**extra)
    if str(weights) == "imagenet" and architecture not in PAPER_ARCHITECTURES:
        raise ParameterError(f'there are no ImageNet weights of {architecture}; use weights="none" or a file')
    state = {} if str(weights) == "none" else read_weights(architecture, weights)
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


# --- weights, and batch normalisation whose statistics were folded into them --------------------------------------------


def read_weights(architecture: str, weights: str | Path) -> dict[str, Tensor]:
    """The state dict that `weights` names, of one of the paper's networks: "imagenet", a .safetensors or an .npz file."""
    if str(weights) == "imagenet":
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
    whole = {**{key: value for key, value in own.items() if key.endswith("num_batches_tracked")}, **state}
    wrong = [f"{key} is missing" for key in own if key not in whole]
    wrong += [f"{key} is unknown" for key in whole if key not in own]
    wrong += [
        f"{key} has shape {tuple(whole[key].shape)}, not {tuple(value.shape)}"
        for key, value in own.items()
        if key in whole and whole[key].shape != value.shape
    ]
    if wrong:
        raise DamagedFile(f"the weights {name} do not fit: {wrong[0]}; use weights of the same architecture")
    model.load_state_dict(whole)


def batch_norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    """The batch-normalisation layers of `model`, in order."""
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]


@torch.no_grad()
def recalibrate_batch_norm(model: nn.Module, x: Tensor) -> None:
    """Give batch normalisation the statistics of its input, and keep what the network computes; in place.

    Only where they were folded into the weights (mean 0, variance 1 in every layer), of which the first step of training
    would otherwise make another network. `x` holds transformed training images `(n, 3, H, W)`.
    """
    layers: list[Any] = batch_norms(model)
    if not all((bn.running_mean == 0).all() and (bn.running_var == 1).all() for bn in layers):
        return
    sums: dict[Any, Tensor] = {}  # of a layer: its number of values a channel, their sum, the sum of their squares

    def add(bn: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        values = inputs[0].double().cpu()
        count = torch.full(values.shape[1:2], values.numel() / values.shape[1], dtype=torch.float64)
        sums[bn] = sums.get(bn, 0) + torch.stack([count, values.sum((0, 2, 3)), values.square().sum((0, 2, 3))])

    was_training = model.training
    model.eval()
    hooks = [bn.register_forward_pre_hook(add) for bn in layers]
    try:
        for batch in x.split(64):
            model(batch)
    finally:
        for hook in hooks:
            hook.remove()
        model.train(was_training)
    for bn, (count, total, squares) in sums.items():
        mean = (total / count).to(bn.weight)
        variance = (squares / count - (total / count).square()).clamp(min=0).to(bn.weight)
        slope = bn.weight / torch.sqrt(bn.running_var + bn.eps)
        bn.bias.add_(slope * (mean - bn.running_mean))
        bn.weight.copy_(slope * torch.sqrt(variance + bn.eps))
        bn.running_mean.copy_(mean)
        bn.running_var.copy_(variance)


@contextlib.contextmanager
def with_auxiliary(model: nn.Module, architecture: str, weight: float, height: int, width: int) -> Iterator[None]:
    """Give InceptionV3 its second head inside the block: in training it then returns `(scores, auxiliary scores)`.

    Not for a weight of 0. Its 5 x 5 filters must fit on a map that was pooled three times: images of the native size.
    """
    if not weight:
        yield
        return
    smallest = ARCHITECTURES[architecture].native_px
    if architecture != "inception_v3":
        raise ParameterError(f"aux_weight is for inception_v3, and {architecture} has no second head; use 0")
    if min(height, width) < smallest:
        found = f"not {height} x {width}; use 0"
        raise ParameterError(f"aux_weight needs images of at least {smallest} x {smallest} px, {found}")
    inception: Any = model
    inception.AuxLogits, inception.aux_logits = models.inception.InceptionAux(768, len(CLASSES)), True
    try:
        yield
    finally:
        inception.AuxLogits, inception.aux_logits = None, False


class Ensemble(nn.Module):
    """Networks of one architecture that answer as one; averaging takes away part of what is due to a seed."""

    def __init__(self, members: Iterable[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        """Images `(n, 3, H, W)` to scores `(n, 4)`: logarithms of the mean probabilities, so that softmax gives these."""
        logs = torch.stack([torch.log_softmax(member(x), dim=1) for member in self.members])
        return torch.logsumexp(logs, dim=0) - math.log(len(self.members))
