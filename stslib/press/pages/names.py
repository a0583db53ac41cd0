"""The names of stslib that the notebooks call, with what each does and its example."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stslib.press.fingerprint import names_used, notebook_code


@dataclass(frozen=True)
class Name:
    """A function or class that notebooks call (`room.name`), its summary, its example and the notebooks that call it."""

    room: str
    name: str
    summary: str
    example: str
    notebooks: tuple[str, ...]


def by_room(notebooks: Sequence[Path]) -> dict[str, list[Name]]:
    """Every function and class of stslib that the notebooks name, by room; constants and modules do not count."""
    users: dict[tuple[str, str], list[str]] = {}
    for path in notebooks:
        for used in names_used(notebook_code(path)):
            users.setdefault(used, []).append(path.stem)
    found: dict[str, list[Name]] = {}
    for (room, name), by in sorted(users.items()):
        thing = getattr(importlib.import_module(f"stslib.{room}"), name)
        if inspect.isroutine(thing) or inspect.isclass(thing):
            found.setdefault(room, []).append(_described(room, name, thing, tuple(by)))
    return found


def _described(room: str, name: str, thing: Any, notebooks: tuple[str, ...]) -> Name:
    text = inspect.getdoc(thing) or ""
    summary = " ".join(text.partition("\n\n")[0].split())
    shown = example(text)
    imports = [f">>> {line}" for line in _imports(shown, thing.__module__)]
    return Name(room, f"{room}.{name}", summary, "\n".join([*imports, shown] if shown else []), notebooks)


def example(docstring: str) -> str:
    """The code of a docstring's `Examples` section, with its prompts; empty where there is none."""
    section = re.search(r"^Examples\n-+\n(.*?)(?=^\w[\w ]*\n-+\n|\Z)", docstring, flags=re.MULTILINE | re.DOTALL)
    return section.group(1).strip() if section else ""


def _imports(shown: str, module: str) -> list[str]:
    """The imports without which an example from `module` does not run by itself."""
    code = ast.parse("".join(e.source for e in doctest.DocTestParser().get_examples(shown)))
    around = vars(importlib.import_module(module))
    lines = []
    for name in sorted({node.id for node in ast.walk(code) if isinstance(node, ast.Name)} & around.keys()):
        if not inspect.ismodule(around[name]):
            lines.append(f"from {module} import {name}")
            continue
        package, _, leaf = around[name].__name__.rpartition(".")
        renamed = f"{leaf} as {name}" if leaf != name else leaf
        lines.append(f"from {package} import {renamed}" if package else f"import {renamed}")
    return lines
