"""Small pieces of MyST Markdown: safe text, code, tables, links to the notebook pages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from stslib.press import fingerprint as provenance
from stslib.press.parameters import read_notebook
from stslib.support.errors import StsError


def plain(value: object) -> str:
    """Text in which no character is taken for markup."""
    return re.sub(r"([\\`*_{}\[\]<>#|$~])", r"\\\1", re.sub(r"[ \t\r\n]+", " ", str(value)).strip(" "))


def code(value: object) -> str:
    """Text as inline code."""
    text = re.sub(r"[ \t\r\n]+", " ", str(value)).strip(" ")
    fence = "`" * (max((len(m) for m in re.findall(r"`+", text)), default=0) + 1)
    return f"{fence}{text}{fence}" if len(fence) == 1 else f"{fence} {text} {fence}"


def table(
    rows: Iterable[Sequence[str]], header: Sequence[str], caption: str = "", classes: str = "", name: str = "",
    widths: str = "",
) -> str:  # fmt: skip
    """A MyST list-table; cells are Markdown."""
    options = [":header-rows: 1"]
    options += [f":{key}: {value}" for key, value in (("class", classes), ("name", name), ("widths", widths)) if value]
    lines = [f"::::{{list-table}} {caption}".rstrip(), *options, ""]
    for row in (header, *rows):
        for index, cell in enumerate(row):
            first, *rest = cell.split("\n")
            lines.append(("* - " if index == 0 else "  - ") + first)
            lines += [f"    {line}".rstrip() for line in rest]
    return "\n".join([*lines, "::::", ""])


def page_link(notebook: str, pages: Sequence[str], words: str = "") -> str:
    """Link to the section of a notebook's page that wrote its metrics, or to the page; plain text where it has none."""
    words = words or notebook
    if notebook not in pages:
        return code(notebook)
    return f"[{plain(words)}](../notebooks/{notebook}.ipynb{anchor(notebook)})"


def anchor(notebook: str) -> str:
    """Anchor of the last heading above the cell that saves the metrics; empty where there is none to be sure of."""
    heading = ""
    try:
        cells = read_notebook(provenance.project_root() / "notebooks" / f"{notebook}.ipynb").cells
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
