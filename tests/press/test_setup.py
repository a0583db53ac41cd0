"""What the two commands promise: set-up once, the same versions everywhere, and nothing but text in git."""

import re
import subprocess
import tomllib
from itertools import chain

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from stslib.press.folders import project_root

ROOT = project_root()


def test_a_second_make_does_no_set_up_again():
    if not (ROOT / ".venv" / ".ready").exists():
        pytest.skip("this environment was not made by make")
    for target in ("book", "test"):
        planned = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert "pip install" not in planned and "venv" not in planned.replace(".venv/bin", "")


def test_ci_runs_the_test_command_of_the_readme():
    assert re.search(r"^make test", (ROOT / ".ci" / "run").read_text(), flags=re.MULTILINE)
    first_screen = "\n".join((ROOT / "README.md").read_text().splitlines()[:12])
    assert "make book" in first_screen and "make test" in first_screen


def test_conda_gives_the_same_packages():
    text = (ROOT / "environment.yml").read_text()
    pip = next(d["pip"] for d in yaml.safe_load(text)["dependencies"] if isinstance(d, dict))
    assert "-c constraints.txt" in pip
    makefile = (ROOT / "Makefile").read_text()
    asked = re.search(r"-e '([^']*)'", makefile)
    assert f"-e {asked.group(1)}" in pip
    for step in (text, makefile):  # AllenSDK, without the versions that it declares
        assert "--no-deps -r allensdk.txt" in step


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-oldest.txt"])
def test_a_set_of_versions_pins_every_direct_dependency_within_its_range(name):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    if name == "constraints-oldest.txt":
        del extras["bench"]
    pinned = {}
    for line in (ROOT / name).read_text().splitlines():
        package, version = line.split(" ;")[0].split("==")
        pinned.setdefault(canonicalize_name(package), []).append(version)
    for asked in map(Requirement, chain(project["dependencies"], *extras.values())):
        versions = pinned.get(canonicalize_name(asked.name), [])
        assert versions, asked
        assert all(asked.specifier.contains(version) for version in versions), (asked, versions)


def test_the_oldest_set_is_the_lower_bounds():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    oldest = (ROOT / "constraints-oldest.txt").read_text().lower()
    for asked in map(Requirement, project["dependencies"]):
        lowest = Version(next(s.version for s in asked.specifier if s.operator == ">="))
        found = re.search(rf"^{canonicalize_name(asked.name)}==(.+)$", oldest.replace("_", "-"), flags=re.MULTILINE)
        assert Version(found.group(1)).release[:2] == (*lowest.release, 0)[:2], asked


def test_no_data_weights_results_or_large_files_are_tracked():
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    for name in done.stdout.splitlines():
        assert not name.endswith((".npy", ".npz", ".safetensors", ".h5", ".nwb", ".pt", ".pth", ".pkl", ".csv")), name
        if (ROOT / name).exists():
            assert (ROOT / name).stat().st_size < 500_000, name
