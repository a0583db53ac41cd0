"""The search: resumed after kill -9 it gives what an uninterrupted one gives; several workers fill each slot once."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from stslib import tuning
from stslib.errors import DamagedFile, ParameterError, StsError

N_TRIALS = 14  # more than the sampler's 10 random start-up trials, so that history matters


def objective(trial: optuna.Trial, fold: int) -> float:
    x = trial.suggest_float("x", -3, 3)
    rate = trial.suggest_float("rate", 1e-4, 1e-1, log=True)
    kind = trial.suggest_categorical("kind", ["a", "b"])
    return -((x - 1) ** 2) - (math.log10(rate) + 2) ** 2 - (kind == "b") * 0.5 + 0.01 * fold


# A worker as a process of its own. It waits a while in every fold, and kills itself with SIGKILL where it is told to.
WORKER = """
import os, signal, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_tuning import N_TRIALS, objective
from stslib import tuning

folder, wait, die_at = Path(sys.argv[2]), float(sys.argv[3]), sys.argv[4]

def slow(trial, fold):
    value = objective(trial, fold)
    with (folder / "calls.txt").open("a") as calls:
        calls.write(f"{tuning.slot_of(trial)}.{fold}\\n")
    time.sleep(wait)
    if die_at == f"{tuning.slot_of(trial)}.{fold}":
        os.kill(os.getpid(), signal.SIGKILL)
    return value

study = tuning.run_study(slow, N_TRIALS, folder, "probe", seed=7)
print(tuning.trial_table(study).to_json())
"""


def start(folder: Path, wait: float = 0.0, die_at: str = "-") -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-c", WORKER, str(Path(__file__).parent), str(folder), str(wait), die_at]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> optuna.Study:
    return tuning.run_study(objective, N_TRIALS, tmp_path_factory.mktemp("whole"), "probe", seed=7)


def test_value_is_the_mean_of_the_folds_and_the_search_improves(uninterrupted: optuna.Study) -> None:
    table = tuning.trial_table(uninterrupted)
    assert list(table["slot"]) == list(range(N_TRIALS))
    assert table["mean"].to_numpy() == pytest.approx(table[["fold:0", "fold:1", "fold:2"]].mean(axis=1).to_numpy())
    best = tuning.best_trial(uninterrupted)
    assert best.value == table["mean"].max()
    assert tuning.fold_scores(best) == pytest.approx([best.value - 0.01, best.value, best.value + 0.01])


def test_killed_three_times_in_mid_trial_and_resumed_equals_uninterrupted(
    tmp_path: Path, uninterrupted: optuna.Study
) -> None:
    for die_at in ("0.0", "5.1", "12.2"):
        worker = start(tmp_path, die_at=die_at)
        assert worker.wait(60) == -signal.SIGKILL
    study = tuning.run_study(objective, N_TRIALS, tmp_path, "probe", seed=7)
    assert tuning.trial_table(study).equals(tuning.trial_table(uninterrupted))
    assert sum(t.state == TrialState.FAIL for t in study.trials) == 3
    assert not any(t.state == TrialState.RUNNING for t in study.trials)
    # No fold that was scored before a kill is scored again: 5.0 was, 5.1 was not (it died before its score).
    calls = (tmp_path / "calls.txt").read_text().split()
    assert calls.count("5.0") == 1
    assert calls.count("12.1") == 1


def test_killed_from_outside_at_any_moment(tmp_path: Path, uninterrupted: optuna.Study) -> None:
    for seconds in (0.35, 0.6):
        worker = start(tmp_path, wait=0.02)
        deadline = time.monotonic() + 60
        while not (tmp_path / "calls.txt").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(seconds)
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait(60)
    study = tuning.run_study(objective, N_TRIALS, tmp_path, "probe", seed=7)
    assert tuning.trial_table(study).equals(tuning.trial_table(uninterrupted))


def test_a_torn_last_line_is_dropped(tmp_path: Path, uninterrupted: optuna.Study) -> None:
    tuning.run_study(objective, 4, tmp_path, "probe", seed=7)
    journal = tmp_path / "probe.journal"
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-25])  # the write of the last log was cut off
    study = tuning.run_study(objective, N_TRIALS, tmp_path, "probe", seed=7)
    assert tuning.trial_table(study).equals(tuning.trial_table(uninterrupted))


def test_two_workers_finish_each_slot_once_and_take_over_from_a_third_that_died(tmp_path: Path) -> None:
    workers = [start(tmp_path, wait=0.03, die_at="2.1"), start(tmp_path, wait=0.03), start(tmp_path, wait=0.03)]
    outputs = [w.communicate(timeout=90)[0] for w in workers]
    # Whoever takes slot 2 first dies in it when it is the first worker; the others end well and agree.
    assert [w.returncode for w in workers[1:]] == [0, 0]
    assert outputs[1] == outputs[2]
    study = tuning.run_study(objective, N_TRIALS, tmp_path, "probe", seed=7)
    done = sorted(tuning.slot_of(t) for t in study.trials if t.state == TrialState.COMPLETE)
    assert done == list(range(N_TRIALS))
    assert not list(tmp_path.glob("probe.worker-*"))


def test_an_error_of_the_objective_is_passed_on_and_its_slot_is_filled_later(
    tmp_path: Path, uninterrupted: optuna.Study
) -> None:
    def breaks(trial: optuna.Trial, fold: int) -> float:
        if (tuning.slot_of(trial), fold) == (3, 1):
            raise OSError("the disk is full")
        return objective(trial, fold)

    with pytest.raises(OSError, match="the disk is full"):
        tuning.run_study(breaks, N_TRIALS, tmp_path, "probe", seed=7)
    with pytest.raises(StsError, match="slot 3, fold 2: the score is nan"):
        tuning.run_study(
            lambda t, k: math.nan if (tuning.slot_of(t), k) == (3, 2) else objective(t, k), 5, tmp_path, "probe", seed=7
        )
    study = tuning.run_study(objective, N_TRIALS, tmp_path, "probe", seed=7)
    assert tuning.trial_table(study).equals(tuning.trial_table(uninterrupted))


def test_seeds_differ_between_slots_and_folds_and_are_stable(tmp_path: Path) -> None:
    seen: dict[tuple[int, int], int] = {}

    def note(trial: optuna.Trial, fold: int) -> float:
        seen[tuning.slot_of(trial), fold] = tuning.seed_of(trial, fold)
        return trial.suggest_float("x", 0, 1)

    tuning.run_study(note, 3, tmp_path / "a", "s", seed=1, n_folds=2)
    first = dict(seen)
    tuning.run_study(note, 3, tmp_path / "b", "s", seed=1, n_folds=2)
    assert seen == first
    assert len(set(first.values())) == 6


def test_first_params_are_tried_in_slot_0_only(tmp_path: Path) -> None:
    study = tuning.run_study(objective, 3, tmp_path, "s", seed=7, first_params={"x": 1.0, "rate": 0.01, "kind": "a"})
    table = tuning.trial_table(study)
    assert table.loc[0, "x"] == 1.0
    assert table.loc[0, "mean"] == pytest.approx(0.01)
    assert table.loc[1, "x"] != 1.0


def test_another_setup_fewer_trials_and_a_damaged_journal_are_refused_in_one_line(tmp_path: Path) -> None:
    tuning.run_study(objective, 2, tmp_path, "s", seed=7)
    with pytest.raises(ParameterError, match=r"was made with .*use another folder"):
        tuning.run_study(objective, 2, tmp_path, "s", seed=8)
    with pytest.raises(ParameterError, match="holds 2 finished trials"):
        tuning.run_study(objective, 1, tmp_path, "s", seed=7)
    with pytest.raises(ParameterError, match="n_trials is 0"):
        tuning.run_study(objective, 0, tmp_path, "s", seed=7)
    journal = tmp_path / "s.journal"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join([lines[0], "what is this\n", *lines[1:]]))
    with pytest.raises(DamagedFile, match="remove it to start") as caught:
        tuning.run_study(objective, 2, tmp_path, "s", seed=7)
    assert "\n" not in str(caught.value)
