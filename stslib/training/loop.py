"""The training loop, to be read from top to bottom: batches, loss, one step of Adam, validation, when to stop."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stslib.cohort import CLASSES, class_index
from stslib.networks import InputTransform
from stslib.support.errors import ParameterError, StsError
from stslib.support.progress import progress
from stslib.training.cells import TrainingSet, augment, class_weights, mix, shrink
from stslib.training.recipes import FitConfig


@dataclass
class History:
    """What happened in a fit, one entry an epoch; without validation cells those of validation stay empty."""

    train_loss: list[float] = field(default_factory=list)  # mean over the batches, with dropout and augmentation on
    valid_loss: list[float] = field(default_factory=list)
    valid_accuracy: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)  # of the epoch's last step
    stopped: str = "max_epochs"  # or "patience", or "diverged": the loss was no number any more

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
        """Take the loss of one more epoch; True when that was enough waiting."""
        if valid_loss <= self.reference * (1 - self.min_improvement) or math.isinf(self.reference):
            self.reference, self.waited = valid_loss, 0
        else:
            self.waited += 1
        return self.patience > 0 and self.waited >= self.patience


def fit(
    model: nn.Module, transform: InputTransform, cells: TrainingSet, config: FitConfig, seed: int, label: str = ""
) -> History:
    """Train `model` (from `networks.build`), in place, on the training cells of `cells`, watching its validation cells.

    Without validation cells nothing stops early and the last weights stay. `seed` fixes order, dropout and augmentation.
    A batch above the number of cells is a `ParameterError`, a single class or too little memory an `StsError`.
    """
    targets = torch.from_numpy(class_index(cells.labels))
    if len(classes := sorted(cells.counts())) < 2:
        raise StsError(f"all {len(cells.train)} training cells are of class {''.join(classes) or 'none'}; use several")
    if config.batch_size > len(cells.train):
        n = len(cells.train)
        raise ParameterError(f"batch_size is {config.batch_size}, and there are {n} training cells; lower it")
    rng = np.random.default_rng(seed)  # order of the cells and augmentation draw from here, dropout from torch's own
    with seeded(seed), threads(config.threads), memory_errors():
        device = torch.device(config.device)
        model.to(device)
        # The costly half of the transform happens once; it leaves c x height x width half-precision numbers a cell.
        images, y = shrink(transform, cells.images, cells.train), targets[cells.train].to(device)
        valid_images, valid_y = shrink(transform, cells.images, cells.valid), targets[cells.valid].to(device)

        weights = class_weights(y) if config.class_weights else None
        criterion = nn.CrossEntropyLoss(weight=weights, label_smoothing=config.label_smoothing)
        trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trainable, lr=config.learning_rate, weight_decay=config.weight_decay)
        # Even batches, none of a single cell: batch normalisation cannot learn from one.
        n_batches = max(1, min(math.ceil(len(y) / config.batch_size), len(y) // 2))
        schedule = _schedule(optimizer, config, n_batches)
        stopping = EarlyStopping(config.patience, config.min_improvement)
        history, best_loss, best = History(), math.inf, copy.deepcopy(model.state_dict())
        network = torch.compile(model) if config.compile else model
        # Gradients of half-precision numbers are scaled up, so that small ones do not become 0; else this does nothing.
        scaler = torch.amp.GradScaler(config.device, enabled=config.amp == "fp16")

        for _ in progress(range(config.max_epochs), label) if label else range(config.max_epochs):
            # --- learn ---------------------------------------------------------------------------------------------
            _training_mode(model)
            total = 0.0
            for batch in np.array_split(rng.permutation(len(y)), n_batches):
                z = augment(images[batch].to(device).float(), config, rng)
                z, other, share = mix(z, config, rng)
                with _half_precision(config):
                    output = network(transform.finish(z))
                loss = _loss(output, y[batch], criterion, config)
                if share < 1:
                    loss = share * loss + (1 - share) * _loss(output, y[batch[other]], criterion, config)
                optimizer.zero_grad(set_to_none=True)
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                scaler.update()
                total += loss.item() * len(batch)
                rate = optimizer.param_groups[0]["lr"]
                if config.schedule == "one_cycle":
                    schedule.step()
            if config.schedule == "step":
                schedule.step()
            history.train_loss.append(total / len(y))
            history.learning_rate.append(rate)
            if not math.isfinite(total):
                history.stopped = "diverged"
                break

            # --- validate ------------------------------------------------------------------------------------------
            if not len(valid_y):
                continue
            with _half_precision(config):
                valid_scores = _scores(model, transform, valid_images).float()
            valid_loss = nn.functional.cross_entropy(valid_scores, valid_y).item()
            history.valid_loss.append(valid_loss)
            history.valid_accuracy.append((valid_scores.argmax(1) == valid_y).float().mean().item())
            if valid_loss < best_loss:
                best_loss, best = valid_loss, copy.deepcopy(model.state_dict())
            if stopping.should_stop(valid_loss):
                history.stopped = "patience"
                break

        if history.stopped == "diverged" or (config.keep == "best" and len(valid_y)):
            model.load_state_dict(best)
        model.eval()
    return history


def predict_proba(
    model: nn.Module, transform: InputTransform, images: np.ndarray, indices: np.ndarray | None = None
) -> np.ndarray:
    """Class probabilities `(n, 4)` float64 of stored scalograms, of the cells `indices` in this order (default all)."""
    chosen = np.arange(len(images)) if indices is None else np.asarray(indices)
    with memory_errors():
        scores = _scores(model, transform, shrink(transform, images, chosen))
    return torch.softmax(scores.double(), dim=1).cpu().numpy()


@torch.inference_mode()
def _scores(model: nn.Module, transform: InputTransform, small: Tensor) -> Tensor:
    """Scores `(n, 4)` of shrunk images, 64 cells at a time."""
    model.eval()
    device = next(iter(model.state_dict().values())).device
    parts = [model(transform.finish(part.to(device).float())) for part in small.split(64)]
    return torch.cat(parts) if parts else torch.empty(0, len(CLASSES), device=device)


def _half_precision(config: FitConfig) -> contextlib.AbstractContextManager[Any]:
    """Automatic mixed precision inside the block, or nothing (`amp` "none")."""
    dtype = torch.float16 if config.amp == "fp16" else torch.bfloat16
    return torch.autocast(config.device, dtype, enabled=config.amp != "none")


def _loss(output: Any, target: Tensor, criterion: nn.Module, config: FitConfig) -> Tensor:
    """Loss of a network's scores, and of its second head's where it has one (`networks.with_auxiliary`)."""
    scores, *auxiliary = [output] if isinstance(output, Tensor) else output
    loss: Tensor = criterion(scores.float(), target)
    for more in auxiliary:
        loss = loss + config.aux_weight * criterion(more.float(), target)
    return loss


def _schedule(optimizer: torch.optim.Optimizer, config: FitConfig, n_batches: int) -> Any:
    if config.schedule == "one_cycle":
        # At least 10 steps: OneCycleLR cannot divide fewer into a rise and a fall.
        total = max(10, config.max_epochs * n_batches)
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer, config.learning_rate, total_steps=total, pct_start=0.3, final_div_factor=1000
        )
    return torch.optim.lr_scheduler.StepLR(optimizer, config.decay_every, config.decay_factor or 1.0)


def _training_mode(model: nn.Module) -> None:
    """Training mode, but layers without a trainable weight, which `freeze` holds fast, keep their statistics."""
    model.train()
    for module in model.modules():
        own = list(module.parameters(recurse=False))
        if own and not any(parameter.requires_grad for parameter in own):
            module.eval()


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's generators inside the block, and leave them as they were after it."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


@contextlib.contextmanager
def threads(number: int) -> Iterator[None]:
    """Let torch use `number` threads inside the block; 0 changes nothing."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def memory_errors() -> Iterator[None]:
    """Turn torch's errors of missing memory into one line that says what to lower."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        text = str(error)
        if isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text:
            raise StsError("the memory is too small for this network; lower batch_size or the image size") from error
        raise
