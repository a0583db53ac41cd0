"""Where a network's score is sensitive: gradients of the winning class's score (Simonyan et al. 2013; paper section III.E).

A map looks convincing even where it shows little: it is compared with maps of untrained networks (Adebayo et al. 2018).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import nn

from stslib import networks, training
from stslib.networks import InputTransform
from stslib.networks.architectures import batch_norms
from stslib.scalograms import Preprocessing
from stslib.support.errors import ParameterError, StsError, one_of

SWEEPS = ("rheobase", "partner")


@dataclass(frozen=True)
class Network:
    """A network to look into: its architecture, the module, its input transform, and what the cells of its run are.

    `preprocessing` says how its images are made from sweeps, where its card has that.
    """

    name: str
    model: nn.Module
    transform: InputTransform
    data: str
    preprocessing: Preprocessing | None = None


def load_network(folder: str | Path, records: Sequence[Mapping[str, Any]], architecture: str = "best") -> Network:
    """The network to look into: the one named, or the one of the highest balanced accuracy in cross-validation.

    Parameters
    ----------
    folder, records : path with a folder a network, as notebook 05 saves them, and its metric records; those of the
        holdout are not read, so that the test cells choose nothing
    architecture : "best" or one of the records' networks, else `ParameterError`

    Examples
    --------
    >>> record = {"model": "resnet18", "data": "simulated", "split": "cv", "metric": "balanced_accuracy", "value": 0.7}
    >>> load_network("models", [record], "densenet121")
    Traceback (most recent call last):
    stslib.support.errors.ParameterError: architecture is 'densenet121', and this run trained only: resnet18
    """
    scores = {
        str(r["model"]): float(r["value"])
        for r in records
        if r["split"] == "cv" and r["metric"] == "balanced_accuracy" and r["model"] in networks.ARCHITECTURES
    }
    if not scores:
        raise StsError("no network was cross-validated in this run; run notebook 05 with at least one architecture")
    if architecture not in ("best", *scores):
        raise ParameterError(f"architecture is {architecture!r}, and this run trained only: {', '.join(scores)}")
    name = max(sorted(scores), key=lambda one: scores[one]) if architecture == "best" else architecture
    model, transform, card = networks.load(Path(folder) / name)
    made = Preprocessing.from_dict(card["preprocessing"]) if "preprocessing" in card else None
    return Network(name, model, transform, next(str(r["data"]) for r in records if r["model"] == name), made)


def gradients(
    model: nn.Module,
    transform: InputTransform,
    x: np.ndarray,
    target: Sequence[int] | np.ndarray,
    respect_to: str = "stored",
    batch_size: int = 32,
) -> np.ndarray:
    """Size of the gradient of the score of each cell's class `target` (before the softmax): `(n, c, h, w)` float32.

    "stored": the change for each mV of coefficient, which asinh makes dim on spikes; "input": for each unit of its input.
    """
    from captum.attr import Saliency

    one_of("respect_to", respect_to, ("stored", "input"))
    if x.ndim != 4 or x.shape[1] != transform.channels:
        raise StsError(f"the scalograms have shape {x.shape}; give (n_cells, {transform.channels}, height, width)")
    model.eval()
    attribution = Saliency(lambda images: model(transform(images)))
    sizes = np.empty(x.shape, dtype=np.float32)
    for start in range(0, len(x), batch_size):
        part = slice(start, start + batch_size)
        images = torch.tensor(np.asarray(x[part]), dtype=torch.float32, requires_grad=True)
        size = attribution.attribute(images, target=torch.as_tensor(np.asarray(target)[part]).long())
        if respect_to == "input":
            scale = torch.tensor(transform.scale).view(-1, 1, 1)
            stretched = torch.sqrt(1 + (images / scale) ** 2) if transform.compress == "asinh" else 1.0
            size = size * scale * stretched
        sizes[part] = size.detach().numpy()
    if not np.isfinite(sizes).all():
        raise StsError("the gradient is not finite; the network has diverged: train it again (05_deep_models)")
    return sizes


@dataclass(frozen=True)
class Maps:
    """Saliency of cells on the axes of their stored scalograms, never negative: `trained` `(n, h, w)` of the network,
    `untrained` `(n_random, n, h, w)` of networks with new random weights, for the same classes.
    """

    trained: np.ndarray
    untrained: np.ndarray

    def scaled(self) -> np.ndarray:
        """Maps of the trained network, each scaled to a maximum of 1: `(n, h, w)` float16."""
        largest = self.trained.max(axis=(1, 2), keepdims=True)
        scaled = np.divide(self.trained, largest, where=largest > 0, out=np.zeros_like(self.trained))
        return scaled.astype(np.float16)

    def randomisation(self) -> pd.DataFrame:
        """Does the saliency depend on what was learnt (Adebayo et al. 2018)? Spearman correlations of maps, one row a cell.

        With those of untrained networks (`reinitialised`), of two untrained ones (`two_random`), with `another_cell`'s map.
        """
        if len(self.untrained) < 2:
            raise ParameterError(f"n_random is {len(self.untrained)}; use at least 2, so that two can be compared")
        other = np.roll(self.trained, max(1, len(self.trained) // 2), axis=0)
        again = np.mean([similarity(self.trained, one) for one in self.untrained], axis=0)
        between, across = similarity(self.untrained[0], self.untrained[1]), similarity(self.trained, other)
        return pd.DataFrame({"reinitialised": again, "two_random": between, "another_cell": across})


def saliency_maps(
    network: Network, x: np.ndarray, sweep: str = "max", respect_to: str = "stored", n_random: int = 3, seed: int = 2026
) -> Maps:
    """Vanilla gradient saliency of each cell's winning class, of a network and of re-initialised ones (paper section III.E).

    Parameters
    ----------
    network, x : Network, from `load_network`, and (n, 2, h, w) stored scalograms, channels rheobase and partner
    sweep : "max", "rheobase" or "partner"; max is the larger saliency of the two in each pixel
    respect_to : "stored" (score for each mV of coefficient) or "input" (for each unit of the network's input)
    n_random, seed : number of networks with new random weights, and what their weights follow from

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(4, 2, 32, 32)).astype(np.float32)
    >>> network = Network("compact", networks.build("compact"), InputTransform.fit(x, range(4), "compact"), "simulated")
    >>> saliency_maps(network, x, n_random=2).untrained.shape
    (2, 4, 32, 32)
    """
    one_of("sweep", sweep, ("max", *SWEEPS[: network.transform.channels]))
    winners = training.predict_proba(network.model, network.transform, x).argmax(axis=1)

    def maps_of(model: nn.Module) -> np.ndarray:
        sizes = gradients(model, network.transform, x, winners, respect_to)
        chosen: np.ndarray = sizes.max(axis=1) if sweep == "max" else sizes[:, SWEEPS.index(sweep)]
        return chosen

    seeds = np.random.SeedSequence(seed).generate_state(n_random) >> 1
    trained = maps_of(network.model)
    untrained = [maps_of(untrained_network(network.name, network.transform, x, int(one))) for one in seeds]
    return Maps(trained, np.array(untrained, dtype=np.float32).reshape(n_random, *trained.shape))


def untrained_network(architecture: str, transform: InputTransform, x: np.ndarray, seed: int) -> nn.Module:
    """The architecture with new random weights; its batch normalisation is measured on `x`, as in a trained network."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        model = networks.build(architecture).eval()
        for layer in batch_norms(model):
            layer.momentum = None  # a plain mean over the batches
            layer.train()
        for start in range(0, len(x), 32):
            if len(part := x[start : start + 32]) > 1 or start == 0:
                model(transform(np.asarray(part)))
    return model.eval()


def similarity(maps: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Spearman correlation of two sets of maps `(n, h, w)`, cell by cell: `(n,)`; NaN where a map is constant."""
    first, second = (stats.rankdata(m.reshape(len(m), -1), axis=1) for m in (maps, others))
    first, second = (ranks - ranks.mean(axis=1, keepdims=True) for ranks in (first, second))
    norm = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    with np.errstate(invalid="ignore"):
        return (first * second).sum(axis=1) / norm
