"""The names of stslib that the notebooks call, with what each does and its example."""

from __future__ import annotations

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
        for room, name in names_used(notebook_code(path)):
            users.setdefault((room, name), []).append(path.stem)
    found: dict[str, list[Name]] = {}
    for (room, name), by in sorted(users.items()):
        thing = getattr(importlib.import_module(f"stslib.{room}"), name)
        if inspect.isroutine(thing) or inspect.isclass(thing):
            found.setdefault(room, []).append(_described(room, name, thing, tuple(by)))
    return found


def _described(room: str, name: str, thing: Any, notebooks: tuple[str, ...]) -> Name:
    text = inspect.getdoc(thing) or ""
    summary = re.sub(r" ?\[\d+\]_", "", " ".join(text.partition("\n\n")[0].split()))  # without marks of footnotes
    return Name(room, f"{room}.{name}", summary, example(text), notebooks)


def example(docstring: str) -> str:
    """The code of a docstring's `Examples` section, with its prompts; empty where there is none."""
    section = re.search(r"^Examples\n-+\n(.*?)(?=^\w[\w ]*\n-+\n|\Z)", docstring, flags=re.MULTILINE | re.DOTALL)
    return section.group(1).strip() if section else ""
