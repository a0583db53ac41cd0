"""Running notebooks: strict, resumable, and exactly what changed runs again."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbclient
import nbformat
import papermill
import pytest

from stslib.press import execution, fingerprint, runner
from stslib.press.folders import run_folder
from stslib.press.stage import open_stage
from stslib.support.errors import DamagedFile, ParameterError, StsError
from tests.conftest import MINI_NOTEBOOKS, made_once, write_checkout, write_notebook


def reasons(**options):
    return {t.name: t.reason for t in runner.plan("default", **options)}


def run_all(**options):
    execution.execute(runner.plan("default", **options), "default", echo=lambda _: None)


def change(name, **sources):
    """Give cells of a notebook of the current checkout another text; a text that begins with + is put at the end."""
    path = Path("notebooks", f"{name}.ipynb")
    notebook = nbformat.read(path, as_version=4)
    for key, source in sources.items():
        cell = notebook.cells[int(key.removeprefix("cell_"))]
        cell.source = f"{cell.source}\n{source[1:]}".rstrip() if source.startswith("+") else source
    nbformat.write(notebook, path)


def test_a_notebooks_own_check_is_asked_before_anything_runs(checkout, monkeypatch):
    (checkout / "own_check.py").write_text("""from stslib.support.errors import ParameterError
def check(mine, others):
    if mine['run'] and others['01_make']['n_values'] > 9: raise ParameterError('too many to add up')
""")
    monkeypatch.syspath_prepend(checkout)
    write_notebook(checkout / "notebooks/02_use.ipynb", MINI_NOTEBOOKS["02_use"], sts={"check": "own_check:check"})
    assert len(runner.plan("default", overrides=["01_make.n_values=9"])) == 3
    with pytest.raises(ParameterError, match="02_use: too many to add up"):
        runner.plan("default", overrides=["01_make.n_values=10"])


def test_a_profile_with_a_wrong_parameter_is_refused(checkout):
    for text, words in (("01_make: {n_values: 3, typo: 1}\n", "typo"), ("01_make: {n_values: [", "not valid YAML")):
        (checkout / "notebooks/profiles/bad.yaml").write_text(text)
        with pytest.raises(ParameterError, match=words):
            runner.plan("default", "bad")


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A finished run of the small checkout, made once; tests work on copies."""

    def run(root):
        with contextlib.chdir(write_checkout(root)):
            run_all()

    return made_once(tmp_path_factory, "finished", run)


@pytest.fixture
def done(finished, tmp_path, monkeypatch):
    root = shutil.copytree(finished, tmp_path / "checkout")
    monkeypatch.chdir(root)
    return root


def test_a_finished_run_is_current_and_complete(done):
    assert set(reasons().values()) == {""}
    assert json.loads((done / "results/default/metrics.json").read_text())[0]["value"] == 10.0
    executed = nbformat.read(done / "results/default/01_make/01_make.ipynb", as_version=4)
    assert any("injected-parameters" in c.metadata.get("tags", []) for c in executed.cells)
    messages = []
    execution.execute(runner.plan("default"), "default", echo=messages.append)
    assert all(m.endswith(": current") for m in messages)


def test_a_changed_parameter_runs_it_and_all_that_reads_it(done):
    first, second = "changed: parameter n_values", "changed: result of 01_make"
    assert reasons(overrides=["01_make.n_values=6"]) == {"01_make": first, "02_use": second, "03_apart": ""}


def test_changed_code_counts_and_changed_prose_and_comments_do_not(done):
    write_notebook(done / "notebooks/02_use.ipynb", [*MINI_NOTEBOOKS["02_use"], "# A new heading"])
    change("02_use", cell_1="+# a comment")
    assert set(reasons().values()) == {""}
    change("02_use", cell_1="+touched = True")
    assert reasons() == {"01_make": "", "02_use": "changed: its code", "03_apart": ""}


def test_one_changed_line_of_stslib_runs_exactly_what_imports_it(done, tmp_path, monkeypatch):
    package = shutil.copytree(fingerprint.PACKAGE, tmp_path / "stslib", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(fingerprint, "PACKAGE", package)
    assert set(reasons().values()) == {""}
    module = package / "cohort" / "__init__.py"  # only 02_use imports it
    module.write_text(module.read_text() + "touched = True\n")
    assert reasons() == {"01_make": "", "02_use": "changed: stslib.cohort", "03_apart": ""}
    module = package / "press" / "stage.py"  # all of them import it
    module.write_text(module.read_text() + "touched = True\n")
    assert all(reasons().values())


def test_another_library_version_counts(done, monkeypatch):
    monkeypatch.setattr(fingerprint, "versions", lambda: {"python": "3.99"})
    assert all("version of" in r for r in reasons().values())


def test_a_damaged_result_or_manifest_is_an_error_and_force_makes_it_again(done):
    (done / "results/default/01_make/values.npy").write_bytes(b"\x93NUMPY rubbish")
    with pytest.raises(DamagedFile, match=r"values\.npy is damaged"):
        runner.plan("default")
    run_all(only=["01_make"], force=True)
    assert reasons()["01_make"] == ""
    (done / "results/default/02_use/manifest.json").write_text("{")
    with pytest.raises(DamagedFile, match=r"manifest\.json is damaged"):
        runner.plan("default")


def test_a_broken_notebook_fails_in_one_line_and_counts_as_unfinished(done):
    change("02_use", cell_2="raise ValueError('the sum\\nis wrong')")
    with pytest.raises(StsError, match=r"^02_use failed in cell .*ValueError: the sum is wrong.*$"):  # one line
        run_all()
    assert (done / "results/default/02_use.failed.ipynb").is_file()
    assert reasons()["02_use"] == "unfinished"


def test_a_notebook_that_opens_no_stage_does_not_count(done):
    write_notebook(done / "notebooks/03_apart.ipynb", ("extra = False", "1 + 1"))
    with pytest.raises(StsError, match=r"03_apart ended unfinished: .*begin"):
        run_all()


def test_papermill_alone_finishes_a_notebook_and_its_end_is_what_counts(done):
    def run(**changed):
        papermill.execute_notebook("notebooks/01_make.ipynb", str(done / "out.ipynb"), changed, progress_bar=False)
        return open_stage("default", "01_make")

    finished = run(n_values=3)
    assert len(finished.load_array("values")) == finished.parameters["n_values"] == 3
    change("01_make", cell_3="1 / 0")
    with pytest.raises(papermill.PapermillExecutionError):
        run(n_values=4)
    assert (done / "results/default/01_make/values.npy").exists() and reasons()["01_make"] == "unfinished"


def test_cell_by_cell_a_stage_is_finished_when_every_cell_has_run_as_it_is_in_the_file(done):
    """As in Jupyter: cells in any order, edited, failing and run again."""
    notebook = nbformat.read("notebooks/01_make.ipynb", as_version=4)
    client = nbclient.NotebookClient(notebook, kernel_name="python3", allow_errors=True)
    manifest = done / "results/default/01_make/manifest.json"

    def finished_after(index, source=None):
        cell = nbformat.v4.new_code_cell(source or notebook.cells[index].source)
        client.nb.cells[index] = cell
        client.execute_cell(cell, index)
        return manifest.exists()

    manifest.unlink()
    _, opening, making, last = range(4)
    with client.setup_kernel():
        texts = [cell.source for cell in notebook.cells]
        assert not any(finished_after(index) for index in range(3))
        assert not finished_after(last, "1 / 0") and finished_after(last, texts[last])
        assert not finished_after(making, "stage.save_array('values', np.zeros(1))")  # an edited cell
        assert not finished_after(last, texts[last])
        assert not finished_after(opening, texts[opening])
        assert not finished_after(last, texts[last])  # a cell is left out
        assert "01_make is unfinished: 1 of its cells" in str(client.nb.cells[last].outputs)
        assert finished_after(making, texts[making])
        assert finished_after(making, texts[making])  # run once more
        finished_after(0, "import matplotlib; print(matplotlib.get_backend())")
        assert "inline" in str(client.nb.cells[0].outputs)  # figures are shown
    assert len(open_stage("default", "01_make").load_array("values")) == 5


def test_two_runs_at_once_are_kept_apart(done):
    with execution._locked(run_folder("default")), pytest.raises(StsError, match="another sts run"):
        run_all()


def test_a_killed_run_goes_on_and_ends_the_same(done):
    mark = done / "waiting"
    wait_once = f"p = pathlib.Path({str(mark)!r})\nif not p.exists():\n    p.touch(); time.sleep(60)"
    change("02_use", cell_2=f"+import time, pathlib\n{wait_once}")
    command = [sys.executable, "-m", "stslib.press.cli", "run"]
    process = subprocess.Popen(command, cwd=done, start_new_session=True)
    while not mark.exists():
        assert process.poll() is None
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert reasons() == {"01_make": "", "02_use": "unfinished", "03_apart": ""}
    assert subprocess.run(command, cwd=done, check=False).returncode == 0
    assert set(reasons().values()) == {""}
    assert json.loads((done / "results/default/metrics.json").read_text())[0]["value"] == 10.0


def test_what_reads_a_notebook_that_ran_on_changed_files_runs_again(checkout):
    """01 is run alone on a file that changed; 02 must not be taken for current."""
    reading = "+from pathlib import Path\ntext = stage.reads(Path('given.txt')).read_text()"
    saving = "stage.save_array('values', np.full(n_values, float(text)))"
    change("01_make", cell_1=reading, cell_2=saving, cell_3="text")
    (checkout / "given.txt").write_text("1")
    run_all()
    assert set(reasons().values()) == {""}
    (checkout / "given.txt").write_text("2")
    assert reasons()["01_make"] == "input given.txt changed"
    run_all(only=["01_make"])
    assert reasons() == {"01_make": "", "02_use": "changed: result of 01_make", "03_apart": ""}


def test_notebooks_run_in_the_interpreter_of_the_command_whatever_kernel_is_called_python3(checkout, monkeypatch):
    spec = checkout / "theirs" / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(
        json.dumps({"argv": ["false", "{connection_file}"], "display_name": "theirs", "language": "python"})
    )
    monkeypatch.setenv("JUPYTER_PATH", str(checkout / "theirs"))
    run_all(only=["01_make"])
    assert reasons(only=["01_make"]) == {"01_make": ""}
