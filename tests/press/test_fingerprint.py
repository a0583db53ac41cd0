"""What a notebook depends on is found in its code, whichever way it reaches a module."""

import pytest

from stslib.press import fingerprint as provenance


@pytest.mark.parametrize(
    ("code", "module"),
    [
        ("from stslib.press import stage", "press.stage"),
        ("import stslib.cohort as c", "cohort"),
        ("from stslib.figures import style", "figures.style"),
        ("from stslib.figures.style import new_figure", "figures.style"),
        ("def f():\n    from stslib import cohort", "cohort"),
        ("from stslib import Bank", "scalograms"),
        ("import stslib\nstslib.cwt", "scalograms"),
        ("load('stslib.io.simulated.source')", "io.simulated.source"),
        ("%matplotlib inline\nfrom stslib.press import stage", "press.stage"),
    ],
)
def test_every_way_to_reach_a_module_counts(code, module):
    assert module in provenance.imported_modules(code)


def test_modules_reached_through_others_count_and_others_do_not():
    reached = provenance.module_hashes("from stslib.press import stage")
    assert {"press.stage", "support.errors", "support.files", "press.parameters", "press.fingerprint"} <= set(reached)
    assert not {"networks", "scalograms", "cohort"} & set(reached)


def test_a_source_loaded_by_name_counts_for_whoever_opens_sources():
    assert "io.simulated.source" in provenance.module_hashes("from stslib import open_source")


def test_package_data_counts_for_the_module_that_names_it():
    reached = provenance.module_hashes("from stslib.io.simulated import population")
    assert any(name.startswith("data/") for name in reached)


def test_inputs_are_found_in_the_code():
    code = "cells = stage.input('01_data').load_table('cells')\nx = stage.input(\"02_sweeps\")"
    assert provenance.inputs_named(code) == ["01_data", "02_sweeps"]
    assert provenance.inputs_named("# stage.input('03_scalograms')") == []


def test_a_difference_is_said_in_words():
    old = provenance.Fingerprint("a", {"runs": "1"}, {"x": 1}, {"numpy": "1"}, {})
    new = provenance.Fingerprint("a", {"runs": "1"}, {"x": 2}, {"numpy": "1"}, {})
    assert new.value != old.value
    assert new.difference(old.__dict__) == "changed: parameter x"
    assert old.difference(old.__dict__) == ""
