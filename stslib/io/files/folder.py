"""The user's own recordings: a file or a folder of NWB 2, NWB 1 and ABF files, with a table of labels if there is one.

Every file is accounted for: one that cannot be used has a reason and one line of detail, and never stops the others.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd

from stslib.cohort import CLASSES, UNSURE
from stslib.io.files import abf, nwb
from stslib.io.files.traces import BadRecording, usable
from stslib.io.source import Source, find_cell
from stslib.recordings import KINDS, Recording
from stslib.support.errors import MissingInput, ParameterError, StsError, one_line, one_of
from stslib.support.progress import progress

SUFFIXES = (".nwb", ".abf")
_LABEL_COLUMNS = ("cell_id", "label", "donor")


class Files(Source):
    """Recordings from files, one cell a file.

    Parameters
    ----------
    path : path
        An NWB or ABF file, or a folder; its subfolders are searched, too.
    labels : path, optional
        CSV with the columns `cell_id` and `label` (one of `stslib.cohort.CLASSES`, or empty) and, optionally, `donor`.
        The id of a cell is its file's name without the suffix; in subfolders, its path below `path`.
    dataset : str
        Name of the data set in tables.
    kind : str
        What the voltage is, one of `KINDS`; files do not say.

    Raises
    ------
    ParameterError, MissingInput, StsError
        No path is given; there is no recording at it; the label table cannot be read.
    """

    name = "files"

    def __init__(self, path: str | Path, labels: str | Path = "", dataset: str = "files", kind: str = "real") -> None:
        one_of("kind", kind, KINDS)
        if not str(path):
            raise ParameterError("path is empty; name a folder of .nwb or .abf files")
        self.path, self.dataset, self.kind = Path(path).expanduser(), dataset, kind
        self._paths = _find(self.path)
        self._labels = Labels(labels) if str(labels) else None
        self._recordings: dict[str, Recording | BadRecording] = {}
        self._cells: pd.DataFrame | None = None

    def cells(self) -> pd.DataFrame:
        """One row a file: cell_id, label, dataset, donor, split (`""` where not known), file, reason, detail (one line)."""
        if self._cells is None:
            rows = []
            for cell_id in progress(self._paths, "Reading files"):
                label, donor, doubt = self._label(cell_id)
                reason, detail = self._check(cell_id)
                if doubt and self._labels and not reason:
                    reason, detail = "unsure_label", doubt
                rows.append((cell_id, label, self.dataset, donor, "", str(self._paths[cell_id]), reason, detail))
            columns = ["cell_id", "label", "dataset", "donor", "split", "file", "reason", "detail"]
            self._cells = pd.DataFrame(rows, columns=columns)
        return self._cells.copy()

    def unused_labels(self) -> list[str]:
        """Ids of the label table that no file has."""
        return self._labels.unused(set(self._paths)) if self._labels else []

    def recording(self, cell_id: str) -> Recording:
        """The long-square sweeps of one file, read on demand; BadRecording when it cannot be used."""
        find_cell(self._paths, cell_id, self.path)
        if cell_id not in self._recordings:
            try:
                self._recordings[cell_id] = self._open(cell_id)
            except BadRecording as error:
                self._recordings[cell_id] = error
        found = self._recordings[cell_id]
        if isinstance(found, BadRecording):
            raise found
        return found

    def readable(self) -> list[str]:
        """The cells whose files can be used."""
        table = self.cells()
        return list(table.loc[~table["reason"].isin(_UNUSABLE), "cell_id"])

    def _open(self, cell_id: str) -> Recording:
        path = self._paths[cell_id]
        label = self._label(cell_id)[0] or None
        if path.suffix.lower() == ".abf":
            found = abf.read_recording(path, cell_id, self.dataset, label, self.kind)
        else:
            found = nwb.read_recording(nwb.open_path(path), path.name, cell_id, self.dataset, label, self.kind)
        return usable(found, path.name)

    def _check(self, cell_id: str) -> tuple[str, str]:
        """Reason and detail of a file that cannot be used; its first readable sweep is read to see its scale."""
        try:
            found = self.recording(cell_id)
            problem: BadRecording | None = None
            for sweep in found.sweeps:
                try:
                    sweep.load()
                    return "", ""
                except BadRecording as error:
                    problem = error
                    if error.reason in ("wrong_units", "unreadable_file"):
                        break
                except StsError as error:
                    problem = BadRecording("bad_trace", str(error))
            return (problem.reason, f"{cell_id}: {problem}") if problem else ("", "")
        except BadRecording as error:
            return error.reason, str(error)

    def _label(self, cell_id: str) -> tuple[str, str, str]:
        """Label, donor, and what is wrong with the label."""
        return self._labels.of(cell_id) if self._labels else ("", "", "no label table names its class")


_UNUSABLE = ("unreadable_file", "wrong_units", "no_long_square", "low_rate", "short_step", "bad_trace")


def _find(path: Path) -> dict[str, Path]:
    """The files by cell id."""
    if not path.exists():
        raise MissingInput(f"there is no file or folder {path}; give a folder of .nwb or .abf files")
    found = sorted(p for p in path.rglob("*") if _is_recording(p)) if path.is_dir() else [path]
    found = [p for p in found if p.is_file() and p.suffix.lower() in SUFFIXES]
    if not found:
        raise MissingInput(f"{path} holds no recording; give files that end in {' or '.join(SUFFIXES)}")
    base = path if path.is_dir() else path.parent
    short = [p.relative_to(base).with_suffix("").as_posix() for p in found]
    times = Counter(short)
    return {
        name if times[name] == 1 else p.relative_to(base).as_posix(): p for name, p in zip(short, found, strict=True)
    }


def _is_recording(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


class Labels:
    """A user's table of labels: CSV with the columns `cell_id` and `label`, and `donor` if there is one.

    A class must be one of `stslib.cohort.CLASSES`, `Unsure` or empty. MissingInput or StsError where it cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        self._rows = {str(cell_id): rows for cell_id, rows in _read_labels(Path(path).expanduser()).groupby("cell_id")}

    def of(self, cell_id: str) -> tuple[str, str, str]:
        """Label and donor of a cell (empty where not known), and what is wrong with its label (empty if nothing)."""
        rows = self._rows.get(cell_id)
        if rows is None:
            return "", "", "the label table does not name it"
        label, donor = rows["label"].iloc[0], rows["donor"].iloc[0]
        if rows["label"].nunique() > 1:
            both = " and ".join(rows["label"].unique()[:2])
            return "", donor, f"the label table names {cell_id} {len(rows)} times, as {both}"
        if label and label not in (*CLASSES, UNSURE):
            return "", donor, f"the label of {cell_id} is {label!r}; use one of: {', '.join(CLASSES)}"
        doubt = {"": "the label table has no class for it", UNSURE: f"the label table says {UNSURE}"}.get(label, "")
        return label, donor, doubt

    def unused(self, cell_ids: set[str]) -> list[str]:
        """Ids of the table that are not among `cell_ids`."""
        return sorted(set(self._rows) - cell_ids)


def _read_labels(path: Path) -> pd.DataFrame:
    """The table: `_LABEL_COLUMNS`, all text without spaces around it."""
    if not path.is_file():
        raise MissingInput(f"there is no label table {path}; give a CSV file with the columns cell_id and label")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, pd.errors.ParserError, UnicodeError) as error:
        raise StsError(f"{path} cannot be read as CSV: {one_line(error)}") from error
    table.columns = [str(c).strip() for c in table.columns]
    missing = [c for c in ("cell_id", "label") if c not in table.columns]
    if missing:
        raise StsError(f"{path} has no column {missing[0]!r}; it has: {', '.join(table.columns)}")
    if "donor" not in table.columns:
        table["donor"] = ""
    return table[list(_LABEL_COLUMNS)].apply(lambda column: column.str.strip())
