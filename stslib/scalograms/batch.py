"""The scalograms of a cohort, made by several processes or the workers of a Dask cluster."""

from __future__ import annotations

import numpy as np

from stslib.scalograms.bank import Bank
from stslib.scalograms.resized import resized_into
from stslib.scalograms.settings import ImageSettings
from stslib.support import parallel
from stslib.support.progress import progress

#: Cells that one job transforms: a few MB to send, a second of work.
CELLS_PER_JOB = 32
LABEL = "Scalograms"


def fill(
    images: np.ndarray, sweeps_mv: np.ndarray, bank: Bank, image: ImageSettings, n_jobs: int = 1, scheduler: str = ""
) -> None:
    """`cwt_resized` of every cell, into `images`; the numbers do not depend on who does the work.

    Parameters
    ----------
    images : ndarray, shape (n_cells, n_sweeps, height, width)
        Filled; may be memory-mapped.
    sweeps_mv : ndarray, shape (n_cells, n_sweeps, n_samples)
        Sweeps in mV.
    bank, image
        As for `cwt_resized`.
    n_jobs : int
        Processes that transform.
    scheduler : str
        Address of a Dask scheduler whose workers do it instead, such as `tcp://host:8786`; empty: this machine.

    Raises
    ------
    ParameterError
        As `cwt_resized`, and when the shapes do not fit or the address is not one.

    Examples
    --------
    >>> images = np.empty((5, 2, 16, 24), np.float16)
    >>> fill(images, np.ones((5, 2, 4800)), Bank(), ImageSettings(height=16, width=24))
    >>> bool(np.isfinite(images).all())
    True
    """
    if n_jobs == 1 and not scheduler:
        resized_into(images, sweeps_mv, bank, image, LABEL)
        return
    parts = [slice(k, k + CELLS_PER_JOB) for k in range(0, len(sweeps_mv), CELLS_PER_JOB)]
    jobs = ((np.array(sweeps_mv[part]), images.dtype.str, bank, image) for part in parts)
    done = parallel.run(_some_cells, jobs, n_jobs, scheduler)
    for part, values in zip(parts, progress(done, LABEL, total=len(parts)), strict=True):
        images[part] = values


def _some_cells(sweeps_mv: np.ndarray, dtype: str, bank: Bank, image: ImageSettings) -> np.ndarray:
    out = np.empty((*sweeps_mv.shape[:-1], image.height, image.width), dtype)
    resized_into(out, sweeps_mv, bank, image)
    return out
