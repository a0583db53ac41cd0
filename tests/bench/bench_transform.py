"""The transform against other libraries, side by side on the same work: 64 cells x 2 sweeps of 4,800 samples, 180 rows."""

from __future__ import annotations

import numpy as np
import pywt
import torch
from torch.nn.functional import interpolate

from stslib.scalograms import Bank, cwt, cwt_resized

FULL = "CWT of 64 cells x 2 sweeps, 180 x 4,800, mexh"
MODEL = "CWT of 64 cells x 2 sweeps at 224 x 224, mexh"
BANK = Bank()


def sweeps() -> tuple[np.ndarray]:
    """White noise, float32, shape (128, 4800): no row of the scalogram is spared."""
    return (np.random.default_rng(0).standard_normal((128, 4800)).astype(np.float32),)


def ours(x):
    return cwt(x, BANK)


def by_pywt(x, method="conv"):
    return pywt.cwt(x, BANK.scales, BANK.wavelet, method=method)[0]


def ours_resized(x):
    return cwt_resized(x, BANK, 224, 224)


def by_pywt_resized(x):
    full = torch.from_numpy(np.moveaxis(by_pywt(x), 0, 1))
    return interpolate(full[:, None], (224, 224), mode="bilinear", align_corners=False)[:, 0].numpy()


def bench_full(measure):
    measure("stslib", FULL, ours, sweeps)


def bench_full_pywt(measure):
    measure("pywt conv", FULL, by_pywt, sweeps, rounds=3)


def bench_model(measure):
    measure("stslib", MODEL, ours_resized, sweeps)


def bench_model_pywt(measure):
    measure("pywt conv + resize", MODEL, by_pywt_resized, sweeps, rounds=3)
