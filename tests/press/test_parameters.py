"""Parameters are strict: what the comment of the parameters cell says is what is enforced."""

import pytest

from stslib.press.parameters import parse_parameters, read_parameters, resolve
from stslib.support.errors import DamagedFile, MissingInput, ParameterError

CELL = """
n_cells = 400  # number of cells [24, 20000]
rate_hz = 4000.0  # sampling rate, Hz (0, 50000]
wavelet = "mexh"  # mother wavelet {mexh, gaus1, morl}
networks = ["resnet18"]  # networks to train, subset of {resnet18, densenet121}
freeze = False  # keep all but the last layer as they are
path = ""  # any text
settings = {}  # rare settings by name, such as {"amp": "bf16"}
"""
SCHEMA = parse_parameters(CELL)


def test_defaults_and_ranges_come_from_the_cell():
    assert list(SCHEMA) == ["n_cells", "rate_hz", "wavelet", "networks", "freeze", "path", "settings"]
    defaults = resolve(SCHEMA, {}, "03")
    assert (defaults["settings"], defaults["networks"]) == ({}, ["resnet18"])
    assert (SCHEMA["rate_hz"].range_text, SCHEMA["wavelet"].range_text) == ("(0, 50000]", "{mexh, gaus1, morl}")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"n_cell": 5}, ["no parameter 'n_cell'", "n_cells"]), ({"n_cells": 23}, ["03.n_cells is 23", "[24, 20000]"]),
        ({"n_cells": 30.0}, ["30.0", "type int"]), ({"n_cells": True}, ["True", "type int"]),
        ({"rate_hz": 0.0}, ["0.0", "(0, 50000]"]), ({"rate_hz": float("nan")}, ["nan"]),
        ({"wavelet": "mexhat"}, ["'mexhat'", "mexh, gaus1, morl"]), ({"networks": "resnet18"}, ["must be a list"]),
        ({"networks": []}, ["empty"]), ({"networks": ["resnet18", "resnet18"]}, ["twice"]),
        ({"networks": ["vgg"]}, ["'vgg'", "resnet18, densenet121"]), ({"settings": {1: 2}}, ["{1: 2}", "by name"]),
        ({"settings": "amp"}, ["03.settings is 'amp'", "a dict of plain values"]),
        ({"settings": {"lr": float("nan")}}, ["nan"]), ({"settings": {"amp": [object]}}, ["object"]),
    ],
)  # fmt: skip
def test_a_bad_value_is_one_line_with_the_value_and_the_way_out(given, words):
    with pytest.raises(ParameterError) as caught:
        resolve(SCHEMA, given, "03")
    assert "\n" not in str(caught.value) and all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("n_cells", "60", 60), ("rate_hz", "8000", 8000.0),  # whole numbers serve as floats
        ("rate_hz", "1e3", 1000.0), ("wavelet", "gaus1", "gaus1"), ("freeze", "true", True),
        ("networks", "resnet18,densenet121", ["resnet18", "densenet121"]),
        ("networks", "['densenet121']", ["densenet121"]),
        ("settings", '{"amp": "bf16", "deep": {"on": [2, 0.5]}}', {"amp": "bf16", "deep": {"on": [2, 0.5]}}),
    ],
)  # fmt: skip
def test_command_line_texts_take_the_type_of_the_parameter(name, text, value):
    made = SCHEMA[name].from_text(text, "03")
    assert made == value and type(made) is type(value)


def test_command_line_texts_that_cannot_be_read_are_refused():
    for name, text in {"n_cells": "many", "freeze": "maybe", "rate_hz": "4 kHz", "settings": "amp=bf16"}.items():
        with pytest.raises(ParameterError, match=name):
            SCHEMA[name].from_text(text, "03")


def test_a_cell_of_more_than_literals_and_a_notebook_that_is_none_are_refused(tmp_path):
    with pytest.raises(DamagedFile, match="line 2"):
        parse_parameters("a = 1\nb = a + 1")
    path = tmp_path / "x.ipynb"
    with pytest.raises(MissingInput, match="no notebook"):
        read_parameters(path)
    path.write_text("not JSON")
    with pytest.raises(DamagedFile, match="not a notebook"):
        read_parameters(path)


def test_capital_letters_in_a_choice_stand_for_numbers():
    (parameter,) = parse_parameters('wavelet = "mexh"  # mother wavelet {mexh, cmorB-C, fbspM-B-C}').values()
    for value in ("mexh", "cmor1.5-1.0", "cmor20-1", "fbsp2-1.5-1.0"):
        assert parameter.check(value, "03") == value
    wrong = ("cmorB-C", "cmor", "cmor1.5", "cmor1.5-1.0-2", "cmor-1-2", "cmor1.-2", "xcmor1-2", "fbsp2-1.5", "MEXH")
    for value in wrong:
        with pytest.raises(ParameterError, match="use one of: mexh, cmorB-C, fbspM-B-C"):
            parameter.check(value, "03")
