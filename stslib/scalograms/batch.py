"""The scalograms of a cohort, made by several processes or the workers of a Dask cluster."""

from __future__ import annotations

import numpy as np

from stslib.scalograms.bank import Bank
from stslib.scalograms.resized import cwt_resized
from stslib.support import parallel as cluster
from stslib.support.progress import progress

#: Cells that one job transforms: a few MB to send, a second of work.
CELLS_PER_JOB = 32


def fill(
    out: np.ndarray,
    x: np.ndarray,
    bank: Bank,
    output: str = "coefficients",
    padding: str = "zero",
    backend: str = "fft",
    antialias: bool = False,
    n_jobs: int = 1,
    scheduler: str = "",
    label: str = "Scalograms",
) -> None:
    """`cwt_resized` of every cell, into `out`; the numbers do not depend on who does the work.

    Parameters
    ----------
    out : ndarray, shape (n_cells, n_sweeps, height, width)
        Filled; may be memory-mapped.
    x : ndarray, shape (n_cells, n_sweeps, n_samples)
        Sweeps in mV.
    bank, output, padding, backend, antialias
        As for `cwt_resized`.
    n_jobs, scheduler
        See `stslib.support.parallel.run`.
    label : str
        Of the progress bar.

    Raises
    ------
    ParameterError
        As `cwt_resized` and `stslib.support.parallel.run`.
    """
    height, width = out.shape[-2:]
    if n_jobs == 1 and not scheduler:
        cwt_resized(x, bank, height, width, output, padding, backend, antialias, out, label=label)
        return
    places = [slice(k, k + CELLS_PER_JOB) for k in range(0, len(x), CELLS_PER_JOB)]
    options = (bank, height, width, output, padding, backend, antialias)
    jobs = ((np.array(x[place]), out.dtype.str, *options) for place in places)
    done = cluster.run(_part, jobs, n_jobs, scheduler)
    for place, images in zip(places, progress(done, label, total=len(places)), strict=True):
        out[place] = images


def _part(
    x: np.ndarray,
    dtype: str,
    bank: Bank,
    height: int,
    width: int,
    output: str,
    padding: str,
    backend: str,
    antialias: bool,
) -> np.ndarray:
    """Some cells."""
    out = np.empty((*x.shape[:-1], height, width), dtype)
    cwt_resized(x, bank, height, width, output, padding, backend, antialias, out)
    return out
