"""How the sweeps of a cell are chosen and prepared: one settings object for extraction, model cards and notebooks."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from stslib.support.errors import ParameterError, one_of
from stslib.support.settings import settings_from

STEP_S = 1.0  # length of the long square, in s


@dataclass(frozen=True)
class SweepSettings:
    """Which sweeps of a cell are taken, and what is kept of each (paper, section III-B).

    `ParameterError` where a value is out of its range.

    Examples
    --------
    >>> from stslib import sweeps
    >>> sweeps.SweepSettings(before_s=0.2).n_samples
    5200
    """

    offset_pa: float = 40.0  # of the second sweep above the rheobase
    tolerance_pa: float = 5.0  # how far it may be from that
    repeats: str = "first"  # of a repeated current the first sweep (that spikes), or "average": their mean voltage
    rate_hz: float = 4000.0  # after resampling; a sweep must have at least that
    before_s: float = 0.1  # time kept before and after the step
    after_s: float = 0.1
    baseline: str = "subtract"  # the mean voltage before the step is taken away, or "keep": it is left
    n_sweeps: int = 2  # 1: the rheobase sweep; 2: with its partner, as in the paper; 3: with another `offset_pa` higher
    step_s: float = STEP_S  # a sweep must have at least that; 0 for single action potentials (onset: the peak)

    def __post_init__(self) -> None:
        one_of("repeats", self.repeats, ("first", "average"))
        one_of("baseline", self.baseline, ("subtract", "keep"))
        if self.n_sweeps not in (1, 2, 3) or (self.step_s == 0 and self.n_sweeps != 1):
            most = "1, for action potentials come one a cell" if self.step_s == 0 else "1 to 3"
            raise ParameterError(f"n_sweeps is {self.n_sweeps}; use {most}")
        if not 0 <= self.tolerance_pa < math.inf:
            raise ParameterError(f"tolerance_pa is {self.tolerance_pa}; give 0 pA or more")
        if not self.tolerance_pa < self.offset_pa < math.inf:
            raise ParameterError(f"offset_pa is {self.offset_pa}; give more than the tolerance, {self.tolerance_pa} pA")
        if not 0 < self.rate_hz < math.inf:
            raise ParameterError(f"rate_hz is {self.rate_hz}; give a rate above 0 Hz")
        for name in ("before_s", "after_s", "step_s"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ParameterError(f"{name} is {getattr(self, name)}; give 0 s or more")
        if self.n_samples < 2:
            kept_s = self.before_s + self.step_s + self.after_s
            raise ParameterError(f"{kept_s:g} s at {self.rate_hz:g} Hz are no sweep; keep more time")

    @property
    def n_samples(self) -> int:
        """Length of a prepared sweep, 4,800 by default."""
        return round((self.before_s + self.step_s + self.after_s) * self.rate_hz)

    def as_dict(self) -> dict[str, Any]:
        """The settings as plain values: `from_dict` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: object) -> SweepSettings:
        """The inverse of `as_dict`; `ParameterError` names a field that is missing, unknown, or of a wrong type."""
        return settings_from(cls, "the sweep settings", values)
