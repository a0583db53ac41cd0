"""What a result was made from, and whether that is still so.

A notebook's fingerprint is the hash of everything that can change its results: its code, the modules of stslib that the
code reaches through imports, its parameters, the versions of the libraries, and the fingerprints of the notebooks that
it reads. It is known before anything runs, so a run can say what it will do, and why.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stslib import _PUBLIC
from stslib.press.parameters import read_notebook
from stslib.support.errors import StsError
from stslib.support.files import sha256_of
from stslib.support.versions import versions

PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Fingerprint:
    """The parts of a fingerprint, each a hash or a plain value, so that a difference can be named."""

    code: str
    modules: dict[str, str]
    parameters: dict[str, Any]
    versions: dict[str, str]
    upstream: dict[str, str]

    @property
    def value(self) -> str:
        """All of it in one hash (hex, 64 characters)."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def difference(self, other: Mapping[str, Any]) -> str:
        """Say in a few words what differs from the parts that a manifest recorded; empty when nothing does."""
        mine = json.loads(json.dumps(asdict(self)))
        for part, words in (("code", "its code"), ("modules", "stslib."), ("parameters", "parameter "),
                            ("versions", "version of "), ("upstream", "result of ")):  # fmt: skip
            old, new = other.get(part), mine[part]
            if old == new:
                continue
            if isinstance(new, dict) and isinstance(old, dict):
                names = sorted(k for k in {*old, *new} if old.get(k) != new.get(k))
                return "changed: " + words + (", " + words).join(names[:3]) + (" and more" if len(names) > 3 else "")
            return f"changed: {words}"
        return ""


def project_root(start: Path | None = None) -> Path:
    """The checkout's top folder: the nearest one above `start` that holds notebooks/ and pyproject.toml.

    Raises
    ------
    StsError
        When neither the current folder nor the one of the package lies in a checkout.
    """
    for begin in (start or Path.cwd(), PACKAGE):
        for folder in (begin.resolve(), *begin.resolve().parents):
            if (folder / "notebooks").is_dir() and (folder / "pyproject.toml").is_file():
                return folder
    raise StsError(f"no checkout with a notebooks/ folder at or above {Path.cwd()}; change into the cloned repository")


def digest_of(path: Path) -> str:
    """What tells that an input changed: the SHA-256 of a file, or of the names, sizes and times of all files of a folder.

    A folder of recordings may hold gigabytes, and a plan must be quick. Empty where there is nothing.
    """
    if path.is_file():
        return sha256_of(path)
    listed = [(p.relative_to(path).as_posix(), p.stat()) for p in sorted(path.rglob("*")) if p.is_file()]
    lines = [f"{name} {found.st_size} {found.st_mtime_ns}" for name, found in listed]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest() if lines else ""


def notebook_code(path: Path) -> str:
    """The code of a notebook without its parameters cell, whose values count separately."""
    cells = read_notebook(path).cells
    return "\n\n".join(
        c.source for c in cells if c.cell_type == "code" and "parameters" not in c.metadata.get("tags", [])
    )


def _without_magics(code: str) -> str:
    return "\n".join(line for line in code.splitlines() if not line.lstrip().startswith(("%", "!")))


def imported_modules(code: str) -> set[str]:
    """Names of the stslib modules that a piece of Python reaches itself, anywhere in it (`figures.style`, `runs`).

    Counted are imports, the package's own public names (`from stslib import Bank`), and modules that are named in full as a
    text, which is how some are loaded when first asked for. A plain `import stslib` counts as all of it.
    """
    names: set[str] = set()
    for node in ast.walk(ast.parse(_without_magics(code))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
            if any(alias.name == "stslib" for alias in node.names):
                names.update(f"stslib.{module}" for module in _PUBLIC.values())
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("stslib."):
            names.add(node.value)
    inside = {n.removeprefix("stslib").lstrip(".") for n in names if n.split(".")[0] == "stslib"}
    inside |= {_PUBLIC[n] for n in inside if n in _PUBLIC}
    return {n for n in inside if _module_file(n) is not None}


def _module_file(name: str) -> Path | None:
    base = PACKAGE.joinpath(*name.split(".")) if name else PACKAGE
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def module_hashes(code: str) -> dict[str, str]:
    """Hash of each stslib module that `code` reaches through imports, and of the package data those modules name."""
    seen: dict[str, str] = {}
    waiting = sorted(imported_modules(code))
    while waiting:
        name = waiting.pop()
        path = _module_file(name)
        if name in seen or path is None:
            continue
        text = path.read_text(encoding="utf-8")
        seen[name] = hashlib.sha256(text.encode()).hexdigest()[:16]
        waiting.extend(imported_modules(text) - seen.keys())
        if "." in name:
            waiting.append(name.rsplit(".", 1)[0])  # a package's __init__ runs before its modules
        for data in sorted(path.parent.glob("*.json")):
            if data.name in text:
                seen[f"data/{data.name}"] = sha256_of(data)[:16]
    return dict(sorted(seen.items()))


def inputs_named(code: str) -> list[str]:
    """The notebooks whose results the code reads: the texts given to calls of `.input(...)`, in order."""
    found = [
        node.args[0].value
        for node in ast.walk(ast.parse(_without_magics(code)))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "input"
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    ]
    return sorted(set(found))


def fingerprint(notebook: Path, parameters: Mapping[str, Any], upstream: Mapping[str, str]) -> Fingerprint:
    """Fingerprint of a notebook with resolved `parameters`, given the fingerprints of the notebooks that it reads."""
    code = notebook_code(notebook)
    return Fingerprint(
        code=hashlib.sha256(code.encode()).hexdigest()[:16],
        modules=module_hashes(code),
        parameters=dict(parameters),
        versions=versions(),
        upstream=dict(upstream),
    )


def git_commit(root: Path) -> str:
    """Short commit of the checkout, with `+changes` when files differ from it; `unknown` outside git."""
    try:
        run = functools.partial(subprocess.run, cwd=root, capture_output=True, text=True, timeout=10, check=True)
        commit = run(["git", "rev-parse", "--short=12", "HEAD"]).stdout.strip()
        dirty = run(["git", "status", "--porcelain"]).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return commit + ("+changes" if dirty else "")


def machine() -> dict[str, str]:
    """System, processor family and Python of this machine; no name and no path, so that a manifest can be shared."""
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "python": platform.python_implementation() + " " + platform.python_version(),
    }
