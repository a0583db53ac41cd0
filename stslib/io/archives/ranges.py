"""Remote HDF5 files, read by HTTP range requests.

Ranges are fetched here and not by fsspec or remfile: h5py holds one lock for the whole process while it reads, and a file
object that fetches inside a read would make all threads of a fetch wait for one request.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import h5py

from stslib.io.archives.http import Http

T = TypeVar("T")


class RangeFile(io.RawIOBase):
    """The bytes of a remote file that are here, as a file for h5py.

    A read of bytes that are not here fails and is noted; `RemoteHdf5` fetches them outside of h5py's lock and tries again.
    """

    PAGE = 2048

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.needed: list[tuple[int, int]] = []
        self._pages: dict[int, bytes] = {}
        self._position = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` from the pages that are there, else note what is missing and fail."""
        view = memoryview(buffer).cast("B")
        start, stop = self._position, min(self._position + len(view), self.size)
        pages = range(start // self.PAGE, -(-stop // self.PAGE))
        if any(page not in self._pages for page in pages):
            self.needed.append((start, stop))
            raise OSError("these bytes are still to be fetched")
        data = b"".join(self._pages[page] for page in pages)
        begin = start - pages.start * self.PAGE if pages else 0
        view[: stop - start] = data[begin : begin + stop - start]
        self._position = stop
        return stop - start

    def missing(self, ahead: int) -> list[tuple[int, int]]:
        """Byte ranges to fetch for the needed reads, without what is here.

        Each read is made at least `ahead` bytes long, and reads that lie closer than that become one.
        """
        pages: set[int] = set()
        for start, stop in self.needed:
            first, needed = start // self.PAGE, -(-stop // self.PAGE)
            pages.update(p for p in range(first, needed) if p not in self._pages)
            # Metadata lie together: what comes next in the file is often read next.
            for page in range(needed, -(-min(start + ahead, self.size) // self.PAGE)):
                if page in self._pages:
                    break
                pages.add(page)
        spans: list[tuple[int, int]] = []
        for page in sorted(pages):
            if spans and (page - spans[-1][1]) * self.PAGE < ahead:
                spans[-1] = (spans[-1][0], page + 1)
            else:
                spans.append((page, page + 1))
        return [(first * self.PAGE, min(last * self.PAGE, self.size)) for first, last in spans]

    def want(self, spans: list[tuple[int, int]]) -> None:
        """Ask for byte ranges ahead of reading them; fails when one of them is missing."""
        absent = [
            s for s in spans if any(p not in self._pages for p in range(s[0] // self.PAGE, -(-s[1] // self.PAGE)))
        ]
        if absent:
            self.needed += absent
            raise OSError("these bytes are still to be fetched")

    def put(self, start: int, data: bytes) -> None:
        """Add fetched bytes that begin at a page."""
        for offset in range(0, len(data), self.PAGE):
            self._pages[(start + offset) // self.PAGE] = data[offset : offset + self.PAGE]
        self.needed.clear()


class RemoteHdf5:
    """An HDF5 file at an address, read by byte ranges.

    Parameters
    ----------
    http, address, size
        The connection, the address, which may redirect to another one that expires (DANDI signs them for an hour), and the
        file's length in bytes.
    ahead : int
        Bytes that one request fetches at least; 0 takes a 2,000th of the file, so that a hundred small reads of its table of
        contents stay a small part of it.
    """

    def __init__(self, http: Http, address: str, size: int, ahead: int = 0) -> None:
        self.http, self.address, self.size = http, address, size
        self._target = ""
        self.ahead = ahead or min(max(size // 2000, RangeFile.PAGE), 65_536)
        self.memo: dict[object, Any] = {}
        self._bytes = RangeFile(size)
        self._file: h5py.File | None = None

    @contextmanager
    def __call__(self) -> Iterator[h5py.File]:
        """The open file; it stays open for the next reading."""
        if self._file is None:
            self._file = h5py.File(self._bytes, "r")
        yield self._file

    def work(self, task: Callable[[], T]) -> T:
        """Run `task`, which reads this file, again and again until all that it reads is there.

        Raises
        ------
        BadRecording
            `fetch_failed`, or what `task` raises.
        """
        while True:
            self._bytes.needed.clear()
            try:
                return task()
            except Exception:
                spans = self._bytes.missing(self.ahead)
                if not spans:
                    raise
            for start, stop in spans:
                self._bytes.put(start, self.http.range(self._url, start, stop))

    def _url(self, fresh: bool) -> str:
        """Where the address leads to; asked for once, and again if `fresh`."""
        if fresh or not self._target:
            self._target = self.http.follow(self.address)
        return self._target

    def prefetch(self, data: h5py.Dataset) -> None:
        """Ask for all of a dataset in one go: h5py reads it chunk by chunk."""
        if data.chunks:
            spans: list[tuple[int, int]] = []
            data.id.chunk_iter(lambda chunk: spans.append((chunk.byte_offset, chunk.byte_offset + chunk.size)))
        else:
            offset = data.id.get_offset()
            spans = [(offset, offset + data.id.get_storage_size())] if offset else []
        self._bytes.want(spans)

    def close(self) -> None:
        """Let go of the bytes."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._bytes = RangeFile(self.size)
        self.memo.clear()
