"""Fixtures that tests share: the mirror of real data, and one executed smoke run."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import matplotlib
import pytest
from filelock import FileLock

matplotlib.use("Agg")

# Two cores and two thread pools (OpenMP of LightGBM and of torch) in one process stall each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files with the longest tests first, so that several workers end together."""
    first = ("test_real_data", "test_recorded_runs", "test_smoke_run", "test_prediction")
    items.sort(key=lambda item: next((k for k, name in enumerate(first) if name in item.nodeid), len(first)))


@pytest.fixture(scope="session")
def mirror() -> Path:
    """Folder of real data in the layout of the project's data mirror; the test skips where there is none."""
    named = os.environ.get("STS_DATA_MIRROR")
    if not named:
        pytest.skip("STS_DATA_MIRROR is not set: no real tables and sweeps to test on")
    folder = Path(named)
    if not folder.is_dir():
        pytest.fail(f"STS_DATA_MIRROR is {named}, which is not a folder")
    return folder


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch on one thread, and from a known state, so that numbers repeat."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


RUN = 'run = "default"  # name of the run folder under results'
BEGIN = "from stslib.press.stage import begin\nstage = begin({!r}, globals())"
MINI_NOTEBOOKS = {
    "01_make": (
        f"{RUN}\n"
        "n_values = 5  # number of values [1, 1000]\n"
        'shape = "ramp"  # what to make {ramp, flat}\n'
        "gain = 1.0  # factor, mV per step (0, 10]\n"
        "extra = False  # one more value",
        "import numpy as np\n" + BEGIN.format("01_make"),
        "values = gain * np.arange(n_values) if shape == 'ramp' else np.full(n_values, gain)\n"
        "stage.save_array('values', values)",
        "values.sum()",
    ),
    "02_use": (
        RUN,
        "from stslib import cohort\n" + BEGIN.format("02_use"),
        "total = float(stage.input('01_make').load_array('values').sum())\n"
        "stage.metrics([dict(model='sum', data='simulated', split='cv', metric='total', value=total, low=0.0, "
        "high=None, n=1)])",
    ),
    "03_apart": (RUN, BEGIN.format("03_apart"), "stage.save_json('note', {'apart': True})"),
}


def write_notebook(path: Path, cells: Sequence[str], **metadata: object) -> None:
    """A notebook of these cells: Markdown where a text begins with #, else code; the first code cell has the parameters."""
    import nbformat

    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": kernel, **metadata})
    for index, source in enumerate(cells):
        new_cell = nbformat.v4.new_markdown_cell if source.startswith("#") else nbformat.v4.new_code_cell
        notebook.cells.append(new_cell(source, id=f"cell-{index}"))
    next(c for c in notebook.cells if c.cell_type == "code").metadata["tags"] = ["parameters"]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


def write_checkout(root: Path, notebooks: Mapping[str, Sequence[str]] = MINI_NOTEBOOKS) -> Path:
    """A small checkout of notebooks; of the usual three 02 reads 01, and 03 stands apart."""
    for name, cells in notebooks.items():
        write_notebook(root / "notebooks" / f"{name}.ipynb", cells)
    (root / "pyproject.toml").write_text("")
    (root / "notebooks" / "profiles").mkdir()
    (root / "notebooks" / "profiles" / "default.yaml").write_text("description: all\n")
    (root / "notebooks" / "profiles" / "small.yaml").write_text("notebooks: [01_make]\n01_make: {n_values: 2}\n")
    return root


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small checkout that has never been run, as the current folder."""
    root = write_checkout(tmp_path / "checkout")
    monkeypatch.chdir(root)
    monkeypatch.delenv("STS_RESULTS", raising=False)
    return root


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that `make` fills once for the whole session, also where several workers of pytest-xdist share it."""
    root = factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    with FileLock(root / f"{name}.lock"):
        if not (root / f"{name}.made").exists():
            shutil.rmtree(root / name, ignore_errors=True)
            make(root / name)
            (root / f"{name}.made").touch()
    return root / name


def sts(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    """The command line as a user calls it, in the checkout: it ends with `code`, a failure with one line."""
    command = [sys.executable, "-m", "stslib.press.cli", *map(str, arguments)]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    assert not code or sum(line.startswith("sts: ") for line in done.stderr.splitlines()) == 1, done.stderr
    return done


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of the six notebooks, executed once for the whole session with the smoke profile."""

    def run(results: Path) -> None:
        sts("run", "--profile", "smoke", "--results", results)

    return made_once(tmp_path_factory, "smoke-results", run) / "smoke"
