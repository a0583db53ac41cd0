"""Where a search is stored: a journal file for one disk, PostgreSQL for many machines; both with locks that die with a worker.

The kernel's file locks, or advisory locks of a database session (of a vanished machine dropped within a minute).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import filelock
import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from stslib.support.errors import ParameterError, StsError
from stslib.support.files import why_not_written

#: Without these a machine that vanished is noticed after two hours; set for the client and for the server.
_KEEPALIVES = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}


def backend_of(storage: str | Path, name: str) -> _Journal | _Postgres:
    """The backend that `storage` names: `postgresql://...`, a `.journal` file, or a folder for `<name>.journal`."""
    if "://" in str(storage):
        return _Postgres(str(storage), name)
    path = Path(storage).expanduser()
    return _Journal(path if path.suffix == ".journal" else path / f"{name}.journal")


def address_with_password(storage: str) -> bool:
    """Whether an address of PostgreSQL carries a password, which then must not be written down anywhere."""
    if "://" not in storage:
        return False
    url = _read_url(storage)
    return url.password is not None or "password" in url.query


class _Journal:
    """A journal file, with lock files beside it."""

    def __init__(self, path: Path) -> None:
        self._path, self.shown = path, str(path)  # shown in messages
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                raise IsADirectoryError(21, "it is a folder")
            path.open("ab").close()
        except OSError as error:
            raise StsError(f"the storage {path} cannot be used: {error.strerror}; give another path") from error
        self._claim = self._lock("claim")

    def _lock(self, what: str) -> filelock.BaseFileLock:
        return filelock.FileLock(self._path.with_name(f"{self._path.stem}.{what}.lock"), poll_interval=0.02)

    def open(self) -> BaseStorage:
        """Optuna's storage; called under the claim."""
        lock = _AppendLock(self._path, self._lock("append"))
        lock.acquire()  # drops a torn last line before the first read
        lock.release()
        return JournalStorage(JournalFileBackend(str(self._path), lock_obj=lock))  # type: ignore[arg-type]

    @contextlib.contextmanager
    def joined(self, token: str) -> Iterator[None]:
        """Show the worker `token` as alive inside the block, or until its death."""
        lock = self._lock(f"worker-{token}")
        try:
            with lock:
                yield
        finally:
            Path(lock.lock_file).unlink(missing_ok=True)

    def claim(self) -> contextlib.AbstractContextManager[object]:
        """Hold the one lock of the search inside the block."""
        return self._claim

    def alive(self, token: str) -> bool:
        """Whether another worker is alive; asked under the claim."""
        lock = self._lock(f"worker-{token}")
        if not Path(lock.lock_file).exists():
            return False
        try:
            with lock.acquire(blocking=False):
                pass
        except filelock.Timeout:
            return True
        Path(lock.lock_file).unlink(missing_ok=True)
        return False

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Turns what goes wrong with the storage inside the block into one line."""
        try:
            yield
        except OSError as error:
            raise StsError(why_not_written(self._path, error)) from error


class _AppendLock:
    """A lock of the operating system: Optuna's own is a file that stays behind after `kill -9` and delays all by 30 s."""

    def __init__(self, journal: Path, lock: filelock.BaseFileLock) -> None:
        self._journal, self._lock = journal, lock

    def acquire(self) -> bool:
        """Also drop a last line without its end: its writer was killed within the write, and nobody has read it."""
        self._lock.acquire()
        if self._journal.exists() and self._journal.stat().st_size:
            with self._journal.open("rb+") as stream:
                stream.seek(-1, os.SEEK_END)
                if stream.read(1) != b"\n":
                    stream.seek(0)
                    stream.truncate(stream.read().rfind(b"\n") + 1)
        return True

    def release(self) -> None:
        self._lock.release()


class _Postgres:
    """`_Journal`'s methods with advisory locks; the session must be the worker's own, not one that a pooler shares."""

    def __init__(self, address: str, name: str) -> None:
        self._url, self._name, self._token = _read_url(address), name, ""
        shown = self._url.set(drivername="postgresql", password=None, query={})
        self.shown = shown.render_as_string(hide_password=True)
        self._connect_args = {"connect_timeout": 10, "keepalives": 1, **_KEEPALIVES}
        self._session: sqlalchemy.Connection | None = None
        try:
            self._engine = sqlalchemy.create_engine(
                self._url, poolclass=sqlalchemy.NullPool, isolation_level="AUTOCOMMIT", connect_args=self._connect_args
            )
        except ImportError as error:
            raise StsError("PostgreSQL needs the driver psycopg2: pip install 'stslib[postgres]'") from error

    def open(self) -> BaseStorage:
        options = {"pool_pre_ping": True, "pool_size": 2, "connect_args": self._connect_args}
        with self.errors():
            return RDBStorage(self._url.render_as_string(hide_password=False), engine_kwargs=options)

    @contextlib.contextmanager
    def joined(self, token: str) -> Iterator[None]:
        self._token = token
        with self.errors():
            self._connect()
        try:
            yield
        finally:
            self._leave()

    def _connect(self) -> sqlalchemy.Connection:
        """A session that shows this worker as alive; opened anew when the server was restarted meanwhile."""
        session = self._engine.connect()
        for setting, value in _KEEPALIVES.items():
            session.execute(sqlalchemy.text(f"SET tcp_{setting} = {value}"))
        self._call(session, "pg_advisory_lock", self._token)
        self._session = session
        return session

    def _leave(self) -> None:
        if self._session is not None:
            with contextlib.suppress(SQLAlchemyError):
                self._session.close()
            self._session = None

    @contextlib.contextmanager
    def claim(self) -> Iterator[None]:
        with self.errors():
            try:
                session = self._session or self._connect()
                self._call(session, "pg_advisory_lock", "claim")
            except SQLAlchemyError:
                self._leave()
                session = self._connect()
                self._call(session, "pg_advisory_lock", "claim")
        try:
            with self.errors():
                yield
        finally:
            with contextlib.suppress(SQLAlchemyError):  # where the connection is gone, so is the lock
                self._call(session, "pg_advisory_unlock", "claim")

    def alive(self, token: str) -> bool:
        if self._session is None:
            return True
        free = self._call(self._session, "pg_try_advisory_lock", token)
        if free:
            self._call(self._session, "pg_advisory_unlock", token)
        return not free

    def _call(self, session: sqlalchemy.Connection, function: str, what: str) -> object:
        """Call an advisory lock's function with the key of `what` in this search."""
        digest = hashlib.sha256(f"stslib {self._name} {what}".encode()).digest()
        key = int.from_bytes(digest[:8], "big", signed=True)
        return session.execute(sqlalchemy.text(f"SELECT {function}(:key)"), {"key": key}).scalar()

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, StorageInternalError) as error:
            way_out = "what is finished is kept, and the same command goes on"
            raise StsError(f"the storage {self.shown} cannot be used: {_reason(error)}; {way_out}") from error


def _read_url(address: str) -> sqlalchemy.URL:
    """The address as SQLAlchemy reads it. No message repeats it, for it may hold a password."""
    example = "write postgresql://user@host:5432/database"
    try:
        url = sqlalchemy.make_url(address)
    except (ArgumentError, ValueError):
        raise ParameterError(f"the storage's address cannot be read; {example}") from None
    if url.drivername not in ("postgresql", "postgres", "postgresql+psycopg2"):
        kind = "another kind" if len(url.drivername) > 20 else repr(url.drivername)
        raise ParameterError(f"the storage's address is of {kind}; use postgresql://... or the path of a .journal file")
    if "@" in (url.host or ""):
        raise ParameterError("the password in the storage's address holds an @; write it as %40")
    if not url.database:
        raise ParameterError(f"the storage's address names no database; {example}")
    return url.set(drivername="postgresql+psycopg2")


#: What libpq says (patterns), and in our words. Its own text is not repeated: it may quote parts of the address.
_REASONS = {
    "no password supplied": "the server asks for a password; put it into ~/.pgpass or PGPASSWORD",
    "password authentication failed": "the server refuses this user and password",
    "pg_hba.conf": "the server does not admit this user or machine (pg_hba.conf)",
    "could not translate host name": "its host name is not known",
    "connection refused": "no server answers there",
    "no such file or directory": "there is no server's socket there",
    "timeout expired|timed out": "no answer in time",
    "no route to host|network is unreachable": "its host cannot be reached",
    "does not exist": "the server has no such user or database",
    "permission denied": "this user may not write there",
    "too many": "the server has too many connections; start fewer workers",
    "starting up|shutting down": "the server is starting or shutting down",
    "terminating connection|closed the connection": "the server ended the connection",
}


def _reason(error: BaseException) -> str:
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and cause not in causes:
        causes.append(cause)
    text = " ".join(str(cause) for cause in causes).lower()
    return next((ours for theirs, ours in _REASONS.items() if re.search(theirs, text)), type(causes[-1]).__name__)
