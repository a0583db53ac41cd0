"""The transform against other libraries, side by side on the same work: 64 cells x 2 sweeps of 4,800 samples, 180 rows.

Every sweep is white noise, so that no row of a scalogram is spared. Each library is called as its documentation says, with
all sweeps at once where it takes them, and keeps its results. The error is that of the first sweep against direct
evaluation in float64 (`stslib.scalograms.direct_evaluation`), relative, over all rows.

The arithmetic floor of an image is what no way of computing it can avoid, at this machine's own speeds: the FFT of every
sweep; for every coefficient, at the speed of a large matrix product, a sum of as many products as its wavelet has degrees
of freedom, 2 T times 2 F, where beyond T seconds from its centre and F hertz the wavelet and its spectrum stay below 1e-5 of
their largest values (about twenty for the Mexican hat, at any scale); and the image, written once.
"""

import os
from functools import lru_cache, partial

import numpy as np
import pytest
import pywt
import torch
from torch.nn.functional import interpolate

from stslib.scalograms import Bank, ImageSettings, cwt, cwt_resized, direct_evaluation
from stslib.scalograms.wavelets import reaches

FULL = "CWT of 64 cells x 2 sweeps, 180 x 4,800, Mexican hat"
MORLET = "CWT of 64 cells x 2 sweeps, 180 x 4,800, complex Morlet"
MODEL = "CWT of 64 cells x 2 sweeps at 224 x 224, Mexican hat"
MEMORY = "CWT at 224 x 224 into an array that is there"
BANK = Bank()
MORLET_BANK = Bank("cmor8-1.0", normalisation="L1")  # fCWT's Morlet(2.0): a bell of 2 periods, and its normalisation
SSQUEEZEPY = "analytic Mexican hat, rows with one ratio: it takes no others"
SIDE = 224


def sweeps(n_sweeps: int = 128) -> tuple[np.ndarray]:
    """`(n_sweeps, 4800)`, float32."""
    return (np.random.default_rng(0).standard_normal((n_sweeps, 4800)).astype(np.float32),)


def into_an_array(n_cells: int) -> tuple[np.ndarray, np.ndarray]:
    (x,) = sweeps(2 * n_cells)
    return x, np.ones((len(x), SIDE, SIDE), np.float16)


def ours(x, bank=BANK):
    return cwt(x, bank)


def by_pywt(x, method="conv"):
    return np.moveaxis(pywt.cwt(x, BANK.scales, BANK.wavelet, method=method)[0], 0, 1)


def by_ptwt(x):
    import ptwt

    return np.moveaxis(ptwt.cwt(torch.from_numpy(x), BANK.scales, BANK.wavelet)[0].numpy(), 0, 1)


def by_ssqueezepy(x):
    """Its scales must rise by 2 ** (1 / whole number): as many rows over the same band; real part of an analytic hat."""
    from ssqueezepy import cwt as transform

    scales = (BANK.scales[-1] * 2 ** (np.arange(180) / 54)).astype(np.float32)
    parts = [
        transform(x[k : k + 8], "cmhat", scales=scales, padtype="zero", l1_norm=False, astensor=False)[0].real.copy()
        for k in range(0, len(x), 8)
    ]
    return np.concatenate(parts)


def by_fcwt(x):
    """One sweep at a time is all it takes; rows come highest first."""
    from fcwt import FCWT, FCWT_LINFREQS, Morlet, Scales

    morlet = Morlet(2.0)
    scales = Scales(morlet, FCWT_LINFREQS, int(BANK.rate_hz), 20, 200, 180)
    transform = FCWT(morlet, int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)), False, True)
    result = np.zeros((len(x), 180, x.shape[-1]), np.complex64)
    for sweep, rows in zip(x, result, strict=True):
        transform.cwt(sweep, scales, rows)
    return result


def ours_resized(x, out=None):
    return cwt_resized(x, BANK, ImageSettings(SIDE, SIDE), out=out)


def by_pywt_resized(x):
    return resized(by_pywt(x))


def resized(full: np.ndarray) -> np.ndarray:
    as_tensor = torch.from_numpy(full)[:, None]
    return interpolate(as_tensor, (SIDE, SIDE), mode="bilinear", align_corners=False)[:, 0].numpy()


def floor(x):
    """See the top of the module."""
    in_time, in_rad = reaches(BANK.wavelet, 1e-5)
    products = len(x) * BANK.n_frequencies * SIDE * 2 * in_time * in_rad / np.pi
    torch.fft.rfft(torch.from_numpy(x))
    side = 512
    torch.ones((side, side)) @ torch.ones((side, round(products / side**2)))
    return torch.full((len(x), SIDE, SIDE), 1.0)


@lru_cache
def exact(bank: Bank) -> np.ndarray:
    return direct_evaluation(sweeps(1)[0][0], bank)


def relative(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def full_error(result, bank=BANK):
    return relative(result[0], exact(bank))


def morlet_error_but_for_a_factor(result):
    """fCWT gives its wavelet another height."""
    found, wanted = result[0, ::-1], exact(MORLET_BANK)
    return relative(found / (np.vdot(wanted, found) / np.vdot(wanted, wanted)), wanted)


def resized_error(result):
    return relative(result[0], resized(exact(BANK)[None].astype(np.float32))[0])


@pytest.mark.parametrize(
    ("name", "work", "function", "options"),
    [
        ("stslib", FULL, ours, {"error": full_error}),
        ("pywt, conv (its default)", FULL, by_pywt, {"error": full_error}),
        ("pywt, fft", FULL, partial(by_pywt, method="fft"), {"error": full_error}),
        ("ptwt", FULL, by_ptwt, {"error": full_error, "rounds": 3, "needs": "ptwt"}),
        ("ssqueezepy", FULL, by_ssqueezepy, {"rounds": 3, "needs": "ssqueezepy", "note": SSQUEEZEPY}),
        ("stslib", MORLET, partial(ours, bank=MORLET_BANK), {"error": partial(full_error, bank=MORLET_BANK)}),
        ("fcwt", MORLET, by_fcwt,
         {"error": morlet_error_but_for_a_factor, "needs": "fcwt", "note": "error but for a factor"}),
        ("stslib", MODEL, ours_resized, {"error": resized_error}),
        ("pywt, conv, then resized", MODEL, by_pywt_resized, {"error": resized_error}),
        ("arithmetic floor", MODEL, floor, {"note": "not a transform: what none can avoid"}),
        ("stslib, 64 cells", MEMORY, ours_resized, {"inputs": partial(into_an_array, 64)}),
        ("stslib, 256 cells", MEMORY, ours_resized, {"inputs": partial(into_an_array, 256)}),
    ],
)  # fmt: skip
def bench_transform(measure, name, work, function, options):
    measure(name, work, function, **{"inputs": sweeps, **options})
