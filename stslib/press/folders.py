"""Where things lie: the checkout, its results folder, the folder of a run, and the manifests in it."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stslib.support.errors import DamagedFile, StsError
from stslib.support.files import sha256_of

MANIFEST = "manifest.json"
STATE = ".state.json"
RESULTS_ENVIRONMENT = "STS_RESULTS"


def project_root(start: Path | None = None) -> Path:
    """The checkout's top folder: the nearest above `start`, or above the package, that has notebooks/ and pyproject.toml."""
    for begin in (start or Path.cwd(), Path(__file__)):
        for folder in (begin.resolve(), *begin.resolve().parents):
            if (folder / "notebooks").is_dir() and (folder / "pyproject.toml").is_file():
                return folder
    raise StsError(f"no checkout with a notebooks/ folder at or above {Path.cwd()}; change into the cloned repository")


def results_folder() -> Path:
    """Where run folders live: the environment variable `STS_RESULTS`, else `results/` of the checkout."""
    named = os.environ.get(RESULTS_ENVIRONMENT)
    return Path(named).expanduser().resolve() if named else project_root() / "results"


def run_folder(run: str) -> Path:
    """Folder of the run called `run`; a name that could leave the results folder is refused."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", run):
        raise StsError(f"run name {run!r} will not do; use letters, digits, '.', '_' and '-', such as 'default'")
    return results_folder() / run


def digest_of(path: Path) -> str:
    """What tells that an input changed: the SHA-256 of a file, or of the names, sizes and times of all files of a folder.

    A folder of recordings may hold gigabytes, and a plan must be quick. Empty where there is nothing.
    """
    if path.is_file():
        return sha256_of(path)
    listed = [(p.relative_to(path).as_posix(), p.stat()) for p in sorted(path.rglob("*")) if p.is_file()]
    lines = [f"{name} {found.st_size} {found.st_mtime_ns}" for name, found in listed]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest() if lines else ""


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a stage's folder, or None while there is none (`DamagedFile` where it is no manifest)."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        manifest["fingerprint"], manifest["outputs"], manifest["parameters"]
        return manifest
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError):
        raise DamagedFile(f"{path} is damaged; make it again: sts run {folder.name} --force") from None


def identity(fingerprint: str, manifest: Mapping[str, Any] | None) -> str:
    """What the results of a stage were made from, the outside files that it read included: its fingerprint and theirs."""
    files = (manifest or {}).get("files_read")
    if not files:
        return fingerprint
    return hashlib.sha256(json.dumps([fingerprint, files], sort_keys=True).encode()).hexdigest()
