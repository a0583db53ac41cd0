"""Pages of notebooks that need other cells than the book's run: shown where their run is, explained where it is not."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from stslib.press import binder, execution, runner
from stslib.press.folders import run_folder
from stslib.support.errors import DamagedFile


@pytest.fixture
def apart(checkout: Path) -> Path:
    """A checkout of 01_make (run) and 03_apart, which belongs to the profile `small`; `_toc.yml` names both."""
    path = checkout / "notebooks" / "03_apart.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata["sts"] = {"profile": "small"}
    notebook.cells.insert(0, nbformat.v4.new_markdown_cell("# Apart\n\nIts text.", id="title"))
    nbformat.write(notebook, path)
    (checkout / "notebooks/profiles/default.yaml").write_text("notebooks: [01_make]\n")
    (checkout / "notebooks/profiles/small.yaml").write_text("notebooks: [01_make, 03_apart]\n")
    (checkout / "_toc.yml").write_text("chapters:\n- file: notebooks/01_make\n- file: notebooks/03_apart\n")
    (checkout / "_config.yml").write_text("")
    (checkout / "book").mkdir()
    run("default", "default")
    return checkout


def run(name: str, profile: str) -> None:
    execution.execute(runner.plan(name, profile), name, echo=lambda _: None)


def page(root: Path, run: str = "default") -> nbformat.NotebookNode:
    binder.assemble(run, root / "out")
    return nbformat.read(root / "out" / "notebooks" / "03_apart.ipynb", as_version=4)


def test_where_its_run_is_missing_the_page_says_how_to_make_it_and_the_book_stands(apart: Path) -> None:
    made = page(apart)
    assert "```{warning}\nIt has not been run here." in made.cells[0].source
    assert "sts run --profile small" in made.cells[0].source
    assert made.cells[0].source.endswith("Its text.")
    assert not any(c.get("outputs") for c in made.cells)
    status = (apart / "out/book" / binder.GENERATED / "status.md").read_text()
    assert "03_apart" not in status.split("{dropdown}")[0]  # not called missing from a run that it is no part of


def test_where_its_run_is_there_its_results_are_shown_under_its_name(apart: Path) -> None:
    run("small", "small")
    made = page(apart)
    assert "results on this page are those of run `small`" in made.cells[0].source
    assert any(c.get("execution_count") for c in made.cells)
    assert "{note}" not in page(apart, "small").cells[0].source  # in its own book nothing needs saying


def test_results_of_other_code_are_left_out_and_damaged_ones_refused(apart: Path) -> None:
    run("small", "small")
    path = apart / "notebooks" / "03_apart.ipynb"
    whole = path.read_text()
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-2].source += "\ntouched = True"
    nbformat.write(notebook, path)
    assert "another version of its code" in page(apart).cells[0].source
    path.write_text(whole)
    (run_folder("small") / "03_apart" / "manifest.json").write_text("{")
    with pytest.raises(DamagedFile, match="is damaged"):
        page(apart)
