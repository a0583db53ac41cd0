"""The user's own recordings: a file or a folder of NWB, ABF and other files, with a table of labels if there is one.

Every sweep of every file is accounted for: one that cannot be used has a reason and one line of detail, and stops no other.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import pandas as pd

from stslib.io.files import abf, nwb, others
from stslib.io.files.account import Account, Row, account
from stslib.io.files.tables import KNOWN, Labels, Steps
from stslib.io.files.traces import BadRecording, RawSweep
from stslib.io.source import Source, find_cell
from stslib.recordings import KINDS, Recording
from stslib.support import parallel
from stslib.support.errors import MissingInput, ParameterError, one_line, one_of
from stslib.support.progress import progress
from stslib.sweeps import NoPair, SweepSettings, choose_sweeps

SUFFIXES = tuple(f".{suffix}" for suffix in KNOWN)
STEPS_FILE = "steps.csv"
#: What a sweep is used as; a sweep without a reason is `available`: not needed beside the chosen ones.
USES = ("rheobase", "partner", "second partner")


class Files(Source):
    """Recordings from files, one cell a file.

    Parameters
    ----------
    path : a file, or a folder with its subfolders. A cell's id is its file's name without the suffix (path below `path`)
    labels : CSV with the columns `cell_id` and `label` (one of `stslib.cohort.CLASSES`, or empty) and perhaps `donor`
    dataset, kind : name of the data set in tables; what the voltage is, one of `KINDS`, for files do not say
    steps : CSV of the current steps of files that store none (`Steps`); by default `steps.csv` beside them, if it is there
    n_jobs : processes that read files
    """

    name = "files"

    def __init__(
        self,
        path: str | Path,
        labels: str | Path = "",
        dataset: str = "files",
        kind: str = "real",
        steps: str | Path = "",
        n_jobs: int = 1,
    ) -> None:
        one_of("kind", kind, KINDS)
        if not str(path):
            raise ParameterError("path is empty; name a folder of .nwb or .abf files")
        self.path, self.dataset, self.kind, self.n_jobs = Path(path).expanduser(), dataset, kind, n_jobs
        self._paths = _find(self.path)
        self._labels = Labels(labels) if str(labels) else None
        beside = (self.path if self.path.is_dir() else self.path.parent) / STEPS_FILE
        self._steps = Steps(steps or beside) if str(steps) or beside.is_file() else None
        self._accounts: dict[str, Account] = {}

    def cells(self) -> pd.DataFrame:
        """One row a file: cell_id, label, dataset, donor, split (`""` where not known), file, reason, detail, warning."""
        jobs = [(self._paths[c], c, self._steps) for c in self._paths if c not in self._accounts]
        if jobs:
            done = progress(parallel.run(read_account, jobs, self.n_jobs), "Reading files", total=len(jobs))
            self._accounts |= dict(zip((job[1] for job in jobs), done, strict=True))
        rows = []
        for cell_id, path in self._paths.items():
            label, donor, doubt = self._label(cell_id)
            found = self._accounts[cell_id]
            reason, detail = found.reason, found.detail
            if doubt and self._labels and not reason:
                reason, detail = "unsure_label", doubt
            rows.append((cell_id, label, self.dataset, donor, "", str(path), reason, detail, found.warning))
        columns = ["cell_id", "label", "dataset", "donor", "split", "file", "reason", "detail", "warning"]
        return pd.DataFrame(rows, columns=columns)

    def sweep_table(self, settings: SweepSettings = SweepSettings()) -> pd.DataFrame:
        """One row a sweep of every file: what it is used as, or why it is not, and what was measured of it.

        `use` is one of `USES`, `available` (it could be used and is not one of the chosen), or empty, with reason and detail.
        A file that cannot be opened is one row without a sweep.
        """
        self.cells()
        rows = []
        for cell_id, found in self._accounts.items():
            chosen: dict[int, str] = {}
            with contextlib.suppress(NoPair, BadRecording):
                numbers = [s.number for s in choose_sweeps(self.recording(cell_id), settings)]
                chosen = dict(zip(numbers, USES, strict=False))
            for row in found.rows or [Row()]:
                values = {"cell_id": cell_id, "use": chosen.get(row.sweep or 0, "available")} | asdict(row)
                if row.reason or found.reason:
                    whole = {"reason": found.reason, "detail": f"its file is left out: {found.detail}"}
                    values |= {"use": ""} if row.reason else {"use": ""} | whole
                rows.append(values)
        columns = ["cell_id", "use", *(f.name for f in fields(Row))]
        return pd.DataFrame(rows, columns=columns).astype({"sweep": "Int64", "n_spikes": "Int64"})

    def traces(self, cell_id: str) -> Iterator[tuple[int, float, np.ndarray, np.ndarray]]:
        """Number, rate in Hz, voltage in mV and current in pA of every sweep of a file that can be read at all."""
        self.cells()
        for raw in self._accounts[cell_id].raws:
            with contextlib.suppress(Exception):
                if raw.reader and raw.rate_hz:
                    yield raw.number, raw.rate_hz, *raw.reader()

    def unused_labels(self) -> list[str]:
        """Ids of the label table that no file has."""
        return self._labels.unused(set(self._paths)) if self._labels else []

    def recording(self, cell_id: str) -> Recording:
        """The long-square sweeps of one file, their spikes counted; BadRecording when it cannot be used."""
        path = find_cell(self._paths, cell_id, self.path)
        if cell_id not in self._accounts:
            self._accounts[cell_id] = read_account(path, cell_id, self._steps)
        found = self._accounts[cell_id]
        if found.reason:
            raise BadRecording(found.reason, found.detail)
        return Recording(cell_id, self.dataset, self.kind, found.sweeps, self._label(cell_id)[0] or None)

    def readable(self) -> list[str]:
        """The cells whose files can be used."""
        self.cells()
        return [cell_id for cell_id in self._paths if not self._accounts[cell_id].reason]

    def _label(self, cell_id: str) -> tuple[str, str, str]:
        """Label, donor, and what is wrong with the label."""
        return self._labels.of(cell_id) if self._labels else ("", "", "no label table names its class")


def read_account(path: Path, cell_id: str, steps: Steps | None = None) -> Account:
    """The account of one file; whatever is wrong with it is a reason."""
    try:
        readings = _readings(path)
        return account((steps.given(cell_id, raws) for raws in readings) if steps else readings, path.name)
    except BadRecording as error:
        return Account(reason=error.reason, detail=str(error))
    except (MemoryError, Exception) as error:  # one file never stops another
        detail = f"{path.name} cannot be read: {type(error).__name__}: {one_line(error)}"
        return Account(reason="unreadable_file", detail=detail)


def _readings(path: Path) -> Iterator[list[RawSweep]]:
    """What the sweeps of a file may be, most likely first."""
    if path.is_dir():
        raise BadRecording("unreadable_file", f"{path.name} is a folder, no file of recordings")
    if path.suffix.lower() == ".abf":
        yield from abf.readings(path)
    elif path.suffix.lower() == ".nwb":
        for by_time in (True, False):  # starting times may mean nothing
            yield nwb.list_sweeps(nwb.open_path(path), path.name, by_time=by_time)
    else:
        yield from others.readings(path)


def _find(path: Path) -> dict[str, Path]:
    """The files by cell id."""
    if not path.exists():
        raise MissingInput(f"there is no file or folder {path}; give a folder of .nwb or .abf files")
    inside = sorted(p for p in path.rglob("*") if _is_recording(p)) if path.is_dir() else []
    found = inside or [path]
    if not all(_is_recording(p) for p in found):
        raise MissingInput(f"{path} holds no recording; give files that end in {' or '.join(SUFFIXES)}")
    base = path if inside else path.parent
    short = [p.relative_to(base).with_suffix("").as_posix() for p in found]
    times = Counter(short)
    return {
        name if times[name] == 1 else p.relative_to(base).as_posix(): p for name, p in zip(short, found, strict=True)
    }


def _is_recording(path: Path) -> bool:
    """Whether this is a file of recordings by its name; a folder with such a name, only where it holds none."""
    if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
        return False
    if path.is_dir():
        return not any(_is_recording(p) for p in path.rglob("*"))
    if path.suffix.lower() != others.HEKA:  # many programs write files of this name
        return True
    with path.open("rb") as stream:
        return stream.read(3) == b"DAT"
