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


@pytest.fixture
def schema():
    return parse_parameters(CELL)


def test_defaults_and_ranges_come_from_the_cell(schema):
    assert list(schema) == ["n_cells", "rate_hz", "wavelet", "networks", "freeze", "path", "settings"]
    assert resolve(schema, {}, "03")["settings"] == {}
    assert schema["rate_hz"].range_text == "(0, 50000]"
    assert schema["wavelet"].range_text == "{mexh, gaus1, morl}"
    assert resolve(schema, {}, "03")["networks"] == ["resnet18"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"n_cell": 5}, ["no parameter 'n_cell'", "n_cells"]),
        ({"n_cells": 23}, ["03.n_cells is 23", "[24, 20000]"]),
        ({"n_cells": 30.0}, ["30.0", "type int"]),
        ({"n_cells": True}, ["True", "type int"]),
        ({"n_cells": "30"}, ["'30'", "type int"]),
        ({"rate_hz": 0.0}, ["0.0", "(0, 50000]"]),
        ({"rate_hz": float("nan")}, ["nan"]),
        ({"rate_hz": float("inf")}, ["inf"]),
        ({"wavelet": "mexhat"}, ["'mexhat'", "mexh, gaus1, morl"]),
        ({"networks": "resnet18"}, ["must be a list"]),
        ({"networks": []}, ["empty"]),
        ({"networks": ["resnet18", "resnet18"]}, ["twice"]),
        ({"networks": ["vgg"]}, ["'vgg'", "resnet18, densenet121"]),
        ({"freeze": 1}, ["type bool"]),
        ({"settings": "amp"}, ["03.settings is 'amp'", "a dict of plain values"]),
        ({"settings": {1: 2}}, ["{1: 2}", "by name"]),
        ({"settings": {"lr": float("nan")}}, ["nan"]),
        ({"settings": {"amp": [object]}}, ["object"]),
    ],
)
def test_a_bad_value_is_one_line_with_the_value_and_the_way_out(schema, given, words):
    with pytest.raises(ParameterError) as caught:
        resolve(schema, given, "03")
    assert "\n" not in str(caught.value) and all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("n_cells", "60", 60),
        ("rate_hz", "1e3", 1000.0),
        ("rate_hz", "8000", 8000.0),  # whole numbers serve as floats
        ("wavelet", "gaus1", "gaus1"),
        ("networks", "resnet18,densenet121", ["resnet18", "densenet121"]),
        ("networks", "['densenet121']", ["densenet121"]),
        ("freeze", "true", True),
        ("settings", '{"amp": "bf16", "deep": {"on": [2, 0.5]}}', {"amp": "bf16", "deep": {"on": [2, 0.5]}}),
    ],
)
def test_command_line_texts_take_the_type_of_the_parameter(schema, name, text, value):
    made = schema[name].from_text(text, "03")
    assert made == value and type(made) is type(value)


@pytest.mark.parametrize(
    ("name", "text"), [("n_cells", "many"), ("freeze", "maybe"), ("rate_hz", "4 kHz"), ("settings", "amp=bf16")]
)
def test_command_line_texts_that_cannot_be_read_are_refused(schema, name, text):
    with pytest.raises(ParameterError, match=name):
        schema[name].from_text(text, "03")


def test_a_parameters_cell_holds_only_literals():
    with pytest.raises(DamagedFile, match="line 2"):
        parse_parameters("a = 1\nb = a + 1")


def test_a_notebook_that_is_none(tmp_path):
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
