"""The pieces that a transform is done in: chunks of sweeps that fit the memory, read, written, and shared among threads."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from stslib.scalograms.bank import Bank
from stslib.support.errors import ParameterError
from stslib.support.progress import progress

Array = Any  # np.ndarray or torch.Tensor: what comes in goes out

_COPIED_BY_TORCH = (np.float16, np.float32, np.float64, np.complex64, np.complex128)


def working_type(sweeps: Array) -> torch.dtype:
    """Precision of the work: float64 for float64 sweeps, else float32."""
    return torch.float64 if sweeps.dtype in (np.dtype(np.float64), torch.float64) else torch.float32


def result_array(x: Array, sweeps: Array, out: Array | None, shape: tuple[int, int], output: str, bank: Bank) -> Array:
    """The array to write into, `(n_sweeps, *shape)`: a new one like `x`, or a view of `out`."""
    whole = (len(sweeps), *shape)
    if out is not None:
        if tuple(out.shape) != (*x.shape[:-1], *shape):
            raise ParameterError(f"out has shape {tuple(out.shape)}; the result has {(*x.shape[:-1], *shape)}")
        view = out.reshape(whole)
        shared = np.shares_memory(view, out) if isinstance(out, np.ndarray) else view.data_ptr() == out.data_ptr()
        if not shared:
            raise ParameterError("out is not contiguous; give an array that was not sliced or transposed")
        return view
    dtype = working_type(sweeps)
    if output == "coefficients" and bank.mother.is_complex:
        dtype = torch.complex128 if dtype == torch.float64 else torch.complex64
    if isinstance(x, torch.Tensor):
        return torch.empty(whole, dtype=dtype, device=x.device)
    return np.empty(whole, dtype=str(dtype).removeprefix("torch."))


def chunks(sweeps: Array, bytes_a_sweep: int, chunk_mb: float, label: str = "", n_workers: int = 1) -> Iterator[slice]:
    """Slices over the sweeps, each of which works in about `chunk_mb` megabytes; as many for each worker as for the next."""
    step = max(1, int(chunk_mb * 2**20 / (bytes_a_sweep * (2 if working_type(sweeps) == torch.float64 else 1))))
    n_chunks = math.ceil(math.ceil(len(sweeps) / step) / n_workers) * n_workers
    step = math.ceil(len(sweeps) / n_chunks)
    starts = range(0, len(sweeps), step)
    for start in progress(starts, label) if label else starts:
        yield slice(start, start + step)


def load(sweeps: Array, part: slice) -> torch.Tensor:
    """One chunk as a tensor of the working precision."""
    chunk = sweeps[part]
    if isinstance(chunk, np.ndarray):
        chunk = torch.from_numpy(np.array(chunk, dtype=str(working_type(sweeps)).removeprefix("torch.")))
    chunk = chunk.to(working_type(sweeps))
    finite = torch.isfinite(chunk).all(dim=-1)
    if not bool(finite.all()):
        first = part.start + int(torch.nonzero(~finite)[0])
        raise ParameterError(
            f"sweep {first} holds NaN or infinite values; leave it out (stslib.sweeps does, with a reason)"
        )
    return chunk


def store(result: Array, part: slice | tuple[slice, slice], values: torch.Tensor) -> None:
    """Write one chunk's values where they belong."""
    target = result[part]
    if isinstance(target, np.ndarray) and target.dtype in _COPIED_BY_TORCH and target.flags.writeable:
        target = torch.from_numpy(target)  # torch copies on all cores, and transposes by blocks
    if isinstance(target, torch.Tensor):
        target.copy_(values)
    else:
        target[...] = values.cpu().numpy()


def side_by_side(work: Callable[[slice], None], parts: Sequence[slice], label: str) -> None:
    """Do each part; as many at a time as torch has threads, each by one thread, which shares less than a part by many."""
    n_threads = torch.get_num_threads()
    if min(n_threads, len(parts)) <= 1:
        for part in progress(parts, label) if label else parts:
            work(part)
        return
    pool = ThreadPoolExecutor(n_threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        done = pool.map(work, parts)
        for _ in progress(done, label, total=len(parts)) if label else done:
            pass
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(n_threads)
