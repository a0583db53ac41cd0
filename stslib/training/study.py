"""A search for hyperparameters (paper section III.C): numbered slots that any number of workers fill, fold by fold.

A resumed search equals an uninterrupted one: slot k is sampled by the seed `(seed, k)`, that of a dead worker goes on.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from stslib.support.errors import DamagedFile, ParameterError, StsError
from stslib.support.progress import progress
from stslib.training.recipes import replaced
from stslib.training.storage import backend_of

Objective = Callable[[optuna.Trial, int], float]

N_RANDOM = 10  # trials before the sampler starts to learn from those that are finished


@dataclass(frozen=True)
class SearchSettings:
    """How hyperparameters are searched for (paper, section III.C).

    Parameters
    ----------
    n_trials : int, finished trials at the end, over all workers; a pruned one counts
    n_folds, seed : int, of the cross-validation that scores a trial, and of the search
    storage : a `.journal` file or a folder for one, `postgresql://user@host/database`, or "" for the search's folder
    prune : bool, give a trial up after a fold if even the highest scores of complete trials on the folds to come would
        leave its mean below the best one; starts after 5 complete trials

    Examples
    --------
    >>> SearchSettings(n_trials=10, seed=1).n_folds
    3
    """

    n_trials: int = 10
    n_folds: int = 3
    seed: int = 2026
    storage: str | Path = ""
    prune: bool = False

    def __post_init__(self) -> None:
        for name in ("n_trials", "n_folds"):
            if getattr(self, name) < 1:
                raise ParameterError(f"{name} is {getattr(self, name)}; it must be at least 1")

    @property
    def how(self) -> str:
        """How settings are drawn, in words: the search is Bayesian only where its sampler has trials to learn from."""
        rest = self.n_trials - N_RANDOM
        if rest <= 0:
            return f"{self.n_trials} setting(s) drawn at random (a Bayesian search would start after {N_RANDOM})"
        return (
            f"{N_RANDOM} settings drawn at random, then {rest} by a Bayesian search (tree-structured Parzen estimator)"
        )

    def with_changes(self, changes: Mapping[str, Any]) -> SearchSettings:
        """A copy with other values; an unknown name is a ParameterError."""
        return replaced(self, changes, "a search")


def run_study(
    objective: Objective,
    settings: SearchSettings,
    name: str,
    first_params: Mapping[str, Any] | None = None,
    setup: Mapping[str, Any] | None = None,
) -> optuna.Study:
    """Fill the slots of a search, from where it was left; return the `optuna.Study` when all trials are finished.

    Parameters
    ----------
    objective : callable (trial, fold) -> score to maximise, whose randomness follows from `slot_of(trial)` alone
    settings, name : SearchSettings with a storage, and the search's name in it; workers that name the same share it
    first_params, setup : to try in slot 0; plain values that the search depends on: another setup is a `ParameterError`

    Examples
    --------
    >>> import tempfile
    >>> settings = SearchSettings(2, 2, seed=1, storage=tempfile.mkdtemp())
    >>> study = run_study(lambda trial, fold: trial.suggest_float("x", 0, 1), settings, "example")
    >>> [trial.state.name for trial in study.trials]
    ['COMPLETE', 'COMPLETE']
    """
    worker = _Worker(settings, name, dict(first_params or {}), dict(setup or {}))
    with _quiet_optuna(), worker.backend.joined(worker.token):
        with worker.backend.claim():
            worker.open()
        for _ in progress(worker.fill(objective), f"search {name}", total=settings.n_trials):
            pass
        return worker.study


def slot_of(trial: optuna.Trial | FrozenTrial) -> int:
    """Slot (0..n_trials-1) of a trial; unlike `trial.number` it is the same after a kill and a second start."""
    return int(trial.user_attrs["slot"])


def fold_scores(trial: optuna.Trial | FrozenTrial) -> list[float]:
    """Scores of a trial's folds, in the order of the folds; of a pruned trial those that were scored."""
    scores = {int(key[5:]): float(value) for key, value in trial.user_attrs.items() if key.startswith("fold:")}
    return [scores[fold] for fold in sorted(scores)]


@contextlib.contextmanager
def _quiet_optuna() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


class _SlotSampler(optuna.samplers.TPESampler):
    """Tree-structured Parzen estimator of a slot (Bergstra et al. 2011, NeurIPS 24); parameters in `fixed` are settled."""

    def __init__(self, seed: int, fixed: Mapping[str, Any]) -> None:
        super().__init__(seed=seed, n_startup_trials=N_RANDOM, multivariate=False, constant_liar=True)
        self._fixed = dict(fixed)

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        # Drawn even when it is settled, so that the later parameters do not depend on which ones were.
        drawn = super().sample_independent(study, trial, param_name, param_distribution)
        return self._fixed.get(param_name, drawn)


class _Worker:
    """One process (or thread) that fills slots of a search; alive as long as its backend says so."""

    study: optuna.Study

    def __init__(self, settings: SearchSettings, name: str, first: dict[str, Any], setup: dict[str, Any]) -> None:
        self.settings, self.name, self.first = settings, name, first
        own = {name: getattr(settings, name) for name in ("seed", "n_folds", "prune")}
        self.setup = {**own, "first_params": first, **setup}
        self.token = uuid.uuid4().hex[:12]
        self.backend = backend_of(settings.storage, name)

    def open(self) -> None:
        """Open or make the study, under the claim lock; refuse one of another setup."""
        shown = self.backend.shown
        try:
            self.study = study = optuna.create_study(
                storage=self.backend.open(), study_name=self.name, direction="maximize", load_if_exists=True
            )
            made_with = study.user_attrs.get("setup")
        except (ValueError, KeyError, AssertionError, TypeError) as error:
            raise DamagedFile(f"{shown} is damaged; remove it to start the search again") from error
        wanted = json.dumps(self.setup, sort_keys=True, default=str)
        if made_with is None:
            study.set_user_attr("setup", wanted)
        elif made_with != wanted:
            theirs, ours = json.loads(made_with), json.loads(wanted)
            names = [key for key in sorted({*theirs, *ours}) if theirs.get(key) != ours.get(key)]
            differs = "; ".join(f"{key} {theirs.get(key)!r}, not {ours.get(key)!r}" for key in names)
            raise ParameterError(f"study {self.name} in {shown} was made with {differs}; use another storage or study")

    def fill(self, objective: Objective) -> Iterator[int]:
        """Fill slots until all are finished, by whichever worker; yields once a finished slot."""
        reported = 0
        while True:
            with self.backend.claim():
                trial, n_finished = self._take()
            yield from range(reported, n_finished)
            reported = max(reported, n_finished)
            if n_finished >= self.settings.n_trials:
                return
            if trial is None:  # the rest is in the hands of other workers: wait, one of them may die
                time.sleep(0.2)
            else:
                self._score(objective, trial)

    def _take(self) -> tuple[optuna.Trial | None, int]:
        """Under the claim lock: fail dead workers' trials and take the first free slot, if there is one."""
        for known in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            # A trial gets its worker's name under the claim lock, which we hold: without one, its worker died right there.
            token = known.user_attrs.get("worker")
            if token != self.token and not (token and self.backend.alive(token)):
                self.study.tell(known.number, state=TrialState.FAIL, skip_if_finished=True)
        # A trial without a slot lost its worker while that took the slot.
        trials = [known for known in self.study.get_trials(deepcopy=False) if "slot" in known.user_attrs]
        finished = {slot_of(known) for known in trials if known.state in (TrialState.COMPLETE, TrialState.PRUNED)}
        running = {slot_of(known) for known in trials if known.state == TrialState.RUNNING}
        left_over = {slot_of(known): known for known in trials if known.state == TrialState.FAIL and fold_scores(known)}
        n_trials, shown = self.settings.n_trials, self.backend.shown
        if any(slot >= n_trials for slot in finished):
            done = f"{len(finished)} finished trials of study {self.name}"
            raise ParameterError(f"{shown} holds {done}; ask for at least that many")
        free = next((k for k in range(n_trials) if k not in finished | running), None)
        if free is None:
            return None, len(finished)
        old = left_over.get(free)
        own_seed = int(np.random.SeedSequence([abs(self.settings.seed), free]).generate_state(1)[0] >> 1)
        first = self.first if free == 0 else {}
        self.study.sampler = _SlotSampler(own_seed, first if old is None else old.params)
        # The distributions are handed over too: where every fold was scored, nobody will suggest the parameters again.
        trial = self.study.ask(fixed_distributions=None if old is None else old.distributions)
        carried = {} if old is None else old.user_attrs
        for key, value in {**carried, "slot": free, "worker": self.token}.items():
            trial.set_user_attr(key, value)
        return trial, len(finished)

    def _score(self, objective: Objective, trial: optuna.Trial) -> None:
        n_folds = self.settings.n_folds
        try:
            for fold in range(n_folds):
                if f"fold:{fold}" not in trial.user_attrs:
                    score = float(objective(trial, fold))
                    if not math.isfinite(score):
                        raise StsError(f"slot {slot_of(trial)}, fold {fold}: the score is {score}; it must be a number")
                    with self.backend.errors():
                        trial.set_user_attr(f"fold:{fold}", score)
                scores = fold_scores(trial)[: fold + 1]
                with self.backend.errors():
                    if self.settings.prune and fold + 1 < n_folds and self._hopeless(scores):
                        trial.report(float(np.mean(scores)), fold)  # what the sampler learns from it
                        self.study.tell(trial, state=TrialState.PRUNED)
                        return
            with self.backend.errors():
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
        if len(complete) < 5:
            return False
        by_fold = np.array([fold_scores(trial) for trial in complete])
        highest = scores + by_fold.max(axis=0)[len(scores) :].tolist()
        return float(np.mean(highest)) < float(by_fold.mean(axis=1).max())
