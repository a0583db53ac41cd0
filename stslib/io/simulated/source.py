"""The simulated cohort: cells drawn from published population statistics, recorded as an experimenter would record them.

Nothing in it was recorded from a cell. Each cell has its own stream of random numbers, made from the cohort's seed, its
class and its number within the class, so that a cell depends neither on the size of the cohort nor on the order of reading.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd

from stslib.cohort import CLASSES
from stslib.io.simulated.population import draw_cell, even_normals, statistics
from stslib.io.simulated.rig import RIGS, Neuron, Noise, record
from stslib.io.source import Source, find_cell
from stslib.recordings import Recording, Sweep
from stslib.support.errors import ParameterError

#: Grid of the stimulus amplitudes, in pA, and the coarse step of the search.
GRID_PA = 10
COARSE_PA = 50
#: Subthreshold family that every recording begins with, in pA.
SUBTHRESHOLD_PA = (-70, -50, -30, -10)
#: Suprathreshold family, in pA above rheobase, and how often each of its sweeps is missing or fails its quality control.
ABOVE_RHEOBASE = ((20, 0.10), (40, 0.05), (60, 0.15), (80, 0.40))
#: Rheobases beyond this, in pA, do not occur in the published tables: such a draw is not a cell.
HIGHEST_RHEOBASE_PA = 800
#: Consecutive cells of the cohort that share a donor, one donor a rig: about as many a donor as in the published data.
CELLS_PER_BLOCK = 6
#: No potassium current can draw the membrane below the reversal potential of potassium in such recordings, in mV.
POTASSIUM_REVERSAL_MV = -100.0

_SHORT = {"Pvalb": "pvalb", "Sst": "sst", "Vip/Lamp5": "vip", "Excitatory": "exc"}


@dataclass(frozen=True)
class SimulatedCell(Neuron):
    """One drawn cell; `entropy` is the seed of its streams."""

    cell_id: str
    label: str
    entropy: tuple[int, ...]

    def stream(self, number: int) -> np.random.Generator:
        """Random numbers of sweep `number`."""
        seed, *key = self.entropy
        return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(*key, number + 1)))

    def noise_mv(self, stimulus_pa: float, number: int) -> np.ndarray:
        """Membrane noise of sweep `number`, in mV."""
        return self.noise.membrane(self.model, stimulus_pa, self.rig, self.stream(number))

    def spikes(self, stimulus_pa: float, number: int) -> np.ndarray:
        """Spike times of sweep `number`, in model steps from the start of the sweep."""
        return self.respond(stimulus_pa, self.noise_mv(stimulus_pa, number))[0]

    def lowest_mv(self, stimulus_pa: float, number: int) -> float:
        """Lowest potential of the model in sweep `number`, in mV."""
        above_mv = self.respond(stimulus_pa, self.noise_mv(stimulus_pa, number), membrane=True)[1]
        return self.model.rest_mv + float(above_mv.min())

    def read(self, stimulus_pa: float, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Sweep `number` as recorded: `(v_mv, i_pa)`, each `(n_samples,)` at the rig's rate."""
        return record(self, stimulus_pa, self.stream(number))


@dataclass(frozen=True)
class Step:
    """One presented long square: sweep number, amplitude in pA, spike times in model steps."""

    number: int
    stimulus_pa: int
    spikes: np.ndarray


def search_rheobase(cell: SimulatedCell) -> tuple[list[Step], int] | None:
    """Find the rheobase of `cell` as an experimenter would.

    Subthreshold steps first, then coarse steps until the cell spikes, then steps of 10 pA from the last silent one until it
    spikes: that amplitude is the rheobase. Then the steps above it.

    Returns all presented steps in order and the rheobase in pA, or None where the draw is not a cell that could have been
    recorded: it spikes without current or not up to 800 pA, its response to +40 pA is not one that a cell of its class
    gives, or the linear after-spike currents of the model drive it below what any channel can.
    """
    steps: list[Step] = []

    def present(stimulus_pa: int) -> bool:
        number = len(steps)
        steps.append(Step(number, stimulus_pa, cell.spikes(float(stimulus_pa), number)))
        return steps[-1].spikes.size > 0

    for stimulus_pa in SUBTHRESHOLD_PA:
        if present(stimulus_pa):
            return None
    coarse = COARSE_PA
    while not present(coarse):
        coarse += COARSE_PA
        if coarse > HIGHEST_RHEOBASE_PA:
            return None
    rheobase_pa = coarse - COARSE_PA + GRID_PA
    while rheobase_pa < coarse and not present(rheobase_pa):
        rheobase_pa += GRID_PA
    for above_pa, _ in ABOVE_RHEOBASE:
        if not present(rheobase_pa + above_pa):
            return None
        if above_pa == 40 and not _plausible(cell, steps[-1].spikes):
            return None
    # The strongest step calls up the largest after-spike currents.
    if cell.lowest_mv(float(steps[-1].stimulus_pa), steps[-1].number) < POTASSIUM_REVERSAL_MV:
        return None
    return steps, rheobase_pa


def _plausible(cell: SimulatedCell, spikes: np.ndarray) -> bool:
    """Whether a +40 pA response is one that the fitted models of the class give, silent soon after the step.

    The copula ties two columns at a time; some draws combine after-spike currents as no fitted cell does.
    """
    rig, (fewest, most) = cell.rig, statistics()[cell.label].spikes_above
    soon = rig.stop + (rig.stop - rig.onset) // 20
    return fewest <= int((spikes < rig.stop).sum()) <= most and bool((spikes < soon).all())


class Simulated(Source):
    """A cohort of simulated cells.

    Parameters
    ----------
    n_cells : int
        Cells to simulate; the classes have the shares of the paper's training set.
    seed : int
        Seed of everything.
    noise : Noise
        Typical noise of the recordings; cells vary around it.

    Raises
    ------
    ParameterError
        When `n_cells` is below 1 or `seed` is negative.
    """

    name = "simulated"
    kind = "simulated"

    def __init__(self, n_cells: int = 400, seed: int = 2026, noise: Noise | None = None) -> None:
        if n_cells < 1:
            raise ParameterError(f"n_cells is {n_cells}; simulate at least 1 cell")
        if seed < 0:
            raise ParameterError(f"seed is {seed}; use 0 or a positive whole number")
        self.n_cells, self.seed, self.noise = int(n_cells), int(seed), noise or Noise()
        self._cells = _cell_table(self.n_cells, self.seed)
        self._rows = {cell_id: row for row, cell_id in enumerate(self._cells["cell_id"])}
        self._recordings: dict[str, Recording] = {}

    def cells(self) -> pd.DataFrame:
        """One row a cell: cell_id, label, dataset (rig), donor, split (empty: nothing is fixed)."""
        return self._cells.drop(columns="number")

    def recording(self, cell_id: str) -> Recording:
        """The long-square sweeps of one cell; the voltage of a sweep is computed when it is read."""
        if cell_id not in self._recordings:
            row = self._cells.iloc[find_cell(self._rows, cell_id, "the simulated cohort")]
            self._recordings[cell_id] = _record(cell_id, row.label, row.dataset, int(row.number), self.seed, self.noise)
        return self._recordings[cell_id]


def class_counts(n_cells: int) -> dict[str, int]:
    """Cells of each class among `n_cells`: shares of the paper's training set, largest remainders rounded up."""
    trained = {label: sum(statistics()[label].rig_cells.values()) for label in CLASSES}
    exact = {label: n_cells * count / sum(trained.values()) for label, count in trained.items()}
    counts = {label: int(value) for label, value in exact.items()}
    by_remainder = sorted(CLASSES, key=lambda label: counts[label] - exact[label])
    for label in by_remainder[: n_cells - sum(counts.values())]:
        counts[label] += 1
    return counts


def _cell_table(n_cells: int, seed: int) -> pd.DataFrame:
    """The cells in their order: classes mixed in proportion, so that a larger cohort begins much as a smaller one."""
    trained = {label: sum(statistics()[label].rig_cells.values()) for label in CLASSES}
    everyone = sum(trained.values())
    rows = []
    for label, count in class_counts(n_cells).items():
        rig_cells = statistics()[label].rig_cells
        for number in range(count):
            rig = "Clamp" if _cell_stream(seed, label, number).random() * trained[label] < rig_cells["Clamp"] else "Seq"
            position = (number + 0.5) * everyone / trained[label]
            donor = f"{rig.lower()}-{int(position // CELLS_PER_BLOCK):04d}"
            rows.append((position, f"{_SHORT[label]}-{number:05d}", label, rig, donor, "", number))
    rows.sort()
    return pd.DataFrame([row[1:] for row in rows], columns=["cell_id", "label", "dataset", "donor", "split", "number"])


def _cell_stream(seed: int, label: str, number: int) -> np.random.Generator:
    """The stream that decides the cell's rig."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(CLASSES.index(label), number)))


def draw_recorded(
    cell_id: str, label: str, dataset: str, number: int, seed: int, noise: Noise
) -> tuple[SimulatedCell, list[Step], int, np.random.Generator]:
    """Draw cell `number` of its class until it could have been recorded: cell, steps, rheobase (pA), its stream after it."""
    for attempt in range(1000):
        entropy = (seed, CLASSES.index(label), number, attempt)
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(*entropy[1:], 0)))
        # The first draw is even over the class; a redraw, where that one is not a cell, is at random.
        even = even_normals(label, seed, number)
        normal = even if attempt == 0 else rng.standard_normal(even.size)
        model, shape = draw_cell(label, normal, rng)
        louder = float(np.exp(0.35 * rng.standard_normal()))
        own_noise = replace(noise, membrane_mv=noise.membrane_mv * louder)
        if not shape.possible or shape.threshold_mv < model.rest_mv + 8.0:
            continue
        cell = SimulatedCell(model, shape, RIGS[dataset], own_noise, cell_id, label, entropy)
        found = search_rheobase(cell)
        if found is not None:
            return cell, found[0], found[1], rng
    raise ParameterError(f"no recordable {label} cell in 1000 draws; lower the noise (membrane_mv {noise.membrane_mv})")


def _record(cell_id: str, label: str, dataset: str, number: int, seed: int, noise: Noise) -> Recording:
    """Draw and record one cell."""
    cell, steps, rheobase_pa, rng = draw_recorded(cell_id, label, dataset, number, seed, noise)
    missing = {rheobase_pa + above_pa for above_pa, chance in ABOVE_RHEOBASE if rng.random() < chance}
    sweeps = tuple(
        Sweep(
            number=step.number,
            stimulus_pa=float(step.stimulus_pa),
            onset_s=cell.rig.onset_s,
            duration_s=cell.rig.duration_s,
            rate_hz=cell.rig.rate_hz,
            reader=partial(cell.read, float(step.stimulus_pa), step.number),
            n_spikes=int((step.spikes < cell.rig.stop).sum()),
        )
        for step in steps
        if step.stimulus_pa not in missing
    )
    return Recording(cell_id, dataset, "simulated", sweeps, label)
