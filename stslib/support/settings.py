"""Settings objects from plain values, which may come from a stranger's file."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import is_dataclass
from types import NoneType
from typing import Any, TypeVar, get_args, get_type_hints

from stslib.support.errors import ParameterError

T = TypeVar("T")
_WORDS = {float: "a finite number", int: "a whole number", str: "a text", bool: "true or false"}


def settings_from(kind: type[T], name: str, values: object, optional: Collection[str] = ()) -> T:
    """The settings object of class `kind` from a mapping of its fields; objects inside it come from mappings too.

    `kind` is a dataclass of plain values and further dataclasses, which checks its ranges itself; `optional` fields may
    be missing. `ParameterError` calls the whole `name` and names the key that is missing, unknown or wrong.
    """
    if not isinstance(values, Mapping):
        raise ParameterError(f"{name} is {values!r:.80}; give its settings by name")
    types = get_type_hints(kind)
    for key in values:
        if key not in types:
            raise ParameterError(f"{name} has no setting {key!r:.80}; it has: {', '.join(types)}")
    if missing := [key for key in types if key not in values and key not in optional]:
        raise ParameterError(f"{name} lacks {missing[0]}")
    checked = {key: _value(types[key], f"{name}: {key}", value, optional) for key, value in values.items()}
    try:
        return kind(**checked)
    except ParameterError as error:
        raise ParameterError(f"{name}: {error}") from None


def _value(wanted: Any, name: str, value: object, optional: Collection[str]) -> Any:
    if alternatives := get_args(wanted):
        if value is None and NoneType in alternatives:
            return None
        wanted = alternatives[0]
    if is_dataclass(wanted):
        return settings_from(wanted, name, value, optional)  # type: ignore[arg-type]
    if wanted is float and type(value) is int and abs(value) < 2**53:
        value = float(value)
    if type(value) is not wanted or (isinstance(value, float) and not math.isfinite(value)):
        raise ParameterError(f"{name} is {value!r:.80}; give {_WORDS[wanted]}")
    return value
