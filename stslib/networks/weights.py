"""Weights from files and from torchvision, and batch normalisation whose statistics were folded into them."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from stslib.support.errors import DamagedFile, MissingInput, ParameterError


def read_weights(architecture: str, weights: str | Path) -> dict[str, Tensor]:
    """The state dict that `weights` names, of one of the paper's networks: "imagenet", a .safetensors or an .npz file."""
    if str(weights) == "imagenet":
        from torchvision import models  # networks.architectures has made it importable

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


def has_folded_batch_norm(model: nn.Module) -> bool:
    """Whether every batch-normalisation layer has mean 0 and variance 1: weights whose statistics were folded in."""
    layers = batch_norms(model)
    return bool(layers) and all(
        bool((bn.running_mean == 0).all() and (bn.running_var == 1).all())  # type: ignore[union-attr]
        for bn in layers
    )


@torch.no_grad()
def recalibrate_batch_norm(model: nn.Module, x: Tensor | Iterable[Tensor]) -> None:
    """Give each batch-normalisation layer the statistics of its input, and keep what the network computes; in place.

    Folded weights (mean 0, variance 1) compute the right thing, but training replaces the statistics by those of the
    batch and so breaks the network at its first step. `x` holds transformed training images `(n, 3, H, W)`, or is an
    iterable of such.
    """
    sums: dict[Any, Tensor] = {}  # of a layer: its number of values a channel, their sum, the sum of their squares

    def add(bn: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        values = inputs[0].double().cpu()
        count = torch.full(values.shape[1:2], values.numel() / values.shape[1], dtype=torch.float64)
        sums[bn] = sums.get(bn, 0) + torch.stack([count, values.sum((0, 2, 3)), values.square().sum((0, 2, 3))])

    was_training = model.training
    model.eval()
    hooks = [bn.register_forward_pre_hook(add) for bn in batch_norms(model)]
    try:
        for batch in x.split(64) if isinstance(x, Tensor) else x:
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
