"""An epoch of MobileNetV2 over 512 cells at 224 x 224: this project's loop against the naive loop of the published code.

The naive loop reads for each batch the full scalograms, one .npy file of 180 x 4,800 x 2 float32 a cell (6.9 MB, 3.5 GB in
all), resizes each and trains. This project keeps the scalograms at the network's size in one memory-mapped float16 array.
Both start from the same weights and do the same steps of Adam on two threads. `STS_BENCH_CELLS` sets another number of cells.
"""

import os
import shutil
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from stslib import cohort, networks, training
from stslib.cohort import CLASSES
from stslib.networks import InputTransform
from stslib.training.cells import augment, shrink
from stslib.training.loop import threads

CELLS = int(os.environ.get("STS_BENCH_CELLS", "512"))
BATCH, SIDE, THREADS = 32, 224, 2
WORK = f"epoch of MobileNetV2, {CELLS} cells at 224 x 224"
CONFIG = training.FitConfig(batch_size=BATCH, max_epochs=1, patience=0, threads=THREADS)


def resize(image: torch.Tensor) -> torch.Tensor:
    """What torchvision's Resize does with a tensor `(2, h, w)`."""
    return nn.functional.interpolate(image[None], (SIDE, SIDE), mode="bilinear", antialias=True)[0]


def labels() -> np.ndarray:
    return np.array(CLASSES)[np.arange(CELLS) % len(CLASSES)]


@pytest.fixture(scope="module")
def stored():
    """The same noise as files of full scalograms, and at 224 x 224 as one memory map."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(prefix="sts-bench-") as folder:
        path = Path(folder)
        small = np.lib.format.open_memmap(path / "small.npy", "w+", np.float16, (CELLS, 2, SIDE, SIDE))
        for cell in range(CELLS):
            full = rng.standard_normal((180, 4800, 2), dtype=np.float32)
            np.save(path / f"cell_{cell}.npy", full)
            small[cell] = resize(torch.from_numpy(full).permute(2, 0, 1)).numpy()
        small.flush()
        yield path


def ours(path: Path, cells: int = CELLS, **changes: object) -> float:
    x = np.load(path / "small.npy", mmap_mode="r")
    every = np.arange(cells)
    transform = InputTransform.fit(x, every, "mobilenet_v2", (SIDE, SIDE), "none", True, "none")
    model, config = networks.build("mobilenet_v2"), replace(CONFIG, **changes)
    return training.fit(model, transform, training.TrainingSet(x, labels(), every), config, 1).train_loss[0]


def our_data(path: Path) -> None:
    """The part of `ours` that is not the network: reading, order, augmentation, the transform's second half."""
    x = np.load(path / "small.npy", mmap_mode="r")
    every, rng = np.arange(CELLS), np.random.default_rng(1)
    with threads(THREADS):
        transform = InputTransform.fit(x, every, "mobilenet_v2", (SIDE, SIDE), "none", True, "none")
        images = shrink(transform, x, every)
        for batch in np.array_split(rng.permutation(CELLS), CELLS // BATCH):
            transform.finish(augment(images[batch].float(), CONFIG, rng))


def naive(path: Path) -> float:
    target = torch.from_numpy(cohort.class_index(labels()))
    with threads(THREADS):
        model = networks.build("mobilenet_v2").to(memory_format=torch.contiguous_format)
        model.train()
        optimizer, criterion, total = torch.optim.Adam(model.parameters(), lr=1e-3), nn.CrossEntropyLoss(), 0.0
        for batch in np.array_split(np.random.default_rng(1).permutation(CELLS), CELLS // BATCH):
            images = []
            for cell in batch:
                full = torch.from_numpy(np.load(path / f"cell_{cell}.npy")).float().permute(2, 0, 1)
                image = resize(full)
                images.append(torch.cat([image, image[:1]]))
            loss = criterion(model(torch.stack(images)), target[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
    return total / CELLS


def seconds(function, *arguments, **changes) -> float:
    start = time.perf_counter()
    function(*arguments, **changes)
    return time.perf_counter() - start


@pytest.fixture
def epoch(measure, stored):
    def run(name, function, note="", **changes):
        measure(name, WORK, partial(function, stored, **changes), rounds=1, memory=False, note=note)

    return run


def bench_epoch(epoch, stored):
    epoch("stslib", ours, f"of this {seconds(our_data, stored):.2f} s is the data part")


def bench_epoch_half_precision(epoch):
    """bfloat16 pays on a processor that computes with it (`avx512_bf16` or `amx_bf16` in /proc/cpuinfo), or on a GPU."""
    epoch('stslib, amp="bf16"', ours, amp="bf16")


def bench_epoch_compiled(epoch, stored):
    """What an epoch takes after the first: the compiled network is kept within a process, and a first epoch pays for it."""
    if shutil.which("g++") is None:
        pytest.skip("torch.compile needs a C++ compiler: apt-get install g++")
    compiling = seconds(ours, stored, cells=2 * BATCH, compile=True)
    epoch("stslib, compile=True", ours, f"after {compiling:.0f} s of compiling and two batches", compile=True)


def bench_epoch_naive(epoch):
    epoch("naive loop", naive, "a .npy file a cell, resized each time")
