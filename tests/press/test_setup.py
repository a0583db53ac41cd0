"""What the two commands promise: set-up once, the same versions everywhere, and nothing but text in git."""

import re
import subprocess
import tomllib

import pytest
import yaml

from stslib.press import fingerprint as provenance

ROOT = provenance.project_root()


def test_a_second_make_does_no_set_up_again():
    if not (ROOT / ".venv" / ".ready").exists():
        pytest.skip("this environment was not made by make")
    for target in ("book", "test"):
        planned = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert "pip install" not in planned
        assert "venv" not in planned.replace(".venv/bin", "")


def test_ci_runs_the_test_command_of_the_readme():
    assert re.search(r"^make test", (ROOT / ".ci" / "run").read_text(), flags=re.MULTILINE)
    first_screen = "\n".join((ROOT / "README.md").read_text().splitlines()[:12])
    assert "make book" in first_screen
    assert "make test" in first_screen


def test_conda_gives_the_same_packages():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert "python=3.11" in environment["dependencies"]
    pip = next(d["pip"] for d in environment["dependencies"] if isinstance(d, dict))
    assert "-c constraints.txt" in pip
    installed = re.search(r"-e '(\.\[[^']*\])'", (ROOT / "Makefile").read_text())
    assert f"-e {installed.group(1)}" in pip


def test_constraints_pin_every_direct_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    pinned = {
        line.split("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().splitlines()
    }
    names = {re.match(r"[A-Za-z0-9._-]+", d).group().lower().replace("_", "-") for d in asked}
    assert names <= pinned, names - pinned


def test_no_data_weights_results_or_large_files_are_tracked():
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    for name in done.stdout.splitlines():
        assert not name.endswith((".npy", ".npz", ".safetensors", ".h5", ".nwb", ".pt", ".pth", ".pkl", ".csv")), name
        if (ROOT / name).exists():
            assert (ROOT / name).stat().st_size < 500_000, name
