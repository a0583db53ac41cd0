"""The authors' published tables: labels, split and electrophysiology features of the 5,590 real cells. No recordings.

The tables come from a mirror folder when the environment variable `STS_DATA_MIRROR` names one (its layout is
`<mirror>/published/<file>`), else from the authors' repositories by pooch. Either way each file must have the recorded
sha256. The addresses are tested with the mirror's files only; a wrong one ends in one clear line, never in wrong data.
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

import pandas as pd
import pooch

from stslib import cohort
from stslib.io.source import WithoutSweeps
from stslib.support.errors import DamagedFile, MissingInput
from stslib.support.files import MIRROR_ENVIRONMENT, sha256_of
from stslib.support.progress import progress

_STS = "https://raw.githubusercontent.com/smilies-polito/spike-train-scalograms/294842c/data"
_SPLIT = f"{_STS}/Split"
_NSS = "https://raw.githubusercontent.com/smilies-polito/NSS/0b99576/data"
_CLAMP, _SEQ = f"{_NSS}/PatchClampDataset", f"{_NSS}/PatchSeqDataset"

#: File, folder that it is downloaded from, and sha256 of each table.
FILES = {
    "PatchClamp_EP_features.csv": (_SPLIT, "cb5dbcd9bb82304586436df379d3b90c7c7626cc1e994daf3418bdc38b55068d"),
    "PatchSeq_EP_features.csv": (_SPLIT, "98c72c0666f3f66e6c5aebb622027c00f261629d19cd215c5d2f7a9dfb8f6edb"),
    "Train_split.csv": (_SPLIT, "85ab0a7062c0564c2767f726f4249cb2a66c596c391363b72cc8981b5317f5ce"),
    "Test_split.csv": (_SPLIT, "9db5666f4a904149ae55aa4223060bbd71adacc7e706ef0699099c56649f8f72"),
    "cell_types_GouwensAll_new.txt": (_STS, "6961096fe78793510b1096045ffa89989f3cd4c678b8782c5283232f5c58997b"),
    "PatchClamp_metadata.csv": (_CLAMP, "710ef85f8545523f809b25e83752c4af26c6cd16e107e88e7a80c8e089759d1a"),
    "PatchSeq_metadata.csv": (_SEQ, "0b5c196a5dce3a6127cb97fcbf517e46ef1af163e63a47da8ba34e9dccfd52cd"),
}
#: Start of the current step in the sweeps of either data set, in s (measured on the tables; the same for every cell).
ONSET_S = {"Clamp": 1.02, "Seq": 0.5}


def fetch(file: str, mirror: str | None = None) -> Path:
    """Path of one of the `FILES`, checked by its sha256: from `mirror` when one is named, else downloaded and kept.

    `mirror` is by default the folder that `STS_DATA_MIRROR` names; `""` is none.

    Raises
    ------
    MissingInput
        The mirror does not have the file, or it cannot be downloaded.
    DamagedFile
        The file's sha256 is not the recorded one.
    """
    folder, sha256 = FILES[file]
    address = f"{folder}/{file}"
    mirror = os.environ.get(MIRROR_ENVIRONMENT, "") if mirror is None else mirror
    if mirror:
        path = Path(mirror).expanduser() / "published" / file
        if not path.is_file():
            raise MissingInput(f"the mirror {mirror} has no published/{file}; add it, or unset {MIRROR_ENVIRONMENT}")
        return check(path, sha256)
    try:
        cache = pooch.os_cache("stslib") / "published"
        return Path(pooch.retrieve(address, known_hash=f"sha256:{sha256}", fname=file, path=cache))
    except ValueError as error:
        raise DamagedFile(
            f"{address} is not the published file: its sha256 is not {sha256[:12]}...; fetch it from elsewhere"
        ) from error
    except Exception as error:  # requests, urllib3 and the operating system each have classes of their own
        why = type(error).__name__
        raise MissingInput(
            f"cannot download {address} ({why}); name a folder that holds published/{file} in {MIRROR_ENVIRONMENT}"
        ) from error


def training_features() -> pd.DataFrame | None:
    """Features and labels of the training cells, without a download: None where neither a mirror nor a fetch has the tables."""
    mirror = os.environ.get(MIRROR_ENVIRONMENT)
    folder = Path(mirror).expanduser() if mirror else pooch.os_cache("stslib")
    if not all((folder / "published" / file).is_file() for file in FILES):
        return None
    source = Published()
    train = source.cells().query("split == 'train'")[["cell_id", "label"]]
    return train.merge(source.features(), on="cell_id")


def check(path: Path, sha256: str) -> Path:
    """The path, where the file has this sha256; else DamagedFile."""
    found = sha256_of(path)
    if found != sha256:
        raise DamagedFile(
            f"{path} is not the published file (sha256 {found[:12]}..., not {sha256[:12]}...); fetch it again"
        )
    return path


class Published(WithoutSweeps):
    """The authors' tables as a source of cells; the features were measured on real cells. `mirror` as in `fetch`."""

    name = data = "published"
    kind = "real"
    holds = "tables"

    def __init__(self, mirror: str | None = None) -> None:
        self._mirror = mirror

    @cached_property
    def _paths(self) -> dict[str, Path]:
        return {file: fetch(file, self._mirror) for file in progress(list(FILES), "published tables")}

    def _table(self, file: str, separator: str = ",", **options: object) -> pd.DataFrame:
        try:
            return pd.read_csv(self._paths[file], sep=separator, dtype=str, skipinitialspace=True, **options)
        except (ValueError, UnicodeDecodeError) as error:
            raise DamagedFile(f"{self._paths[file]} cannot be read as a table; fetch it again") from error

    def cells(self) -> pd.DataFrame:
        """Every cell of both metadata tables, 6,768 rows: also those that the paper excludes, with the reason.

        Returns
        -------
        DataFrame
            `cell_id`, `label` (the authors' own, empty for human cells), `dataset` (by the authors' split file, else
            by the table that the cell is in), `donor`, `split` (`train`, `test` or empty), `reason` (a code of
            `stslib.cohort.REASONS`, empty for the 5,590 cells of the split), `line` (transgenic line) and `t_type`
            (transcriptomic type), where known.
        """
        clamp = self._table("PatchClamp_metadata.csv", ";")
        seq = self._table("PatchSeq_metadata.csv")
        columns = {
            "cell_id": [*clamp["specimen_id"], *seq["cell_specimen_id"]],
            "dataset": ["Clamp"] * len(clamp) + ["Seq"] * len(seq),
            "donor": [*clamp["donor__id"], *seq["donor_id"]],
            "line": [*clamp["line_name"], *seq["full_genotype"]],
            "t_type": [*[""] * len(clamp), *seq["T-type Label"]],
        }
        cells = pd.DataFrame(columns).fillna({"line": "", "t_type": "", "donor": ""})
        labels = self._table("cell_types_GouwensAll_new.txt", " ", names=["label", "cell_id"])
        cells["label"] = cells["cell_id"].map(labels.set_index("cell_id")["label"]).fillna("")
        split = self._split()
        cells["split"] = cells["cell_id"].map(split.set_index("cell_id")["split"]).fillna("")
        by_split = cells["cell_id"].map(split.set_index("cell_id")["dataset"])
        cells["dataset"] = by_split.fillna(cells["dataset"])
        human = set(clamp.loc[clamp["donor__species"] != "Mus musculus", "specimen_id"])
        cells["reason"] = ""
        cells.loc[cells["split"] == "", "reason"] = "not_in_split"
        cells.loc[cells["label"] == cohort.UNSURE, "reason"] = "unsure_label"
        cells.loc[cells["cell_id"].isin(human), "reason"] = "not_mouse"
        order = ["cell_id", "label", "dataset", "donor", "split", "reason", "line", "t_type"]
        cohort.check_cells(cells)
        return cells[order]

    def _split(self) -> pd.DataFrame:
        parts = {}
        for name, file in (("train", "Train_split.csv"), ("test", "Test_split.csv")):
            parts[name] = self._table(file, header=None, names=["cell_id", "dataset"]).assign(split=name)
        cohort.check_split(list(parts["train"]["cell_id"]), list(parts["test"]["cell_id"]))
        return pd.concat(parts.values(), ignore_index=True)

    def features(self) -> pd.DataFrame:
        """The features that the two published tables share, one row a cell of either table.

        Returns
        -------
        DataFrame
            `cell_id`, `dataset`, `onset_s` (start of the current step), then the 45 shared columns in alphabetical
            order, as published (V in mV, t in s from the start of the sweep, i in pA, `ri` in MOhm, `tau` and
            `avg_isi` in ms). Implausible values are left as they are (one `peak_v_ramp` is 4e10 mV).
        """
        clamp = self._table("PatchClamp_EP_features.csv").rename(columns={"specimen_id": "cell_id"})
        seq = self._table("PatchSeq_EP_features.csv").rename(columns={"cell_specimen_id": "cell_id"})
        shared = sorted((set(clamp.columns) & set(seq.columns)) - {"cell_id"})
        tables = []
        for dataset, table in (("Clamp", clamp), ("Seq", seq)):
            numbers = table[shared].apply(pd.to_numeric)
            head = pd.DataFrame({"cell_id": table["cell_id"], "dataset": dataset, "onset_s": ONSET_S[dataset]})
            tables.append(pd.concat([head, numbers], axis=1))
        return pd.concat(tables, ignore_index=True)
