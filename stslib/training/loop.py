"""The training loop, to be read from top to bottom: batches, loss, one step of Adam, validation, when to stop.

Paper section III.C: Adam, cross-entropy, a decaying learning rate, early stopping. No framework: plain PyTorch.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stslib.cohort import CLASSES, class_index
from stslib.networks import InputTransform
from stslib.support.errors import ParameterError, StsError
from stslib.support.progress import progress
from stslib.training.config import EarlyStopping, FitConfig, History


def fit(
    model: nn.Module,
    transform: InputTransform,
    x: np.ndarray,
    labels: Sequence[str] | np.ndarray,
    fit_idx: np.ndarray,
    valid_idx: np.ndarray,
    config: FitConfig,
    seed: int,
    label: str = "",
) -> History:
    """Train `model`, in place, on the cells `fit_idx`, watching the loss on `valid_idx`.

    Parameters
    ----------
    model : nn.Module
        From `networks.build`. Layers that `freeze` holds fast also keep their batch-norm statistics.
    transform : InputTransform
        Fitted on these training cells.
    x : array (n_cells, c, h, w)
        Stored scalograms, for example a float16 memory map. Only the cells asked for are read, once.
    labels : (n_cells,) of str
        Class of each cell.
    fit_idx, valid_idx : int array
        Cells to learn from and to validate on; `valid_idx` may be empty: then nothing stops early and "last" is kept.
    config : FitConfig
        How.
    seed : int
        Fixes the order of the cells, dropout and augmentation.
    label : str
        Label of a progress bar over the epochs; none is shown without.

    Returns
    -------
    History

    Raises
    ------
    ParameterError
        A batch larger than the number of cells.
    StsError
        A single class, no cells, an unknown label, or too little memory.
    """
    targets = torch.from_numpy(class_index(labels))
    _check(targets, fit_idx, config)
    rng = np.random.default_rng(seed)  # order of the cells and augmentation draw from here, dropout from torch's own
    with seeded(seed), threads(config.threads), memory_errors():
        device = torch.device(config.device)
        model.to(device)
        # The dear half of the transform happens once; it leaves c x height x width half-precision numbers a cell.
        images, y = shrink(transform, x, fit_idx), targets[fit_idx].to(device)
        valid_images, valid_y = shrink(transform, x, valid_idx), targets[valid_idx].to(device)

        weights = class_weights(y) if config.class_weights else None
        criterion = nn.CrossEntropyLoss(weight=weights, label_smoothing=config.label_smoothing)
        trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trainable, lr=config.learning_rate, weight_decay=config.weight_decay)
        # Even batches, none of a single cell: batch normalisation cannot learn from one.
        n_batches = max(1, min(math.ceil(len(y) / config.batch_size), len(y) // 2))
        schedule = _schedule(optimizer, config, n_batches)
        stopping = EarlyStopping(config.patience, config.min_improvement)
        history, best_loss, best = History(), math.inf, _copy(model)
        network = torch.compile(model) if config.compile else model
        # Gradients of half-precision numbers are scaled up, so that small ones do not become 0; else this does nothing.
        scaler = torch.amp.GradScaler(config.device, enabled=config.amp == "fp16")

        for _ in progress(range(config.max_epochs), label) if label else range(config.max_epochs):
            # --- learn ---------------------------------------------------------------------------------------------
            _training_mode(model)
            total = 0.0
            for batch in np.array_split(rng.permutation(len(y)), n_batches):
                z = augment(images[batch].to(device).float(), transform, config, rng)
                z, other, share = mix(z, config, rng)
                with half_precision(config):
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
            if not len(valid_idx):
                continue
            with half_precision(config):
                valid_scores = _scores(model, transform, valid_images, device).float()
            valid_loss = nn.functional.cross_entropy(valid_scores, valid_y).item()
            history.valid_loss.append(valid_loss)
            history.valid_accuracy.append((valid_scores.argmax(1) == valid_y).float().mean().item())
            if valid_loss < best_loss:
                best_loss, best = valid_loss, _copy(model)
            if stopping.should_stop(valid_loss):
                history.stopped = "patience"
                break

        if history.stopped == "diverged" or (config.keep == "best" and len(valid_idx)):
            model.load_state_dict(best)
        model.eval()
    return history


def predict_proba(
    model: nn.Module, transform: InputTransform, x: np.ndarray, indices: np.ndarray | None = None, batch_size: int = 64
) -> np.ndarray:
    """Class probabilities of cells: `(n, 4)` float64, columns in the order of `cohort.CLASSES`, rows adding up to 1.

    Parameters
    ----------
    model, transform
        A fitted network and its input transform.
    x : array (n_cells, c, h, w)
        Stored scalograms.
    indices : int array, optional
        Which cells, in this order; all by default.
    batch_size : int
        Cells at a time; the result does not depend on it beyond rounding.
    """
    model.eval()
    device = next(model.parameters()).device
    chosen = np.arange(len(x)) if indices is None else np.asarray(indices)
    with memory_errors():
        scores = _scores(model, transform, shrink(transform, x, chosen), device, batch_size)
    return torch.softmax(scores.double(), dim=1).cpu().numpy()


# --- the parts --------------------------------------------------------------------------------------------------------


def shrink(transform: InputTransform, x: np.ndarray, indices: np.ndarray) -> Tensor:
    """The cells `indices` at the network's size: `(n, c, height, width)` float16, read in chunks of 64."""
    images = torch.empty((len(indices), transform.channels, transform.height, transform.width), dtype=torch.float16)
    for start in range(0, len(indices), 64):
        part = np.asarray(indices)[start : start + 64]
        order = np.argsort(part)  # a memory map is read fastest from front to back
        images[start + torch.from_numpy(order)] = transform.shrink(x[part[order]]).half()
    return images


def augment(z: Tensor, transform: InputTransform, config: FitConfig, rng: np.random.Generator) -> Tensor:
    """Vary shrunk images `(n, c, H, W)` as recordings of the same cell vary: in time, in gain, by noise (see `FitConfig`)."""
    n, width = len(z), z.shape[-1]
    if config.jitter_columns:
        shift = torch.from_numpy(rng.integers(-config.jitter_columns, config.jitter_columns + 1, n)).to(z.device)
        # Beyond the ends the last column is repeated, so that the end of a sweep does not come in at its start.
        columns = (torch.arange(width, device=z.device) - shift[:, None]).clamp(0, width - 1)
        z = z.gather(3, columns[:, None, None, :].expand_as(z))
    if config.gain_sd:
        z = z * torch.from_numpy(rng.normal(1.0, config.gain_sd, (n, 1, 1, 1))).to(z)
    if config.noise_sd:
        noise = torch.from_numpy(rng.standard_normal(tuple(z.shape), dtype=np.float32)).to(z)
        z = z + config.noise_sd * torch.tensor(transform.std, device=z.device).view(-1, 1, 1) * noise
    return z


def mix(z: Tensor, config: FitConfig, rng: np.random.Generator) -> tuple[Tensor, np.ndarray, float]:
    """Blend each image with another of its batch (mixup, see `FitConfig`): `(blended, partners, share of its own)`.

    With `mixup` 0 nothing is drawn and nothing changes: the share is 1.
    """
    if not config.mixup:
        return z, np.arange(len(z)), 1.0
    share, partners = float(rng.beta(config.mixup, config.mixup)), rng.permutation(len(z))
    return share * z + (1 - share) * z[partners], partners, share


def half_precision(config: FitConfig) -> contextlib.AbstractContextManager[Any]:
    """Automatic mixed precision inside the block, or nothing (`amp` "none")."""
    if config.amp == "none":
        return contextlib.nullcontext()
    return torch.autocast(config.device, torch.bfloat16 if config.amp == "bf16" else torch.float16)


def _loss(output: Any, target: Tensor, criterion: nn.Module, config: FitConfig) -> Tensor:
    """Loss of a network's scores, and of its second head's where it has one (`networks.with_auxiliary`)."""
    if isinstance(output, Tensor):
        loss: Tensor = criterion(output.float(), target)
        return loss
    scores, auxiliary = output
    both: Tensor = criterion(scores.float(), target) + config.aux_weight * criterion(auxiliary.float(), target)
    return both


def class_weights(y: Tensor) -> Tensor:
    """Inverse share of each class, with mean 1 over the cells: `(4,)`; 0 for a class that is absent."""
    counts = torch.bincount(y, minlength=len(CLASSES)).float()
    return torch.where(counts > 0, len(y) / (counts.clamp(min=1) * (counts > 0).sum()), torch.zeros_like(counts))


def _schedule(optimizer: torch.optim.Optimizer, config: FitConfig, n_batches: int) -> Any:
    if config.schedule == "one_cycle":
        # At least 10 steps: OneCycleLR cannot divide fewer into a rise and a fall.
        total = max(10, config.max_epochs * n_batches)
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer, config.learning_rate, total_steps=total, pct_start=0.3, final_div_factor=1000
        )
    return torch.optim.lr_scheduler.StepLR(optimizer, config.decay_every, config.decay_factor or 1.0)


@torch.inference_mode()
def _scores(
    model: nn.Module, transform: InputTransform, images: Tensor, device: torch.device, batch_size: int = 64
) -> Tensor:
    model.eval()
    parts = [model(transform.finish(part.to(device).float())) for part in images.split(batch_size)]
    return torch.cat(parts) if parts else torch.empty(0, len(CLASSES), device=device)


def _training_mode(model: nn.Module) -> None:
    """Training mode, but layers without a trainable weight, which `freeze` holds fast, keep their statistics."""
    model.train()
    for module in model.modules():
        own = list(module.parameters(recurse=False))
        if own and not any(parameter.requires_grad for parameter in own):
            module.eval()


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {key: value.detach().clone() for key, value in model.state_dict().items()}


def _check(targets: Tensor, fit_idx: np.ndarray, config: FitConfig) -> None:
    if len(fit_idx) < 2:
        raise StsError(f"{len(fit_idx)} training cells are too few; give at least 2")
    if len(torch.unique(targets[fit_idx])) < 2:
        raise StsError(
            f"all {len(fit_idx)} training cells are of class {CLASSES[int(targets[fit_idx[0]])]}; use several"
        )
    if config.batch_size > len(fit_idx):
        raise ParameterError(
            f"batch_size is {config.batch_size}, and there are {len(fit_idx)} training cells; lower it"
        )


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
