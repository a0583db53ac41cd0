"""MyST Markdown from Jinja templates (`templates/*.md.jinja`): safe text, code, links to the notebook pages."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Any

import jinja2

from stslib.evaluation import METRIC_NAMES
from stslib.figures.style import MODEL_NAMES
from stslib.press.folders import project_root
from stslib.press.pages.evidence import DATA_WORDS, interval, percent
from stslib.press.parameters import read_notebook
from stslib.support.errors import StsError


def plain(value: object) -> str:
    """Text in which no character is taken for markup."""
    return re.sub(r"([\\`*_{}\[\]<>#|$~])", r"\\\1", _one_line(value))


def code(value: object) -> str:
    """Text as inline code."""
    text = _one_line(value)
    fence = "`" * (max((len(m) for m in re.findall(r"`+", text)), default=0) + 1)
    return f"{fence}{text}{fence}" if len(fence) == 1 else f"{fence} {text} {fence}"


def _one_line(value: object) -> str:
    return re.sub(r"[ \t\r\n]+", " ", str(value)).strip(" ")


def model_name(model: str) -> str:
    """A model as it is written in prose, with its variant (what follows the colon) in brackets."""
    base, _, variant = model.partition(":")
    return MODEL_NAMES.get(base, base) + (f" ({variant})" if variant else "")


def duration(seconds: float) -> str:
    """A time in seconds or minutes."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def short(value: object) -> str:
    """A number or a list of numbers with five digits at most."""
    if isinstance(value, list):
        return "[" + ", ".join(map(short, value)) + "]"
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def page_link(notebook: str, pages: Sequence[str]) -> str:
    """Link to the section of a notebook's page that wrote its metrics, or to the page; plain text where it has none."""
    if notebook not in pages:
        return code(notebook)
    return f"[{plain(notebook)}](../notebooks/{notebook}.ipynb{_anchor(notebook)})"


def _anchor(notebook: str) -> str:
    """Anchor of the last heading above the cell that saves the metrics; empty where there is none to be sure of."""
    heading = ""
    try:
        cells = read_notebook(project_root() / "notebooks" / f"{notebook}.ipynb").cells
    except StsError:
        return ""
    for cell in cells:
        if cell.cell_type == "markdown":
            prose = re.sub(r"^(`{3,}|:{3,}).*?^\1", "", cell.source, flags=re.MULTILINE | re.DOTALL)
            found = re.findall(r"^#{1,3} +([\w ,.:()'?-]+?) *$", prose, flags=re.MULTILINE)
            heading = found[-1] if found else heading
        elif "stage.metrics(" in cell.source:
            # GitHub's rule, which is also MyST's (myst_heading_anchors).
            slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            return f"#{slug}" if slug else ""
    return ""


@functools.cache
def _templates() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("stslib.press.pages"), undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    made.filters |= {
        "plain": plain, "code": code, "percent": percent, "short": short, "duration": duration, "model": model_name,
        "metric": lambda name: METRIC_NAMES.get(name, name),
        "words": lambda kind: DATA_WORDS.get(kind, plain(kind)),
        "sentence": lambda text: text[:1].upper() + text[1:],
    }  # fmt: skip
    made.globals |= {"interval": interval}
    return made


def render(template: str, **values: Any) -> str:
    """Fill in `templates/<template>.md.jinja`; a value that it names and does not get is an error."""
    return _templates().get_template(f"{template}.md.jinja").render(values)
