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
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from stslib.io import open_source, published
from stslib.io.archives import public
from stslib.io.archives.plain_pickle import load_plain
from stslib.press.cli import main
from stslib.support.errors import DamagedFile


def python2_array(array):
    """An array as numpy under Python 2 pickled it."""
    shape = b"(" + b"".join(b"J" + struct.pack("<i", n) for n in array.shape) + b"t"
    kind = b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNN" + b"J\xff\xff\xff\xff" * 2 + b"K\x00tb"
    raw = b"T" + struct.pack("<i", array.nbytes) + array.tobytes()
    begin = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01"
    return begin + shape + kind + b"\x89" + raw + b"tb"


def serve_files(mirror: Path, folder: Path) -> None:
    """The sources' files, made of the mirror's, with others beside them."""
    for name in ("sweeps", "glif3/GLIF_clustering", "action_potentials"):
        (folder / name).mkdir(parents=True)
    (folder / "published").symlink_to(mirror / "published")
    for path in (mirror / "sweeps").glob("*.npz"):
        z = np.load(path)
        numbers = b"".join(b"G" + struct.pack(">d", z[key]) for key in ("dt_ms", "t_on_ms", "t_off_ms"))
        arrays = python2_array(z["v_mV"].reshape(1, -1, 1)) + python2_array(z["i_pA"] / 1e6)
        (folder / "sweeps" / f"{path.stem}.pkl").write_bytes(b"\x80\x02(" + arrays + numbers + b"t.")
    table = ["specimen_ID\tcre"]
    for r in csv.DictReader((mirror / "reference" / "glif3_parameters.csv").read_text().splitlines()):
        table.append(f"{r['specimen_id']}\t{r['line']}")
        asc = {
            key: [float(r[f"asc_{key}_{k}_{unit}"]) for k in (0, 1)] for key, unit in (("amp", "a"), ("rate", "per_s"))
        }
        config = {"R_input": float(r["resistance_ohm"]), "C": float(r["capacitance_f"]), "asc_amp_array": asc["amp"],
                  "El_reference": float(r["resting_v"]), "asc_tau_array": [1 / x for x in asc["rate"]],
                  "th_inf": float(r["threshold_above_rest_v"]) / 2, "coeffs": {"th_inf": 2.0},
                  "spike_cut_length": int(r["spike_cut_steps_50us"])}  # fmt: skip
        name = table[-1].replace("\t", "_")
        path = folder / "glif3" / "mouse_struc_data_dir" / name / f"{name}_GLIF3_neuron_config.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(config))
    (folder / "glif3" / public.GLIF_TABLE).write_text("\n".join(table))
    with h5py.File(mirror / public.AP_PATH) as file:
        spikes = {f"mouse/sst/{i}_47": file[i][()] for i in file}
    a_test_cell = (mirror / "published" / "Test_split.csv").read_text().split(",")[0]
    others = {f"mouse/pvalb/{a_test_cell}_50": np.zeros(150), "human/spiny/313860745_1": np.zeros(150)}
    with tarfile.open(folder / "action_potentials" / public.AP_ARCHIVE, "w:gz", compresslevel=1) as tar:
        for name, v_mv in (spikes | others).items():
            np.save(buffer := io.BytesIO(), v_mv)
            member = tarfile.TarInfo(f"repository-74c39dd/data/single_spike/{name}.npy")
            member.size = buffer.tell()
            tar.addfile(member, io.BytesIO(buffer.getvalue()))


@pytest.fixture(scope="module")
def served(mirror, tmp_path_factory):
    """Folder that is served in place of the public sources, and the paths asked for."""
    folder, asked = tmp_path_factory.mktemp("served"), []
    serve_files(mirror, folder)
    handler = type(
        "H", (http.server.SimpleHTTPRequestHandler,), {"log_request": lambda self, *_: asked.append(self.path)}
    )
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(public, "ADDRESSES", {name: f"{address}/{name}/" for name in public.ADDRESSES})
            patch.setattr(published, "FILES", {k: (f"{address}/published", v[1]) for k, v in published.FILES.items()})
            patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
            yield folder, asked
        server.shutdown()


def get(what, output):
    return CliRunner(env={"STS_DATA_MIRROR": str(output)}).invoke(main, ["data", "get", what, "--output", str(output)])


@pytest.mark.mirror
def test_hybrid_cells_and_action_potentials_are_the_mirrors_also_after_a_stop(served, mirror, tmp_path, monkeypatch):
    (folder, asked), output = served, tmp_path / "data"
    lacking = next((folder / "glif3").rglob("313860745*.json"))
    lacking.rename(folder / "elsewhere")
    stopped = get("hybrid", output)
    last = stopped.output.splitlines()[-1]
    assert stopped.exit_code == 1 and f"{lacking.name} (HTTPError); run the command again" in last
    (folder / "elsewhere").rename(lacking)
    assert (done := get("hybrid", output)).exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == f"now: STS_DATA_MIRROR={output} sts run --profile hybrid"
    models = [path for path in asked if path.endswith(".json")]
    assert len(set(models)) == 522 and len(models) == 522 + 3  # three tries for the one that was missing, then one each
    assert asked.count(f"/action_potentials/{public.AP_ARCHIVE}") == 1
    with h5py.File(output / public.AP_PATH) as ours, h5py.File(mirror / public.AP_PATH) as theirs:
        assert list(ours) == list(theirs) and len(ours) == 1237
        for cell_id, v_mv in theirs.items():
            assert np.array_equal(ours[cell_id], v_mv) and dict(ours[cell_id].attrs) == dict(v_mv.attrs)
    rms = []
    with h5py.File(output / "hybrid/hybrid.h5") as ours, h5py.File(mirror / "hybrid/hybrid.h5") as theirs:
        assert list(ours) == list(theirs) and len(ours) == 522
        for cell_id in theirs:
            assert dict(ours[cell_id].attrs) == dict(theirs[cell_id].attrs)
            for name, other in theirs[cell_id].items():
                mine = ours[cell_id][name]
                assert dict(mine.attrs) == dict(other.attrs) and mine.shape == other.shape  # current, spikes, rate
                rms.append(np.std((mine[()].astype(float) - other[()]) * 0.01))
    # Two noises of 0.25 mV (slow) and 0.06 mV at 20 kHz, which resampling halves in power: together 0.36 mV.
    assert np.mean(rms) == pytest.approx(np.sqrt(2 * (0.25**2 + 0.06**2 / 2)), rel=0.03) and max(rms) < 0.42
    monkeypatch.setenv("STS_DATA_MIRROR", str(output))  # what was built is a mirror that a run reads
    assert open_source("store", path="mirror:hybrid/hybrid.h5").kind == "hybrid"


@pytest.mark.mirror
def test_sweeps_are_the_mirrors_and_other_contents_are_refused(served, tmp_path, mirror):
    assert (done := get("sweeps", tmp_path / "data")).exit_code == 0, done.output
    for path in (mirror / "sweeps").glob("*.npz"):
        ours, theirs = np.load(tmp_path / "data" / "sweeps" / path.name), np.load(path)
        assert all(np.array_equal(ours[key], theirs[key]) and ours[key].dtype == theirs[key].dtype for key in theirs)
    cached = next(Path(os.environ["XDG_CACHE_HOME"]).rglob("*.pkl"))
    cached.write_bytes((whole := cached.read_bytes())[:9999] + bytes(400) + whole[10399:])
    refused = get("sweeps", tmp_path / "data")
    assert refused.exit_code == 1 and "does not hold what is expected" in refused.output.splitlines()[-1]


class Hostile:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


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
