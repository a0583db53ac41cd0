"""Where a search is kept: a journal file for one disk, PostgreSQL for many machines.

Both give the workers the same three things: Optuna's storage, one claim lock that a single worker holds at a time, and
a sign of life of each worker that vanishes with it, however it dies. With a journal these are the kernel's file locks; with
PostgreSQL they are advisory locks of a session, which the server drops when the connection ends. So a worker that was
killed is noticed at once. One whose machine vanished is noticed after about a minute, when the server's keep-alive
packets find nobody.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Protocol

import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from stslib.support.errors import DamagedFile, ParameterError, StsError
from stslib.support.files import why_not_written

try:
    import fcntl
except ImportError:  # pragma: no cover (Windows)
    fcntl = None  # type: ignore[assignment]

_CONNECT_S = 10


class Place(Protocol):
    """What a worker needs of the place where a search is kept."""

    #: Its path or address, without a password, for messages.
    shown: str

    def open(self) -> BaseStorage:
        """Optuna's storage; called under the claim."""

    def join(self, token: str) -> None:
        """Show the worker `token` as alive until `leave` or its death."""

    def leave(self) -> None:
        """Take the sign of life away."""

    def claim(self) -> contextlib.AbstractContextManager[None]:
        """Hold the one lock of the search inside the block."""

    def alive(self, token: str) -> bool:
        """Whether another worker is alive; asked under the claim."""

    def errors(self) -> contextlib.AbstractContextManager[None]:
        """Turns what goes wrong with the storage inside the block into one line."""


def place_of(storage: str | Path, name: str) -> Place:
    """The place that `storage` names: `postgresql://...`, the path of a `.journal` file, or a folder for `<name>.journal`.

    Raises
    ------
    ParameterError
        Another kind of address, or one that cannot be read.
    """
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


# --- a journal file ---------------------------------------------------------------------------------------------------


class _Journal:
    """A journal file, with lock files beside it."""

    def __init__(self, path: Path) -> None:
        self._path, self.shown = path, str(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                raise IsADirectoryError(21, "it is a folder")
            path.open("ab").close()
        except OSError as error:
            raise StsError(f"the storage {path} cannot be used: {error.strerror}; give another path") from error
        self._claim = _KernelLock(self._beside("claim.lock"))
        self._life: _KernelLock | None = None
        self._life_path: Path | None = None

    def _beside(self, ending: str) -> Path:
        return self._path.with_name(f"{self._path.stem}.{ending}")

    def _life_file(self, token: str) -> Path:
        return self._beside(f"worker-{token}.lock")

    def open(self) -> BaseStorage:
        append_lock = _KernelLock(self._beside("append.lock"), self._path)
        with append_lock:
            pass  # mends a torn last line before the first read
        try:
            return JournalStorage(JournalFileBackend(str(self._path), lock_obj=append_lock))  # type: ignore[arg-type]
        except (ValueError, KeyError, AssertionError, TypeError) as error:
            raise DamagedFile(f"{self._path} is damaged; remove it to start the search again") from error

    def join(self, token: str) -> None:
        self._life_path = self._life_file(token)
        self._life = _KernelLock(self._life_path)
        self._life.acquire()

    def leave(self) -> None:
        if self._life is not None and self._life_path is not None:
            self._life.release()
            self._life_path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def claim(self) -> Iterator[None]:
        with self._claim:
            yield

    def alive(self, token: str) -> bool:
        path = self._life_file(token)
        if not path.exists():
            return False
        probe = _KernelLock(path)
        if not probe.acquire(wait=False):
            return True
        probe.release()
        path.unlink(missing_ok=True)
        return False

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StsError(why_not_written(self._path, error)) from error


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


# --- PostgreSQL -------------------------------------------------------------------------------------------------------


class _Postgres:
    """A PostgreSQL database, with advisory locks of the worker's own session.

    The session must be the worker's own: behind a pooler that shares sessions (PgBouncer's transaction mode) such locks
    hold nothing.
    """

    def __init__(self, address: str, name: str) -> None:
        self._url = _read_url(address)
        shown = self._url.set(drivername="postgresql", password=None, query={})
        self.shown, self._name = shown.render_as_string(hide_password=True), name
        keep = {"keepalives": 1, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
        self._options: dict[str, Any] = {"connect_args": {"connect_timeout": _CONNECT_S, **keep}}
        self._token = ""
        self._session: sqlalchemy.Connection | None = None
        try:
            self._engine = sqlalchemy.create_engine(
                self._url, poolclass=sqlalchemy.NullPool, isolation_level="AUTOCOMMIT", **self._options
            )
        except ImportError as error:
            raise StsError(
                "PostgreSQL needs the driver psycopg2, which is not installed: pip install 'stslib[postgres]'"
            ) from error

    def open(self) -> BaseStorage:
        with self.errors():
            return RDBStorage(
                self._url.render_as_string(hide_password=False),
                engine_kwargs={"pool_pre_ping": True, "pool_size": 2, **self._options},
            )

    def join(self, token: str) -> None:
        self._token = token
        with self.errors():
            self._connect()

    def _connect(self) -> sqlalchemy.Connection:
        """A session that shows this worker as alive; opened anew when the server was restarted meanwhile."""
        session = self._engine.connect()
        # Without these a server takes two hours to notice that a machine is gone.
        for setting, value in (("idle", 30), ("interval", 10), ("count", 3)):
            session.execute(sqlalchemy.text(f"SET tcp_keepalives_{setting} = {value}"))
        session.execute(sqlalchemy.text("SELECT pg_advisory_lock(:key)"), {"key": self._key(self._token)})
        self._session = session
        return session

    def leave(self) -> None:
        if self._session is not None:
            with contextlib.suppress(SQLAlchemyError):
                self._session.close()
            self._session = None

    @contextlib.contextmanager
    def claim(self) -> Iterator[None]:
        lock = sqlalchemy.text("SELECT pg_advisory_lock(:key)")
        key = {"key": self._key("claim")}
        with self.errors():
            try:
                session = self._session or self._connect()
                session.execute(lock, key)
            except SQLAlchemyError:
                self.leave()
                session = self._connect()
                session.execute(lock, key)
        try:
            with self.errors():
                yield
        finally:
            # Where the connection is gone, so is the lock.
            with contextlib.suppress(SQLAlchemyError):
                session.execute(sqlalchemy.text("SELECT pg_advisory_unlock(:key)"), key)

    def alive(self, token: str) -> bool:
        if self._session is None:
            return True
        key = {"key": self._key(token)}
        free = self._session.execute(sqlalchemy.text("SELECT pg_try_advisory_lock(:key)"), key).scalar()
        if free:
            self._session.execute(sqlalchemy.text("SELECT pg_advisory_unlock(:key)"), key)
        return not free

    def _key(self, what: str) -> int:
        digest = hashlib.sha256(f"stslib {self._name} {what}".encode()).digest()
        return int.from_bytes(digest[:8], "big", signed=True)

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, StorageInternalError) as error:
            raise StsError(
                f"the storage {self.shown} cannot be used: {_reason(error)}; what is finished is kept, "
                "and the same command goes on"
            ) from error


def _read_url(address: str) -> sqlalchemy.URL:
    """The address as SQLAlchemy reads it. No message repeats it, for it may hold a password."""
    try:
        url = sqlalchemy.make_url(address)
    except (ArgumentError, ValueError):
        raise ParameterError(
            "the storage's address cannot be read; write postgresql://user@host:5432/database"
        ) from None
    if url.drivername not in ("postgresql", "postgres", "postgresql+psycopg2"):
        kind = "another kind" if len(url.drivername) > 20 else repr(url.drivername)
        raise ParameterError(f"the storage's address is of {kind}; use postgresql://... or the path of a .journal file")
    if "@" in (url.host or ""):
        raise ParameterError("the password in the storage's address holds an @; write it as %40")
    if not url.database:
        raise ParameterError("the storage's address names no database; write postgresql://user@host:5432/database")
    return url.set(drivername="postgresql+psycopg2")


#: What libpq says, and in our words. Its own text is not repeated: it may quote parts of the address.
_REASONS = {
    "no password supplied": "the server asks for a password; put it into ~/.pgpass or PGPASSWORD",
    "password authentication failed": "the server refuses this user and password",
    "pg_hba.conf": "the server lets this user or machine not in (pg_hba.conf)",
    "could not translate host name": "its host name is not known",
    "connection refused": "no server answers there",
    "no such file or directory": "there is no server's socket there",
    "timeout expired": f"no answer within {_CONNECT_S} s",
    "timed out": "no answer in time",
    "no route to host": "there is no way to its host",
    "network is unreachable": "there is no way to its host",
    "does not exist": "the server has no such user or database",
    "permission denied": "this user may not write there",
    "too many": "the server has too many connections; start fewer workers",
    "starting up": "the server is starting",
    "shutting down": "the server is shutting down",
    "terminating connection": "the server ended the connection",
    "closed the connection": "the server ended the connection",
}


def _reason(error: BaseException) -> str:
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and cause not in causes:
        causes.append(cause)
    text = " ".join(str(cause) for cause in causes).lower()
    return next((ours for theirs, ours in _REASONS.items() if theirs in text), type(causes[-1]).__name__)
