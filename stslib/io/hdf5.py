"""Cells from one HDF5 file, in one of two layouts.

*Sweeps*: a group a cell, named by its id; in it one to three datasets, a long-square sweep each, of shape `(n_samples,)`.
They are called `rheobase`, `rheobase_plus_40`, `rheobase_plus_80`, but what counts is the current that each gives.
Attributes of each dataset:

| attribute | unit | meaning |
|---|---|---|
| `mv_per_count` | mV | what to multiply the numbers with; may be left out where they are not whole numbers but mV |
| `rate_hz` | Hz | sampling rate |
| `stimulus_pa` | pA | current of the step |
| `stimulus_onset_s`, `stimulus_duration_s` | s | start of the step from the start of the sweep, and its length |
| `n_spikes` | | action potentials during the step; where it is left out they are counted from the voltage |

*Action potentials*: a dataset a cell, named by its id, in mV, shape `(n_samples,)`; attributes `rate_hz` and `peak_index`
(sample of the peak). One action potential of a short step each: no pair of sweeps, but an image of one channel.

A cell's group or dataset may have the attributes `label` (its class; needed to train, not to predict), `donor` and `split`
(`train` or anything else). The file may say what it holds in the attributes `kind` (`simulated`, `hybrid`, `real`) and
`dataset`. Without them its cells are `unknown`, unless the user says what they are, and of the dataset `Clamp`. The
files of the data mirror are known.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from stslib.cohort import UNSURE
from stslib.io.source import Source, find_cell
from stslib.recordings import KINDS, Recording, Sweep
from stslib.support.errors import DamagedFile, MissingInput, one_line, one_of
from stslib.support.files import MIRROR_ENVIRONMENT, mirror_path

#: Layout: names of the sweep datasets; other entries are ignored.
SWEEP_NAME = re.compile(r"rheobase(_plus_\d+)?")
MAX_SWEEPS = 3
SWEEP_ATTRIBUTES = ("rate_hz", "stimulus_pa", "stimulus_onset_s", "stimulus_duration_s")
PEAK_ATTRIBUTES = ("rate_hz", "peak_index")
MIRROR_KINDS = {"hybrid/hybrid.h5": "hybrid", "action_potentials/action_potentials.h5": "real"}


class Hdf5Cells(Source):
    """Cells of an HDF5 file.

    Parameters
    ----------
    path : str
        The file. `mirror:NAME` is the file NAME of the data mirror that `STS_DATA_MIRROR` names.
    kind : str, optional
        What its voltages are, one of `KINDS`; by default what the file says.

    Attributes
    ----------
    layout : str
        `"sweeps"` or `"action_potentials"`.

    Raises
    ------
    MissingInput, DamagedFile
        There is no such file; it is not an HDF5 file, is empty, or a cell has another layout.
    """

    name = "store"

    @property
    def data(self) -> str:
        """`action_potentials`, or what the voltages of its sweeps are."""
        return self.layout if self.layout == "action_potentials" else self.kind

    def __init__(self, path: str, kind: str = "") -> None:
        self.path, self.kind = mirror_path(str(path)), kind
        if not str(path) or not self.path.is_file():
            raise MissingInput(f"there is no file {str(path)!r}; give the path of an HDF5 file of cells")
        try:
            with h5py.File(self.path, "r") as file:
                self._read(file)
        except OSError as error:
            raise DamagedFile(f"{self.path.name} is not an HDF5 file that can be read ({one_line(error)})") from None

    def _read(self, file: h5py.File) -> None:
        """The cell table and the sweeps' attributes; the voltages stay in the file."""
        if len(file) == 0:
            raise DamagedFile(f"{self.path.name} holds no cells; give it a group or dataset a cell")
        first = file[next(iter(file))]
        self.layout = "sweeps" if isinstance(first, h5py.Group) else "action_potentials"
        self.kind = self.kind or str(file.attrs.get("kind", _of_mirror(self.path)))
        one_of(f"attribute kind of {self.path.name}", self.kind, KINDS)
        dataset = str(file.attrs.get("dataset", "Clamp"))
        rows = []
        self._recordings: dict[str, Recording] = {}
        for cell_id, entry in file.items():
            if isinstance(entry, h5py.Group) != (self.layout == "sweeps"):
                raise DamagedFile(f"{self.path.name}: cell {cell_id} has another layout than the first; keep to one")
            label = str(entry.attrs.get("label", ""))
            sweeps = self._sweeps(cell_id, entry) if self.layout == "sweeps" else self._peak(cell_id, entry)
            self._recordings[cell_id] = Recording(cell_id, dataset, self.kind, sweeps, label or None)
            rows.append(
                {
                    "cell_id": cell_id,
                    "label": label or UNSURE,
                    "dataset": dataset,
                    "donor": str(entry.attrs.get("donor", "")),
                    "split": "",  # the attribute `split` is of another cohort: it marks training cells only
                    "published_split": str(entry.attrs.get("split", "")),
                }
            )
        self._cells = pd.DataFrame(rows)

    def _sweeps(self, cell_id: str, group: h5py.Group) -> tuple[Sweep, ...]:
        found = []
        names = [name for name in group if SWEEP_NAME.fullmatch(name)]
        if not 1 <= len(names) <= MAX_SWEEPS:
            raise DamagedFile(f"{self.path.name}: cell {cell_id} has {len(names)} sweeps; give 1 to {MAX_SWEEPS}")
        # A cell that lacks the one at the wanted current is excluded with a reason: see `sweeps.choose_sweeps`.
        for number, name in enumerate(sorted(names)):
            where = f"{self.path.name}: cell {cell_id}, {name}"
            dataset = _flat(group[name], where)
            needed = ("mv_per_count", *SWEEP_ATTRIBUTES) if dataset.dtype.kind in "iu" else SWEEP_ATTRIBUTES
            values = _attributes(dataset, needed, where)
            values |= {key: dataset.attrs[key] for key in ("mv_per_count", "n_spikes") if key in dataset.attrs}
            reader = partial(_read_counts, str(self.path), f"{cell_id}/{name}")
            numbers = {key: _number(value, where, key) for key, value in values.items()}
            found.append(
                Sweep(
                    number=number,
                    stimulus_pa=numbers["stimulus_pa"],
                    onset_s=numbers["stimulus_onset_s"],
                    duration_s=numbers["stimulus_duration_s"],
                    rate_hz=numbers["rate_hz"],
                    reader=reader,
                    n_spikes=int(numbers["n_spikes"]) if "n_spikes" in numbers else None,
                )
            )
        return tuple(found)

    def _peak(self, cell_id: str, dataset: h5py.Dataset) -> tuple[Sweep, ...]:
        where = f"{self.path.name}: cell {cell_id}"
        values = _attributes(_flat(dataset, where), PEAK_ATTRIBUTES, where)
        rate_hz, peak = (_number(values[key], where, key) for key in PEAK_ATTRIBUTES)
        reader = partial(_read_millivolts, str(self.path), cell_id)
        # The step that evoked it is not in the file: its current is not known and it has no length.
        return (Sweep(0, float("nan"), peak / rate_hz, 0.0, rate_hz, reader, n_spikes=1),)

    def cells(self) -> pd.DataFrame:
        """One row a cell: cell_id, label, dataset, donor, split (empty), published_split (as the file has it)."""
        return self._cells.copy()

    def recording(self, cell_id: str) -> Recording:
        """The sweeps of one cell; voltages are read on demand."""
        return find_cell(self._recordings, cell_id, self.path.name)


def _of_mirror(path: Path) -> str:
    """What the cells of a file of the data mirror are; of any other file, `unknown`."""
    mirror = os.environ.get(MIRROR_ENVIRONMENT, "")
    known = {Path(mirror, name).resolve(): kind for name, kind in MIRROR_KINDS.items()} if mirror else {}
    return known.get(path.resolve(), "unknown")


def _flat(dataset: h5py.Dataset, where: str) -> h5py.Dataset:
    flat = isinstance(dataset, h5py.Dataset) and dataset.ndim == 1 and dataset.dtype.kind in "iuf"
    if not flat or len(dataset) < 2:
        raise DamagedFile(f"{where}: not a flat series of numbers; see stslib.io.hdf5 for the layouts")
    return dataset


def _attributes(entry: h5py.Group | h5py.Dataset, names: Iterable[str], where: str) -> dict[str, object]:
    missing = [name for name in names if name not in entry.attrs]
    if missing:
        raise DamagedFile(f"{where}: attribute {missing[0]!r} is missing; see stslib.io.hdf5 for the layouts")
    return {name: entry.attrs[name] for name in names}


def _number(value: object, where: str, key: str) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = float("nan")
    if not np.isfinite(number) or (key == "rate_hz" and number <= 0):
        raise DamagedFile(f"{where}: attribute {key!r} is {value!r}; it must be a number that makes sense; correct it")
    return number


def _load(path: str, name: str) -> tuple[np.ndarray, dict[str, float]]:
    try:
        with h5py.File(path, "r") as file:
            dataset = file[name]
            return np.asarray(dataset[()], np.float64), dict(dataset.attrs)
    except (OSError, KeyError) as error:
        raise DamagedFile(f"{Path(path).name}: {name} cannot be read ({one_line(error)})") from None


def _read_counts(path: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Voltage in mV and the current that the attributes describe, in pA: two arrays `(n_samples,)`."""
    counts, about = _load(path, name)
    start = round(about["stimulus_onset_s"] * about["rate_hz"])
    stop = start + round(about["stimulus_duration_s"] * about["rate_hz"])
    i_pa = np.zeros(len(counts))
    i_pa[start:stop] = about["stimulus_pa"]
    return counts * about.get("mv_per_count", 1.0), i_pa


def _read_millivolts(path: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    v_mv, _ = _load(path, name)
    return v_mv, np.full(len(v_mv), np.nan)  # the current was not kept
