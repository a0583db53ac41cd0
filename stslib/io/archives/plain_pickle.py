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
    """The arguments of a call, and the state that follows it."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments: Any = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Array(_Kept):
    """Its state is a version, the shape, the dtype, whether in Fortran's order, and the bytes."""


class _Scalar(_Kept):
    """Dtype and bytes."""


class _Bytes(_Kept):
    """Bytes as text, and its encoding."""


_NAMES: dict[tuple[str, str], type] = {("_codecs", "encode"): _Bytes}
_NAMES |= {("numpy", "dtype"): _Kept, ("numpy", "ndarray"): _Kept}
for _core in ("numpy.core.multiarray", "numpy._core.multiarray"):  # before and since numpy 2
    _NAMES |= {(_core, "_reconstruct"): _Array, (_core, "scalar"): _Scalar}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type:
        if (module, name) not in _NAMES:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return _NAMES[module, name]


def load_plain(path: Path) -> Any:
    """What a pickle holds: arrays of floats, numbers, text, and tuples of these. DamagedFile where it names anything else."""
    try:
        with path.open("rb") as stream:
            return _plain(_Reader(stream, encoding="latin1").load())
    except Exception as error:  # a damaged pickle can end in any error
        raise DamagedFile(f"{path} is not a pickle of plain arrays ({one_line(error)}); it was not opened") from None


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_plain(item) for item in value)
    if isinstance(value, _Array):
        _, shape, kind, fortran, raw = value.state
        return _floats(kind, raw).reshape(shape, order="F" if fortran else "C")
    if isinstance(value, _Scalar):
        return _floats(*value.arguments)[0].item()
    if isinstance(value, bool | int | float | str):
        return value
    raise ValueError(f"it holds {type(value).__name__}")


def _floats(kind: Any, raw: Any) -> np.ndarray:
    name, order = kind.arguments[0], kind.state[1]
    if name not in ("f4", "f8") or order not in ("<", ">"):
        raise ValueError(f"it holds an array of {name!r}, not of floats")
    text = raw.arguments[0] if isinstance(raw, _Bytes) else raw
    return np.frombuffer(text.encode("latin1") if isinstance(text, str) else text, order + name)
