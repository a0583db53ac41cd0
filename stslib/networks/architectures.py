"""torchvision's architectures with a four-class head, and the weights that they start from.

Paper section III.B.b and c: the network's last layer becomes dropout and a linear layer of four outputs, one a class.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stslib.cohort import CLASSES
from stslib.networks.compact import Compact
from stslib.networks.weights import load_state, read_weights
from stslib.support.errors import ParameterError, one_of


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

    `minimum_px` is the smallest image side that its layers allow (below it a feature map would be empty), `native_px` that
    of its ImageNet training; `mean` and `std` normalise images in 0 to 1 for its pre-trained weights (InceptionV3's were
    trained with 0.5 and 0.5, which is what torchvision's own `transform_input` works out). `head` is the attribute path of
    the layer that is replaced, `gmacs` billions of multiplications for one image of its native size (torchvision's table),
    to start long fits first, and `paper` says whether it is one of the paper's four (section III.B.b).
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
    """Refuse an image smaller than an architecture's layers allow, height and width in pixels."""
    one_of("architecture", architecture, ARCHITECTURES)
    minimum = ARCHITECTURES[architecture].minimum_px
    if min(height, width) < minimum:
        raise ParameterError(
            f"{architecture} needs images of at least {minimum} x {minimum} px, not {height} x {width}"
        )


def build(architecture: str, dropout: float = 0.0, weights: str | Path = "none", freeze: bool = False) -> nn.Module:
    """A network with dropout and a linear layer of four classes at its end.

    MobileNetV2 and InceptionV3 keep their own dropout before the new head, and InceptionV3 has no auxiliary head, as in
    the paper's code. `weights` is "none" (random), "imagenet" (torchvision downloads them), or the path of a .safetensors
    or .npz file with a state dict of torchvision's network or of one saved here; what is not there, cannot be read or does
    not fit is an `StsError`. With `freeze` only the new layer is trained; batch normalisation then also keeps its
    statistics (see `training.fit`). The network takes `(n, 3, H, W)` float32 and gives scores `(n, 4)` in the order of
    `cohort.CLASSES`.
    """
    one_of("architecture", architecture, ARCHITECTURES)
    if not 0 <= dropout < 1:
        raise ParameterError(f"dropout is {dropout}; use a value from 0 to below 1")
    extra: dict[str, Any] = {"aux_logits": False, "init_weights": False} if architecture == "inception_v3" else {}
    make = Compact if architecture == "compact" else partial(getattr(models, architecture), weights=None)
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


#: Smallest image side for InceptionV3's second head: its 5 x 5 filters must fit on a map that was pooled three times.
AUXILIARY_PX = 299


@contextlib.contextmanager
def with_auxiliary(model: nn.Module, architecture: str, height: int, width: int) -> Iterator[None]:
    """Give InceptionV3 its second head inside the block: in training it then returns `(scores, auxiliary scores)`."""
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
