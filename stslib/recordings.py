"""`Recording`: the long-square current-clamp sweeps of one cell, read only when asked for; what every source gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from stslib.support.errors import StsError

#: What the voltage is: `real` was recorded from a cell, `hybrid` is a fitted model's spike times carrying the cell's own
#: recorded action potential, `simulated` has no recording in it; of `unknown` nobody said it. Shown wherever the data are.
KINDS = ("simulated", "hybrid", "real", "unknown")


@dataclass(frozen=True)
class Sweep:
    """One long-square sweep: its step, whose onset counts from the start of the sweep, and how its signals are read."""

    number: int  # within the recording
    stimulus_pa: float
    onset_s: float
    duration_s: float
    rate_hz: float
    reader: Callable[[], tuple[np.ndarray, np.ndarray]] = field(repr=False, compare=False)  # gives (v_mv, i_pa)
    n_spikes: int | None = None  # during the step, where the source knows it; else it is counted from the voltage

    def load(self) -> tuple[np.ndarray, np.ndarray]:
        """Read the sweep: `(v_mv, i_pa)`, each of shape `(n_samples,)`; `StsError` where they differ in length or hold NaN."""
        v_mv, i_pa = self.reader()
        if v_mv.shape != i_pa.shape or v_mv.ndim != 1:
            raise StsError(f"sweep {self.number}: voltage {v_mv.shape} and current {i_pa.shape} must be equal and flat")
        if not np.isfinite(v_mv).all():
            raise StsError(f"sweep {self.number}: the voltage holds NaN or infinite values; leave the sweep out")
        return v_mv, i_pa


@dataclass(frozen=True)
class Recording:
    """One cell: its identity and its long-square sweeps, in order of acquisition."""

    cell_id: str  # unique in its cohort; for the Allen data the specimen id, as text
    dataset: str  # the rig or archive: "Clamp", "Seq", ...
    kind: str  # one of `KINDS`
    sweeps: tuple[Sweep, ...]
    label: str | None = None  # the cell's class, where it is known
