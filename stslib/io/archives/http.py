"""HTTP for the archives: retries with back-off, a polite rate, byte ranges, and whole files that resume.

One `Http` serves all threads of a fetch, and counts requests and bytes for the run's report. Retries are its own, not
urllib3's: one loop covers connections, answers, bodies cut short, expired addresses, wrong checksums and parts of files.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urljoin

import requests

from stslib.io.files.traces import BadRecording
from stslib.support.files import sha256_of

T = TypeVar("T")

#: Answers that may be better the next time.
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_BLOCK = 1 << 15  # of a cut connection, the last block is lost
_FAULTS = (requests.RequestException, OSError, ValueError)
_DISK = {28, 122, 30, 13}  # no space, quota, read-only, no permission: another try does not help


class NotThere(BadRecording):
    """The archive does not have the requested file or table."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)

    def __reduce__(self) -> tuple[type[NotThere], tuple[str, str]]:
        return NotThere, (self.reason, str(self))


class _Again(Exception):
    """An answer that may be better the next time; `after_s` is how long the server asks to wait."""

    def __init__(self, why: str, after_s: float = 0.0) -> None:
        super().__init__(why)
        self.after_s = after_s


class Http:
    """Requests with retries, for networks and servers that fail now and then.

    A request is made `tries` times before it counts as failed, with a wait of `pause_s` that doubles each time (to 30 s at
    most) and has a random part, so that many workers do not come back all at once. `per_second` limits the requests of all
    threads, `timeout_s` the silence of the server. `n_requests`, `n_bytes` (of bodies) and `n_failures` (of tries) count.
    """

    def __init__(
        self, tries: int = 6, pause_s: float = 0.5, per_second: float = 100.0, timeout_s: float = 30.0
    ) -> None:
        self.tries, self.pause_s, self.per_second, self.timeout_s = tries, pause_s, per_second, timeout_s
        self.n_requests = self.n_bytes = self.n_failures = 0
        self._waited_s = 0.0
        self._lock = threading.Lock()
        self._next_s = 0.0
        self._local = threading.local()

    def __getstate__(self) -> dict[str, Any]:  # a worker process begins its own connections and counts
        return {k: getattr(self, k) for k in ("tries", "pause_s", "per_second", "timeout_s")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    @property
    def seconds_per_request(self) -> float:
        """Mean time from a request to the beginning of its answer, in s; 0.1 before the first one."""
        return self._waited_s / self.n_requests if self.n_requests else 0.1

    def json(self, url: str) -> Any:
        """The parsed JSON of `url`; NotThere (`no_recording`) or BadRecording (`fetch_failed`, after the last try)."""
        return self._retry(url, lambda: self._json(url))

    def range(self, url: Callable[[bool], str], start: int, stop: int) -> bytes:
        """Bytes `start` to `stop` (not included) of a file.

        `url` gives the address; with True a fresh one, because the last one was refused (signed addresses expire).
        """
        fresh = False

        def attempt() -> bytes:
            nonlocal fresh
            again, fresh = fresh, False
            address = url(again)
            with self._open(address, {"Range": f"bytes={start}-{stop - 1}"}) as answer:
                if answer.status_code == 403:
                    fresh = True
                    raise _Again("the address has expired")
                self._check(answer, address)
                content_range = answer.headers.get("Content-Range", "").split("/")[0]
                if answer.status_code != 206 or content_range != f"bytes {start}-{stop - 1}":
                    why = f"{_short(address)} gives no byte ranges (answer {answer.status_code})"
                    raise BadRecording("fetch_failed", why)
                return self._body(answer, stop - start)

        return self._retry("byte range", attempt)

    def follow(self, url: str) -> str:
        """Where `url` redirects to (itself, where it does not)."""

        def attempt() -> str:
            with self._open(url, {}, redirects=False) as answer:
                self._check(answer, url)
                return urljoin(url, answer.headers["Location"]) if answer.is_redirect else url

        return self._retry(url, attempt)

    def download(self, url: str, path: Path, sha256: str = "") -> Path:
        """Save a file; a part that is already there is resumed, if the server can.

        The file takes its name only when it is whole: as long as the server announced, with the right checksum where one is
        known. A part lies beside it as `<name>.part`, and outlives a kill.
        """
        if path.exists():
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")

        def attempt() -> None:
            self._continue(url, part)
            if sha256 and sha256_of(part) != sha256:
                part.unlink()
                raise _Again("its checksum is wrong")

        self._retry(url, attempt)
        os.replace(part, path)
        return path

    def _continue(self, url: str, part: Path) -> None:
        """Fetch what is missing of `part`, however long it is."""
        have = part.stat().st_size if part.exists() else 0
        with self._open(url, {"Range": f"bytes={have}-"} if have else {}) as answer:
            if answer.status_code == 416:  # nothing is missing, or the part is not of this file
                total = answer.headers.get("Content-Range", "").rpartition("/")[2]
                if total.isdigit() and int(total) == have:
                    return
                part.unlink(missing_ok=True)
                raise _Again("the part did not fit")
            self._check(answer, url)
            begun = have if answer.status_code == 206 else 0
            length = answer.headers.get("Content-Length", "")
            with part.open("ab" if begun else "wb") as out:
                written = 0
                try:
                    for block in answer.iter_content(_BLOCK):
                        out.write(block)
                        written += len(block)
                finally:
                    self._count(n_bytes=written)
                out.flush()
                os.fsync(out.fileno())
            if length.isdigit() and written != int(length):
                raise _Again(f"the connection ended after {begun + written} bytes of {begun + int(length)}")

    def _json(self, url: str) -> Any:
        with self._open(url, {}) as answer:
            self._check(answer, url)
            length = answer.headers.get("Content-Length", "")
            body = self._body(answer, int(length) if length.isdigit() else None)
        try:
            return json.loads(body)
        except ValueError as error:
            raise _Again("the answer is not JSON") from error

    def _open(self, url: str, headers: dict[str, str], redirects: bool = True) -> requests.Response:
        self._wait_for_turn()
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            self._local.session.headers["User-Agent"] = "stslib (spike-train scalograms; research use)"
            # A compressed body has no length to check, and byte ranges of it would mean something else.
            self._local.session.headers["Accept-Encoding"] = "identity"
        self._count(n_requests=1)
        session: requests.Session = self._local.session
        begun = time.monotonic()
        try:
            return session.get(url, headers=headers, timeout=self.timeout_s, stream=True, allow_redirects=redirects)
        finally:
            with self._lock:
                self._waited_s += time.monotonic() - begun

    def _body(self, answer: requests.Response, expected: int | None) -> bytes:
        body = bytearray()
        try:
            for block in answer.iter_content(_BLOCK):
                body += block
                if expected is not None and len(body) > expected:
                    raise _Again(f"more than {expected} bytes came")
        finally:
            self._count(n_bytes=len(body))
        if expected is not None and len(body) < expected:
            raise _Again(f"{len(body)} bytes came instead of {expected}")
        return bytes(body)

    @staticmethod
    def _check(answer: requests.Response, url: str) -> None:
        if answer.status_code in _PASSING:
            after = answer.headers.get("Retry-After", "")
            raise _Again(f"answer {answer.status_code}", float(after) if after.isdigit() else 0.0)
        if answer.status_code in (404, 410):
            raise NotThere("no_recording", f"the archive has no {_short(url)} (answer {answer.status_code})")
        if answer.status_code >= 400:
            raise BadRecording("fetch_failed", f"{_short(url)} was refused (answer {answer.status_code})")

    def _retry(self, what: str, attempt: Callable[[], T]) -> T:
        """The result of `attempt`, which is repeated after passing faults, with growing waits."""
        why, after_s = "", 0.0
        for n in range(self.tries):
            if n:
                wait_s = min(self.pause_s * 2 ** (n - 1), 30.0)
                time.sleep(max(wait_s * (0.5 + random.random()), after_s))
            try:
                return attempt()
            except BadRecording:
                raise
            except _Again as error:
                why, after_s = str(error), min(error.after_s, 60.0)
            except _FAULTS as error:
                if isinstance(error, OSError) and error.errno in _DISK:
                    raise
                why, after_s = _plain(error), 0.0
            self._count(n_failures=1)
        raise BadRecording("fetch_failed", f"{_short(what)} failed {self.tries} times, at last: {why}")

    def _wait_for_turn(self) -> None:
        """Keep to `per_second` over all threads."""
        with self._lock:
            now = time.monotonic()
            turn = max(self._next_s, now)
            self._next_s = turn + 1 / self.per_second
        if turn > now:
            time.sleep(turn - now)

    def _count(self, n_requests: int = 0, n_bytes: int = 0, n_failures: int = 0) -> None:
        with self._lock:
            self.n_requests += n_requests
            self.n_bytes += n_bytes
            self.n_failures += n_failures


def _short(url: str) -> str:
    """An address without its query, which may hold a signature."""
    return url.split("?")[0]


def _plain(error: Exception) -> str:
    """What went wrong, in a few words."""
    names = {
        "ConnectionError": "no connection",
        "ReadTimeout": "no answer in time",
        "ConnectTimeout": "no connection in time",
    }
    return names.get(type(error).__name__, type(error).__name__)
