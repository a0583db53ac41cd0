"""Chunks of sweeps that fit the memory: read, written, and shared among threads."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from stslib.support.errors import ParameterError
from stslib.support.progress import progress

Array = Any  # np.ndarray or torch.Tensor: what comes in goes out

_COPIED_BY_TORCH = (np.float16, np.float32, np.float64, np.complex64, np.complex128)


def precision(sweeps: Array) -> str:
    """Precision of the work: float64 for float64 sweeps, else float32."""
    return "float64" if sweeps.dtype in (np.dtype(np.float64), torch.float64) else "float32"


def device(sweeps: Array) -> str:
    """Where the work is done."""
    return str(sweeps.device) if isinstance(sweeps, torch.Tensor) else "cpu"


def result_array(x: Array, out: Array | None, shape: tuple[int, int], is_complex: bool) -> Array:
    """The array to write into, `(n_sweeps, *shape)`: a view of `out`, or a new one like `x`."""
    whole = (math.prod(x.shape[:-1]), *shape)
    if out is not None:
        if tuple(out.shape) != (*x.shape[:-1], *shape):
            raise ParameterError(f"out has shape {tuple(out.shape)}; the result has {(*x.shape[:-1], *shape)}")
        view = out.reshape(whole)
        shared = np.shares_memory(view, out) if isinstance(out, np.ndarray) else view.data_ptr() == out.data_ptr()
        if not shared:
            raise ParameterError("out is not contiguous; give an array that was not sliced or transposed")
        return view
    dtype = {"float32": "complex64", "float64": "complex128"}[precision(x)] if is_complex else precision(x)
    if isinstance(x, torch.Tensor):
        return torch.empty(whole, dtype=getattr(torch, dtype), device=x.device)
    return np.empty(whole, dtype)


def chunks(sweeps: Array, bytes_a_sweep: int, chunk_mb: float, n_workers: int = 1) -> list[slice]:
    """Slices over the sweeps, each of which works in about `chunk_mb` megabytes; the same number for each worker."""
    step = max(1, int(chunk_mb * 2**20 / (bytes_a_sweep * (2 if precision(sweeps) == "float64" else 1))))
    n_chunks = math.ceil(math.ceil(len(sweeps) / step) / n_workers) * n_workers
    step = math.ceil(len(sweeps) / n_chunks)
    return [slice(start, start + step) for start in range(0, len(sweeps), step)]


def load(sweeps: Array, part: slice) -> torch.Tensor:
    """One chunk as a tensor of the working precision."""
    chunk = sweeps[part]
    if isinstance(chunk, np.ndarray):
        chunk = torch.from_numpy(np.array(chunk, dtype=precision(sweeps)))
    chunk = chunk.to(getattr(torch, precision(sweeps)))
    finite = torch.isfinite(chunk).all(dim=-1)
    if not bool(finite.all()):
        first = part.start + int(torch.nonzero(~finite)[0])
        raise ParameterError(f"sweep {first} holds NaN or infinite values; leave it out, as stslib.sweeps does")
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


def side_by_side(work: Callable[[slice], None], parts: Sequence[slice], on_cpu: bool, label: str = "") -> None:
    """Do each part; as many at a time as torch has threads, each by one thread, so that they share little."""
    n_threads = min(torch.get_num_threads(), len(parts)) if on_cpu else 1
    if n_threads <= 1:
        for part in progress(parts, label):
            work(part)
        return
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(n_threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        list(progress(pool.map(work, parts), label, total=len(parts)))
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)
