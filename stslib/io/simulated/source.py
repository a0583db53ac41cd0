"""The simulated cohort: cells drawn from published statistics, recorded as an experimenter would record them.

Nothing in it was recorded from a cell. Each cell has its own stream of random numbers, made from the cohort's seed, its
class and its number within the class, so that a cell depends neither on the size of the cohort nor on the order of reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from stslib.cohort import CLASSES
from stslib.io.simulated.action_potential import Shape
from stslib.io.simulated.cell import DRIFT, SimulatedCell, protocol
from stslib.io.simulated.population import Group, draw, even_uniforms, rig_cells
from stslib.io.simulated.rig import RIGS, Membrane
from stslib.io.source import Source, find_cell
from stslib.recordings import Recording, Sweep
from stslib.support.errors import ParameterError

#: Consecutive cells of the cohort that share a donor, one donor a rig: about as many a donor as in the published data.
CELLS_PER_BLOCK = 6
_SHORT = {"Pvalb": "pvalb", "Sst": "sst", "Vip/Lamp5": "vip", "Excitatory": "exc"}


@dataclass(frozen=True)
class Simulation:
    """What a simulated cohort may be asked for, beside its size and seed.

    `classes`: share of each class, by default those of the paper's training set; `clamp`: share of the cells on the rig
    "Clamp", by default each class's own; `noise`: factor on all noise; `failures`: share of cells without the sweep 40 pA
    above the rheobase, which must be excluded.
    """

    classes: Mapping[str, float] = field(
        default_factory=lambda: {c: float(sum(rig_cells(c).values())) for c in CLASSES}
    )
    clamp: float | None = None
    noise: float = 1.0
    failures: float = 0.05

    def __post_init__(self) -> None:
        wrong = set(self.classes) - set(CLASSES)
        if wrong or not sum(self.classes.values()) > 0 or min(self.classes.values()) < 0:
            raise ParameterError(f"classes is {dict(self.classes)}; give shares of 0 or more of {', '.join(CLASSES)}")
        if self.clamp is not None and not 0 <= self.clamp <= 1:
            raise ParameterError(f"clamp is {self.clamp}; give a share from 0 to 1")
        if not 0 <= self.failures <= 1:
            raise ParameterError(f"failures is {self.failures}; give a share from 0 to 1")
        if not 0 <= self.noise <= 5:
            raise ParameterError(f"noise is {self.noise}; give a factor from 0 to 5")

    def counts(self, n_cells: int) -> dict[str, int]:
        """Cells of each class among `n_cells`: largest remainders rounded up."""
        total = sum(self.classes.values())
        exact = {label: n_cells * self.classes.get(label, 0.0) / total for label in CLASSES}
        counts = {label: int(value) for label, value in exact.items()}
        by_remainder = sorted(CLASSES, key=lambda label: counts[label] - exact[label])
        for label in by_remainder[: n_cells - sum(counts.values())]:
            counts[label] += 1
        return counts


class Simulated(Source):
    """A cohort of simulated cells.

    Parameters
    ----------
    n_cells : int
        Cells to simulate.
    seed : int
        Seed of everything.
    simulation : mapping or None
        Fields of `Simulation`: `classes`, `clamp`, `noise`, `failures`.

    Raises
    ------
    ParameterError
        When `n_cells` is below 1, `seed` is negative, or `simulation` asks for what there is not.
    """

    name = "simulated"
    kind = "simulated"

    def __init__(self, n_cells: int = 400, seed: int = 2026, simulation: Mapping[str, Any] | None = None) -> None:
        if n_cells < 1:
            raise ParameterError(f"n_cells is {n_cells}; simulate at least 1 cell")
        if seed < 0:
            raise ParameterError(f"seed is {seed}; use 0 or a positive whole number")
        wrong = set(simulation or {}) - set(Simulation.__dataclass_fields__)
        if wrong:
            raise ParameterError(
                f"simulation has no {min(wrong)!r}; it takes: {', '.join(Simulation.__dataclass_fields__)}"
            )
        self.n_cells, self.seed, self.simulation = int(n_cells), int(seed), Simulation(**(simulation or {}))
        self._cells = _cell_table(self.n_cells, self.seed, self.simulation)
        self._rows = {cell_id: row for row, cell_id in enumerate(self._cells["cell_id"])}

    def cells(self) -> pd.DataFrame:
        """One row a cell: cell_id, label, dataset (rig), donor, split (empty: nothing is fixed)."""
        return self._cells.drop(columns="number")

    def cell(self, cell_id: str) -> SimulatedCell:
        """One cell with its protocol; the voltage of a sweep is computed when it is read."""
        row = self._cells.iloc[find_cell(self._rows, cell_id, "the simulated cohort")]
        return make_cell(cell_id, row["label"], row["dataset"], (self.seed, int(row["number"])), self.simulation)

    def recording(self, cell_id: str) -> Recording:
        """The long-square sweeps of one cell."""
        cell = self.cell(cell_id)
        sweeps = tuple(
            Sweep(
                number=step.number,
                stimulus_pa=float(step.stimulus_pa),
                onset_s=cell.rig.onset_s,
                duration_s=cell.rig.duration_s,
                rate_hz=cell.rate_hz,
                reader=partial(cell.read, step.number),
                n_spikes=step.times_s.size,
            )
            for step in cell.steps
        )
        return Recording(cell_id, cell.rig.name, "simulated", sweeps, cell.label)


def _cell_table(n_cells: int, seed: int, simulation: Simulation) -> pd.DataFrame:
    """The cells in their order: classes mixed in proportion, so that a larger cohort begins much as a smaller one."""
    total, rows = sum(simulation.classes.values()), []
    for label, count in simulation.counts(n_cells).items():
        trained = rig_cells(label)
        clamp = trained["Clamp"] / sum(trained.values()) if simulation.clamp is None else simulation.clamp
        for number in range(count):
            rig = "Clamp" if even_uniforms(label, seed, number)[0] < clamp else "Seq"
            position = (number + 0.5) * total / simulation.classes[label]
            donor = f"{rig.lower()}-{int(position * 4472 / total // CELLS_PER_BLOCK):04d}"
            rows.append((position, f"{_SHORT[label]}-{number:05d}", label, rig, donor, "", number))
    rows.sort()
    return pd.DataFrame([row[1:] for row in rows], columns=["cell_id", "label", "dataset", "donor", "split", "number"])


def make_cell(
    cell_id: str, label: str, dataset: str, seed_and_number: tuple[int, int], simulation: Simulation
) -> SimulatedCell:
    """Draw cell `number` of its class: what it shall measure, its membrane, action potential and protocol."""
    seed, number = seed_and_number
    entropy = (seed, CLASSES.index(label), number)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(*entropy[1:], 0)))
    partner = bool(rng.random() >= simulation.failures)
    rig = replace(RIGS[dataset], hum_mv=RIGS[dataset].hum_mv * simulation.noise)
    group, few, wanted = draw(label, dataset, even_uniforms(label, seed, number))
    wanted = possible(wanted, group)
    same = ("threshold_mv", "height_mv", "peak_ms", "fast_trough_mv", "fast_trough_ms", "trough_mv", "trough_ms")
    values = {name: wanted[name] for name in same} | {"ratio": wanted["upstroke_downstroke_ratio"]}
    if group.troughs == "two":
        values |= {"slow_mv": wanted["slow_trough_mv"], "slow_ms": wanted["slow_trough_ms"]}
    shape = Shape(**values, roundness=float(rng.uniform(1.0, 1.4)))
    noise_mv = simulation.noise * np.array([np.exp(np.log(0.08) + 0.3 * rng.standard_normal()), 0.03, 0.2])
    membrane = Membrane(wanted["rest_mv"], wanted["tau_ms"], wanted["sag"], *noise_mv.tolist())
    rate_hz = float(rng.choice(rig.rates_hz))
    drift, irregularity = np.exp(0.3 * rng.standard_normal(2)) * (1.0, DRIFT[label][-1])
    steps = protocol(wanted, group, few, shape, float(irregularity), partner, rng)
    return SimulatedCell(cell_id, label, rig, rate_hz, wanted, shape, membrane, float(drift), tuple(steps), entropy)


def possible(wanted: dict[str, float], group: Group) -> dict[str, float]:
    """The drawn quantities within what a recording can hold: the tails of the table combine as no cell does."""
    w = dict(wanted)
    w["rheobase_pa"] = max(10.0 * round(w["rheobase_pa"] / 10.0), 10.0)
    if group.troughs == "slow":  # the slow trough is the deepest
        w |= {"trough_mv": min(w["slow_trough_mv"], -0.6), "trough_ms": w["slow_trough_ms"]}
    elif group.troughs == "two":  # the first of them is soon left again
        w |= {"trough_ms": min(w["trough_ms"], 1.0), "slow_trough_mv": min(w["slow_trough_mv"], 8.8)}
    w["threshold_mv"] = min(w["threshold_mv"], -21.5)
    w["height_mv"] = max(w["height_mv"], -12.0 - w["threshold_mv"], 18.0)
    w["rest_mv"] = min(w["rest_mv"], w["threshold_mv"] - 8.0)
    w["first_s"] = float(np.clip(w["first_s"], 0.003, 0.985))
    w["latency_s"] = max(w["latency_s"], 0.0025)
    w["fast_trough_mv"] = min(w["fast_trough_mv"], -0.5)
    w["trough_mv"] = min(w["trough_mv"], -0.02)
    w["trough_ms"] = float(np.clip(w["trough_ms"], 0.06, max(1e3 * (0.985 - w["first_s"]), 0.1)))
    w["resistance_mohm"] = max(w["resistance_mohm"], 35.0)
    w["sag_mv"] = min(w["sag_mv"], w["rest_mv"] - 4.0)
    w["avg_isi_ms"] = max(w["avg_isi_ms"], 3.0) if np.isfinite(w["avg_isi_ms"]) else 50.0
    w["adaptation"] = w["adaptation"] if np.isfinite(w["adaptation"]) else 0.0
    return w
