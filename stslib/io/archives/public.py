"""Public data, built from where their authors published them into a folder in the layout of the data mirror.

Six sweeps (pickles of arrays), action potentials (one archive), and the GLIF3 models of which `archives.hybrid` makes cells
(a table and a file a cell). Pooch downloads them; what has arrived is not fetched again. The SHA-256 of the source files
could not be had where this was written, nor could the addresses be tried. What is recorded and checked is the SHA-256 of
what they are to hold, worked out from the data mirror: voltages in steps of 1/32 mV, the amplifier's own, and parameters to
nine digits.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pooch

from stslib.cohort import CLASSES
from stslib.io.archives.plain_pickle import load_plain
from stslib.io.published import Published
from stslib.support.errors import DamagedFile, MissingInput
from stslib.support.files import atomic
from stslib.support.progress import progress

_RAW, _GLIF = "https://raw.githubusercontent.com", "AllenInstitute/GLIF_Teeter_et_al_2018/dcb2323"
#: Where each source's files are. The action potentials were deleted later: the commit is the one that added them.
ADDRESSES = {
    "sweeps": f"{_RAW}/mackelab/IdentifyMechanisticModels_2020/b93c90ec6156ae5f8afee6aaac7317373e9caf5e/6_allen/support_files/",
    "action_potentials": "https://codeload.github.com/ofek181/Neuronal-Cell-Type-Classification/tar.gz/",
    "glif3": f"{_RAW}/{_GLIF}/",
}
AP_ARCHIVE = "74c39dd796cb28e3ef2e11ff83d613cac0a0a7b8"
AP_FILE = re.compile(r"[^/]+/data/single_spike/mouse/[a-z0-9]+/(\d+)_\d+\.npy")
GLIF_TABLE = "GLIF_clustering/GLIF_param_plus_spike_features_7_27_17.csv"
AP_PATH = Path("action_potentials", "action_potentials.h5")
#: Name of each sweep, and SHA-256 of its voltage and current.
SWEEPS = {
    "ephys_cell_509881736_sweep_number_39": "76afefbd655be48abccab7e87330ce9895c6ff273b44207b040a9968feb1d17d",
    "ephys_cell_518290966_sweep_number_57": "a8beee8175e2807858a11389d16c977ea8a906b6ed99c36b14b833a355580ecb",
    "ephys_cell_526950199_sweep_number_37": "69c15b71490ecd0024330af0925e6e57baa1ca68b2720fffb771ce8332296040",
    "ephys_cell_532355382_sweep_number_33": "9d7e1d22063c7888f1a14743e932fa2f02fd4c2421a35d78a8d4143592ff172b",
    "ephys_cell_534524026_sweep_number_29": "622a3815ac19abe4225b7b869f302965d83a5fa0a9eb17fd06260dcde1667b2e",
    "ephys_cell_566517779_sweep_number_46": "eb2df4168c85cd4737c2f263074498a052eb4621d442fa996c6d51b8a5f4b19f",
}
#: SHA-256 of the 1,237 action potentials with their labels, and of the parameters of the 522 cells that have both.
AP_SHA256 = "a9535a8026ce67f927550d7f17be6067d9d2b44b041ee316833f9d2436458109"
GLIF_SHA256 = "6a2eb748daf445a1cc7ae647395b8ed96267d4f70e9fce06e2ab2bd1ff0bab23"
#: Steps of a recorded voltage in 1 mV, and names of the parameters as `glif3` gives them.
_PER_MV = 32
PARAMETERS = (
    "resistance_ohm", "capacitance_f", "resting_v", "threshold_above_rest_v", "asc_amp_0_a", "asc_amp_1_a",
    "asc_rate_0_per_s", "asc_rate_1_per_s", "spike_cut_steps_50us",
)  # fmt: skip


def download(source: str, names: Iterable[str], label: str) -> list[Path]:
    """Files of one of the `ADDRESSES`, eight at a time, where they are not in the cache; MissingInput after three tries."""
    names = list(names)
    pooch.get_logger().disabled = True  # a line a file; the bar and the error say enough
    folder, address = pooch.os_cache("stslib") / "public" / source, ADDRESSES[source]
    cache = pooch.create(path=folder, base_url=address, registry=dict.fromkeys(names), retry_if_failed=2)

    def one(name: str) -> Path:
        try:
            return Path(cache.fetch(name))
        except Exception as error:  # requests, urllib3 and the operating system each have classes of their own
            why = type(error).__name__
            raise MissingInput(f"cannot download {address}{name} ({why}); run the command again") from error

    with ThreadPoolExecutor(8) as pool:
        try:
            return list(progress(pool.map(one, names), label, total=len(names)))
        except MissingInput:
            pool.shutdown(cancel_futures=True)
            raise


def build_sweeps(output: Path) -> Path:
    """The six sweeps as `.npz` files in `output/sweeps`, read from the pickles by a reader that runs nothing in them."""
    folder = output / "sweeps"
    for path in download("sweeps", [f"{name}.pkl" for name in SWEEPS], "sweeps"):
        try:
            v_mv, i_ua, *times = load_plain(path)  # times: step, onset and end, in ms
            v_mv = v_mv.reshape(-1).astype(np.float32)
            i_pa = np.round(i_ua.reshape(-1) * 1e6, 3).astype(np.float32)
            dt_ms, t_on_ms, t_off_ms = (round(float(x), 6) for x in times)
        except (AttributeError, TypeError, ValueError):
            raise DamagedFile(f"{path} does not hold a sweep; delete it and fetch again") from None
        _check(path, SWEEPS[path.stem], [_steps(v_mv), np.round(i_pa).astype(np.int16).tobytes()])
        with atomic(folder / f"{path.stem}.npz") as part:
            np.savez(part, v_mV=v_mv, i_pA=i_pa, dt_ms=dt_ms, t_on_ms=t_on_ms, t_off_ms=t_off_ms)
    return folder


def build_action_potentials(output: Path) -> Path:
    """`action_potentials/action_potentials.h5` in `output`: cells with one of the four classes outside the test split."""
    path = output / AP_PATH
    if path.exists() and content_of(path) == AP_SHA256:
        return path
    (archive,) = download("action_potentials", [AP_ARCHIVE], "action potentials")
    cells = Published(str(output)).cells().set_index("cell_id")
    cells = cells[cells["label"].isin(CLASSES) & (cells["split"] != "test") & (cells["reason"] != "not_mouse")]
    found = _action_potentials(archive, set(cells.index))
    with atomic(path) as part:
        with h5py.File(part, "w") as file:
            file.attrs["kind"] = "real"
            for cell_id in sorted(found):
                entry = file.create_dataset(cell_id, data=found[cell_id], compression="gzip")
                peak = len(found[cell_id]) // 3  # from 1 ms before it to 2 ms after it
                label, split = cells.loc[cell_id, ["label", "split"]]
                entry.attrs.update(label=label, split=split or "none", rate_hz=peak * 1000.0, peak_index=peak)
        if content_of(part) != AP_SHA256:
            raise DamagedFile(
                f"{archive} does not hold the {len(found)} action potentials expected; delete it and fetch again"
            )
    return path


def _action_potentials(archive: Path, wanted: set[str]) -> dict[str, np.ndarray]:
    """Action potential of each cell in mV, float32, `(150,)` or `(600,)`."""
    found: dict[str, np.ndarray] = {}
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                match = AP_FILE.fullmatch(member.name)
                stream = tar.extractfile(member) if match and match[1] in wanted else None
                if match and stream:
                    v_mv = np.load(io.BytesIO(stream.read()), allow_pickle=False)
                    if v_mv.shape not in ((150,), (600,)) or match[1] in found:
                        raise ValueError(f"{member.name} is not the one action potential of its cell")
                    found[match[1]] = v_mv.astype(np.float32)
    except (OSError, EOFError, ValueError, tarfile.TarError) as error:
        raise DamagedFile(f"{archive} cannot be read as an archive ({error}); delete it and fetch again") from None
    return found


def glif3(cell_ids: Iterable[str]) -> pd.DataFrame:
    """`PARAMETERS` of the cells among `cell_ids` that have a fitted GLIF3 model, one row a cell, in SI units."""
    (table,) = download("glif3", [GLIF_TABLE], "GLIF3 models")
    lines = pd.read_csv(table, sep="\t", dtype=str).set_index("specimen_ID")["cre"]
    both = sorted(set(cell_ids) & set(lines.index))
    names = [f"mouse_struc_data_dir/{i}_{lines[i]}/{i}_{lines[i]}_GLIF3_neuron_config.json" for i in both]
    rows = [_model(path) for path in download("glif3", names, "GLIF3 models")]
    models = pd.DataFrame(rows, index=both, columns=list(PARAMETERS))
    text = "".join(f"{i} " + " ".join(f"{x:.9g}" for x in models.loc[i]) + "\n" for i in both)
    _check(table.parent, GLIF_SHA256, [text.encode()])
    return models


def _model(path: Path) -> list[float]:
    try:
        config: Mapping = json.loads(path.read_text())
        threshold = config["th_inf"] * config["coeffs"]["th_inf"]
        rates = [round(1 / tau, 6) for tau in config["asc_tau_array"]]
        membrane = [config[key] for key in ("R_input", "C", "El_reference")]
        return [*membrane, threshold, *config["asc_amp_array"], *rates, config["spike_cut_length"]]
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
        raise DamagedFile(f"{path} is not a GLIF3 model; delete it and fetch again") from None


def content_of(path: Path) -> str:
    """SHA-256 of the action potentials in an HDF5 file and of their labels; empty where it is no such file."""
    digest = hashlib.sha256()
    try:
        with h5py.File(path) as file:
            for cell_id in sorted(file):
                about = file[cell_id].attrs
                head = f"{cell_id} {about['label']} {about['split']} {about['rate_hz']:g} {about['peak_index']}\n"
                digest.update(head.encode() + _steps(file[cell_id][()]))
    except (OSError, KeyError, TypeError):
        return ""
    return digest.hexdigest()


def _steps(v_mv: np.ndarray) -> bytes:
    return np.round(v_mv.astype(np.float64) * _PER_MV).astype("<i2").tobytes()


def _check(path: Path, sha256: str, parts: Iterable[bytes]) -> None:
    found = hashlib.sha256(b"".join(parts)).hexdigest()
    if found != sha256:
        found = f"sha256 {found[:12]}..., not {sha256[:12]}..."
        raise DamagedFile(f"{path} does not hold what is expected ({found}); delete it and fetch again")
