"""The shape of the project: a thin package of few rooms, and notebooks that a student can read.

The floors themselves are held by import-linter (`make lint`). What each name of the notebooks is tested for is in
test_face.py.
"""

import ast
import json
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "stslib").rglob("*.py"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
#: Parameters of the machine or of the run, which every notebook may have, and the trials of two different searches.
COMMON = {"run", "seed", "n_jobs", "threads", "scheduler", "n_trials"}


def lines(paths):
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


def code_cells(notebook):
    """Lists of lines of the code cells, the parameters cell apart."""
    cells = [c for c in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]
    marked = [c for c in cells if "parameters" in c["metadata"].get("tags", [])]
    assert len(marked) == 1, notebook.name
    return "".join(marked[0]["source"]).splitlines(), [
        "".join(c["source"]).splitlines() for c in cells if c is not marked[0]
    ]


def parameters(notebook):
    return [node.targets[0].id for node in ast.parse("\n".join(code_cells(notebook)[0])).body]


def test_the_package_stays_thin():
    """The goal is 16,500, 9,500 and 9,000, reached once (commit 04f7eaf), and 1,500 for what came after: too much came."""
    science = [p for p in MODULES if p.relative_to(ROOT).parts[1] not in ("io", "press")]
    assert lines(MODULES) <= 19_880
    assert lines(science) <= 11_080
    assert lines((ROOT / "tests").rglob("*.py")) <= 10_350


def test_there_are_at_most_twenty_rooms():
    rooms = {p.parent for p in MODULES} - {ROOT / "stslib"}
    assert len(rooms) <= 20
    loose = {p.name for p in MODULES if p.parent == ROOT / "stslib"}
    assert loose == {"__init__.py", "recordings.py"}


def test_modules_are_short_and_public_functions_take_few_parameters():
    faults = []
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        if len(text.splitlines()) > 300:
            faults.append(f"{path.relative_to(ROOT)} has {len(text.splitlines())} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                n = len([a for a in arguments if a.arg not in ("self", "cls")])
                if n > 7:
                    faults.append(f"{path.relative_to(ROOT)}: {node.name} takes {n} parameters")
    assert not faults, "\n".join(faults)


def test_notebooks_are_prose_calls_and_pictures():
    faults = []
    for notebook in NOTEBOOKS:
        head, cells = code_cells(notebook)
        if len(parameters(notebook)) > 14:
            faults.append(f"{notebook.stem} has {len(parameters(notebook))} parameters")
        for cell in cells:
            if len(cell) > 12:
                faults.append(f"{notebook.stem}: a cell of {len(cell)} lines: {cell[0]}")
        faults += [f"{notebook.stem}: {len(line)} characters: {line}" for line in sum(cells, head) if len(line) > 110]
    assert not faults, "\n".join(faults)


def test_no_parameter_is_asked_for_twice():
    asked = {}
    for notebook in NOTEBOOKS[:-1]:  # notebook 08 reads no other one
        for name in set(parameters(notebook)) - COMMON:
            assert name not in asked, f"{name} in {asked[name]} and {notebook.stem}"
            asked[name] = notebook.stem
