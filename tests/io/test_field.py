"""Recordings as rigs and converters write them: each gives the right pair of sweeps, or the reason why not.

The cell of every file rests at -65 mV, is silent below 50 pA and fires 1 + (current - 50) / 10 times above it.
"""

from __future__ import annotations

import runpy
import struct
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest

from stslib.io import open_source
from stslib.io.files.folder import Files, read_account
from stslib.sweeps import NoPair, choose_pair

pytestmark = pytest.mark.mirror
T_S = np.arange(15_000) / 10_000


@pytest.fixture(scope="module")
def makers(mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The makers of field files, beside the data mirror, and the folder of all their cases."""
    scripts, root = mirror.parent / "field", tmp_path_factory.mktemp("field")
    if not scripts.is_dir():
        pytest.skip(f"{scripts} is not there: no makers of field files")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setattr(sys, "argv", ["maker", str(root)])
        patch.syspath_prepend(str(scripts))
        return SimpleNamespace(
            nwb=runpy.run_path(str(scripts / "make_cases.py"), run_name="__main__"),
            abf=runpy.run_path(str(scripts / "make_abf.py"), run_name="__main__"),
            root=root,
        )


#: Sweeps that can be used of the sweeps that are there, for files that give 50 and 90 pA.
RIGHT = {
    **dict.fromkeys(("a0_plain", "a2_trigger_first", "a3_step_is_epoch_A", "a6_second_output", "a8_nanoampere",
                     "a9_microvolt", "a7_current_recorded_first"), (15, 16)),
    **dict.fromkeys(("c00_plain", "c02b_stimulus_faster", "c03_stimulus_starts_later", "c04_date_in_names",
                     "c05_paired_by_table", "c06_concatenated", "c09_current_monitor", "c14_latin1", "c16_column",
                     "c18b_two_second_steps", "c20_holding", "c21_slow_edges", "c25_float_currents", "c27_small_spikes",
                     "c29_template", "c30_int16", "c31_one_code", "c32_search",
                     *(f"c13_units_{k}" for k in range(9))), (11, 11)),
    **dict.fromkeys(("c12c_one_timestamp", "c15_one_sweep_without_data", "c15b_one_stimulus_without_unit"), (10, 11)),
    "c01_crosstalk": (17, 17), "c12b_one_bad_rate": (11, 12), "c17_stopped": (11, 13),
    "c17b_stopped_before_step": (11, 12), "c24_repeats": (8, 8), "c26_spike_at_edges": (9, 9),
}  # fmt: skip
REFUSED = {
    "a10_gap_free": ("no_long_square", "stores no command"),
    "a12_float_format": ("unreadable_file", "float data"),
    "a13_voltage_clamp": ("no_long_square", "voltage clamp"),
    "a5_waveform_file": ("no_long_square", "steps.atf"),
    "c07_stimulus_nano": ("wrong_units", "currents look 1000 times too small"),
    "c07b_stimulus_ampere": ("wrong_units", "1e+12 times too large"),
    "c07c_stimulus_large": ("wrong_units", "currents look 1000 times too large"),
    "c10_step_first": ("short_step", "no rest before it"),
    "c12_rate_zero": ("bad_trace", "no sampling rate"),
    "c19_low_rate": ("low_rate", "8000 Hz"),
    # The sweep at the rheobase itself is gone: the next one would be a wrong answer.
    "c28_external_link": ("uncertain_rheobase", "sweep 5 (50 pA)"),
    "c33_not_nwb": ("unreadable_file", "not NWB"),
    "c34_cut": ("unreadable_file", "truncated"),
    "c34_zip": ("unreadable_file", "NWB"),
    "c34_text": ("unreadable_file", "NWB"),
    "c34_empty.nwb": ("unreadable_file", "NWB"),
    "c34_empty.abf": ("unreadable_file", "ABF"),
    "c34_lfs": ("unreadable_file", "ABF"),
    "c34_dir": ("unreadable_file", "folder"),
}
OTHERS = {"c08_bridge", "c18_mixed_lengths"}


@pytest.fixture(scope="module")
def source(makers: SimpleNamespace) -> Files:
    source = open_source("files", path=makers.root)
    assert isinstance(source, Files)
    return source


def test_every_case_is_expected(source):
    assert set(source.cells()["cell_id"]) == set(RIGHT) | set(REFUSED) | OTHERS


@pytest.mark.parametrize("cell_id", RIGHT)
def test_the_right_pair(source, cell_id):
    pair = choose_pair(source.recording(cell_id))
    assert (pair.rheobase.stimulus_pa, pair.partner.stimulus_pa) == pytest.approx((50, 90), abs=0.5)
    assert (pair.rheobase.n_spikes, pair.partner.n_spikes) == (1, 5)
    onset_s = {"c03_stimulus_starts_later": 0.35, "a3_step_is_epoch_A": 0.0234, "c21_slow_edges": 0.205}.get(
        cell_id, 0.2
    )
    assert pair.rheobase.onset_s == pytest.approx(onset_s, abs=6e-4)
    table = source.sweep_table().query("cell_id == @cell_id")
    assert ((table["use"] != "").sum(), len(table)) == RIGHT[cell_id]
    assert set(table["use"]) - {"", "available"} == {"rheobase", "partner"}
    used, left_out = table[table["use"] != ""], table[table["use"] == ""]
    assert (left_out["reason"] != "").all() and (left_out["detail"] != "").all() and (used["reason"] == "").all()
    assert used["rest_mv"].to_numpy() == pytest.approx(-65, abs=0.6)
    assert used["n_spikes"].notna().all() and used["onset_s"].notna().all() and used["duration_s"].notna().all()


@pytest.mark.parametrize("cell_id", REFUSED)
def test_the_reason(source, cell_id):
    row = source.cells().set_index("cell_id").loc[cell_id]
    reason, words = REFUSED[cell_id]
    assert row["reason"] == reason and words in row["detail"] and "\n" not in row["detail"]
    table = source.sweep_table().query("cell_id == @cell_id")
    assert len(table) and (table["use"] == "").all() and (table["reason"] != "").all()


def test_an_unbalanced_electrode_and_short_steps(source):
    with pytest.raises(NoPair, match="rheobase 60 pA, no sweep within 5 of 100 pA"):
        choose_pair(source.recording("c08_bridge"))
    counts = {s.stimulus_pa: s.n_spikes for s in source.recording("c08_bridge").sweeps}
    assert [counts[pa] for pa in (-120, -60, 60, 120, 160, 180, 240)] == [0, 0, 2, 8, 12, 14, 20]
    pair = choose_pair(source.recording("c18_mixed_lengths"))
    assert (pair.rheobase.stimulus_pa, pair.partner.stimulus_pa) == (60, 100)


def test_a_lost_sweep_below_the_rheobase_is_a_warning(source):
    warned = source.cells().set_index("cell_id")["warning"]
    assert (
        "sweep 4 (40 pA)" in warned["c15_one_sweep_without_data"]
        and "40 pA" in warned["c15b_one_stimulus_without_unit"]
    )
    assert warned["c00_plain"] == ""


# --- more of the kind -----------------------------------------------------------------------------------------------


def sweep_table(file: h5py.File) -> None:
    """Only a SweepTable says that stimulus 10 - n belongs to response n."""
    table = file.create_group("general/intracellular_ephys/sweep_table")
    names = [f for n in range(11) for f in (f"acquisition/r_{n:02d}", f"stimulus/presentation/s_{10 - n:02d}")]
    table["series"] = np.array([file[name].ref for name in names], dtype=h5py.ref_dtype)
    table["series_index"], table["sweep_number"] = 2 * np.arange(1, 12), np.arange(11)


def changed(make: SimpleNamespace, change: Callable[[np.ndarray, np.ndarray, int], tuple[Any, Any]]) -> list[Any]:
    """The family with its voltages and currents changed."""
    return [change(make.nwb["cell"](p), make.nwb["square"](p), p) for p in make.nwb["FAMILY"]]


def stopped(v: np.ndarray, i: np.ndarray, pa: int) -> tuple[np.ndarray, np.ndarray]:
    return (np.where(T_S < 0.6, v, 0), np.where(T_S < 0.6, i, 0)) if pa == 50 else (v, i)


def with_artefacts(v: np.ndarray, i: np.ndarray, pa: int) -> tuple[np.ndarray, np.ndarray]:
    """Overshoots of 60 mV where the current steps."""
    for at, sign in ((2000, 1), (12_000, -1)):
        v[at : at + 4] += sign * np.sign(pa) * np.array([60, 60, 40, 20])
    return v, i


RNG = np.random.default_rng(1)
KINDS: dict[str, tuple[Callable[[SimpleNamespace], Any], str, str]] = {
    "plain potentials shifted up": (lambda m: changed(m, lambda v, i, pa: (v + 35, i)), "", ""),
    "shifted down": (lambda m: changed(m, lambda v, i, pa: (v - 45, i)), "", ""),
    "artefacts of the current": (lambda m: changed(m, with_artefacts), "", ""),
    "a recorded current that hums": (
        lambda m: changed(m, lambda v, i, pa: (v, i + 2 * np.sin(314.16 * T_S + pa) + RNG.normal(0, 1, len(i)))), "", ""),
    "stimuli that end early": (lambda m: changed(m, lambda v, i, pa: (v, i[:12_500])), "", ""),
    "clocks that differ": (
        lambda m: [{"v": v, "i": i, "r_start": 10.0 + n, "s_start": 10.3 + n}
                   for n, (v, i) in enumerate(changed(m, lambda v, i, pa: (v, i)))], "", ""),
    "all sweeps in one series, without a table": (
        lambda m: [{"v": np.concatenate(v), "i": np.concatenate(i), "number": False}
                   for v, i in [zip(*changed(m, lambda v, i, pa: (v, i)), strict=True)]], "", ""),
    "only voltages called TimeSeries": (
        lambda m: [{"v": v, "i": i, "kind": "TimeSeries"} for v, i in changed(m, lambda v, i, pa: (v, i))], "", ""),
    "a word in some descriptions": (
        lambda m: [{"v": v, "i": i, "desc": "Long Square" if n > 6 else "step"}
                   for n, (v, i) in enumerate(changed(m, lambda v, i, pa: (v, i)))], "", ""),
    "a pulse up to the step": (
        lambda m: changed(m, lambda v, i, pa: (v, i - 50 * ((T_S >= 0.1) & (T_S < 0.2)))),
        "short_step", "no rest between the pulse"),
    "inverted currents": (lambda m: changed(m, lambda v, i, pa: (v, -i)), "incoherent", "does not follow"),
    "currents of other sweeps": (
        lambda m: changed(m, lambda v, i, pa: (v, m.nwb["square"](60 - pa))), "incoherent", "which step belongs"),
    "a response that comes late": (
        lambda m: changed(m, lambda v, i, pa: (m.nwb["cell"](pa, onset=0.25), i)), "incoherent", "after the current"),
    "a response that comes early": (
        lambda m: changed(m, lambda v, i, pa: (m.nwb["cell"](pa, onset=0.15), i)), "incoherent", "before the current"),
    "a cell that fires by itself": (
        lambda m: changed(m, lambda v, i, pa: (m.nwb["cell"](pa, times=np.arange(0.05, 1.5, 0.13)), i)), "fires_by_itself", ""),
    "a silent partner": (
        lambda m: changed(m, lambda v, i, pa: (m.nwb["cell"](20 if pa > 70 else pa), i)), "incoherent", "fires at 50 pA"),
    "a rheobase that was stopped": (lambda m: changed(m, stopped), "uncertain_rheobase", "sweep 5 (50 pA)"),
    "a voltage ten times too large": (lambda m: changed(m, lambda v, i, pa: (10 * v, i)), "wrong_units", "10 times too large"),
    "two electrodes": (
        lambda m: [{"v": v, "i": i, "number": n} | {k: f"{k[0]}{n}_{e}" for k in ("r_name", "s_name")}
                   for n, (v, i) in enumerate(changed(m, lambda v, i, pa: (v, i))) for e in (0, 1)],
        "unreadable_file", "more than once"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_others_of_the_kind(makers, tmp_path, kind):
    make, reason, words = KINDS[kind]
    makers.nwb["nwb"].__globals__["OUT"] = tmp_path
    check(read_account(makers.nwb["nwb"]("x.nwb", make(makers)), "x"), reason, words)


def check(found: Any, reason: str, words: str) -> None:
    assert found.reason == reason and words in found.detail, found.detail
    if not reason:
        fired = sorted((s for s in found.sweeps if s.n_spikes), key=lambda s: s.stimulus_pa)
        assert [(round(s.stimulus_pa), s.n_spikes) for s in fired[:5]] == [(50 + 10 * k, 1 + k) for k in range(5)]


def test_pairs_of_a_sweep_table_and_times_stamped_one_by_one(makers, tmp_path):
    makers.nwb["nwb"].__globals__["OUT"] = tmp_path
    family = changed(makers, lambda v, i, pa: (v, i))
    mixed = [
        {"v": v, "i": family[10 - n][1], "r_name": f"r_{n:02d}", "s_name": f"s_{n:02d}", "number": False}
        for n, (v, _) in enumerate(family)
    ]
    check(read_account(makers.nwb["nwb"]("table.nwb", mixed, before=sweep_table), "x"), "", "")
    with h5py.File(makers.nwb["nwb"]("stamps.nwb", family), "r+") as file:
        for series in file["acquisition"].values():
            del series["starting_time"]
            series["timestamps"] = T_S + 5
    check(read_account(tmp_path / "stamps.nwb", "x"), "", "")


@pytest.mark.parametrize(
    ("sweeps", "options", "reason", "words"),
    [
        (lambda m: [[v] for v in m["fam"]()], {"ul_enable": 1}, "no_long_square", "user list"),
        (lambda m: [[w, v] for v, w in zip(m["fam"](), m["fam"]([0] * 16), strict=True)],
         {"units": ("mV", "mV"), "names": ("IN 0", "IN 1"), "dac_units": ("pA", "pA"), "dacs": "second", "scales": [0.01] * 2},
         "", ""),
        (lambda m: [[v / 1000] for v in m["fam"]()], {"units": ("V",), "scales": [10.0]}, "", ""),
        (lambda m: [[np.concatenate(x) for x in zip(*([m["cell"](p), m["square"](p) + RNG.normal(0, 0.5, 15_000)]
                                                      for p in range(10, 100, 10)), strict=True)]],
         {"units": ("mV", "pA"), "names": ("Vm", "Im"), "dacs": [[]], "mode": 3, "scales": [0.01] * 2}, "", ""),
    ],
    ids=["user list", "second amplifier", "volts", "gap-free with a recorded current"],
)  # fmt: skip
def test_other_abf_files(makers, tmp_path, sweeps, options, reason, words):
    make = makers.abf
    make["abf1"].__globals__["OUT"] = tmp_path
    dacs = (
        {"dacs": [[], make["EPOCHS"]]}
        if options.get("dacs") == "second"
        else {"dacs": options.get("dacs", [make["EPOCHS"]])}
    )
    make["abf1"]("x.abf", sweeps(make), **options | dacs)
    check(read_account(tmp_path / "x.abf", "x"), reason, words)


def test_a_second_cell_in_a_file_is_a_warning(makers, tmp_path):
    make = makers.abf
    make["abf1"].__globals__["OUT"] = tmp_path
    both = [[v, w] for v, w in zip(make["fam"](), make["fam"](rheo=80), strict=True)]
    make["abf1"]("x.abf", both, units=("mV", "mV"), names=("IN 0", "IN 1"), dac_units=("pA", "pA"),
                 dacs=[make["EPOCHS"]] * 2, scales=[0.01] * 2)  # fmt: skip
    found = read_account(tmp_path / "x.abf", "x")
    assert found.warning == "IN 1 holds another cell, which is left out"
    check(found, "", "")


def test_a_table_of_steps_stands_in_for_a_command(makers, tmp_path):
    make = makers.abf
    make["abf1"].__globals__["OUT"] = tmp_path
    make["abf1"]("x.abf", [[v] for v in make["fam"]()], dacs=[[]])
    rows = [f"x.abf,{n},{pa},0.2,1" for n, pa in enumerate(make["AMPS"]) if pa]
    (tmp_path / "steps.csv").write_text("cell_id,sweep,current_pa,onset_s,duration_s\n" + "\n".join(rows))
    pair = choose_pair(Files(tmp_path).recording("x"))
    assert (pair.rheobase.stimulus_pa, pair.rheobase.n_spikes, pair.partner.n_spikes) == (50, 1, 5)
    assert pair.rheobase.load()[1].max() == 50


# --- other formats --------------------------------------------------------------------------------------------------


def write_wcp(path: Path, sweeps: list[tuple[np.ndarray, np.ndarray]]) -> Path:
    """A WinWCP 8 file of two channels, from the layout of its header."""
    n_blocks = -(-len(sweeps[0][0]) * 2 * 2 // 512)
    fields = {"VER": 8, "NC": 2, "NR": len(sweeps), "NBH": 2, "NBA": 2, "NBD": n_blocks, "ADCMAX": 32767, "DT": 1e-4}
    for k, (name, unit, per_count) in enumerate((("Im", "pA", 0.01), ("Vm", "mV", 0.01))):
        fields |= {f"YO{k}": k, f"YN{k}": name, f"YU{k}": unit, f"YG{k}": 1 / 32767 / per_count}
    with path.open("wb") as file:
        file.write("".join(f"{key}={value}\r\n" for key, value in fields.items()).encode().ljust(1024, b"\0"))
        for v, i in sweeps:
            file.write(struct.pack("<8s4sfff8f", b"ACCEPTED", b"TEST", 1, 0, 1e-4, *[1.0] * 8).ljust(1024, b"\0"))
            counts = np.zeros((n_blocks * 128, 2), "<i2")
            counts[: len(v)] = np.round(np.c_[i, v] * 100)
            file.write(counts.tobytes())
    return path


def test_winwcp_is_read_through_neo(makers, tmp_path):
    pytest.importorskip("neo")
    family = changed(makers, lambda v, i, pa: (v, i))
    check(read_account(write_wcp(tmp_path / "x.wcp", family), "x"), "", "")


def test_a_continuous_recording_is_parted_into_its_steps(makers, tmp_path, monkeypatch):
    """As Spike2 saves it, here without a file: what neo would give."""
    neo, pq = pytest.importorskip("neo"), pytest.importorskip("quantities")
    v, i = (np.concatenate(side) for side in zip(*changed(makers, lambda v, i, pa: (v, i)), strict=True))
    segment = neo.Segment()
    for values, unit, rate in ((v, "mV", 10_000), (i[::2], "nA", 5000)):
        scaled = values * (1e-3 if unit == "nA" else 1)
        segment.analogsignals.append(neo.AnalogSignal(scaled, units=unit, sampling_rate=rate * pq.Hz))
    block = neo.Block()
    block.segments.append(segment)
    reader = SimpleNamespace(read_block=lambda: block)
    monkeypatch.setattr("neo.io.Spike2IO", lambda path: reader)
    (tmp_path / "x.smr").write_bytes(b"x")
    found = read_account(tmp_path / "x.smr", "x")
    check(found, "", "")
    assert len(found.rows) == 11


@pytest.mark.parametrize(("name", "needed"), [("x.wcp", "neo"), ("x.ibw", "neo igor2"), ("x.dat", "myokit")])
def test_without_its_library_a_format_says_what_to_install(tmp_path, monkeypatch, name, needed):
    for module in ("neo", "neo.io", "myokit", "myokit.formats.heka"):
        monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / name).write_bytes(b"DAT2")
    found = read_account(tmp_path / name, "x")
    assert found.reason == "unreadable_file" and f"pip install {needed}" in found.detail


@pytest.mark.parametrize("suffix", [".wcp", ".axgx", ".ibw", ".smr", ".dat"])
def test_bytes_that_are_no_such_file_are_one_line(tmp_path, suffix):
    pytest.importorskip("neo")
    (tmp_path / f"x{suffix}").write_bytes(b"DAT2" + bytes(range(256)) * 8)
    found = read_account(tmp_path / f"x{suffix}", "x")
    assert found.reason == "unreadable_file" and "\n" not in found.detail
