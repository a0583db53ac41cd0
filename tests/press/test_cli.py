"""The command: one line and a status other than 0 for everything a user can get wrong."""

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from stslib.press.cli import main


@pytest.mark.parametrize(
    ("arguments", "words", "status"),
    [
        (["run", "--profile", "nope"], "there is no profile 'nope'; use one of: default, small", 2),
        (["run", "-p", "01_make.n_values=-1"], "01_make.n_values is -1; it must lie in [1, 1000]", 2),
        (["run", "-p", "01_make.colour=red"], "01_make has no parameter 'colour'", 2),
        (["run", "--run", "../x"], "run name '../x' will not do", 1),
        (["run", "--results", "pyproject.toml/results"], "cannot write", 1),
        (["book", "--run", "never"], "", 1),
    ],
)
def test_wrong_input_is_one_line(checkout, arguments, words, status):
    (checkout / "_toc.yml").write_text("root: notebooks/01_make\n")
    (checkout / "_config.yml").write_text("")
    (checkout / "book").mkdir()
    result = subprocess.run(
        [sys.executable, "-m", "stslib.press.cli", *arguments],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = result.stderr.strip().splitlines()
    assert result.returncode == status, result.stderr
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("sts: ")
    assert words in lines[0]
    assert not (checkout / "results").exists() or not any((checkout / "results").rglob("*.part-*"))


def test_the_plan_runs_nothing(checkout):
    result = CliRunner().invoke(main, ["run", "--plan", "-p", "01_make.gain=2"])
    assert result.exit_code == 0, result.output
    assert "01_make: run (not run yet)" in result.output
    assert not (checkout / "results").exists()


def test_help_starts_fast_and_names_the_commands():
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    for command in ("book", "data", "predict", "run", "tune"):
        assert command in result.output
    loaded = (
        "import sys, stslib.press.cli; "
        "print(*(m for m in ('torch', 'papermill', 'allensdk', 'pandas') if m in sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True, env={**os.environ})
    assert out.stdout.strip() == ""
