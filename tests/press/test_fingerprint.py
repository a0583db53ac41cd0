"""What a notebook depends on is found in its code, whichever way it reaches a module; wording does not count."""

import pytest

from stslib import figures
from stslib.press import fingerprint


@pytest.mark.parametrize(
    ("code", "module"),
    [
        ("import stslib.recordings as r", "recordings"),
        ("from stslib.figures import style", "figures.style"),
        ("from stslib.figures.style import new_figure", "figures.style"),
        ("from stslib.figures import class_by_rig", "figures.cells"),
        ("def f():\n    from stslib import recordings", "recordings"),
        ("load('stslib.io.simulated.source')", "io.simulated.source"),
        ("%matplotlib inline\nfrom stslib.press import stage", "press.stage"),
    ],
)
def test_every_way_to_reach_a_module_counts(code, module):
    assert module in fingerprint.module_hashes(code)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of one room of three modules, of which the last is in its lazy table, and a room that does something."""
    files = {
        "room/__init__.py": '"""Room."""\nfrom stslib.room.one import a\nfrom stslib.room.two import b\n'
        '_MODULES = {"c": "three"}\n__all__ = ["a", "b", "c"]\ndef __getattr__(name): ...\n',
        "room/one.py": "from stslib.other import z\na = z",
        "room/two.py": "b = 'table.json'",
        "room/three.py": 'def c():\n    """Give two sweeps."""\n    x = 1  # a comment\n    return x\n',
        "room/table.json": "1",
        "other/__init__.py": "z = 1\ndef later():\n    from stslib.other import part",  # a circle
        "other/part.py": "from stslib.other import z",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(fingerprint, "PACKAGE", tmp_path)
    return tmp_path


WHOLE = {"room", "room.one", "room.two", "room.three", "room/table.json", "other", "other.part"}


@pytest.mark.parametrize(
    ("code", "modules"),
    [
        ("from stslib import room\nroom.a", {"room.one", "other", "other.part"}),
        ("from stslib import room as r\nr.c + r.c", {"room.three"}),
        ("from stslib.room import b", {"room.two", "room/table.json"}),
        ("from stslib import room\nroom.c(room.b)", {"room.two", "room.three", "room/table.json"}),
        ("from stslib import room\nuse(room)", WHOLE),
        ("from stslib import room", WHOLE),
        ("import stslib.room", WHOLE),
        ("from stslib.other import part", {"other", "other.part"}),
    ],
)
def test_of_a_room_only_the_modules_of_the_names_in_use_count(package, code, modules):
    assert set(fingerprint.module_hashes(code)) == modules


def test_the_table_of_figures_names_what_there_is():
    for name, module in figures._MODULES.items():
        assert getattr(figures, name).__module__ == f"stslib.figures.{module}"
        assert not (fingerprint.PACKAGE / "figures" / f"{name}.py").exists()  # the module would hide the figure
    with pytest.raises(AttributeError, match=r"no 'class_by_rigs'; it has: .*class_by_rig"):
        _ = figures.class_by_rigs


def test_modules_reached_through_others_count_and_others_do_not():
    reached = fingerprint.module_hashes("from stslib.press import stage")
    assert {"press.stage", "support.errors", "support.files", "press.parameters", "press.fingerprint"} <= set(reached)
    assert not {name for name in reached if name.startswith(("networks", "scalograms", "cohort", "figures"))}
    # Every source of cells counts for whoever opens sources.
    assert "io.simulated.source" in fingerprint.module_hashes("from stslib.io import open_source")


@pytest.mark.parametrize(
    ("name", "file", "old", "new", "stale"),
    [
        ("c", "room/three.py", "two sweeps", "both sweeps", set()),  # the docstring
        ("c", "room/three.py", "# a comment", "# another", set()),
        ("c", "room/three.py", "x = 1 ", "x = (1)  ", set()),
        ("c", "room/three.py", "x = 1 ", "x = 2 ", {"room.three"}),
        ("b", "room/table.json", "1", "2", {"room/table.json"}),  # the data that a module names
    ],
)
def test_wording_does_not_count_and_values_do(package, name, file, old, new, stale):
    code, path = f"from stslib.room import {name}", package / file
    before, text = fingerprint.module_hashes(code), path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    after = fingerprint.module_hashes(code)
    assert {module for module in before if before[module] != after[module]} == stale


def test_inputs_are_found_in_the_code():
    code = "cells = stage.input('01_data').load_table('cells')\nx = stage.input(\"02_sweeps\")"
    assert fingerprint.inputs_named(code) == ["01_data", "02_sweeps"]
    assert fingerprint.inputs_named("# stage.input('03_scalograms')") == []
