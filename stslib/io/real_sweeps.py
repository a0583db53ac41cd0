"""Six real long-square sweeps of the Allen Cell Types Database, one a cell.

They are files of the repository mackelab/IdentifyMechanisticModels_2020 (commit b93c90e, `6_allen/support_files`), recorded
at 50 kHz, 40 to 100 pA above the rheobase. They are read from a folder and are not part of this project.
"""

from __future__ import annotations

import re
import zlib
from functools import partial
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from stslib.io.source import Source, find_cell
from stslib.recordings import Recording, Sweep
from stslib.support.errors import DamagedFile, MissingInput
from stslib.support.files import mirror_path

FILE_NAME = re.compile(r"ephys_cell_(\d+)_sweep_number_(\d+)\.npz")
#: The cell that is not Excitatory; classes by the transgenic line (Cell Types Database).
LABELS = {"566517779": "Sst"}


class RealSweeps(Source):
    """The six sweeps.

    Parameters
    ----------
    path : str
        Folder with the `.npz` files; by default the folder `sweeps` of the data mirror.

    Raises
    ------
    MissingInput, DamagedFile
        There is no such folder or no sweep in it; a file is not what its name says.
    """

    name = "real_sweeps"
    kind = "real"

    def __init__(self, path: str = "mirror:sweeps") -> None:
        self.path = mirror_path(path)
        files = sorted(f for f in self.path.glob("*.npz") if FILE_NAME.fullmatch(f.name)) if self.path.is_dir() else []
        if not files:
            raise MissingInput(f"{self.path} holds no file such as ephys_cell_509881736_sweep_number_39.npz; add them")
        self._recordings = {recording.cell_id: recording for recording in map(_recording, files)}

    def cells(self) -> pd.DataFrame:
        """One row a cell: cell_id, label, dataset, donor (not known), split (empty)."""
        rows = [(r.cell_id, r.label, r.dataset, "", "") for r in self._recordings.values()]
        return pd.DataFrame(rows, columns=["cell_id", "label", "dataset", "donor", "split"])

    def recording(self, cell_id: str) -> Recording:
        """The one sweep of a cell."""
        return find_cell(self._recordings, cell_id, self.path)


def _recording(path: Path) -> Recording:
    match = FILE_NAME.fullmatch(path.name)
    cell_id, number = match.groups() if match else ("", "0")
    arrays = _arrays(path)
    onset_ms, end_ms, dt_ms = (float(arrays[key]) for key in ("t_on_ms", "t_off_ms", "dt_ms"))
    if not (dt_ms > 0 and 0 <= onset_ms < end_ms <= dt_ms * len(arrays["i_pA"])):
        raise DamagedFile(
            f"{path.name}: step from {onset_ms} to {end_ms} ms at {dt_ms} ms a sample; fetch the file again"
        )
    stimulus_pa = float(np.median(arrays["i_pA"][round(onset_ms / dt_ms) : round(end_ms / dt_ms)]))
    # t_off names the last sample of the step, one before its end.
    duration_s, rate_hz = (end_ms - onset_ms + dt_ms) / 1000, 1000 / dt_ms
    sweep = Sweep(int(number), stimulus_pa, onset_ms / 1000, duration_s, rate_hz, partial(_read, path))
    return Recording(cell_id, "Clamp", RealSweeps.kind, (sweep,), LABELS.get(cell_id, "Excitatory"))


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in ("v_mV", "i_pA", "dt_ms", "t_on_ms", "t_off_ms")}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error) as error:
        why = type(error).__name__
        raise DamagedFile(f"{path.name} is not a sweep that can be read ({why}); fetch it again") from None
    if arrays["v_mV"].ndim != 1 or arrays["v_mV"].shape != arrays["i_pA"].shape:
        shapes = f"voltage {arrays['v_mV'].shape} and current {arrays['i_pA'].shape}"
        raise DamagedFile(f"{path.name}: {shapes} must be flat and equal; fetch it again")
    return arrays


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    arrays = _arrays(path)
    return arrays["v_mV"], arrays["i_pA"]
