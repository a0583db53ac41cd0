"""A study: numbered slots that workers fill, with a result that does not depend on who was killed when.

A study asks for `n_trials` trials, which fill slots 0..n_trials-1. Two things make a resumed study equal to one that
was never interrupted: the sampler of slot k is seeded with `(seed, k)` alone, and sees the finished slots only; and a
trial whose worker died is marked as failed and its slot is filled again, keeping the folds that were already scored.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from stslib.support.errors import DamagedFile, ParameterError, StsError
from stslib.support.progress import progress
from stslib.training.search.storage import place_of

Objective = Callable[[optuna.Trial, int], float]
_SECONDS_BETWEEN_LOOKS = 0.2
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)

#: So many complete trials must be there before one is given up.
_COMPLETE_BEFORE_PRUNING = 5


def run_study(
    objective: Objective,
    n_trials: int,
    storage: str | Path,
    name: str,
    seed: int,
    n_folds: int = 3,
    first_params: Mapping[str, Any] | None = None,
    setup: Mapping[str, Any] | None = None,
    prune: bool = False,
) -> optuna.Study:
    """Fill the slots of a study, from where it was left; return it when all `n_trials` are finished.

    Parameters
    ----------
    objective : callable `(trial, fold) -> score`
        Called for fold 0..n_folds-1; suggests its parameters from `trial` (the same ones in every fold) and returns a
        score to maximise. For its own randomness use `seed_of(trial, fold)`, never `trial.number`: after a kill the
        number of a slot's trial is another one.
    n_trials : int
        Number of finished trials at the end, over all workers; a pruned one counts.
    storage : path or str
        Folder for `<name>.journal` (made if absent), the path of a `.journal` file, or `postgresql://user@host/database`.
    name : str
        Name of the study; workers that name the same storage and study share it.
    seed : int
        Base seed.
    n_folds : int
        Folds a trial.
    first_params : mapping, optional
        Parameters to try in slot 0.
    setup : mapping of plain values, optional
        What else the study depends on. A study made under another setup, seed or number of folds is refused.
    prune : bool
        Give a trial up after a fold when it is hopeless: even if each fold to come reached the highest score that a complete
        trial has on it, its mean would stay below the best one. So no trial is given up that could have won by what is
        known. Starts after 5 complete trials.

    Returns
    -------
    optuna.Study
        Value of a trial: mean of its fold scores. User attributes of a trial: `slot`, and `fold:0`, ... (the scores).

    Raises
    ------
    ParameterError
        `n_trials` or `n_folds` below 1, or a study of another setup.
    DamagedFile
        The journal cannot be read.
    StsError
        The storage cannot be reached, or a score is not a finite number. What the objective itself raises is passed on;
        its slot stays open.

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
    with _quiet_optuna():
        worker = _Worker(storage, name, seed, n_folds, dict(first_params or {}), dict(setup or {}), prune)
        with worker:
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
    """Scores of a trial's folds, in the order of the folds; of a pruned trial those that it came to."""
    found = {int(k[5:]): float(v) for k, v in trial.user_attrs.items() if k.startswith("fold:")}
    return [found[k] for k in sorted(found)]


def best_trial(study: optuna.Study) -> FrozenTrial:
    """The complete trial of the highest mean score; of equal ones the lowest slot."""
    complete = [t for t in study.trials if t.state == TrialState.COMPLETE]
    if not complete:
        raise StsError(f"study {study.study_name} has no finished trial; run it with n_trials of at least 1")
    return max(complete, key=lambda t: (t.value, -slot_of(t)))


def trial_table(study: optuna.Study) -> pd.DataFrame:
    """Finished trials, one row a slot.

    Returns
    -------
    DataFrame
        `slot`, `state` ("complete" or "pruned"), `mean` and `sd` (over folds, divisor n; missing for a pruned trial),
        `fold:0`..., the parameters.
    """
    rows = []
    for trial in study.trials:
        if trial.state in _FINISHED:
            scores = fold_scores(trial)
            complete = trial.state == TrialState.COMPLETE
            whole = (trial.value, np.std(scores)) if complete else (np.nan, np.nan)
            row = {
                "slot": slot_of(trial),
                "state": "complete" if complete else "pruned",
                "mean": whole[0],
                "sd": whole[1],
            }
            rows.append({**row, **{f"fold:{k}": s for k, s in enumerate(scores)}, **trial.params})
    table = pd.DataFrame(rows) if rows else pd.DataFrame(columns=["slot", "state", "mean", "sd"])
    return table.sort_values("slot", ignore_index=True)


def count_states(study: optuna.Study) -> dict[str, int]:
    """Number of trials that are `complete`, `pruned`, and `failed` (their worker died, and the slot was filled again)."""
    states = [trial.state for trial in study.get_trials(deepcopy=False)]
    names = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
    return {name: states.count(state) for name, state in names.items()}


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
    """One process (or thread) that fills slots of a study; alive as long as its place says so."""

    def __init__(
        self, storage: str | Path, name: str, seed: int, n_folds: int, first: dict[str, Any], setup: dict[str, Any],
        prune: bool,
    ) -> None:  # fmt: skip
        self.name, self.seed, self.n_folds, self.first, self.prune = name, seed, n_folds, first, prune
        self.setup = {"seed": seed, "n_folds": n_folds, "first_params": first, **setup}
        if prune:
            self.setup["prune"] = True
        self.token = uuid.uuid4().hex[:12]
        self.place = place_of(storage, name)
        self.study: optuna.Study

    def __enter__(self) -> _Worker:
        self.place.join(self.token)
        try:
            with self.place.claim():
                self.study = self._open()
        except BaseException:
            self.place.leave()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.place.leave()

    def _open(self) -> optuna.Study:
        storage = self.place.open()
        try:
            study = optuna.create_study(
                storage=storage, study_name=self.name, direction="maximize", load_if_exists=True
            )
            made_with = study.user_attrs.get("setup")
        except (ValueError, KeyError, AssertionError, TypeError) as error:
            raise DamagedFile(f"{self.place.shown} is damaged; remove it to start the search again") from error
        wanted = json.dumps(self.setup, sort_keys=True, default=str)
        if made_with is None:
            study.set_user_attr("setup", wanted)
        elif made_with != wanted:
            theirs, ours = json.loads(made_with), json.loads(wanted)
            names = [key for key in sorted({*theirs, *ours}) if theirs.get(key) != ours.get(key)]
            differs = "; ".join(f"{key} {theirs.get(key)!r}, not {ours.get(key)!r}" for key in names)
            raise ParameterError(
                f"study {self.name} in {self.place.shown} was made with {differs}; use another storage or study"
            )
        return study

    def fill(self, objective: Objective, n_trials: int) -> Iterator[int]:
        """Fill slots until all are finished, by whichever worker; yields once a finished slot."""
        told = 0
        while True:
            with self.place.claim():
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
            if known.state in _FINISHED:
                finished.add(slot)
            elif known.state == TrialState.RUNNING:
                running.add(slot)
            elif fold_scores(known):
                left_over[slot] = known
        if any(slot >= n_trials for slot in finished):
            raise ParameterError(
                f"{self.place.shown} holds {len(finished)} finished trials of study {self.name}; ask for at least that many"
            )
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
        # A trial gets its worker's name under the claim lock, which we hold: without one, its worker died right there.
        return token == self.token or bool(token and self.place.alive(token))

    def _score(self, objective: Objective, trial: optuna.Trial) -> None:
        try:
            for fold in range(self.n_folds):
                if f"fold:{fold}" not in trial.user_attrs:
                    score = float(objective(trial, fold))
                    if not math.isfinite(score):
                        raise StsError(f"slot {slot_of(trial)}, fold {fold}: the score is {score}; it must be a number")
                    with self.place.errors():
                        trial.set_user_attr(f"fold:{fold}", score)
                scores = fold_scores(trial)[: fold + 1]
                with self.place.errors():
                    if self.prune and fold + 1 < self.n_folds and self._hopeless(scores):
                        trial.report(float(np.mean(scores)), fold)  # what the sampler learns from it
                        self.study.tell(trial, state=TrialState.PRUNED)
                        return
            with self.place.errors():
                self.study.tell(trial, float(np.mean(fold_scores(trial))))
        except UpdateFinishedTrialError:
            return  # our connection was lost for a while, and another worker has taken the slot over
        except BaseException:
            with contextlib.suppress(Exception):  # also when the storage itself is what went wrong
                self.study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
            raise

    def _hopeless(self, scores: list[float]) -> bool:
        """Whether a trial with these first fold scores could not become the best one, however good its other folds were."""
        complete = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len(complete) < _COMPLETE_BEFORE_PRUNING:
            return False
        by_fold = np.array([fold_scores(trial) for trial in complete])
        highest = scores + by_fold.max(axis=0)[len(scores) :].tolist()
        return float(np.mean(highest)) < float(by_fold.mean(axis=1).max())
