"""Pickles of plain numpy arrays, read without running anything that they name.

A pickle is a program that calls what it names. This reader answers the few names by which numpy writes arrays of floats with
classes that only keep what they are given, and refuses every other. Arrays are made afterwards, of checked type and length.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from stslib.support.errors import DamagedFile, one_line


class _Kept:
    """Arguments of the call, and the state that follows it."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments, self.state = arguments, ()

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Type(_Kept):
    """A dtype."""


class _Array(_Kept):
    """An array: its state is version, shape, dtype, order and bytes."""


class _Scalar(_Kept):
    """A scalar: dtype and bytes."""


class _Bytes(_Kept):
    """Bytes as text, and their encoding."""


_NUMPY = {"_reconstruct": _Array, "scalar": _Scalar}
_NAMES: dict[tuple[str, str], type] = {
    ("numpy", "dtype"): _Type,
    ("numpy", "ndarray"): _Kept,
    ("_codecs", "encode"): _Bytes,
    **{(f"numpy.{core}.multiarray", name): kind for core in ("core", "_core") for name, kind in _NUMPY.items()},
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type:
        if (module, name) not in _NAMES:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return _NAMES[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it names something outside the file")


def load_plain(path: Path) -> Any:
    """What a pickle holds, where that is arrays of floats, numbers, text, and tuples of these.

    Raises
    ------
    DamagedFile
        It names anything else, or is no pickle.
    """
    try:
        with path.open("rb") as stream:
            return _plain(_Reader(stream, encoding="latin1").load())
    except Exception as error:  # a damaged pickle can end in any error
        raise DamagedFile(f"{path} is not a pickle of plain arrays ({one_line(error)}); it was not opened") from None


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return tuple(_plain(item) for item in value)
    if isinstance(value, _Array):
        _, shape, kind, fortran, raw = value.state
        flat = np.frombuffer(_raw(raw), _dtype(kind))
        return flat.reshape(shape, order="F" if fortran else "C")
    if isinstance(value, _Scalar):
        kind, raw = value.arguments
        return np.frombuffer(_raw(raw), _dtype(kind))[0].item()
    if isinstance(value, bool | int | float | str):
        return value
    raise ValueError(f"it holds {type(value).__name__.lstrip('_')}")


def _dtype(kind: Any) -> np.dtype:
    name, order = kind.arguments[0], kind.state[1] if kind.state else "<"
    if not isinstance(kind, _Type) or name not in ("f4", "f8") or order not in ("<", ">"):
        raise ValueError(f"an array of {name!r}, not of floats")
    return np.dtype(order + name)


def _raw(raw: Any) -> bytes:
    if isinstance(raw, _Bytes):
        raw = raw.arguments[0]
    return raw.encode("latin1") if isinstance(raw, str) else bytes(raw)
