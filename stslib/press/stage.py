"""The run folder: `results/<run>/<notebook>/`, what a notebook made and how.

A notebook opens its own `Stage` with `begin`, reads others with `Stage.input` and saves through it; after its last code cell
the stage writes `manifest.json`, without which it counts as unfinished. A file is whole or absent, also after a kill.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stslib.press.environment import git_commit, machine
from stslib.press.fingerprint import Fingerprint, fingerprint, inputs_named, notebook_code
from stslib.press.folders import MANIFEST, STATE, digest_of, identity, project_root, read_manifest, run_folder
from stslib.press.parameters import read_notebook, read_parameters, resolve
from stslib.support.errors import DamagedFile, MissingInput, StsError
from stslib.support.files import atomic, sha256_of, why_not_written

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCRATCH = "scratch"
METRIC_KEYS = ("model", "data", "split", "metric", "value", "low", "high", "n")


class Stage:
    """One notebook's folder in a run. Made by `begin` (to write) or `Stage.input` and `open_stage` (to read).

    It has the notebook's `name` (without suffix), the name of the `run`, the folder's `path` and the resolved `parameters`.
    """

    def __init__(self, name: str, run: str, parameters: Mapping[str, Any], writable: bool) -> None:
        self.name, self.run, self.parameters = name, run, dict(parameters)
        self.path = run_folder(run) / name
        self._writable = writable
        self._recorded: dict[str, dict[str, Any]] = {}
        self._checked: set[str] = set()
        self._started = time.time()
        self._fingerprint: Fingerprint | None = None
        self._files_read: dict[str, str] = {}
        self._written = False

    def input(self, name: str) -> Stage:
        """Another notebook's finished results in the same run, to read (`MissingInput` where it has not finished)."""
        return open_stage(self.run, name, wanted_by=self.name)

    def _existing(self, filename: str) -> Path:
        path = self.path / filename
        if not path.is_file():
            raise MissingInput(f"{path} is not there; run notebook {self.name} again: sts run {self.name} --force")
        record = self._recorded.get(filename)
        if record and filename not in self._checked:
            if path.stat().st_size != record["bytes"] or sha256_of(path) != record["sha256"]:
                raise self._damaged(path)
            self._checked.add(filename)
        return path

    def _damaged(self, path: Path) -> DamagedFile:
        return DamagedFile(f"{path} is damaged, not what was written there; make it again: sts run {self.name} --force")

    def load_table(self, name: str, **read_csv: Any) -> pd.DataFrame:
        """Table `name` (`<name>.csv`); cell ids come back as text, other keywords go to `pandas.read_csv`."""
        path = self._existing(f"{name}.csv")
        options = {"dtype": {"cell_id": str}, "keep_default_na": True, **read_csv}
        try:
            return pd.read_csv(path, **options)
        except (ValueError, UnicodeDecodeError) as error:
            raise self._damaged(path) from error

    def load_array(self, name: str) -> np.ndarray:
        """Array `name` (`<name>.npy`), memory-mapped and read-only."""
        path = self._existing(f"{name}.npy")
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise self._damaged(path) from error

    def load_json(self, name: str) -> Any:
        """JSON `name` (`<name>.json`)."""
        path = self._existing(f"{name}.json")
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise self._damaged(path) from error

    def file(self, filename: str) -> contextlib.AbstractContextManager[Path]:
        """A path to write `filename` at; it takes its place when the block ends well (see `atomic`)."""
        if not self._writable:
            raise StsError(f"{self.name} is open for reading only; a notebook writes into its own folder")
        self._written = True
        (self.path / MANIFEST).unlink(missing_ok=True)  # a cell run once more: the notebook closes again after it
        return atomic(self.path / filename)

    def save_table(self, name: str, table: pd.DataFrame) -> pd.DataFrame:
        """Save a table as `<name>.csv`, without its index; returns it."""
        with self.file(f"{name}.csv") as path:
            table.to_csv(path, index=False)
        return table

    def save_array(self, name: str, array: np.ndarray) -> np.ndarray:
        """Save an array as `<name>.npy`; returns it."""
        with self.file(f"{name}.npy") as path, path.open("wb") as stream:
            np.save(stream, np.ascontiguousarray(array), allow_pickle=False)
        return array

    @contextlib.contextmanager
    def new_array(self, name: str, shape: tuple[int, ...], dtype: Any) -> Iterator[np.memmap]:
        """A writable memory map that becomes `<name>.npy` when the block ends well, for arrays larger than memory."""
        with self.file(f"{name}.npy") as path:
            array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
            yield array
            array.flush()

    def save_json(self, name: str, value: Any) -> Any:
        """Save plain values as `<name>.json`; returns them."""
        with self.file(f"{name}.json") as path:
            path.write_text(json.dumps(value, indent=1, allow_nan=False, default=_plain), encoding="utf-8")
        return value

    def save_figure(self, name: str, figure: Figure) -> Figure:
        """Save a figure as `<name>.svg` and `<name>.png`; returns it, so that a cell that ends in the call shows it."""
        for suffix, options in (("svg", {"metadata": {"Date": None}}), ("png", {"dpi": 160})):
            with self.file(f"{name}.{suffix}") as path:
                figure.savefig(path, format=suffix, **options)
        return figure

    def metrics(self, records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
        """Save metric records as `metrics.json`, each with exactly the keys `METRIC_KEYS`; returns them as a table."""
        for record in records:
            if set(record) != set(METRIC_KEYS):
                raise StsError(f"metric record {dict(record)!r} must have exactly the keys {', '.join(METRIC_KEYS)}")
        ordered = [{k: _finite_or_none(record[k]) for k in METRIC_KEYS} for record in records]
        return pd.DataFrame(self.save_json("metrics", ordered), columns=list(METRIC_KEYS))

    def scratch(self, name: str) -> Path:
        """A folder for what must outlive a kill of this very run (studies, finished folds); gone once anything changed."""
        folder = self.path / SCRATCH / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def reads(self, path: Path) -> Path:
        """Record that an outside file or folder was read: its digest goes into the manifest, and a change makes this stale."""
        if not path.exists():
            raise MissingInput(f"there is no file or folder {path}")
        self._files_read[str(path.resolve())] = digest_of(path)
        return path

    def done(self) -> None:
        """Close the stage: write `manifest.json`. A notebook needs not call this (see `begin`)."""
        outputs = {
            str(p.relative_to(self.path)): {"bytes": p.stat().st_size, "sha256": sha256_of(p)}
            for p in sorted(self.path.rglob("*"))
            if p.is_file() and not p.name.startswith(".") and p.name != MANIFEST and p.suffix != ".ipynb"
            and p.relative_to(self.path).parts[0] != SCRATCH
        }  # fmt: skip
        assert self._fingerprint is not None  # set by begin, the only maker of writable stages
        manifest = {
            "notebook": self.name, "run": self.run, "parameters": self.parameters, "seed": self.parameters.get("seed"),
            "fingerprint": self._fingerprint.value, "made_from": asdict(self._fingerprint), "files_read": self._files_read,
            "git_commit": git_commit(project_root()), "machine": machine(),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "duration_s": round(time.time() - self._started, 1), "outputs": outputs,
        }  # fmt: skip
        with atomic(self.path / MANIFEST) as path:
            path.write_text(json.dumps(manifest, indent=1, default=_plain), encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"cannot write a {type(value).__name__} as JSON")


def _finite_or_none(value: Any) -> Any:
    return None if isinstance(value, float | np.floating) and not np.isfinite(value) else value


def open_stage(run: str, name: str, wanted_by: str = "") -> Stage:
    """Open a finished stage of a run for reading; the `MissingInput` of an unfinished one names what makes it."""
    folder = run_folder(run) / name
    manifest = read_manifest(folder)
    if manifest is None:
        reason = f"{wanted_by} needs the results of {name}" if wanted_by else f"no results of {name}"
        raise MissingInput(f"{reason} in {folder.parent}; make them first: sts run {name} --run {run}")
    stage = Stage(name, run, manifest["parameters"], writable=False)
    stage._recorded = manifest["outputs"]
    return stage


def begin(name: str, namespace: Mapping[str, Any]) -> Stage:
    """Open a notebook's own stage, for its first cell after the parameters: `stage = begin("02_sweeps", globals())`.

    The parameters are taken from `namespace` by the names in the notebook's `parameters` cell and checked. `scratch` of an
    unfinished run of the very same fingerprint is kept; anything else in the folder goes. In IPython figures are shown, and
    the stage is closed once each code cell of the notebook's file, from this one on, has run without error: by `sts run`,
    papermill alone, or cell by cell in Jupyter. A wrong parameter is a `ParameterError`, a notebook that has to finish
    before this one a `MissingInput`.

    Examples
    --------
    >>> stage = begin("01_data", {"run": "example", "n_cells": 24})
    >>> stage.parameters["n_cells"], stage.path.name
    (24, '01_data')
    """
    notebook = project_root() / "notebooks" / f"{name}.ipynb"
    schema = read_parameters(notebook)
    parameters = resolve(schema, {k: namespace[k] for k in schema if k in namespace}, name)
    stage = Stage(name, parameters.get("run", "default"), parameters, writable=True)
    named = inputs_named(notebook_code(notebook))
    manifests = {other: read_manifest(open_stage(stage.run, other, wanted_by=name).path) or {} for other in named}
    upstream = {other: identity(manifest["fingerprint"], manifest) for other, manifest in manifests.items()}
    stage._fingerprint = fingerprint(notebook, parameters, upstream)
    _clear(stage.path, stage._fingerprint.value)
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None:
        shell.run_line_magic("matplotlib", "inline")
        for former in [f for f in shell.events.callbacks["post_run_cell"] if isinstance(f, _Closing)]:
            shell.events.unregister("post_run_cell", former)
        shell.events.register("post_run_cell", _Closing(stage, notebook))
    return stage


class _Closing:
    """Closes a notebook's stage once each of its code cells, from the one that calls `begin` on, has run without error.

    A cell is known by its text as it was in the file when the stage was opened. While one of them has failed, was
    interrupted or has not run, the stage is unfinished; after another cell wrote into it, all of them have to run again.
    """

    def __init__(self, stage: Stage, notebook: Path) -> None:
        code = [c.source.strip() for c in read_notebook(notebook).cells if c.cell_type == "code" and c.source.strip()]
        self.stage = stage
        self.cells = code[next((i for i, source in enumerate(code) if re.search(r"\bbegin\(", source)), 0) :]
        self.waiting = set(self.cells)

    def __call__(self, result: Any) -> None:
        cell = result.info.raw_cell.strip()
        written, self.stage._written = self.stage._written, False
        if cell not in self.cells:
            self.waiting |= set(self.cells) if written else set()
            return
        self.waiting = self.waiting - {cell} if result.success else self.waiting | {cell}
        problem = ""
        if not self.waiting:
            try:
                self.stage.done()
            except StsError as error:
                problem = str(error)
        elif cell == self.cells[-1] and result.success:
            problem = f"{len(self.waiting)} of its cells have not run as they are in its file; run it from the top"
        if problem:
            print(f"{self.stage.name} is unfinished: {problem}", file=sys.stderr)


def _clear(folder: Path, made_from: str) -> None:
    """Empty a stage's folder; its scratch stays when it was made under the same fingerprint."""
    state = folder / STATE
    try:
        same = state.is_file() and json.loads(state.read_text())["fingerprint"] == made_from
    except (ValueError, KeyError, OSError):
        same = False
    if folder.is_dir() and any(folder.iterdir()) and not state.is_file():
        raise StsError(f"{folder} holds files that no run made; move them away or choose another --run")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST).unlink(missing_ok=True)  # first: from here on the stage counts as unfinished
        for entry in folder.iterdir():
            if entry.name == STATE or (same and entry.name == SCRATCH):
                continue
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    except OSError as error:
        raise StsError(why_not_written(folder, error)) from error
    with atomic(state) as path:
        path.write_text(json.dumps({"fingerprint": made_from}))
