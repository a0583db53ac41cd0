"""Files: whole ones or none (writes that nothing can leave half done), their SHA-256, and those of the data mirror."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from stslib.support.errors import MissingInput, StsError

#: Environment variable that names a folder of real data; `mirror:NAME` is a file of that folder.
MIRROR_ENVIRONMENT, MIRROR_PREFIX = "STS_DATA_MIRROR", "mirror:"


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on a clean exit it replaces `path`, on any error it is removed.

    `StsError` when the folder cannot be written or the disk is full.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".part-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise StsError(why_not_written(path, error)) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def why_not_written(path: Path, error: OSError) -> str:
    """One line that says why `path` could not be written, and what to do."""
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return f"cannot write {path}: no permission; choose another folder with --results"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        folder = next(p for p in (path.parent, *path.parents) if p.exists())
        free_mb = shutil.disk_usage(folder).free / 1e6
        return f"cannot write {path}: the disk is full ({free_mb:.0f} MB free); make room and run again"
    return f"cannot write {path}: {error.strerror or error}"


def sha256_of(path: Path) -> str:
    """SHA-256 of a file (hex)."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def mirror_path(path: str) -> Path:
    """The path itself; for `mirror:NAME` the file NAME of the data mirror (`MissingInput` where no mirror is named)."""
    if not path.startswith(MIRROR_PREFIX):
        return Path(path)
    name, mirror = path.removeprefix(MIRROR_PREFIX), os.environ.get(MIRROR_ENVIRONMENT, "")
    if not mirror:
        way_out = f"set {MIRROR_ENVIRONMENT} to a data folder that holds it (sts data get), or give a file of your own"
        raise MissingInput(f"{name} is not part of the project; {way_out}")
    return Path(mirror) / name
