"""Where a network's score is sensitive: gradient saliency, and the check that it shows what was learnt (paper section III.E).

A saliency map is the gradient of the winning class's score with respect to the scalogram [1]_. It looks convincing also
where it says little, so `randomisation_check` compares it with that of a network that has learnt nothing [2]_.

References
----------
.. [1] Simonyan, Vedaldi & Zisserman 2013, Deep inside convolutional networks, arXiv:1312.6034.
.. [2] Adebayo et al. 2018, Sanity checks for saliency maps, NeurIPS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import nn

from stslib import networks
from stslib.networks import InputTransform
from stslib.support.errors import ParameterError, StsError, one_of

RESPECTS = ("stored", "input")
CHANNELS = {"max": "max", "rheobase": 0, "partner": 1}


def choose_network(records: Sequence[Mapping[str, Any]], wanted: str = "best") -> str:
    """The network to look into: the one named, or the one of the highest balanced accuracy in cross-validation.

    Parameters
    ----------
    records : sequence of mapping
        Metric records of notebook 05. Those of the holdout take no part, so that the test cells choose nothing.
    wanted : str
        "best" or an architecture.

    Raises
    ------
    ParameterError
        The network named is not among the records.
    """
    scores = {
        str(r["model"]): float(r["value"])
        for r in records
        if r["split"] == "cv" and r["metric"] == "balanced_accuracy" and r["model"] in networks.ARCHITECTURES
    }
    if not scores:
        raise StsError("no network was cross-validated in this run; run notebook 05 with at least one architecture")
    if wanted == "best":
        return max(sorted(scores), key=lambda name: scores[name])
    if wanted not in scores:
        raise ParameterError(f"architecture is {wanted!r}, and this run trained only: {', '.join(scores)}")
    return wanted


def saliency(
    model: nn.Module,
    transform: InputTransform,
    x: np.ndarray,
    target: Sequence[int] | np.ndarray | None = None,
    channel: str | int = "max",
    respect_to: str = "stored",
    batch_size: int = 32,
) -> np.ndarray:
    """Vanilla gradient saliency on the scalogram's own axes (paper section III.E).

    Parameters
    ----------
    model : nn.Module
        A network; it is put into evaluation mode, and its weights stay as they are.
    transform : InputTransform
        Its input transform; the gradient passes through it.
    x : array (n, c, h, w)
        Stored scalograms, channels rheobase and partner (or one, or three).
    target : (n,) of int, optional
        Class whose score (before the softmax) is differentiated; by default the winning class of each cell.
    channel : "max" or int
        The largest magnitude of the channels, or one of them (0 rheobase, 1 partner).
    respect_to : str
        "stored": change of the score for each mV of coefficient. "input": for each unit of what the transform makes of
        a coefficient. The two differ where the transform compresses (asinh): there a mV counts the less, the larger the
        coefficient already is, so that "stored" is dim on spikes for any network, a random one included. For a linear
        transform, as in the paper, they differ by one factor for each channel.

    Returns
    -------
    (n, h, w) float32, not negative

    Raises
    ------
    ParameterError
        An unknown channel or `respect_to`.
    StsError
        Scalograms of another shape, or a gradient that is not finite.
    """
    one_of("respect_to", respect_to, RESPECTS)
    if x.ndim != 4 or x.shape[1] != transform.channels:
        raise StsError(f"the scalograms have shape {x.shape}; give (n_cells, {transform.channels}, height, width)")
    one_of("channel", channel, ("max", *range(transform.channels)))
    model.eval()
    maps = np.empty((len(x), *x.shape[2:]), dtype=np.float32)
    for start in range(0, len(x), batch_size):
        images = torch.tensor(np.asarray(x[start : start + batch_size]), dtype=torch.float32, requires_grad=True)
        scores = model(transform(images))
        chosen = scores.argmax(1) if target is None else torch.as_tensor(np.asarray(target)[start : start + batch_size])
        # In evaluation mode no cell has a part in another's score, so the sum's gradient holds each cell's own.
        total = scores.gather(1, chosen.long()[:, None]).sum()
        (gradient,) = torch.autograd.grad(total, images)
        if respect_to == "input":
            scale = torch.tensor(transform.scale).view(-1, 1, 1)
            stretched = torch.sqrt(1 + (images.detach() / scale) ** 2) if transform.compress == "asinh" else 1.0
            gradient = gradient * scale * stretched
        gradient = gradient.abs()
        maps[start : start + batch_size] = (gradient.amax(1) if channel == "max" else gradient[:, int(channel)]).numpy()
    if not np.isfinite(maps).all():
        raise StsError("the gradient is not finite; the network has diverged: train it again (05_deep_models)")
    return maps


@torch.no_grad()
def winning(model: nn.Module, transform: InputTransform, x: np.ndarray, batch_size: int = 32) -> np.ndarray:
    """Position in `CLASSES` of each cell's winning class: `(n,)`."""
    model.eval()
    parts = [x[start : start + batch_size] for start in range(0, len(x), batch_size)]
    return np.concatenate([model(transform(np.asarray(part))).argmax(1).numpy() for part in parts])


def randomised(architecture: str, transform: InputTransform, x: np.ndarray, seed: int) -> nn.Module:
    """The same architecture with new random weights.

    Its batch normalisation is measured on `x`, so that signals pass it as they pass a trained network.
    """
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        model = networks.build(architecture)
        model.eval()
        layers = networks.batch_norms(model)
        for layer in layers:
            layer.momentum = None  # a plain mean over the batches
            layer.train()
        for start in range(0, len(x), 32):
            if len(part := x[start : start + 32]) > 1 or start == 0:
                model(transform(np.asarray(part)))
    return model.eval()


def similarity(maps: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Spearman correlation of two sets of maps `(n, h, w)`, cell by cell: `(n,)`; NaN where a map is constant."""
    if maps.shape != others.shape:
        raise StsError(
            f"maps of shapes {maps.shape} and {others.shape} cannot be compared; make them of the same cells"
        )
    first, second = (stats.rankdata(m.reshape(len(m), -1), axis=1) for m in (maps, others))
    first, second = (ranks - ranks.mean(axis=1, keepdims=True) for ranks in (first, second))
    norm = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    with np.errstate(invalid="ignore"):
        return (first * second).sum(axis=1) / norm


def random_maps(
    architecture: str,
    transform: InputTransform,
    x: np.ndarray,
    target: Sequence[int] | np.ndarray,
    seed: int,
    channel: str | int = "max",
    respect_to: str = "stored",
    n_random: int = 3,
) -> np.ndarray:
    """Saliency of `n_random` re-initialised networks for the classes `target`: `(n_random, n, h, w)`.

    The other parameters are those of `saliency`; the networks' seeds follow from `seed`.
    """
    seeds = np.random.SeedSequence(seed).generate_state(n_random) >> 1
    networks_ = (randomised(architecture, transform, x, int(one)) for one in seeds)
    return np.stack([saliency(model, transform, x, target, channel, respect_to) for model in networks_])


def randomisation_check(maps: np.ndarray, random: np.ndarray) -> pd.DataFrame:
    """Does the saliency depend on what was learnt (Adebayo et al. 2018)?

    The map of each cell is compared, by Spearman correlation, with that of re-initialised networks for the same class.
    A high value means that the map shows the scalogram or the architecture and not what the network learnt. How high it
    is without any learning is told by two re-initialised networks compared with each other, and how much of a map is
    the cell's own by the trained network's map of another cell.

    Parameters
    ----------
    maps : (n, h, w) array
        Of the trained network (`saliency`).
    random : (n_random, n, h, w) array
        Of re-initialised ones (`random_maps`), at least two.

    Returns
    -------
    DataFrame
        One row a cell: `reinitialised` (mean over the random networks), `two_random` (two of those), `another_cell`.

    Raises
    ------
    ParameterError
        Fewer than two random networks.
    """
    if len(random) < 2:
        raise ParameterError(f"n_random is {len(random)}; use at least 2, so that two can be compared")
    return pd.DataFrame(
        {
            "reinitialised": np.mean([similarity(maps, other) for other in random], axis=0),
            "two_random": similarity(random[0], random[1]),
            "another_cell": similarity(maps, np.roll(maps, max(1, len(maps) // 2), axis=0)),
        }
    )
