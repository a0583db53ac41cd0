"""The search: resumed after kill -9 it gives what an uninterrupted one gives; several workers fill each slot once."""

import math
import multiprocessing
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
from optuna.trial import TrialState

from stslib import training
from stslib.support.errors import DamagedFile, ParameterError, StsError
from stslib.training import SearchSettings, fold_scores, slot_of, trial_table

PASSWORD = "s3cret-Pa55"
N_TRIALS = 14  # more than the sampler's 10 random start-up trials, so that history matters


def objective(trial: optuna.Trial, fold: int) -> float:
    x = trial.suggest_float("x", -3, 3)
    rate = trial.suggest_float("rate", 1e-4, 1e-1, log=True)
    kind = trial.suggest_categorical("kind", ["a", "b"])
    return -((x - 1) ** 2) - (math.log10(rate) + 2) ** 2 - (kind == "b") * 0.5 + 0.01 * fold


def run(objective: Any, n_trials: int, storage: str | Path, seed: int = 7, **settings: Any) -> optuna.Study:
    return training.run_study(objective, SearchSettings(n_trials, seed=seed, storage=storage, **settings), "probe")


def states(study: optuna.Study) -> dict[str, int]:
    return Counter(trial.state.name for trial in study.trials)


# Workers are processes of their own, from a server that has imported all of this once.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__])


def work(folder: Path, wait: float, die_at: str, storage: str | Path) -> None:
    """A worker that waits a while in every fold, and kills itself with SIGKILL where it is told to."""

    def slow(trial: optuna.Trial, fold: int) -> float:
        value = objective(trial, fold)
        with (folder / "calls.txt").open("a") as calls:
            calls.write(f"{slot_of(trial)}.{fold}\n")
        time.sleep(wait)
        if die_at == f"{slot_of(trial)}.{fold}":
            os.kill(os.getpid(), signal.SIGKILL)
        return value

    study = run(slow, N_TRIALS, storage)
    (folder / f"table-{os.getpid()}.json").write_text(trial_table(study).to_json())


def start(folder: Path, storage: str | Path, wait: float = 0.0, die_at: str = "-") -> BaseProcess:
    worker = PROCESSES.Process(target=work, args=(folder, wait, die_at, storage))
    worker.start()
    return worker


def ended(*workers: BaseProcess) -> list[int | None]:
    """Exit codes, once all have ended."""
    for worker in workers:
        worker.join(120)
    return [worker.exitcode for worker in workers]


def until_the_first_fold(folder: Path) -> None:
    deadline = time.monotonic() + 60
    while not (folder / "calls.txt").exists() and time.monotonic() < deadline:
        time.sleep(0.02)


def run_as(user: str | None, command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, user=user, cwd="/")


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """Address, with a password that no message may show, of a PostgreSQL server of our own in a temporary folder."""
    initdb = shutil.which("initdb") or next(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")), "")
    if not initdb:
        missing = pytest.fail if os.environ.get("STS_NEED_POSTGRES") else pytest.skip
        missing("no PostgreSQL server is installed here (apt-get install postgresql)")
    user = None
    if os.getuid() == 0:  # the server refuses root
        user = "postgres" if "postgres" in {entry.pw_name for entry in pwd.getpwall()} else "nobody"
    with tempfile.TemporaryDirectory(prefix="sts-pg-", ignore_cleanup_errors=True) as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port, data, secret = probe.getsockname()[1], f"{folder}/data", Path(folder, "secret")
        secret.write_text(PASSWORD)
        probe.close()
        Path(folder).chmod(0o755)
        for path in (folder, secret) if user else ():
            shutil.chown(path, user)
        run_as(user, [initdb, "-D", data, "-U", "tuner", "-A", "scram-sha-256", "--pwfile", str(secret), "--no-sync"])
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
        pg_ctl = [str(Path(initdb).with_name("pg_ctl")), "-D", data, "-w"]
        run_as(user, [*pg_ctl, "-l", f"{folder}/log", "-o", options, "start"])
        yield f"postgresql://tuner:{PASSWORD}@127.0.0.1:{port}/postgres"
        run_as(user, [*pg_ctl, "-m", "immediate", "stop"])


def engine_of(address: str) -> sqlalchemy.Engine:
    driver = address.replace("postgresql:", "postgresql+psycopg2:")
    return sqlalchemy.create_engine(driver, poolclass=sqlalchemy.NullPool, isolation_level="AUTOCOMMIT")


def database(server: str, name: str) -> str:
    """An empty database of the server: its address."""
    with engine_of(server).connect() as connection:
        connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
    return server.rsplit("/", 1)[0] + "/" + name


@pytest.fixture(params=["journal", "postgresql"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str | Path:
    """An empty storage of either kind, with the lock files of a journal in `tmp_path`."""
    if request.param == "journal":
        return tmp_path
    return database(request.getfixturevalue("postgres"), f"shared_{uuid.uuid4().hex[:8]}")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> optuna.Study:
    return run(objective, N_TRIALS, tmp_path_factory.mktemp("whole"))


def test_value_is_the_mean_of_the_folds_and_the_search_improves(uninterrupted):
    table = trial_table(uninterrupted)
    assert list(table["slot"]) == list(range(N_TRIALS))
    assert table["mean"].to_numpy() == pytest.approx(table[["fold:0", "fold:1", "fold:2"]].mean(axis=1).to_numpy())
    best = training.best_trial(uninterrupted)
    assert best.value == table["mean"].max()
    assert fold_scores(best) == pytest.approx([best.value - 0.01, best.value, best.value + 0.01])


def test_killed_three_times_in_mid_trial_and_resumed_equals_uninterrupted(tmp_path, storage, uninterrupted):
    for die_at in ("0.0", "5.1", "12.2"):
        assert ended(start(tmp_path, storage, die_at=die_at)) == [-signal.SIGKILL]
    study = run(objective, N_TRIALS, storage)
    assert trial_table(study).equals(trial_table(uninterrupted))
    assert states(study) == {"COMPLETE": N_TRIALS, "FAIL": 3}
    # No fold that was scored before a kill is scored again: 5.0 was, 5.1 was not (it died before its score).
    calls = (tmp_path / "calls.txt").read_text().split()
    assert calls.count("5.0") == 1 and calls.count("12.1") == 1


def test_killed_from_outside_at_any_moment(tmp_path, uninterrupted):
    for seconds in (0.35, 0.6):
        worker = start(tmp_path, tmp_path, wait=0.02)
        until_the_first_fold(tmp_path)
        time.sleep(seconds)
        worker.kill()
        ended(worker)
    assert trial_table(run(objective, N_TRIALS, tmp_path)).equals(trial_table(uninterrupted))


def test_a_torn_last_line_is_dropped(tmp_path, uninterrupted):
    run(objective, 4, tmp_path)
    journal = tmp_path / "probe.journal"
    journal.write_bytes(journal.read_bytes()[:-25])  # the write of the last log was cut off
    assert trial_table(run(objective, N_TRIALS, tmp_path)).equals(trial_table(uninterrupted))


def test_two_workers_finish_each_slot_once_and_take_over_from_a_third_that_died(tmp_path, storage):
    doomed = start(tmp_path, storage, wait=0.05, die_at="1.1")
    until_the_first_fold(tmp_path)  # it takes slots 0 and 1, and mostly no one else does
    assert ended(*(start(tmp_path, storage, wait=0.05) for _ in range(2))) == [0, 0]
    tables = [path.read_text() for path in tmp_path.glob("table-*.json")]  # of the workers that ended well
    assert len(tables) >= 2 and len(set(tables)) == 1
    killed = ended(doomed) == [-signal.SIGKILL]  # else another worker was first at slot 1, and this one ended well
    study = run(objective, N_TRIALS, storage)
    assert sorted(slot_of(t) for t in study.trials if t.state == TrialState.COMPLETE) == list(range(N_TRIALS))
    assert not list(tmp_path.glob("probe.worker-*"))
    if killed:
        assert states(study) == {"COMPLETE": N_TRIALS, "FAIL": 1}
        assert (tmp_path / "calls.txt").read_text().split().count("1.0") == 1  # scored before the kill, kept


def test_an_error_of_the_objective_is_passed_on_and_its_slot_is_filled_later(tmp_path, uninterrupted):
    def breaks(trial: optuna.Trial, fold: int) -> float:
        if (slot_of(trial), fold) == (3, 1):
            raise OSError("the disk is full")
        return objective(trial, fold)

    with pytest.raises(OSError, match="the disk is full"):
        run(breaks, N_TRIALS, tmp_path)
    with pytest.raises(StsError, match="slot 3, fold 2: the score is nan"):
        run(lambda t, k: math.nan if (slot_of(t), k) == (3, 2) else objective(t, k), 5, tmp_path)
    assert trial_table(run(objective, N_TRIALS, tmp_path)).equals(trial_table(uninterrupted))


def test_first_params_are_tried_in_slot_0_only(tmp_path):
    settings, first = SearchSettings(3, seed=7, storage=tmp_path), {"x": 1.0, "rate": 0.01, "kind": "a"}
    table = trial_table(training.run_study(objective, settings, "s", first))
    assert table["x"][0] == 1.0 != table["x"][1] and table["mean"][0] == pytest.approx(0.01)


def test_another_setup_fewer_trials_and_a_damaged_journal_are_refused_in_one_line(tmp_path):
    run(objective, 2, tmp_path)
    with pytest.raises(ParameterError, match=r"was made with .*use another storage"):
        run(objective, 2, tmp_path, seed=8)
    with pytest.raises(ParameterError, match="holds 2 finished trials"):
        run(objective, 1, tmp_path)
    with pytest.raises(ParameterError, match="n_trials is 0"):
        run(objective, 0, tmp_path)
    journal = tmp_path / "probe.journal"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join([lines[0], "what is this\n", *lines[1:]]))
    with pytest.raises(DamagedFile, match="remove it to start") as caught:
        run(objective, 2, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_hopeless_trial_is_given_up_after_a_fold_and_no_other(tmp_path):
    """Every fold counts the same, so a trial whose first fold is far below the best cannot win any more."""
    calls: list[tuple[int, int]] = []
    level = {0: 0.5, 1: 0.6, 2: 0.7, 3: 0.6, 4: 0.65, 5: 0.2, 6: 0.9, 7: 0.69, 8: 0.4}

    def scored(trial: optuna.Trial, fold: int) -> float:
        trial.suggest_float("x", 0, 1)
        calls.append((slot_of(trial), fold))
        return level[slot_of(trial)] + (0.01, 0.05, 0.0)[fold]

    study = run(scored, 9, tmp_path, seed=1, prune=True)
    table = trial_table(study).set_index("slot")
    # Five complete ones first; 5 and 8 cannot win any more after a fold, 7 (against the 0.9 of slot 6) neither.
    assert list(table.index[table["state"] == "pruned"]) == [5, 7, 8]
    assert [fold for slot, fold in calls if slot == 5] == [0]
    assert table.loc[5, "mean"] != table.loc[5, "mean"] and table.loc[5, "fold:0"] == pytest.approx(0.21)
    assert slot_of(training.best_trial(study)) == 6
    assert states(study) == {"COMPLETE": 6, "PRUNED": 3}
    # The winner is the one of a search without pruning.
    assert slot_of(training.best_trial(run(scored, 9, tmp_path / "all", seed=1))) == 6


def test_postgres_a_lost_connection_is_opened_anew(tmp_path, postgres, uninterrupted):
    """The server drops all connections in the middle of a fold, as a restart does; the search goes on by itself."""
    address = database(postgres, "restarted")
    engine = engine_of(address)

    def cut_off(trial: optuna.Trial, fold: int) -> float:
        if (slot_of(trial), fold) == (3, 2):
            with engine.connect() as connection:
                connection.execute(sqlalchemy.text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = 'restarted' AND pid <> pg_backend_pid()"))  # fmt: skip
        return objective(trial, fold)

    assert trial_table(run(cut_off, N_TRIALS, address)).equals(trial_table(uninterrupted))


def test_postgres_that_cannot_be_reached_is_one_line_without_the_password(postgres):
    for wrong, message in {
        postgres.replace(PASSWORD, "Wr0ng-Passw0rd"): "refuses this user and password",
        postgres.replace("127.0.0.1", "no-such-host.invalid"): "host name is not known",
        postgres.rsplit(":", 1)[0] + ":1/postgres": "no server answers",
        postgres.replace("/postgres", "/nothing"): "no such user or database",
        f"mysql://me:{PASSWORD}@localhost/x": "'mysql'; use postgresql",
        f"postgresql://me:a@{PASSWORD}@localhost/x": "write it as %40",
        f"postgresql://me:{PASSWORD}@localhost:port/x": "cannot be read",
        f"postgresql://me:{PASSWORD}@localhost": "names no database",
    }.items():
        with pytest.raises(StsError, match=message) as caught:
            run(objective, 1, wrong)
        text = str(caught.value)
        assert "\n" not in text and PASSWORD not in text and "Wr0ng" not in text, text


def test_a_storage_that_cannot_be_used_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.journal").mkdir()
    for storage in (tmp_path / "file", tmp_path / "folder.journal"):
        with pytest.raises(StsError, match=r"the storage .* cannot be used: .*; give another path"):
            run(objective, 1, storage)
