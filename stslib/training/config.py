"""How a network is fitted (`FitConfig`), what happened (`History`), and when to stop (`EarlyStopping`)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch

from stslib.support.errors import ParameterError, one_of

SCHEDULES = ("step", "one_cycle")
KEEPS = ("best", "last")
AMPS = ("none", "bf16", "fp16")


@dataclass(frozen=True)
class FitConfig:
    """How one network is fitted. The defaults follow the paper's code where it fixes a value.

    Attributes
    ----------
    learning_rate : float
        Of Adam at the start ("step") or at its peak ("one_cycle").
    batch_size : int
        Cells a step, at most; an epoch is cut into even batches, so that none is left with a single cell.
    max_epochs : int
        Passes over the training cells, at most.
    schedule : str
        "step": the learning rate is multiplied by `decay_factor` after every `decay_every` epochs (the paper's decay).
        "one_cycle": it rises over the first 30 % of all steps and falls to nearly 0 at the last [1]_; for training from
        random weights on little data.
    decay_factor : float
        0 means no decay.
    decay_every : int
        Epochs.
    patience : int
        Stop after so many epochs in a row without a validation loss at least `min_improvement` (a fraction) below the
        lowest one before; 0 means never.
    min_improvement : float
        0.05 is 5 %.
    keep : str
        Weights at the end: "best", those of the lowest validation loss, or "last", as in the paper's code.
    weight_decay : float
        Decoupled weight decay (AdamW); 0 is plain Adam.
    label_smoothing : float
        Share of the target that is spread over all classes.
    class_weights : bool
        Weigh the loss of a class by the inverse of its share.
    jitter_columns, gain_sd, noise_sd : int, float, float
        Light augmentation of training images, off by default: a shift in time by up to so many pixel columns (both sweeps
        alike), a factor of standard deviation `gain_sd`, and noise of `noise_sd` times the images' own standard deviation.
    mixup : float
        Parameter of a symmetric beta distribution that draws, for each batch, how far its images and their targets are
        blended with those of another order of the batch [2]_; 0 is off, 1 any blend alike.
    aux_weight : float
        Weight of the loss of InceptionV3's second head, which reads the middle of the network while it learns and is then
        taken away. 0 is none, as in the paper's code; torchvision's own training used 0.4. Images of 299 px are needed.
    amp : str
        "none": all in float32. "bf16" or "fp16": half precision where it is safe (automatic mixed precision). It pays on a
        GPU, and "bf16" also on a processor that computes with such numbers (`avx512_bf16` or `amx_bf16` among its flags);
        on others it is slower. "fp16" scales the loss so that small gradients survive, and needs a GPU.
    compile : bool
        Let torch.compile fuse the network's steps, for a GPU. It takes a minute or more before the first epoch and needs a
        C++ compiler; on a processor the plain network is as fast (`make bench`).
    threads : int
        Of torch while this fits; 0 leaves them as they are. Results are identical for the same number only.
    device : str
        "cpu" or "cuda".

    References
    ----------
    .. [1] Smith & Topin 2019, Super-convergence, Proc. SPIE 11006.
    .. [2] Zhang et al. 2018, mixup: Beyond Empirical Risk Minimization, ICLR.
    """

    learning_rate: float = 1e-3
    batch_size: int = 32
    max_epochs: int = 1000
    schedule: str = "step"
    decay_factor: float = 0.1
    decay_every: int = 10
    patience: int = 15
    min_improvement: float = 0.05
    keep: str = "best"
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    class_weights: bool = False
    jitter_columns: int = 0
    gain_sd: float = 0.0
    noise_sd: float = 0.0
    mixup: float = 0.0
    aux_weight: float = 0.0
    amp: str = "none"
    compile: bool = False
    threads: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        one_of("schedule", self.schedule, SCHEDULES)
        one_of("keep", self.keep, KEEPS)
        one_of("device", self.device, ("cpu", "cuda"))
        for name, low in (("batch_size", 2), ("max_epochs", 1), ("decay_every", 1)):
            if getattr(self, name) < low:
                raise ParameterError(f"{name} is {getattr(self, name)}; use at least {low}")
        for name in (
            "decay_factor",
            "patience",
            "weight_decay",
            "jitter_columns",
            "gain_sd",
            "noise_sd",
            "mixup",
            "aux_weight",
            "threads",
        ):
            if getattr(self, name) < 0:
                raise ParameterError(f"{name} is {getattr(self, name)}; use 0 or more")
        for name in ("label_smoothing", "min_improvement"):
            if not 0 <= getattr(self, name) < 1:
                raise ParameterError(f"{name} is {getattr(self, name)}; use a value from 0 to below 1")
        if not self.learning_rate > 0:
            raise ParameterError(f"learning_rate is {self.learning_rate}; use a value above 0")
        one_of("amp", self.amp, AMPS)
        if self.amp == "fp16" and self.device != "cuda":
            raise ParameterError('amp is "fp16", which needs a GPU; use "bf16" or "none" with device "cpu"')
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ParameterError('device is "cuda", and there is no CUDA device here; use device "cpu"')


@dataclass
class History:
    """What happened in a fit, one entry an epoch.

    Attributes
    ----------
    train_loss : list of float
        Mean cross-entropy over the epoch's batches, while the weights were changing (dropout and augmentation on).
    valid_loss, valid_accuracy : list of float
        Cross-entropy and accuracy on the validation cells after the epoch; empty without any.
    learning_rate : list of float
        Of the epoch's last step.
    stopped : str
        Why it ended: "max_epochs", "patience" or "diverged" (the loss was no number any more).
    """

    train_loss: list[float] = field(default_factory=list)
    valid_loss: list[float] = field(default_factory=list)
    valid_accuracy: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    stopped: str = "max_epochs"

    @property
    def n_epochs(self) -> int:
        """Number of epochs that were run."""
        return len(self.train_loss)

    @property
    def best_epoch(self) -> int:
        """Number of epochs after which the validation loss was lowest (1 is the first); all of them without validation."""
        return int(np.argmin(self.valid_loss)) + 1 if self.valid_loss else self.n_epochs


class EarlyStopping:
    """Says when the validation loss has not become better by a given fraction for `patience` epochs (protocol of the paper)."""

    def __init__(self, patience: int, min_improvement: float) -> None:
        self.patience, self.min_improvement = patience, min_improvement
        self.reference, self.waited = math.inf, 0

    def should_stop(self, valid_loss: float) -> bool:
        """Tell the loss of one more epoch; True when that was enough waiting."""
        if valid_loss <= self.reference * (1 - self.min_improvement) or math.isinf(self.reference):
            self.reference, self.waited = valid_loss, 0
        else:
            self.waited += 1
        return self.patience > 0 and self.waited >= self.patience
