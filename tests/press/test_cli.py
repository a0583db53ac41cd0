"""The command: one line and a status other than 0 for everything a user can get wrong."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from stslib.press.cli import main

WRONG = [
    (["run", "--profile", "nope"], "there is no profile 'nope'; use one of: default, small", 2),
    (["run", "-p", "01_make.n_values=-1"], "01_make.n_values is -1; it must lie in [1, 1000]", 2),
    (["run", "-p", "01_make.n_values=many"], "01_make.n_values is 'many' (str); it must be of type int", 2),
    (["run", "-p", "01_make.colour=red"], "01_make has no parameter 'colour'; it has: run, n_values", 2),
    (["run", "-p", "01_make.run=x"], "name the run with --run", 2),
    (["run", "-p", "09_none.x=1"], "there is no notebook '09_none'; use one of: 01_make", 2),
    (["run", "-p", "n_values=3"], "write NOTEBOOK.PARAMETER=VALUE", 2),
    (["run", "04_gone"], "there is no notebook '04_gone'; use one of: 01_make", 2),
    (["run", "--run", "../x"], "run name '../x' will not do", 1),
    (["run", "--results", "pyproject.toml/results"], "cannot write", 1),
    (["book", "--run", "never"], "the book needs the results of 01_make", 1),
]


@pytest.fixture
def wrong(checkout, monkeypatch):
    monkeypatch.setenv("STS_RESULTS", str(checkout / "results"))  # put back what --results sets
    (checkout / "_toc.yml").write_text("root: notebooks/01_make\n")
    (checkout / "_config.yml").write_text("")
    (checkout / "book").mkdir()
    return checkout


@pytest.mark.parametrize(("arguments", "words", "status"), WRONG)
def test_wrong_input_is_one_line(wrong, arguments, words, status):
    result = CliRunner().invoke(main, arguments)
    (line,) = result.output.strip().splitlines()
    assert result.exit_code == status and line.startswith("sts: ") and words in line
    assert not (wrong / "results").exists() or (status == 1 and not any((wrong / "results").rglob("*.part-*")))


def test_the_process_ends_with_that_status(wrong):
    arguments, words, status = WRONG[0]
    command = [sys.executable, "-m", "stslib.press.cli", *arguments]
    done = subprocess.run(command, cwd=wrong, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (status, "") and done.stderr == f"sts: {words}\n"


def test_the_plan_runs_nothing(checkout):
    result = CliRunner().invoke(main, ["run", "--plan", "-p", "01_make.gain=2"])
    assert result.exit_code == 0, result.output
    assert "01_make: run (not run yet)" in result.output and not (checkout / "results").exists()


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import stslib.press.cli", "torch papermill allensdk pandas numpy sklearn matplotlib"),
        (
            "from stslib import io; from stslib.models import card, prediction",
            "shap lightgbm captum allensdk matplotlib",
        ),
    ],
)
def test_a_command_imports_no_more_than_it_needs(code, unwanted):
    script = f"import sys; {code}; print(*(m for m in '{unwanted}'.split() if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
