"""Bind a run into the Jupyter Book.

The prose of a page always comes from the notebook as it is now and the outputs from the run, matched by cell id: mending
a sentence needs no new run, and a page can never show the output of other code. Numbers in the other pages come from
result files through `stslib.press.pages`.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
from tqdm import tqdm

from stslib.press import pages
from stslib.press.fingerprint import code_hash
from stslib.press.folders import project_root
from stslib.press.parameters import home_profile, read_notebook
from stslib.press.stage import open_stage
from stslib.support import files
from stslib.support.errors import DamagedFile, MissingInput, StsError

GENERATED = "_generated"
#: In a finished book: the hash of what it was made from.
SOURCES = ".sources"
#: Run in this very interpreter, so that the book is built with the packages that ran the notebooks.
JUPYTER_BOOK = "import sys; from jupyter_book.cli.main import main; sys.exit(main())"


def merge(source: nbformat.NotebookNode, executed: nbformat.NotebookNode, name: str) -> nbformat.NotebookNode:
    """The cells of `source` with the outputs of `executed`, matched by cell id; code that differs is a `StsError`.

    Parameters and the cell that opens the stage are folded, as is every cell that the notebook tags `hide-input`.
    """
    ran = {cell.id: cell for cell in executed.cells}
    injected = next((c for c in executed.cells if "injected-parameters" in _tags(c)), None)
    cells = []
    for cell in nbformat.from_dict(source).cells:
        if cell.cell_type != "code":
            cells.append(cell)
            continue
        twin, is_parameters = ran.get(cell.id), "parameters" in _tags(cell)  # the fingerprint holds their values
        if twin is None or not (is_parameters or code_hash(twin.source) == code_hash(cell.source)):
            raise StsError(f"the code of {name} is not the one that was run; run it first: sts run {name}")
        # Without ipywidgets tqdm warns at import, with a path of the machine; no reader is the wiser for it.
        cell.outputs = [o for o in twin.outputs if "IProgress not found" not in str(o.get("text", ""))]
        cell.execution_count = twin.execution_count
        if is_parameters:
            cells.append(_folded(cell, "Show the parameters"))
            if injected is not None:  # a reader must see what the run really used
                cells.append(_folded(injected, "Show the parameters of this run"))
        else:
            cells += [_folded(cell)] if "= begin(" in cell.source else _figure_apart(cell)
    return nbformat.from_dict({**source, "cells": cells})


def _folded(cell: nbformat.NotebookNode, prompt: str = "Show the code") -> nbformat.NotebookNode:
    cell.metadata["tags"] = sorted({*_tags(cell), "hide-input"})
    cell.metadata["mystnb"] = {"code_prompt_show": prompt}
    return cell


def _tags(cell: nbformat.NotebookNode) -> list[str]:
    return list(cell.metadata.get("tags", []))


def _figure_apart(cell: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """A cell that prints a sentence and shows a figure, as two: its caption belongs to the picture alone."""
    pictures = [o for o in cell.outputs if "image/png" in o.get("data", {})]
    if "mystnb" not in cell.metadata or len(pictures) == len(cell.outputs):
        return [cell]
    figure = nbformat.v4.new_code_cell(cell.source, id=f"{cell.id}-figure", metadata=dict(cell.metadata))
    figure.metadata["tags"] = [*(tag for tag in _tags(cell) if tag != "hide-input"), "remove-input"]
    figure.outputs, figure.execution_count = pictures, cell.execution_count
    text = nbformat.from_dict(cell)
    text.outputs = [o for o in cell.outputs if o not in pictures]
    del text.metadata["mystnb"]
    return [text, figure]


def assemble(run: str, folder: Path) -> list[str]:
    """Write the book's sources into `folder`: prose, configuration, and the notebooks with the outputs of `run`.

    Returns the notebooks that the table of contents names; one that was not run is a `MissingInput`.
    """
    root = project_root()
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(root / name, folder / name)
    shutil.copytree(root / "book", folder / "book", dirs_exist_ok=True)
    names = re.findall(r"notebooks/(\S+)", (root / "_toc.yml").read_text(encoding="utf-8"))
    (folder / "notebooks").mkdir(exist_ok=True)
    for name in names:
        source = read_notebook(root / "notebooks" / f"{name}.ipynb")
        home = home_profile(source)
        page = _apart(source, name, home, run) if home else _page(source, name, run)
        nbformat.write(page, folder / "notebooks" / f"{name}.ipynb")
    pages.write(run, names, folder / "book" / GENERATED)
    return names


def _page(source: nbformat.NotebookNode, name: str, run: str) -> nbformat.NotebookNode:
    path = open_stage(run, name, wanted_by="the book").path / f"{name}.ipynb"
    if not path.is_file():
        raise MissingInput(f"the book needs {path}, and it is not there; make it: sts run {name} --run {run}")
    return merge(source, read_notebook(path), name)


def _apart(source: nbformat.NotebookNode, name: str, home: str, run: str) -> nbformat.NotebookNode:
    """The page of a notebook that needs other cells than the book's run, with the results of its own run if there are any.

    That they are missing, or made by other code, is said on the page and never stops the book.
    """
    made_by = next((r for r in (run, home) if pages.open_or_none(r, name) is not None), "")
    words = "It has not been run here."
    if made_by:
        try:
            page = _page(source, name, made_by)
            note = f"The results on this page are those of run `{made_by}`."
            return page if made_by == run else _noted(page, note, "note")
        except (DamagedFile, MissingInput):
            raise
        except StsError:
            words = f"Its results in run `{made_by}` were made by another version of its code, so they are not shown."
    words += f" The text stands without its results; make them: `sts run --profile {home}`."
    return _noted(nbformat.from_dict(source), words, "warning")


def _noted(page: nbformat.NotebookNode, words: str, kind: str) -> nbformat.NotebookNode:
    """The page with a sentence below its title."""
    title, _, rest = page.cells[0].source.partition("\n")
    page.cells[0].source = f"{title}\n\n```{{{kind}}}\n{words}\n```\n{rest}"
    return page


def build(run: str, output: Path | None = None) -> Path:
    """Build the book of a run into `output` (by default `_build` of the checkout); returns its index.html.

    Any warning of Sphinx is a `StsError` with the first such line and the log's path, and leaves the former book as it was.
    A book whose sources are those of the one that is there is not built again.
    """
    output = (output or project_root() / "_build").resolve()
    work = output / ".work"
    try:
        shutil.rmtree(work, ignore_errors=True)
        assemble(run, work / "source")
        sources, former = _digest(work / "source"), output / "html" / SOURCES
        if former.is_file() and former.read_text() == sources:
            return output / "html" / "index.html"
        command = [sys.executable, "-c", JUPYTER_BOOK, "build", str(work / "source"), "--path-output", str(work)]
        status, log = _run([*command, "-W", "-n", "--keep-going", "--all"])
        (output / "book.log").write_text(log, encoding="utf-8")
        page = work / "_build" / "html"
        # Jupyter Book returns 0 for some warnings of its own, so its words are read as well.
        bad = [line for line in log.splitlines() if re.search(r"\b(WARNING|ERROR|CRITICAL)\b", line)]
        if status != 0 or bad or not (page / "index.html").is_file():
            first = bad[0].replace(str(work / "source") + os.sep, "") if bad else f"exit status {status}"
            raise StsError(f"the book did not build: {first.strip()} (whole log: {output / 'book.log'})")
        (page / SOURCES).write_text(sources)
        shutil.rmtree(output / "html", ignore_errors=True)
        os.replace(page, output / "html")
    except OSError as error:
        raise StsError(files.why_not_written(output, error)) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return output / "html" / "index.html"


def _digest(folder: Path) -> str:
    """Hash of all that a book is made from: its sources, our extension of Sphinx, and the versions of the builders."""
    parts = [importlib.metadata.version(name) for name in ("jupyter-book", "sphinx", "myst-nb")]
    parts.append(files.sha256_of(Path(pages.__file__).with_name("mathml.py")))
    parts += [f"{p.relative_to(folder)} {files.sha256_of(p)}" for p in sorted(folder.rglob("*")) if p.is_file()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _run(command: list[str]) -> tuple[int, str]:
    """Run Jupyter Book, show how far it is, and return its exit status and what it said."""
    environment = {**os.environ, "NO_COLOR": "1", "PYTHONWARNINGS": "ignore", "PYTHONUNBUFFERED": "1"}
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    lines: list[str] = []
    with (
        subprocess.Popen(command, env=environment, **streams) as process,
        tqdm(total=200, desc="  building the book", leave=False, disable=not sys.stderr.isatty()) as bar,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", line))
            # Sphinx goes through the pages twice: "reading sources... [ 40%]", then "writing output... [ 40%]".
            if found := re.search(r"(reading sources|writing output)\.* *\[ *(\d+)%\]", lines[-1]):
                bar.n = int(found.group(2)) + (100 if found.group(1) == "writing output" else 0)
                bar.refresh()
    return process.returncode, "".join(lines)
