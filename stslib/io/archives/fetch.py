"""Fetching cells into a folder: what is to be fetched, fetching it, and the account.

A cell's file takes its name when it is whole, so a kill at any moment costs the cells in work and nothing else. The folder
depends neither on the order in which cells came nor on the number of workers.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from stslib import cohort
from stslib.io.archives.archive import Archive
from stslib.io.archives.fetched import ABOUT, COLUMNS, COMPLETE, FORMAT, FetchedCell, cell_path, read_about, read_cell
from stslib.io.archives.selection import Measure, fetch_cell
from stslib.io.files.traces import BadRecording
from stslib.support.errors import DamagedFile, MissingInput, ParameterError, StsError
from stslib.support.files import atomic
from stslib.support.parallel import run
from stslib.support.progress import progress
from stslib.sweeps import SweepSettings

#: Reasons that may be gone the next time: the cell is tried again.
PASSING = ("fetch_failed",)
#: Assumed speed of the line, in bytes a second, for the estimate before a fetch.
ASSUMED_BYTES_PER_S = 5e6
#: The settings that decide what is in the folder; the others are chosen when it is read.
STORED_SETTINGS = ("offset_pa", "tolerance_pa", "repeats", "rate_hz", "before_s", "after_s")


@dataclass(frozen=True)
class Plan:
    """What a fetch will do.

    `cells` are the requested ones of the archive's table, and those that the table excludes; `todo` the ids to fetch;
    `n_bytes` to transfer of files of `whole_bytes` in about `seconds` (estimates).
    """

    cells: pd.DataFrame
    todo: list[str]
    n_bytes: int
    whole_bytes: int
    seconds: float

    def __str__(self) -> str:
        excluded = int((self.cells["reason"] != "").sum())
        there = len(self.cells) - excluded - len(self.todo)
        return (
            f"{len(self.cells)} cells: {excluded} excluded by their table, {there} already there, {len(self.todo)} to fetch, "
            f"about {self.n_bytes / 1e6:,.0f} MB (of {self.whole_bytes / 1e9:,.1f} GB of files), "
            f"about {_duration(self.seconds)} at {ASSUMED_BYTES_PER_S / 1e6:g} MB/s"
        )


class Fetcher:
    """Fetches cells into `folder` (layout: `stslib.io.archives.fetched`)."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser()

    def plan(self, archive: Archive, n_cells: int = 0, seed: int = 2026, workers: int = 8) -> Plan:
        """What a fetch of `n_cells` cells would do (0: all); the same cells whatever was fetched before.

        The cells are drawn at random from those that the table does not exclude, so that a part stands for the whole; a
        larger number holds all cells of a smaller one. ParameterError for a number below 0.
        """
        if n_cells < 0:
            raise ParameterError(f"cells is {n_cells}; use 0 for all, or a positive number")
        if workers < 1:
            raise ParameterError(f"workers is {workers}; use 1 or more")
        cells = archive.cells()
        good = cells.index[cells["reason"] == ""].to_numpy()
        if n_cells and n_cells < len(good):
            order = np.random.default_rng(seed).permutation(len(cells))
            chosen = good[np.argsort(order[good], kind="stable")][:n_cells]
            cells = cells[(cells["reason"] != "") | cells.index.isin(chosen)]
        cells = cells.reset_index(drop=True)
        done = {cell_id for cell_id in self.finished() if self._reason(cell_id) not in PASSING}
        todo = [cell_id for cell_id in cells["cell_id"][cells["reason"] == ""] if cell_id not in done]
        n_bytes, whole = archive.size_bytes(todo)
        latency_s = len(todo) * archive.requests_per_cell * archive.http.seconds_per_request / workers
        return Plan(cells, todo, n_bytes, whole, latency_s + n_bytes / ASSUMED_BYTES_PER_S)

    def fetch(
        self,
        archive: Archive,
        plan: Plan,
        settings: SweepSettings = SweepSettings(),
        measure: Measure | None = None,
        workers: int = 8,
        scheduler: str = "",
    ) -> pd.DataFrame:
        """Fetch what is not there yet; returns the account.

        Parameters
        ----------
        archive, plan, settings
            Where the cells are, what `plan` gave, and how sweeps are chosen.
        measure : callable, optional
            Measures features of a recording (all that the features' table should have), for the cells that no table has.
        workers : int
            Cells at a time.
        scheduler : str
            Address of a Dask scheduler, to do the work there; by default threads of this process.

        Raises
        ------
        ParameterError
            When the folder was made from another archive or with other settings.
        StsError
            When another fetch is writing to it, or the disk cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.folder / ".lock", timeout=0):
                self._begin(archive.name, settings)
                rheobases = archive.rheobase_sweeps()
                rows = plan.cells.set_index("cell_id", drop=False)
                complete = self._write_features(archive)
                jobs = [
                    (archive, rows.loc[c].to_dict(), settings, rheobases.get(c), None if c in complete else measure)
                    for c in plan.todo
                ]
                # Mostly waiting for the network: threads.
                done = run(fetch_cell, jobs, workers, scheduler, threads=True, in_order=False)
                for cell in progress(done, "Cells", total=len(jobs)):
                    self._write_cell(cell)
                return self._write_account(plan.cells)
        except Timeout as error:
            raise StsError(f"another fetch is writing to {self.folder}; wait for it, or use another folder") from error

    def finished(self) -> list[str]:
        """Ids of the cells that have a file."""
        return sorted(p.stem for p in (self.folder / "cells").glob("*.npz") if not p.name.startswith("."))

    def _write_cell(self, cell: FetchedCell) -> None:
        """Write one cell; its file is whole or not there."""
        texts = json.dumps({"row": cell.row, "features": cell.features}, sort_keys=True, default=np.generic.item)
        with atomic(cell_path(self.folder, str(cell.row["cell_id"]))) as part, part.open("wb") as out:
            np.savez(
                out,
                texts=np.array(texts.encode()),
                sweeps=cell.sweeps.astype(np.float32),
                long_squares=cell.long_squares,
                resampling=cell.resampling,
            )

    def _reason(self, cell_id: str) -> str:
        """Why a finished cell was excluded; a damaged file is removed, so that the cell is fetched again."""
        try:
            return str(read_cell(self.folder, cell_id).row["reason"])
        except DamagedFile:
            cell_path(self.folder, cell_id).unlink(missing_ok=True)
            return PASSING[0]

    def _begin(self, name: str, settings: SweepSettings) -> None:
        stored = {key: getattr(settings, key) for key in STORED_SETTINGS}
        about = {"format": FORMAT, "archive": name, "settings": stored}
        try:
            there = read_about(self.folder)
        except (MissingInput, DamagedFile):
            there = None
        if there is not None and there != about:
            raise ParameterError(
                f"{self.folder} holds sweeps of {there['archive']} chosen with {there['settings']}; use another folder for "
                f"{name} with {stored}"
            )
        (self.folder / "cells").mkdir(exist_ok=True)
        for part in (self.folder / "cells").glob(".part-*"):  # what a kill interrupted
            part.unlink(missing_ok=True)
        if there is None:
            with atomic(self.folder / ABOUT) as path:
                path.write_text(json.dumps(about, indent=1, sort_keys=True))

    def _write_account(self, cells: pd.DataFrame) -> pd.DataFrame:
        """One row for every cell of `cells`, in its order."""
        rows, squares, measured = [], [], []
        for cell in cells.to_dict("records"):
            if cell["reason"]:
                rows.append({**cell, "status": "excluded"})
                continue
            fetched = read_cell(self.folder, cell["cell_id"])
            rows.append({**cell, **fetched.row})
            if fetched.features:
                measured.append({"cell_id": cell["cell_id"], **fetched.features})
            for number, stimulus_pa, n_spikes in fetched.long_squares:
                squares.append((cell["cell_id"], int(number), stimulus_pa, n_spikes))
        extras = [c for c in cells.columns if c not in COLUMNS]
        table = pd.DataFrame(rows, columns=[*COLUMNS, *extras])
        whole = ("rheobase_sweep", "partner_sweep", "rheobase_spikes", "partner_spikes", "table_rheobase_sweep")
        table = table.astype(dict.fromkeys(whole, "Int64"))
        unknown = set(table["reason"]) - set(cohort.REASONS) - {""}
        if unknown or len(table) != len(cells):
            raise StsError(
                f"the account of {self.folder} does not add up ({len(table)} of {len(cells)} cells, {unknown}); "
                "fetch into another folder"
            )
        long_squares = pd.DataFrame(squares, columns=["cell_id", "number", "stimulus_pa", "n_spikes"])
        long_squares["n_spikes"] = long_squares["n_spikes"].astype("Int64")
        features = pd.DataFrame(measured, columns=["cell_id", *(f for f in (measured or [{}])[0] if f != "cell_id")])
        for name, frame in (("long_squares", long_squares), ("measured", features), ("cells", table)):
            with atomic(self.folder / f"{name}.csv") as path:
                frame.to_csv(path, index=False)
        return table

    def _write_features(self, archive: Archive) -> set[str]:
        """Write the archive's features; returns the cells whose features are complete."""
        with suppress(BadRecording):  # they come with the next fetch
            features = archive.features()
            if len(features):
                with atomic(self.folder / "features.csv") as path:
                    features.to_csv(path, index=False)
            if COMPLETE in features:
                return set(features.loc[features[COMPLETE].notna(), "cell_id"])
        return set()


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
