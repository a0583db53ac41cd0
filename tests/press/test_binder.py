"""The pages of notebooks: their own text with the outputs of the code that was run, and never of other code."""

from pathlib import Path

import nbformat
import pytest

from stslib.press import binder
from stslib.press.folders import run_folder
from stslib.press.stage import begin
from stslib.support.errors import DamagedFile, MissingInput, StsError
from tests.conftest import MINI_NOTEBOOKS, write_notebook


@pytest.fixture
def apart(checkout: Path) -> Path:
    """A checkout of 01_make (run) and 03_apart, which belongs to the profile `small`; `_toc.yml` names both."""
    cells = ["# Apart\n\nIts text.", *MINI_NOTEBOOKS["03_apart"]]
    write_notebook(checkout / "notebooks/03_apart.ipynb", cells, sts={"profile": "small"})
    (checkout / "notebooks/profiles/default.yaml").write_text("notebooks: [01_make]\n")
    (checkout / "_toc.yml").write_text("chapters:\n- file: notebooks/01_make\n- file: notebooks/03_apart\n")
    (checkout / "_config.yml").write_text("")
    (checkout / "book").mkdir()
    finish("01_make", "default")
    return checkout


def finish(name: str, run: str) -> nbformat.NotebookNode:
    """Finish a notebook with made-up outputs, as `sts run` would."""
    stage = begin(name, {"run": run})
    stage.done()
    executed = nbformat.read(Path("notebooks", f"{name}.ipynb"), as_version=4)
    injected = nbformat.v4.new_code_cell(f"run = {run!r}", metadata={"tags": ["injected-parameters"]})
    executed.cells.insert(1, injected)
    for number, cell in enumerate(c for c in executed.cells if c.cell_type == "code"):
        cell.execution_count = number + 1
        text, picture = {"text": f"output {number}"}, {"data": {"image/png": "iVBO"}}
        cell.outputs = [nbformat.v4.new_output("stream", **text), nbformat.v4.new_output("display_data", **picture)]
    nbformat.write(executed, stage.path / f"{name}.ipynb")
    return executed


def page(root: Path, run: str = "default") -> nbformat.NotebookNode:
    binder.assemble(run, root / "out")
    return nbformat.read(root / "out" / "notebooks" / "03_apart.ipynb", as_version=4)


def test_a_page_has_the_outputs_of_its_own_code_only(apart):
    source = nbformat.read("notebooks/01_make.ipynb", as_version=4)
    executed = finish("01_make", "default")
    source.cells[2].source += "  # a comment"
    source.cells[3].metadata = {"mystnb": {"figure": {"caption": "A sum."}}, "tags": ["hide-input"]}
    merged = binder.merge(source, executed, "01_make")
    parameters, injected, opening, making, text, figure = merged.cells
    assert making.source.endswith("# a comment") and making.outputs[0].text == "output 3"
    for cell in (parameters, injected, opening, text):  # folded on the page
        assert "hide-input" in cell.metadata["tags"]
    assert [o.output_type for o in text.outputs] == ["stream"]  # the caption belongs to the picture alone
    assert figure.metadata["tags"] == ["remove-input"] and [o.output_type for o in figure.outputs] == ["display_data"]
    source.cells[2].source += "\n1 + 1"
    with pytest.raises(StsError, match="the code of 01_make is not the one that was run"):
        binder.merge(source, executed, "01_make")


def test_where_its_run_is_missing_the_page_says_how_to_make_it_and_the_book_stands(apart):
    made = page(apart)
    title = made.cells[0].source
    assert "```{warning}\nIt has not been run here." in title and "sts run --profile small" in title
    assert title.endswith("Its text.") and not any(c.get("outputs") for c in made.cells)
    status = (apart / "out/book" / binder.GENERATED / "status.md").read_text()
    assert "03_apart" not in status.split("{dropdown}")[0]  # not called missing from a run that it is no part of
    (run_folder("default") / "01_make" / "01_make.ipynb").unlink()
    with pytest.raises(MissingInput, match="the book needs"):
        page(apart)


def test_where_its_run_is_there_its_results_are_shown_under_its_name(apart):
    finish("03_apart", "small")
    made = page(apart)
    assert "results on this page are those of run `small`" in made.cells[0].source
    assert any(c.get("execution_count") for c in made.cells)
    finish("01_make", "small")
    assert "{note}" not in page(apart, "small").cells[0].source  # in its own book nothing needs saying


def test_results_of_other_code_are_left_out_and_damaged_ones_refused(apart):
    finish("03_apart", "small")
    path = apart / "notebooks" / "03_apart.ipynb"
    whole = path.read_text()
    assert "'apart': True" in whole
    path.write_text(whole.replace("'apart': True", "'apart': False"))
    assert "another version of its code" in page(apart).cells[0].source
    path.write_text(whole)
    (run_folder("small") / "03_apart" / "manifest.json").write_text("{")
    with pytest.raises(DamagedFile, match="is damaged"):
        page(apart)


def test_a_book_is_built_again_only_when_its_sources_changed(apart, monkeypatch):
    built = []

    def run(command):
        html = Path(command[-5]) / "_build" / "html"
        html.mkdir(parents=True)
        (html / "index.html").write_text("a book")
        built.append(command)
        return 0, ""

    monkeypatch.setattr(binder, "_run", run)
    for _ in range(2):
        assert binder.build("default", apart / "_build").read_text() == "a book"
    assert len(built) == 1
    (apart / "book" / "page.md").write_text("# New")
    binder.build("default", apart / "_build")
    assert len(built) == 2
    monkeypatch.setattr(binder, "_run", lambda _: (0, "page.md: WARNING: broken"))
    (apart / "book" / "page.md").write_text("# Broken")
    with pytest.raises(StsError, match=r"did not build: page\.md: WARNING"):
        binder.build("default", apart / "_build")
    assert (apart / "_build/html/index.html").read_text() == "a book"  # the former one
