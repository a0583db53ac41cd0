"""Public data in one command: built from a stand-in that serves what the sources hold, and equal to the data mirror."""

import csv
import functools
import http.server
import io
import json
import os
import pickle
import struct
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result

from stslib.io import open_source, published
from stslib.io.archives import public
from stslib.io.archives.plain_pickle import load_plain
from stslib.press.cli import main
from stslib.support.errors import DamagedFile

pytestmark = pytest.mark.mirror


def python2_array(array: np.ndarray) -> bytes:
    """An array as numpy under Python 2 pickled it."""
    shape = b"(" + b"".join(b"J" + struct.pack("<i", n) for n in array.shape) + b"t"
    kind = b"cnumpy\ndtype\nU\x02" + array.dtype.str[1:].encode() + b"K\x00K\x01\x87R(K\x03U\x01<NNN" + b"J\xff\xff\xff\xff" * 2
    raw = b"T" + struct.pack("<i", array.nbytes) + array.tobytes()
    return b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01" + shape + kind + b"K\x00tb\x89" + raw + b"tb"


def serve_files(mirror: Path, folder: Path) -> None:
    """The sources' files, made of the mirror's."""
    for name in ("sweeps", "glif3/GLIF_clustering", "action_potentials"):
        (folder / name).mkdir(parents=True)
    (folder / "published").symlink_to(mirror / "published")
    for path in (mirror / "sweeps").glob("*.npz"):
        z = np.load(path)
        numbers = b"".join(b"G" + struct.pack(">d", z[key]) for key in ("dt_ms", "t_on_ms", "t_off_ms"))
        arrays = python2_array(z["v_mV"].reshape(1, -1, 1)) + python2_array(z["i_pA"] / 1e6)
        (folder / "sweeps" / f"{path.stem}.pkl").write_bytes(b"\x80\x02(" + arrays + numbers + b"t.")
    with (mirror / "reference" / "glif3_parameters.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    names = ["\t".join(("specimen_ID", "cre")), *("\t".join((r["specimen_id"], r["line"])) for r in rows)]
    (folder / "glif3" / public.GLIF_TABLE).write_text("\n".join(names))
    for r in rows:
        whole = f"{r['specimen_id']}_{r['line']}"
        config = {
            "R_input": float(r["resistance_ohm"]), "C": float(r["capacitance_f"]), "El_reference": float(r["resting_v"]),
            "th_inf": float(r["threshold_above_rest_v"]) / 2, "coeffs": {"th_inf": 2.0},
            "asc_amp_array": [float(r[f"asc_amp_{k}_a"]) for k in (0, 1)],
            "asc_tau_array": [1 / float(r[f"asc_rate_{k}_per_s"]) for k in (0, 1)],
            "spike_cut_length": int(r["spike_cut_steps_50us"]),
        }  # fmt: skip
        path = folder / "glif3" / "mouse_struc_data_dir" / whole / f"{whole}_GLIF3_neuron_config.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(config))
    with h5py.File(mirror / "action_potentials" / "action_potentials.h5") as file:
        spikes = {f"mouse/sst/{i}_47": file[i][()] for i in file}
    a_test_cell = (mirror / "published" / "Test_split.csv").read_text().split(",")[0]
    decoys = {f"mouse/pvalb/{a_test_cell}_50": np.zeros(150), "human/spiny/566719750_1": np.zeros(150)}
    with tarfile.open(folder / "action_potentials" / public.AP_ARCHIVE, "w:gz") as tar:
        for name, v_mv in (spikes | decoys).items():
            np.save(buffer := io.BytesIO(), v_mv)
            member = tarfile.TarInfo(f"repository-74c39dd/data/single_spike/{name}.npy")
            member.size = buffer.tell()
            tar.addfile(member, io.BytesIO(buffer.getvalue()))


@pytest.fixture(scope="module")
def served(mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[str]]]:
    """Folder that is served in place of the public sources, and the paths asked for."""
    folder, asked = tmp_path_factory.mktemp("served"), []
    serve_files(mirror, folder)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(public, "ADDRESSES", {name: f"{address}/{name}/" for name in public.ADDRESSES})
            patch.setattr(published, "FILES", {k: (f"{address}/published", v[1]) for k, v in published.FILES.items()})
            patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
            yield folder, asked
        server.shutdown()


def get(what: str, output: Path) -> Result:
    return CliRunner(env={"STS_DATA_MIRROR": str(output)}).invoke(main, ["data", "get", what, "--output", str(output)])


@pytest.fixture(scope="module")
def built(served: tuple[Path, list[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one command for the hybrid cells builds, after one that was stopped for want of a file."""
    (folder, asked), output = served, tmp_path_factory.mktemp("data")
    lacking = next((folder / "glif3").rglob("313860745*GLIF3*.json"))
    lacking.rename(folder / "elsewhere")
    stopped = get("hybrid", output)
    assert stopped.exit_code == 1 and "cannot download" in stopped.output and lacking.name in stopped.output
    assert stopped.output.strip().splitlines()[-1].endswith("run the command again")
    (folder / "elsewhere").rename(lacking)
    before = len(asked)
    done = get("hybrid", output)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == f"now: STS_DATA_MIRROR={output} sts run --profile hybrid"
    models = [path for path in asked[before:] if "glif3" in path]
    assert any(lacking.name in path for path in models) and asked.count(f"/action_potentials/{public.AP_ARCHIVE}") == 1
    n_all, before = sum("GLIF3" in path for path in set(asked)), len(asked)
    assert n_all == 522 and get("hybrid", output).exit_code == 0 and len(asked) == before  # nothing is fetched twice
    return output


def test_action_potentials_are_the_mirrors(built, mirror):
    with h5py.File(built / public.AP_PATH) as ours, h5py.File(mirror / public.AP_PATH) as theirs:
        assert list(ours) == list(theirs) and len(ours) == 1237
        for cell_id in theirs:
            assert np.array_equal(ours[cell_id], theirs[cell_id]) and ours[cell_id].dtype == theirs[cell_id].dtype
            assert dict(ours[cell_id].attrs) == dict(theirs[cell_id].attrs)


def test_hybrid_cells_are_the_mirrors_within_the_noise(built, mirror):
    rms = []
    with h5py.File(built / "hybrid/hybrid.h5") as ours, h5py.File(mirror / "hybrid/hybrid.h5") as theirs:
        assert list(ours) == list(theirs) and len(ours) == 522
        for cell_id in theirs:
            assert dict(ours[cell_id].attrs) == dict(theirs[cell_id].attrs)
            for name in ("rheobase", "rheobase_plus_40"):
                mine, other = ours[cell_id][name], theirs[cell_id][name]
                assert dict(mine.attrs) == dict(other.attrs) and mine.shape == other.shape  # current, spikes, rate
                rms.append(np.std((mine[()].astype(float) - other[()]) * 0.01))
    # Two noises of 0.25 mV (slow) and 0.06 mV at 20 kHz, 0.042 mV after resampling: together 0.36 mV.
    assert np.mean(rms) == pytest.approx(np.sqrt(2 * (0.25**2 + 0.06**2 / 2)), rel=0.03) and max(rms) < 0.42


def test_what_is_built_is_a_mirror_that_a_run_reads(built, monkeypatch):
    monkeypatch.setenv("STS_DATA_MIRROR", str(built))
    assert open_source("store", path="mirror:hybrid/hybrid.h5").kind == "hybrid"
    assert len(open_source("store", path="mirror:action_potentials/action_potentials.h5").cells()) == 1237


def test_sweeps_are_the_mirrors_and_other_contents_are_refused(served, tmp_path, mirror):
    folder, asked = served
    assert (done := get("sweeps", tmp_path / "data")).exit_code == 0, done.output
    for path in (mirror / "sweeps").glob("*.npz"):
        ours, theirs = np.load(tmp_path / "data" / "sweeps" / path.name), np.load(path)
        assert all(np.array_equal(ours[key], theirs[key]) and ours[key].dtype == theirs[key].dtype for key in theirs)
    n = len(asked)
    assert get("sweeps", tmp_path / "other").exit_code == 0 and len(asked) == n  # nothing is fetched twice
    cached = next(Path(os.environ["XDG_CACHE_HOME"]).rglob("*.pkl"))
    whole = cached.read_bytes()
    cached.write_bytes(whole[:9999] + bytes(400) + whole[10399:])
    refused = get("sweeps", tmp_path / "third")
    cached.write_bytes(whole)
    assert refused.exit_code == 1 and "does not hold what is expected" in refused.output.strip().splitlines()[-1]


class Hostile:
    def __init__(self, what: object, *arguments: object) -> None:
        self.call = (what, arguments)

    def __reduce__(self) -> object:
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize(
    "content",
    [lambda p: Hostile(os.system, f"touch {p}"), lambda p: (np.zeros(3), Hostile(open, str(p), "w")),
     lambda p: np.array([Hostile(os.mkdir, str(p))], object), lambda p: np.zeros(3, "i4"), lambda p: {"a": np.zeros(3)}],
)  # fmt: skip
def test_a_hostile_pickle_is_refused_in_one_line(tmp_path, content, protocol):
    path = tmp_path / "sweep.pkl"
    path.write_bytes(pickle.dumps(content(tmp_path / "harm"), protocol=protocol))
    with pytest.raises(DamagedFile, match=r"^.*is not a pickle of plain arrays \(.*\); it was not opened$"):
        load_plain(path)
    assert not (tmp_path / "harm").exists()
    path.write_bytes(pickle.dumps((np.arange(6.0).reshape(2, 3), np.float64(2.5), 1), protocol=2))
    array, number, whole = load_plain(path)
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]] and (number, whole) == (2.5, 1)
