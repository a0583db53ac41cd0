"""Independent jobs, one a cell: in this process, its threads, more processes, or the workers of a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from joblib import Parallel, delayed

from stslib.support.errors import MissingInput, ParameterError, StsError

T = TypeVar("T")
_CONNECT_S = 10.0
_RETRIES = 5  # times that a job whose worker died is given to another one


def run(
    function: Callable[..., T], jobs: Iterable[tuple[Any, ...]], workers: int = 1, scheduler: str = "",
    threads: bool = False, in_order: bool = True,
) -> Iterator[T]:  # fmt: skip
    """`function(*job)` of every job, one result at a time, in the order of the jobs or as they are finished.

    The function must be importable by the workers: `workers` processes (or threads, for work that mostly waits) on this
    machine, or those of the Dask `scheduler` (`tcp://host:port`), which need the same environment and paths.
    """
    if scheduler:
        return _dask(function, jobs, scheduler, in_order)
    if workers == 1:
        return (function(*job) for job in jobs)
    order = "generator" if in_order else "generator_unordered"
    pool = Parallel(n_jobs=workers, prefer="threads" if threads else "processes", return_as=order)
    return iter(pool(delayed(function)(*job) for job in jobs))


def _dask(function: Callable[..., T], jobs: Iterable[tuple[Any, ...]], scheduler: str, in_order: bool) -> Iterator[T]:
    if "://" not in scheduler:
        raise ParameterError(f"scheduler is {scheduler!r}; give the address of Dask's, such as tcp://host:8786")
    try:
        from distributed import Client, KilledWorker, as_completed
    except ImportError as error:
        raise MissingInput("a scheduler needs Dask; install it with: pip install 'dask[distributed]'") from error
    try:
        client = Client(scheduler, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise StsError(f"no Dask scheduler answers at {scheduler}; start one with: dask scheduler") from error
    with client:
        # One by one, for joblib's own backend groups jobs, and arrays on a worker that dies are lost; with `pure=False` the
        # same cell, asked again after a failure, is done again.
        futures = [client.submit(function, *job, pure=False, retries=_RETRIES) for job in jobs]
        try:
            for future in list(futures) if in_order else as_completed(futures, loop=client.loop):
                yield future.result()
                future.release()
        except KilledWorker as error:
            raise StsError(f"workers at {scheduler} died {_RETRIES} times over one cell; look at their logs") from error
        finally:
            client.cancel(futures)
