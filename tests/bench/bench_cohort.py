"""The whole cohort on disk: 5,590 cells at 224 x 224 in float16, made from sweeps, and read by memory map in training.

The sweeps are those of 40 simulated cells, over and over: what is measured depends on how many cells there are, not on
which. The error of float16 is measured on those 40. The file is written to the folder that STS_BENCH_FOLDER names, or to
the system's folder for temporary files, and removed at the end.
"""

import os
import tempfile
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from stslib.io import open_source
from stslib.networks import InputTransform, build
from stslib.scalograms import Bank, ImageSettings, cwt_resized
from stslib.sweeps import extract

N_CELLS = 5590
SIDE = 224
BATCH_SIZE = 32
MADE = "5,590 cells from sweeps to disk at 224 x 224, float16"
BATCH = "One training batch of 32 cells at 224 x 224"


@lru_cache
def few_sweeps() -> np.ndarray:
    """`(about 40, 2, 4800)`, float32, simulated cells."""
    return extract(open_source("simulated", n_cells=40, seed=1).recordings())[0]


def cohort_sweeps(path: Path) -> tuple[np.ndarray, Path]:
    few = few_sweeps()
    return np.resize(few, (N_CELLS, *few.shape[1:])), path


def make(sweeps: np.ndarray, path: Path) -> np.ndarray:
    """All scalograms, written through a memory map."""
    images = np.lib.format.open_memmap(path, "w+", np.float16, (len(sweeps), 2, SIDE, SIDE))
    cwt_resized(sweeps, Bank(), ImageSettings(SIDE, SIDE), out=images)
    images.flush()
    return images


def float16_error(images: np.ndarray) -> float:
    few = few_sweeps()
    exact = cwt_resized(few, Bank(), ImageSettings(SIDE, SIDE))
    return float(np.linalg.norm(images[: len(few)].astype(np.float32) - exact) / np.linalg.norm(exact))


def opened(path: Path) -> tuple[np.ndarray, InputTransform, np.random.Generator]:
    images = np.load(path, mmap_mode="r")
    return images, InputTransform.fit(images, np.arange(256), "mobilenet_v2"), np.random.default_rng(0)


def read_batch(images: np.ndarray, transform: InputTransform, rng: np.random.Generator) -> torch.Tensor:
    """Random cells, as training draws them, ready for the network: `(32, 3, 224, 224)`."""
    return transform(images[np.sort(rng.choice(len(images), BATCH_SIZE, replace=False))])


def read_batch_from_disk(images: np.ndarray, transform: InputTransform, rng: np.random.Generator) -> torch.Tensor:
    """The same, with nothing of the file in the system's cache."""
    path = str(images.filename)  # type: ignore[attr-defined]
    with Path(path).open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return read_batch(np.load(path, mmap_mode="r"), transform, rng)


def network() -> tuple[nn.Module, torch.optim.Optimizer, torch.Tensor, torch.Tensor]:
    model = build("mobilenet_v2").train().to(memory_format=torch.channels_last)
    x = torch.randn(BATCH_SIZE, 3, SIDE, SIDE).contiguous(memory_format=torch.channels_last)
    return model, torch.optim.Adam(model.parameters()), x, torch.arange(BATCH_SIZE) % 4


def train_batch(model: nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor) -> None:
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()


@pytest.fixture(scope="module")
def path():
    with tempfile.TemporaryDirectory(prefix="bench-", dir=os.environ.get("STS_BENCH_FOLDER")) as folder:
        yield Path(folder) / "cohort.npy"


def bench_make(measure, path):
    size = np.dtype(np.float16).itemsize * N_CELLS * 2 * SIDE * SIDE / 1e9
    measure("stslib", MADE, make, partial(cohort_sweeps, path), error=float16_error, note=f"{size:.2f} GB on disk")
    assert path.stat().st_size / 1e9 == pytest.approx(size, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "function", "note"),
    [
        ("stslib, read by memory map", read_batch, "file in cache"),
        ("stslib, read by memory map from disk", read_batch_from_disk, "file dropped from the cache before each"),
    ],
)
def bench_batch(measure, path, name, function, note):
    measure(name, BATCH, function, partial(opened, path), rounds=20, note=note)


def bench_train_batch(measure):
    measure("MobileNetV2, forward and backward", BATCH, train_batch, network, note="for scale: the share spent on data")
