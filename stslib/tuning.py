"""The search for hyperparameters (paper section III.C): Bayesian, each trial scored by cross-validation.

A study asks for `n_trials` trials, which fill numbered slots 0..n_trials-1. Its journal is a file, so that it survives
`kill -9`, and several workers may fill slots of one journal at once. Two things make a resumed study equal to one that
was never interrupted: the sampler of slot k is seeded with `(seed, k)` alone, and sees the finished slots only; and a
trial whose worker died is marked as failed and its slot is filled again, keeping the folds that were already scored.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import optuna
import pandas as pd
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from stslib.errors import DamagedFile, ParameterError, StsError
from stslib.progress import progress

try:
    import fcntl
except ImportError:  # pragma: no cover (Windows)
    fcntl = None  # type: ignore[assignment]

Objective = Callable[[optuna.Trial, int], float]
_SECONDS_BETWEEN_LOOKS = 0.2


def run_study(
    objective: Objective,
    n_trials: int,
    folder: str | Path,
    name: str,
    seed: int,
    n_folds: int = 3,
    first_params: Mapping[str, Any] | None = None,
    setup: Mapping[str, Any] | None = None,
) -> optuna.Study:
    """Fill the slots of a study, from where it was left; return it when all `n_trials` are finished.

    Parameters
    ----------
    objective : callable `(trial, fold) -> score`
        Called for fold 0..n_folds-1; suggests its parameters from `trial` (the same ones in every fold) and returns a
        score to maximise. For its own randomness use `seed_of(trial, fold)`, never `trial.number`: after a kill the
        number of a slot's trial is another one.
    n_trials : int
        Number of finished trials at the end, over all workers.
    folder : path
        Where the journal `<name>.journal` lives; made if absent.
    name : str
        Name of the study.
    seed : int
        Base seed.
    n_folds : int
        Folds a trial.
    first_params : mapping, optional
        Parameters to try in slot 0.
    setup : mapping of plain values, optional
        What else the study depends on. A journal made under another setup, seed or number of folds is refused.

    Returns
    -------
    optuna.Study
        Value of a trial: mean of its fold scores. User attributes of a trial: `slot`, and `fold:0`, ... (the scores).

    Raises
    ------
    ParameterError
        `n_trials` or `n_folds` below 1, or a journal of another setup.
    DamagedFile
        The journal cannot be read.
    StsError
        A score that is not a finite number. What the objective itself raises is passed on; its slot stays open.

    Notes
    -----
    Sampler: tree-structured Parzen estimator [1]_; the authors used Gaussian processes (scikit-optimize).

    References
    ----------
    .. [1] Bergstra et al. 2011, Algorithms for hyper-parameter optimization, NeurIPS 24.
    """
    for what, value in (("n_trials", n_trials), ("n_folds", n_folds)):
        if value < 1:
            raise ParameterError(f"{what} is {value}; it must be at least 1")
    worker = _Worker(Path(folder), name, seed, n_folds, dict(first_params or {}), dict(setup or {}))
    with _quiet_optuna(), worker:
        for _ in progress(worker.fill(objective, n_trials), f"search {name}", total=n_trials):
            pass
        return worker.study


def slot_of(trial: optuna.Trial | FrozenTrial) -> int:
    """Slot (0..n_trials-1) of a trial; unlike `trial.number` it is the same after a kill and a second start."""
    return int(trial.user_attrs["slot"])


def seed_of(trial: optuna.Trial | FrozenTrial, fold: int) -> int:
    """Seed for what is random inside one fold of one trial; the same after a kill and a second start."""
    return _mix(int(trial.user_attrs["seed"]), slot_of(trial), fold)


def fold_scores(trial: optuna.Trial | FrozenTrial) -> list[float]:
    """Scores of a trial's folds, in the order of the folds."""
    found = {int(k[5:]): float(v) for k, v in trial.user_attrs.items() if k.startswith("fold:")}
    return [found[k] for k in sorted(found)]


def best_trial(study: optuna.Study) -> FrozenTrial:
    """The finished trial of the highest mean score; of equal ones the lowest slot."""
    finished = [t for t in study.trials if t.state == TrialState.COMPLETE]
    if not finished:
        raise StsError(f"study {study.study_name} has no finished trial; run it with n_trials of at least 1")
    return max(finished, key=lambda t: (t.value, -slot_of(t)))


def trial_table(study: optuna.Study) -> pd.DataFrame:
    """Finished trials, one row a slot: `slot`, `mean`, `sd` (over folds, divisor n), `fold:0`..., the parameters."""
    rows = []
    for trial in study.trials:
        if trial.state == TrialState.COMPLETE:
            scores = fold_scores(trial)
            folds = {f"fold:{k}": s for k, s in enumerate(scores)}
            rows.append({"slot": slot_of(trial), "mean": trial.value, "sd": np.std(scores), **folds, **trial.params})
    table = pd.DataFrame(rows) if rows else pd.DataFrame(columns=["slot", "mean", "sd"])
    return table.sort_values("slot", ignore_index=True)


def _mix(*numbers: int) -> int:
    return int(np.random.SeedSequence([abs(int(n)) for n in numbers]).generate_state(1)[0] >> 1)


@contextlib.contextmanager
def _quiet_optuna() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


class _KernelLock:
    """A lock that the operating system drops when its holder dies, however it dies (`flock`).

    Optuna's own lock is a file that stays behind after `kill -9` and holds everyone up for 30 s.
    """

    def __init__(self, path: Path, journal: Path | None = None) -> None:
        self._path, self._journal = path, journal
        self._stream: IO[bytes] | None = None

    def acquire(self, wait: bool = True) -> bool:
        if fcntl is None:  # pragma: no cover (Windows)
            raise StsError("a search needs POSIX file locks; on Windows run it in WSL")
        stream = self._path.open("ab")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            stream.close()
            return False
        self._stream = stream
        if self._journal is not None:
            _cut_torn_line(self._journal)
        return True

    def release(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def __enter__(self) -> _KernelLock:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _cut_torn_line(journal: Path) -> None:
    """Drop a last line without its end: its writer was killed within the write, and nobody has read it."""
    if not journal.exists() or journal.stat().st_size == 0:
        return
    with journal.open("rb+") as stream:
        stream.seek(-1, os.SEEK_END)
        if stream.read(1) != b"\n":
            stream.seek(0)
            stream.truncate(stream.read().rfind(b"\n") + 1)


class _SlotSampler(optuna.samplers.TPESampler):
    """TPE for one slot, with parameters that are already settled (`fixed`)."""

    def __init__(self, seed: int, fixed: Mapping[str, Any]) -> None:
        super().__init__(seed=seed, n_startup_trials=10, multivariate=False, constant_liar=True)
        self._fixed = dict(fixed)

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        # Drawn even when it is settled, so that the later parameters do not depend on which ones were.
        drawn = super().sample_independent(study, trial, param_name, param_distribution)
        return self._fixed.get(param_name, drawn)


class _Worker:
    """One process (or thread) that fills slots of a study; alive as long as it holds the lock on its own file."""

    def __init__(
        self, folder: Path, name: str, seed: int, n_folds: int, first: dict[str, Any], setup: dict[str, Any]
    ) -> None:
        self.folder, self.name, self.seed, self.n_folds, self.first = folder, name, seed, n_folds, first
        self.setup = {"seed": seed, "n_folds": n_folds, "first_params": first, **setup}
        self.token = uuid.uuid4().hex[:12]
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StsError(f"cannot make the folder {folder} of the search: {error.strerror}") from error
        self.journal = folder / f"{name}.journal"
        self._claim = _KernelLock(folder / f"{name}.claim.lock")
        self._life = _KernelLock(self._life_file(self.token))
        self.study: optuna.Study

    def _life_file(self, token: str) -> Path:
        return self.folder / f"{self.name}.worker-{token}.lock"

    def __enter__(self) -> _Worker:
        self._life.acquire()
        try:
            with self._claim:
                self.study = self._open()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._life.release()
        self._life_file(self.token).unlink(missing_ok=True)

    def _open(self) -> optuna.Study:
        append_lock = _KernelLock(self.folder / f"{self.name}.append.lock", self.journal)
        with append_lock:
            pass  # mends a torn last line before the first read
        try:
            storage = JournalStorage(JournalFileBackend(str(self.journal), lock_obj=append_lock))  # type: ignore[arg-type]
            study = optuna.create_study(
                storage=storage, study_name=self.name, direction="maximize", load_if_exists=True
            )
            made_with = study.user_attrs.get("setup")
        except (ValueError, KeyError, AssertionError, TypeError) as error:
            raise DamagedFile(f"{self.journal} is damaged; remove it to start the search again") from error
        wanted = json.dumps(self.setup, sort_keys=True, default=str)
        if made_with is None:
            study.set_user_attr("setup", wanted)
        elif made_with != wanted:
            raise ParameterError(
                f"{self.journal} was made with {made_with}, not {wanted}; use another folder or remove it"
            )
        return study

    def fill(self, objective: Objective, n_trials: int) -> Iterator[int]:
        """Fill slots until all are finished, by whichever worker; yields once a finished slot."""
        told = 0
        while True:
            with self._claim:
                trial, n_finished = self._take(n_trials)
            yield from range(told, n_finished)
            told = max(told, n_finished)
            if n_finished >= n_trials:
                return
            if trial is None:  # the rest is in the hands of other workers: wait, one of them may die
                time.sleep(_SECONDS_BETWEEN_LOOKS)
            else:
                self._score(objective, trial)

    def _take(self, n_trials: int) -> tuple[optuna.Trial | None, int]:
        """Under the claim lock: fail dead workers' trials and take the first free slot, if there is one."""
        for known in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if not self._alive(known):
                self.study.tell(known.number, state=TrialState.FAIL, skip_if_finished=True)
        finished: set[int] = set()
        running: set[int] = set()
        left_over: dict[int, FrozenTrial] = {}
        for known in self.study.get_trials(deepcopy=False):
            if "slot" not in known.user_attrs:
                continue  # its worker died while it took the slot
            slot = slot_of(known)
            if known.state == TrialState.COMPLETE:
                finished.add(slot)
            elif known.state == TrialState.RUNNING:
                running.add(slot)
            elif fold_scores(known):
                left_over[slot] = known
        if any(slot >= n_trials for slot in finished):
            raise ParameterError(f"{self.journal} holds {len(finished)} finished trials; ask for at least that many")
        free = next((k for k in range(n_trials) if k not in finished | running), None)
        if free is None:
            return None, len(finished)
        old = left_over.get(free)
        self.study.sampler = _SlotSampler(_mix(self.seed, free), self._settled(free, old))
        # The distributions are handed over too: where every fold was scored, nobody will suggest the parameters again.
        trial = self.study.ask(fixed_distributions=old.distributions if old is not None else None)
        carried = old.user_attrs if old is not None else {}
        for key, value in {**carried, "slot": free, "seed": self.seed, "worker": self.token}.items():
            trial.set_user_attr(key, value)
        return trial, len(finished)

    def _settled(self, slot: int, old: FrozenTrial | None) -> dict[str, Any]:
        if old is not None:
            return old.params
        return self.first if slot == 0 else {}

    def _alive(self, trial: FrozenTrial) -> bool:
        token = trial.user_attrs.get("worker")
        if token == self.token:
            return True
        # A trial gets its worker's name under the claim lock, which we hold: without one, its worker died right there.
        path = self._life_file(token) if token else None
        if path is None or not path.exists():
            return False
        probe = _KernelLock(path)
        if not probe.acquire(wait=False):
            return True
        probe.release()
        path.unlink(missing_ok=True)
        return False

    def _score(self, objective: Objective, trial: optuna.Trial) -> None:
        try:
            for fold in range(self.n_folds):
                if f"fold:{fold}" in trial.user_attrs:
                    continue
                score = float(objective(trial, fold))
                if not math.isfinite(score):
                    raise StsError(f"slot {slot_of(trial)}, fold {fold}: the score is {score}; it must be a number")
                trial.set_user_attr(f"fold:{fold}", score)
        except BaseException:
            self.study.tell(trial, state=TrialState.FAIL)
            raise
        self.study.tell(trial, float(np.mean(fold_scores(trial))))
