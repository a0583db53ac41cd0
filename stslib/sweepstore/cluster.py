"""Where the work of a fetch is done: threads of this process (joblib), or the workers of a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from joblib import Parallel, delayed

from stslib.errors import MissingInput, ParameterError, StsError
from stslib.sources.fetched import Outcome

Job = tuple[Any, ...]
#: A cell whose worker died is given to another one so often.
RETRIES = 5
_CONNECT_S = 10.0


def run(function: Callable[..., Outcome], jobs: list[Job], workers: int, scheduler: str = "") -> Iterator[Outcome]:
    """`function(*job)` of every job, in the order in which they are finished.

    Parameters
    ----------
    function : callable
        Must be importable by the workers.
    jobs : list of tuple
        Arguments.
    workers : int
        Jobs at a time, in this process.
    scheduler : str
        Address of a Dask scheduler (`tcp://host:port`), or empty for threads: the work is mostly waiting for the network.

    Raises
    ------
    ParameterError
        When the address is not one.
    MissingInput
        When Dask is not installed.
    StsError
        When the scheduler does not answer, or a job could not be done by any worker.
    """
    if scheduler:
        return _dask(function, jobs, scheduler)
    return _threads(function, jobs, workers)


def _threads(function: Callable[..., Outcome], jobs: list[Job], workers: int) -> Iterator[Outcome]:
    if workers == 1:
        yield from (function(*job) for job in jobs)
        return
    yield from Parallel(n_jobs=workers, prefer="threads", return_as="generator_unordered")(
        delayed(function)(*job) for job in jobs
    )


def _dask(function: Callable[..., Outcome], jobs: list[Job], scheduler: str) -> Iterator[Outcome]:
    if "://" not in scheduler:
        raise ParameterError(
            f"scheduler is {scheduler!r}; give the address of a Dask scheduler, such as tcp://host:8786"
        )
    try:
        from distributed import Client, KilledWorker, as_completed
    except ImportError as error:
        raise MissingInput("a scheduler needs Dask; install it with: pip install 'dask[distributed]'") from error
    try:
        client = Client(scheduler, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise StsError(f"no Dask scheduler answers at {scheduler}; start one with: dask scheduler") from error
    with client:
        # `pure=False`: the same cell, asked again after a failure, is to be fetched again.
        futures = [client.submit(function, *job, pure=False, retries=RETRIES) for job in jobs]
        try:
            for future in as_completed(futures, loop=client.loop):
                try:
                    outcome: Outcome = future.result()
                except KilledWorker as error:
                    raise StsError(
                        f"workers at {scheduler} died {RETRIES} times over one cell; look at their logs"
                    ) from error
                future.release()
                yield outcome
        finally:
            client.cancel(futures)
