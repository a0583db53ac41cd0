"""The parameters of a notebook: read from its own `parameters` cell, checked before anything runs.

The cell is the one place where a parameter is written down. Each line is a plain literal with a comment that ends in
its range, and that comment is what the check reads::

    n_cells = 400        # number of cells to simulate [24, 20000]
    rate_hz = 4000.0     # sampling rate of the extracted sweeps, Hz [1000, 50000]
    wavelet = "mexh"     # mother wavelet {mexh, gaus1, gaus2, morl}
    architectures = ["resnet18"]  # networks to train, subset of {mobilenet_v2, resnet18, densenet121, inception_v3}
    settings = {}        # rare settings by name, such as {"amp": "bf16"}; what they are checked by says which there are

Square brackets include the end of a range, round ones leave it out, as in mathematics. In a choice such as `cmorB-C` each
capital letter stands for a number: `cmor1.5-1.0` is one of those.
"""

from __future__ import annotations

import ast
import io
import math
import re
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from stslib.support.errors import DamagedFile, MissingInput, ParameterError

_RANGE = re.compile(r"([\[(])\s*([-+\w.]+)\s*,\s*([-+\w.]+)\s*([\])])\s*$")
_CHOICES = re.compile(r"\{([^{}]+)\}\s*$")
_WITH_NUMBERS = re.compile(r"[a-z]+[A-Z](-[A-Z])+")


@dataclass(frozen=True)
class Parameter:
    """One line of a `parameters` cell: name, default, what its comment says, and the range or choices in the comment.

    The default's type is the parameter's type (a float also takes whole numbers); an end that is open is itself refused.
    """

    name: str
    default: Any
    comment: str
    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False
    choices: tuple[str, ...] = ()

    @property
    def range_text(self) -> str:
        """The range as a reader sees it, or an empty text."""
        if self.choices:
            return "{" + ", ".join(self.choices) + "}"
        if math.isinf(self.low) and math.isinf(self.high):
            return ""
        left, right = "(" if self.low_open else "[", ")" if self.high_open else "]"
        return f"{left}{self.low:g}, {self.high:g}{right}"

    def check(self, value: Any, where: str) -> Any:
        """`value` as this parameter's type; a wrong type, range or choice is a `ParameterError` that opens with `where`."""
        label = f"{where}.{self.name}"
        if isinstance(self.default, dict):
            if not isinstance(value, Mapping) or not _is_plain(dict(value)):
                raise ParameterError(f"{label} is {value!r}; it must be a dict of plain values by name: {{'a': 1}}")
            return dict(value)
        if isinstance(self.default, list):
            if not isinstance(value, list | tuple):
                raise ParameterError(f"{label} is {value!r}; it must be a list, such as {self.default!r}")
            if len(value) == 0:
                raise ParameterError(f"{label} is empty; name at least one of {self.range_text or self.default!r}")
            if len({str(v) for v in value}) != len(value):
                raise ParameterError(f"{label} is {value!r}; it names one thing twice")
            example = self.default[0] if self.default else ""
            return [self._check_one(v, example, label) for v in value]
        return self._check_one(value, self.default, label)

    def _check_one(self, value: Any, example: Any, label: str) -> Any:
        kind = type(example)
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise ParameterError(f"{label} is {value!r} ({type(value).__name__}); it must be of type {kind.__name__}")
        if kind is str and self.choices and not any(_is(value, choice) for choice in self.choices):
            raise ParameterError(f"{label} is {value!r}; use one of: {', '.join(self.choices)}")
        if kind in (int, float):
            at_open_end = (value == self.low and self.low_open) or (value == self.high and self.high_open)
            if not (math.isfinite(value) and self.low <= value <= self.high) or at_open_end:
                raise ParameterError(f"{label} is {value!r}; it must lie in {self.range_text or '(-inf, inf)'}")
        return value

    def from_text(self, text: str, where: str) -> Any:
        """A command-line text as this parameter's type, checked (`ParameterError`)."""
        if isinstance(self.default, str):
            value: Any = text
        elif isinstance(self.default, list):
            value = [v.strip().strip("'\"") for v in text.strip().strip("[]").split(",") if v.strip()]
            if self.default and not isinstance(self.default[0], str):
                value = [_literal(v) for v in value]
        elif isinstance(self.default, bool):
            value = {"true": True, "false": False}.get(text.strip().lower(), text)
        else:
            value = _literal(text)
        return self.check(value, where)


def _is(value: str, choice: str) -> bool:
    """Whether a text is this choice; capital letters of a choice with numbers stand for them."""
    if not _WITH_NUMBERS.fullmatch(choice):
        return value == choice
    return re.fullmatch(re.sub("[A-Z]", r"\\d+(\\.\\d+)?", re.escape(choice)), value) is not None


def _is_plain(value: Any) -> bool:
    """Whether a value is a plain literal that JSON and YAML hold as well."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(v) for key, v in value.items())
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return value is None or type(value) in (str, int, bool) or (type(value) is float and math.isfinite(value))


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError):
        return text


def read_parameters(notebook: Path) -> dict[str, Parameter]:
    """The parameters of a notebook's one `parameters` cell, by name and in its order.

    A notebook that is not there is a `MissingInput`; one without exactly one such cell of plain literals is a `DamagedFile`.
    """
    cells = [c for c in read_notebook(notebook).cells if "parameters" in c.metadata.get("tags", [])]
    if len(cells) != 1:
        raise DamagedFile(f"{notebook.name} has {len(cells)} cells tagged 'parameters'; it needs exactly one")
    return parse_parameters(cells[0].source, notebook.name)


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """A notebook file as nbformat 4 (`MissingInput` without such a file, `DamagedFile` for one that is no notebook)."""
    try:
        return nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise MissingInput(f"there is no notebook {path}; the notebooks are in the folder notebooks/") from None
    except (ValueError, KeyError, AttributeError, nbformat.ValidationError, UnicodeDecodeError) as error:
        raise DamagedFile(f"{path} is not a notebook that can be read ({type(error).__name__})") from None


def home_profile(notebook: nbformat.NotebookNode) -> str:
    """The one profile that makes this notebook's results, from its metadata (`sts.profile`); empty where any profile does.

    A notebook that needs certain cells, such as the authors' real tables, is no part of the other profiles' runs.
    """
    return str(notebook.metadata.get("sts", {}).get("profile", ""))


def parse_parameters(source: str, where: str = "parameters") -> dict[str, Parameter]:
    """Read the text of a `parameters` cell; see `read_parameters`."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = {t.start[0]: t.string.lstrip("# ").strip() for t in tokens if t.type == tokenize.COMMENT}
    found: dict[str, Parameter] = {}
    for node in ast.parse(source).body:
        try:
            if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
                raise ValueError
            name, default = node.targets[0].id, ast.literal_eval(node.value)
            comment = comments.get(node.end_lineno or node.lineno, "")
            ranges = {} if isinstance(default, dict) else _range_of(comment)  # a dict's comment may end in an example
            found[name] = Parameter(name, default, comment, **ranges)
        except ValueError:
            raise DamagedFile(f"{where}: line {node.lineno} of the parameters cell is not a plain literal") from None
    return found


def _range_of(comment: str) -> dict[str, Any]:
    if match := _CHOICES.search(comment):
        return {"choices": tuple(c.strip().strip("'\"") for c in match.group(1).split(","))}
    if match := _RANGE.search(comment):
        left, low, high, right = match.groups()
        return {"low": float(low), "high": float(high), "low_open": left == "(", "high_open": right == ")"}
    return {}


def resolve(schema: Mapping[str, Parameter], given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Defaults of `schema` overridden by `given`, each checked; an unknown name is a `ParameterError` too."""
    for name in given:
        if name not in schema:
            raise ParameterError(f"{where} has no parameter {name!r}; it has: {', '.join(schema)}")
    return {name: p.check(given.get(name, p.default), where) for name, p in schema.items()}
