"""The command: one line and a status other than 0 for everything a user can get wrong."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from stslib.press import runner
from stslib.press.cli import main
from tests.io import standin

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


def test_inspect_shows_every_sweep_of_a_file_and_draws_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    standin.write_nwb2(tmp_path / "good.nwb", standin.family(50, step_pa=20, top_pa=110, rate_hz=10_000.0))
    shown = CliRunner().invoke(main, ["inspect", "good.nwb"])
    assert shown.exit_code == 0, shown.output
    lines = [line.split() for line in shown.output.splitlines()]
    assert [words[0] for words in lines if words and words[0] in ("rheobase", "partner", "available")] == [
        "available", "available", "rheobase", "available", "partner", "available"
    ]  # fmt: skip
    assert (tmp_path / "good.sweeps.png").stat().st_size > 10_000
    standin.write_nwb2(tmp_path / "silent.nwb", [standin.Steps(n, 10.0 * n, rate_hz=10_000.0) for n in (1, 2)])
    (tmp_path / "text.abf").write_text("notes")
    for name, words in (
        ("silent.nwb", "no spike in 2 sweeps"),
        ("text.abf", "does not begin with ABF"),
        (".", "give one file"),
    ):
        shown = CliRunner().invoke(main, ["inspect", name])
        assert shown.exit_code in (1, 2) and words in shown.output.splitlines()[-1]


def test_paths_of_parameters_are_those_of_the_users_folder(checkout, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert runner._from_here("here.csv") == str(tmp_path / "here.csv")
    assert runner._from_here("a:/b") == f"{tmp_path / 'a'}:/b"
    assert [runner._from_here(text) for text in ("", "mirror:x.h5", "/x")] == ["", "mirror:x.h5", "/x"]


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
