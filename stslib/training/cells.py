"""The cells that a network learns from, and what is done to a batch of their images."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from stslib.cohort import CLASSES
from stslib.networks import InputTransform
from stslib.support.errors import StsError
from stslib.training.recipes import FitConfig, Recipe


@dataclass(frozen=True)
class TrainingSet:
    """Cells to learn from, and cells to watch the loss on.

    Parameters
    ----------
    images, labels : (n_cells, c, h, w) array of stored scalograms, such as a memory map, and (n_cells,) of str, classes
    train, valid : int arrays, positions of the cells to learn from (default all) and to validate on (default none)
    sized : mapping of (height, width) to images of that size, each by one resize of the whole scalogram, float32

    Examples
    --------
    >>> TrainingSet(np.zeros((8, 2, 32, 32)), ["Sst", "Pvalb"] * 4, np.arange(6)).counts()
    {'Pvalb': 3, 'Sst': 3}
    """

    images: np.ndarray
    labels: np.ndarray
    train: np.ndarray = None  # type: ignore[assignment]
    valid: np.ndarray = ()  # type: ignore[assignment]
    sized: Mapping[tuple[int, int], np.ndarray] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        train = np.arange(len(self.labels)) if self.train is None else self.train
        object.__setattr__(self, "labels", np.asarray(self.labels).astype(str))
        object.__setattr__(self, "train", np.asarray(train, dtype=np.int64))
        object.__setattr__(self, "valid", np.asarray(self.valid, dtype=np.int64))

    def only(self, train: np.ndarray, valid: Sequence[int] | np.ndarray = ()) -> TrainingSet:
        """The same images and labels with other cells to learn from and to validate on."""
        return dataclasses.replace(self, train=train, valid=np.asarray(valid))

    def at(self, height: int, width: int) -> TrainingSet:
        """The same cells with the images of this size where there are such, else as stored."""
        own = self.sized.get((height, width))
        return self if own is None else dataclasses.replace(self, images=own, sized={})

    def read_by(self, recipe: Recipe) -> TrainingSet:
        """The same cells as a network reads them: in the paper's protocols by one resize, to its own size."""
        own = self.at(recipe.height, recipe.width)
        if recipe.direct and own.images.shape[2:] != (recipe.height, recipe.width):
            found = " x ".join(map(str, own.images.shape[2:]))
            why = f"{recipe.architecture} reads {recipe.height} x {recipe.width} pixels by one resize in protocol"
            raise StsError(f"{why} {recipe.protocol}, and the images have {found}; draw them at its size")
        return own

    def split_off(self, seed: int, fraction: float) -> TrainingSet:
        """Set a share of each class aside for validation; each class keeps at least one cell to learn from."""
        rng = np.random.default_rng(seed)
        valid: list[int] = []
        for name in sorted(set(self.labels[self.train])):
            members = rng.permutation(self.train[self.labels[self.train] == name])
            valid.extend(members[: min(round(len(members) * fraction), len(members) - 1)])
        return self.only(np.setdiff1d(self.train, valid), sorted(valid))

    def counts(self) -> dict[str, int]:
        """Number of training cells of each class that there is."""
        names, counts = np.unique(self.labels[self.train], return_counts=True)
        return dict(zip(names.tolist(), counts.tolist(), strict=True))

    @cached_property
    def sha256(self) -> str:
        """Hash of the training cells: their positions, their labels and their scalograms."""
        head = [self.train.tolist(), self.labels[self.train].tolist(), self.images.shape[1:]]
        digest = hashlib.sha256(json.dumps(head).encode())
        for part in np.array_split(self.train, max(1, len(self.train) // 64)):
            digest.update(np.ascontiguousarray(self.images[part]).tobytes())
        return digest.hexdigest()


def shrink(transform: InputTransform, images: np.ndarray, indices: np.ndarray) -> Tensor:
    """The cells `indices` at the network's size: `(n, c, height, width)`, read in chunks of 64.

    In float16, but in float32 what was drawn at that size in float32 and is not compressed: such an input is exact.
    """
    exact = images.dtype == np.float32 and images.shape[2:] == (transform.height, transform.width)
    kind = torch.float32 if exact and transform.compress == "none" else torch.float16
    small = torch.empty((len(indices), transform.channels, transform.height, transform.width), dtype=kind)
    for start in range(0, len(indices), 64):
        part = np.asarray(indices)[start : start + 64]
        order = np.argsort(part)  # a memory map is read fastest from front to back
        small[start + torch.from_numpy(order)] = transform.shrink(images[part[order]]).to(kind)
    return small


def augment(z: Tensor, config: FitConfig, rng: np.random.Generator) -> Tensor:
    """Vary shrunk images `(n, c, H, W)` as recordings of the same cell vary: in time and in gain (see `FitConfig`)."""
    n, width = len(z), z.shape[-1]
    if config.jitter_columns:
        shift = torch.from_numpy(rng.integers(-config.jitter_columns, config.jitter_columns + 1, n)).to(z.device)
        # Beyond the ends the last column is repeated, so that the end of a sweep does not come in at its start.
        columns = (torch.arange(width, device=z.device) - shift[:, None]).clamp(0, width - 1)
        z = z.gather(3, columns[:, None, None, :].expand_as(z))
    if config.gain_sd:
        z = z * torch.from_numpy(rng.normal(1.0, config.gain_sd, (n, 1, 1, 1))).to(z)
    return z


def mix(z: Tensor, config: FitConfig, rng: np.random.Generator) -> tuple[Tensor, np.ndarray, float]:
    """Blend each image with another of its batch (mixup): `(blended, partners, share of its own)`."""
    if not config.mixup:
        return z, np.arange(len(z)), 1.0
    share, partners = float(rng.beta(config.mixup, config.mixup)), rng.permutation(len(z))
    return share * z + (1 - share) * z[partners], partners, share


def class_weights(y: Tensor) -> Tensor:
    """Inverse share of each class, with mean 1 over the cells: `(4,)`; 0 for a class that is absent."""
    counts = torch.bincount(y, minlength=len(CLASSES)).float()
    return torch.where(counts > 0, len(y) / (counts.clamp(min=1) * (counts > 0).sum()), torch.zeros_like(counts))
