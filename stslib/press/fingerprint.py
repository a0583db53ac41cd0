"""What a result was made from, and whether that is still so.

A notebook's fingerprint is the hash of everything that can change its results: its code, the modules of stslib that the
code reaches through imports, its parameters, the versions of the libraries, and the fingerprints of the notebooks that
it reads. Code counts by its syntax tree, without docstrings, comments and layout. The fingerprint is known before
anything runs, so a run can say what it will do, and why.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stslib.press.parameters import read_notebook
from stslib.support.environment import versions
from stslib.support.files import sha256_of

PACKAGE = Path(__file__).parents[1]

#: The name of a lazy room's table in its `__init__.py`: public name to module of the room (see `stslib.figures`).
LAZY_TABLE = "_MODULES"


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


# --- code as its syntax tree ------------------------------------------------------------------------------------------


def notebook_code(path: Path) -> str:
    """The code of a notebook without its parameters cell, whose values count separately."""
    code = (cell for cell in read_notebook(path).cells if cell.cell_type == "code")
    return "\n\n".join(c.source for c in code if "parameters" not in c.metadata.get("tags", []))


def _parse(code: str) -> ast.Module:
    """The syntax tree of a piece of Python; a notebook's magics are left out."""
    return ast.parse("\n".join(line for line in code.splitlines() if not line.lstrip().startswith(("%", "!"))))


def code_hash(code: str | ast.Module) -> str:
    """Hash of what a piece of Python does: comments, layout and docstrings do not count (hex, 16 characters)."""
    tree = _parse(code) if isinstance(code, str) else code
    for node in ast.walk(tree):
        match node:
            case ast.Module() | ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                if ast.get_docstring(node, clean=False) is not None:
                    node.body = node.body[1:]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]


def inputs_named(code: str) -> list[str]:
    """The notebooks whose results the code reads: the texts given to calls of `.input(...)`, in order."""
    calls = (node for node in ast.walk(_parse(code)) if isinstance(node, ast.Call) and node.args)
    named = (c.args[0] for c in calls if isinstance(c.func, ast.Attribute) and c.func.attr == "input")
    return sorted({n.value for n in named if isinstance(n, ast.Constant) and isinstance(n.value, str)})


# --- the modules that code reaches ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Module:
    """What a module of stslib is for a fingerprint."""

    digest: str  # of what it does
    uses: frozenset[tuple[str, str]]  # what it names of stslib: module and name, empty for all of it
    exports: Mapping[str, str] | None  # each name's module, of an `__init__.py` that only hands names on
    data: tuple[Path, ...]  # the files beside it that it names


def _file_of(name: str) -> Path | None:
    base = PACKAGE.joinpath(*name.split("."))
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)


def _read(name: str) -> _Module | None:
    path = _file_of(name)
    return _read_file(path, name, path.stat().st_mtime_ns) if path else None


@functools.lru_cache(maxsize=1024)
def _read_file(path: Path, name: str, _changed: int) -> _Module:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    exports = _exports(tree, name) if path.name == "__init__.py" else None
    beside = sorted(p for p in path.parent.iterdir() if p.is_file() and p.suffix not in (".py", ".typed"))
    data = tuple(p for p in beside if p.name in text)
    return _Module(code_hash(tree), frozenset(_named(tree)), exports, data)


def _exports(tree: ast.Module, room: str) -> dict[str, str] | None:
    """Where each name of a room lies, if its `__init__.py` does nothing but import them, or name them in `LAZY_TABLE`."""
    found: dict[str, str] = {}
    for node in tree.body:
        assigned = {t.id for t in node.targets if isinstance(t, ast.Name)} if isinstance(node, ast.Assign) else set()
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"stslib.{room}."):
            module = (node.module or "").removeprefix("stslib.")
            found |= {alias.asname or alias.name: module for alias in node.names}
        elif isinstance(node, ast.Assign) and LAZY_TABLE in assigned:
            found |= {public: f"{room}.{module}" for public, module in ast.literal_eval(node.value).items()}
        elif not (
            isinstance(node, ast.Import | ast.ImportFrom)
            or "__all__" in assigned
            or (isinstance(node, ast.FunctionDef) and node.name == "__getattr__")
            or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        ):
            return None
    return found


def _named(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Pairs (module of stslib, name that is used of it; empty: all of it)."""
    bound: dict[str, str] = {}  # local name to the module that it stands for
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("stslib.") and alias.asname:
                    bound[alias.asname] = alias.name.removeprefix("stslib.")
                elif alias.name.startswith("stslib."):
                    yield alias.name.removeprefix("stslib."), ""
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").split(".")[0] == "stslib":
            package = (node.module or "").removeprefix("stslib").lstrip(".")
            for alias in node.names:
                inner = f"{package}.{alias.name}".lstrip(".")
                if _file_of(inner) is not None:
                    bound[alias.asname or alias.name] = inner
                elif package:
                    yield package, alias.name
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("stslib."):
            yield node.value.removeprefix("stslib."), ""
    attributes = [n for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name)]
    used = {(n.value.id, n.attr) for n in attributes if isinstance(n.value, ast.Name)}
    owners = {id(n.value) for n in attributes}
    used |= {(n.id, "") for n in ast.walk(tree) if isinstance(n, ast.Name) and id(n) not in owners}
    for local, module in bound.items():
        yield from ((module, name) for name in {name for by, name in used if by == local} or {""})


def names_used(code: str) -> set[tuple[str, str]]:
    """Pairs (room, name) of what a piece of Python takes from stslib's rooms, such as `("cohort", "folds")`."""
    return {(room, name) for room, name in _named(_parse(code)) if name and _file_of(f"{room}.{name}") is None}


def _resolve(name: str, attribute: str) -> Iterator[str]:
    """The modules that the use of `attribute` of a module (or all of it) reaches."""
    module = _read(name)
    if module is None:
        return
    if attribute and _file_of(f"{name}.{attribute}") is not None:
        name, attribute, module = f"{name}.{attribute}", "", _read(f"{name}.{attribute}") or module
    if module.exports is None:
        yield name
    elif attribute in module.exports:
        yield from _resolve(module.exports[attribute], attribute)
    else:
        yield from {name, *module.exports.values()}


def module_hashes(code: str) -> dict[str, str]:
    """Hash of each stslib module that `code` reaches through imports, and of the package data those modules name.

    Counted are imports anywhere in the code, and modules that are named in full as a text, which is how some are loaded.
    Of a room whose `__init__.py` only hands names on, counted are the modules of those names that the code uses
    (`cohort.kept`), and all of them where the room itself is handed about.
    """
    seen: dict[str, str] = {}
    waiting = sorted({module for use in _named(_parse(code)) for module in _resolve(*use)})
    while waiting:
        name = waiting.pop()
        module = None if name in seen else _read(name)
        if module is None:
            continue
        seen[name] = module.digest
        waiting.extend(reached for use in module.uses for reached in _resolve(*use))
        package = name.rpartition(".")[0]  # its __init__ runs before it
        if package and (parent := _read(package)) is not None and parent.exports is None:
            waiting.append(package)
        seen |= {path.relative_to(PACKAGE).as_posix(): sha256_of(path)[:16] for path in module.data}
    return dict(sorted(seen.items()))


def fingerprint(notebook: Path, parameters: Mapping[str, Any], upstream: Mapping[str, str]) -> Fingerprint:
    """Fingerprint of a notebook with resolved `parameters`, given the fingerprints of the notebooks that it reads."""
    code = notebook_code(notebook)
    return Fingerprint(code_hash(code), module_hashes(code), dict(parameters), versions(), dict(upstream))
