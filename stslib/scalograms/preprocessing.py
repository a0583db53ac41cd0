"""All numbers of the way from a recording to the image that a network reads, and that way itself."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar, get_type_hints

import numpy as np

from stslib.scalograms.bank import Bank
from stslib.scalograms.resized import cwt_resized
from stslib.scalograms.settings import CloseUp, ImageSettings
from stslib.scalograms.transform import ScalogramWarning
from stslib.support.errors import ParameterError
from stslib.sweeps import SweepSettings

T = TypeVar("T")
#: Settings that files written before they existed do not name.
OPTIONAL = {"n_sweeps", "step_s", "close_up", "ready_made"}
_KINDS = {float: "a finite number", int: "a whole number", str: "a text", bool: "true or false"}


@dataclass(frozen=True)
class Preprocessing:
    """From a recording to a network's image: which sweeps, which wavelets, which image.

    Attributes
    ----------
    sweeps : SweepSettings
        How sweeps are chosen and brought into one form.
    bank : Bank
        The wavelets, at the rate of the sweeps.
    image : ImageSettings
        What is drawn.
    ready_made : bool
        The scalograms were not made from sweeps here, so that more of them cannot be made.

    Raises
    ------
    ParameterError
        Sweeps and wavelets are of different sampling rates.

    Examples
    --------
    >>> way = Preprocessing(SweepSettings(), Bank(), ImageSettings(height=8, width=16))
    >>> way.draw(np.ones((3, 2, 4800))).shape
    (3, 2, 8, 16)
    >>> Preprocessing.from_dict(way.as_dict()) == way
    True
    """

    sweeps: SweepSettings
    bank: Bank
    image: ImageSettings
    ready_made: bool = False

    def __post_init__(self) -> None:
        if self.sweeps.rate_hz != self.bank.rate_hz:
            raise ParameterError(
                f"rate_hz of the sweeps is {self.sweeps.rate_hz:g} and of the bank {self.bank.rate_hz:g}; give one rate"
            )

    def draw(self, sweeps_mv: np.ndarray, label: str = "") -> np.ndarray:
        """Images of prepared sweeps, `(n, c, n_samples)` in mV to `(n, c, height, width)`, the close-up to the right.

        `label` names a progress bar; none is shown without.
        """
        images: np.ndarray = cwt_resized(sweeps_mv, self.bank, self.image, label).astype(self.image.dtype)
        if (close_up := self.image.close_up) is None:
            return images
        spikes_mv, own = close_up.cut(sweeps_mv, self.sweeps), replace(self.image, output=close_up.output)
        with warnings.catch_warnings():
            # Its lowest wavelets are longer than the few milliseconds, on purpose: no other spike is to be seen.
            warnings.simplefilter("ignore", ScalogramWarning)
            beside = cwt_resized(spikes_mv, close_up.bank(self.bank), own).astype(self.image.dtype)
        return np.concatenate([images, beside], axis=-1)

    def as_dict(self) -> dict[str, Any]:
        """The settings as plain values, as `model.json` holds them: `from_dict` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: object) -> Preprocessing:
        """The settings from plain values, which may come from a stranger's file.

        Raises
        ------
        ParameterError
            A key is missing or unknown, or a value has another type or is out of its range; the message names it.
        """
        whole = _fields("preprocessing", values, ("sweeps", "bank", "image", "ready_made"))
        image = dict(_fields("preprocessing: image", whole["image"], ImageSettings.__dataclass_fields__))
        if image.get("close_up") is not None:
            image["close_up"] = _checked(CloseUp, "preprocessing: close_up", image["close_up"])
        ready_made = whole.get("ready_made", False)
        if not isinstance(ready_made, bool):
            raise ParameterError(f"preprocessing: ready_made is {ready_made!r:.80}; give true or false")
        return cls(
            _checked(SweepSettings, "preprocessing: sweeps", whole["sweeps"]),
            _checked(Bank, "preprocessing: bank", whole["bank"]),
            _checked(ImageSettings, "preprocessing: image", image),
            ready_made,
        )


def _fields(name: str, values: object, known: Iterable[str]) -> Mapping[str, Any]:
    """A mapping that holds every key of `known` but the optional ones, and no other."""
    if not isinstance(values, Mapping):
        raise ParameterError(f"{name} is {values!r:.80}; give its settings by name")
    for key in values:
        if key not in known:
            raise ParameterError(f"{name} has no setting {key!r:.80}; it has: {', '.join(known)}")
    if missing := [key for key in known if key not in values and key not in OPTIONAL]:
        raise ParameterError(f"{name} lacks {missing[0]}")
    return values


def _checked(kind: type[T], name: str, values: object) -> T:
    """The settings object of a mapping; the ranges are checked by the class itself."""
    types = get_type_hints(kind)
    for key, value in _fields(name, values, types).items():
        wanted = types[key]
        if wanted not in _KINDS:
            continue  # a close-up, checked before
        good = type(value) is wanted or (wanted is float and type(value) is int)
        if not good or (wanted is float and not math.isfinite(value)):
            raise ParameterError(f"{name}: {key} is {value!r:.80}; give {_KINDS[wanted]}")
    try:
        return kind(**values)  # type: ignore[arg-type]
    except ParameterError as error:
        raise ParameterError(f"{name}: {error}") from None
