"""The names that the notebooks call: few, and each with an example that runs."""

import doctest
from pathlib import Path

import matplotlib
import pytest

from stslib.press.pages.names import by_room

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("[0-9][0-9]_*.ipynb"))
FACE = [name for names in by_room(NOTEBOOKS).values() for name in names]


def test_notebooks_call_few_names_and_add_few_each():
    assert len(FACE) <= 80
    for notebook in NOTEBOOKS:
        new = [n.name for n in FACE if min(n.notebooks) == notebook.stem]
        assert len(new) <= 15, f"{notebook.stem}: {new}"


@pytest.mark.parametrize("name", FACE, ids=lambda n: n.name)
def test_the_example_of_a_name_runs(name, tmp_path, tmp_path_factory, monkeypatch):
    assert name.example, f"{name.name} has no Examples"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STS_RESULTS", str(tmp_path_factory.mktemp("results")))
    matplotlib.use("Agg")
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    report = []
    runner.run(doctest.DocTestParser().get_doctest(name.example, {}, name.name, None, 0), out=report.append)
    assert runner.tries > 0
    assert not runner.failures, "".join(report)
    assert not list(tmp_path.iterdir()), "an example writes no files"
