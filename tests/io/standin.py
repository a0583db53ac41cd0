"""Stand-ins for recordings and archives: files in the exact layouts, written from a few numbers."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np


@dataclass(frozen=True)
class Steps:
    """One sweep to write."""

    number: int
    stimulus_pa: float
    n_spikes: int = 0
    description: str = "X4PS_SupraThresh_DA_0"
    rate_hz: float = 50_000.0
    onset_s: float = 0.6
    duration_s: float = 1.0
    tail_s: float = 0.2
    clamp: str = "current"
    stopped_s: float | None = None

    @property
    def n_samples(self) -> int:
        return round((self.onset_s + self.duration_s + self.tail_s) * self.rate_hz)

    @property
    def spike_times_s(self) -> np.ndarray:
        return self.onset_s + (np.arange(self.n_spikes) + 0.5) * self.duration_s / max(self.n_spikes, 1)


def stimulus_pa(sweep: Steps) -> np.ndarray:
    t_s = np.arange(sweep.n_samples) / sweep.rate_hz
    i_pa = np.zeros(sweep.n_samples, np.float32)
    i_pa[(t_s >= 0.02) & (t_s < 0.03)] = -50.0  # a test pulse
    begin = round(sweep.onset_s * sweep.rate_hz)
    i_pa[begin : begin + round(sweep.duration_s * sweep.rate_hz)] = sweep.stimulus_pa
    return i_pa


def voltage_mv(sweep: Steps, seed: int = 0) -> np.ndarray:
    """A membrane at -70 mV with noise, charged by the step, with 1 ms spikes to +30 mV, in steps of 1/32 mV."""
    t_s = np.arange(sweep.n_samples) / sweep.rate_hz
    v_mv = np.full(sweep.n_samples, -70.0)
    since_s = t_s - sweep.onset_s
    during = (since_s >= 0) & (since_s < sweep.duration_s)
    v_mv[during] += min(0.1 * sweep.stimulus_pa, 25.0) * -np.expm1(-since_s[during] / 0.02)
    for spike_s in sweep.spike_times_s:
        v_mv += 90.0 * np.exp(-(((t_s - spike_s) / 4e-4) ** 2))
    v_mv += np.random.default_rng((seed, sweep.number)).normal(0, 0.1, sweep.n_samples)
    v_mv = np.round(v_mv * 32) / 32
    if sweep.stopped_s is not None:
        v_mv[round(sweep.stopped_s * sweep.rate_hz) :] = np.nan
    return v_mv.astype(np.float32)


def family(rheobase_pa: float = 50, step_pa: float = 10, top_pa: float = 120, **same: object) -> list[Steps]:
    """An X4PS family: silent below the rheobase, one spike there, one more every 10 pA."""
    amplitudes = np.arange(10, top_pa + 1, step_pa).astype(float)
    counts = [0 if pa < rheobase_pa else 1 + round((pa - rheobase_pa) / 10) for pa in amplitudes]
    return [Steps(n, float(pa), k, **same) for n, (pa, k) in enumerate(zip(amplitudes, counts, strict=True), start=3)]


def patch_seq(rate_hz: float = 50_000.0) -> list[Steps]:
    """What a Patch-seq file holds beside its family of long squares: voltage clamp, searches and ramps."""
    others = [Steps(n, 10, description="EXTPSMOKET180424", clamp="voltage", rate_hz=rate_hz) for n in range(12)]
    others += [Steps(n, 90, 2, "X2LP_Search_DA_0", rate_hz) for n in range(12, 24)]
    others += [Steps(n, 300, 1, "X7Ramp_DA_0", rate_hz, tail_s=2.0) for n in range(24, 36)]
    return [*others, *(replace(s, number=s.number + 50) for s in family(100, top_pa=180, rate_hz=rate_hz))]


#: Columns of the Patch-seq metadata.
PATCH_SEQ_COLUMNS = ("cell_specimen_id", "ephys_session_id", "donor_id", "T-type Label", "dendrite_type")


def padded(path: Path, n_bytes: int) -> Path:
    """A file of NWB 1 made larger with noise that no one reads."""
    with h5py.File(path, "r+") as file:
        file["general/padding"] = np.random.default_rng(1).integers(0, 256, n_bytes - path.stat().st_size, np.uint8)
    return path


def write_nwb2(path: Path, sweeps: Sequence[Steps], spike_lists: bool = True, seed: int = 0) -> Path:
    """A Patch-seq file as MIES and the Allen Institute's pipeline write it, by pynwb."""
    from hdmf.backends.hdf5.h5_utils import H5DataIO
    from pynwb import NWBHDF5IO, NWBFile, TimeSeries, icephys

    file = NWBFile("PLACEHOLDER", path.stem, datetime(2020, 1, 28, tzinfo=UTC), session_id=path.stem)
    device = file.create_device("device_ITC18USB_Dev_0")
    electrode = file.create_icephys_electrode(name="electrode_0", device=device, description="PLACEHOLDER")
    for s in sweeps:
        common = {
            "electrode": electrode, "gain": 1.0, "rate": s.rate_hz, "starting_time": float(s.number),
            "sweep_number": np.uint64(s.number), "stimulus_description": s.description,
        }  # fmt: skip
        v = {"data": H5DataIO(voltage_mv(s, seed), compression="gzip", compression_opts=1), "conversion": 1e-3}
        i = {"data": H5DataIO(stimulus_pa(s), compression="gzip", compression_opts=1), "conversion": 1e-12}
        kind, response, command = ("CurrentClamp", v, i) if s.clamp == "current" else ("VoltageClamp", i, v)
        name = f"data_{s.number:05d}"
        file.add_acquisition(getattr(icephys, f"{kind}Series")(name=f"{name}_AD0", **response, **common))
        file.add_stimulus(getattr(icephys, f"{kind}StimulusSeries")(name=f"{name}_DA0", **command, **common))
    if spike_lists:
        module = file.create_processing_module("spikes", "detected spikes")
        for s in (s for s in sweeps if s.clamp == "current"):
            times = s.spike_times_s - s.onset_s + 0.5  # the pipeline counts from half a second before the step
            module.add(TimeSeries(name=f"Sweep_{s.number}", data=times, timestamps=times, unit="seconds"))
    with NWBHDF5IO(str(path), "w") as out:
        out.write(file)
    return path


def write_nwb1(
    path: Path, sweeps: Sequence[Steps], version: str = "1.1", conversion: float = 1.0, seed: int = 0
) -> Path:
    """A file of the Cell Types Database, as AllenSDK's NwbDataSet reads it: SI values, epochs, soft links."""
    with h5py.File(path, "w") as file:
        file["nwb_version"] = np.bytes_("NWB-1.0.5")
        file["general/generated_by"] = np.array([b"program", b"pipeline", b"version", version.encode()])
        for s in sweeps:
            v, i, name = voltage_mv(s, seed) * 1e-3, stimulus_pa(s) * 1e-12, f"Sweep_{s.number}"
            for folder, values, unit in (("acquisition/timeseries", v, b"V"), ("stimulus/presentation", i, b"A")):
                group = file.create_group(f"{folder}/{name}")
                data = group.create_dataset("data", data=(values / conversion).astype(np.float32), compression="gzip")
                data.attrs.update({"conversion": conversion, "unit": np.bytes_(unit), "resolution": 0.0})
                group.create_dataset("starting_time", data=0.0).attrs["rate"] = s.rate_hz
                group["num_samples"] = s.n_samples
                group["aibs_stimulus_name"] = np.bytes_(s.description)
                group["aibs_stimulus_amplitude_pa"] = s.stimulus_pa
            begin = round(0.1 * s.rate_hz)  # the experiment begins after the test pulse
            end = s.n_samples if s.stopped_s is None else round(s.stopped_s * s.rate_hz)
            for epoch, first, stop in ((name, 0, s.n_samples), (f"Experiment_{s.number}", begin, end)):
                for side, folder in (("response", "acquisition/timeseries"), ("stimulus", "stimulus/presentation")):
                    group = file.create_group(f"epochs/{epoch}/{side}")
                    group["idx_start"], group["count"] = first, stop - first
                    group["timeseries"] = h5py.SoftLink(f"/{folder}/{name}")
            file[f"analysis/spike_times/{name}"] = s.spike_times_s
    return path


def write_abf(path: Path, sweeps: Sequence[Steps], command: bool = True, voltage_unit: str = "mV") -> Path:
    """An ABF 1 file of sweeps alike but for rising amplitudes: pyabf's writer, an epoch table put into its header."""
    import pyabf.abfWriter

    one = sweeps[0]
    factor = {"mV": 1.0, "V": 1e-3, "pA": 1.0}[voltage_unit]
    pyabf.abfWriter.writeABF1(np.stack([voltage_mv(s) * factor for s in sweeps]), str(path), one.rate_hz, voltage_unit)
    raw = bytearray(path.read_bytes())
    raw[2048:2048] = bytes(8 * 512)  # the writer leaves out the second part of the header, which holds the epochs
    struct.pack_into("i", raw, 40, 12)
    for n in range(4):
        struct.pack_into("8s", raw, 1346 + 8 * n, b"pA      ")
    if command:
        lead = round(one.onset_s * one.rate_hz) - one.n_samples // 64  # a sweep begins with 1/64 of holding
        struct.pack_into("2h", raw, 2296, 1, 0)  # the waveform is enabled ...
        struct.pack_into("2h", raw, 2300, 1, 0)  # ... and comes from the epoch table
        struct.pack_into("2h", raw, 2308, 1, 1)  # two steps: holding, then the amplitude
        struct.pack_into("2f", raw, 2348, 0.0, one.stimulus_pa)
        struct.pack_into("2f", raw, 2428, 0.0, sweeps[1].stimulus_pa - one.stimulus_pa if len(sweeps) > 1 else 0.0)
        struct.pack_into("2i", raw, 2508, lead, round(one.duration_s * one.rate_hz))
    path.write_bytes(raw)
    return path


#: Reason of each file of `write_bad_files`.
BAD_FILES = {
    "truncated": "unreadable_file", "text": "unreadable_file", "empty": "unreadable_file", "half": "unreadable_file",
    "nothing": "unreadable_file", "voltage_clamp": "no_long_square", "search": "no_long_square", "slow": "low_rate",
    "short": "short_step", "too_large": "wrong_units", "too_small": "wrong_units", "nan": "bad_trace",
}  # fmt: skip


def write_bad_files(root: Path, rate_hz: float = 10_000.0) -> None:
    """One file of each kind that cannot be used (`BAD_FILES`), and one that can be read but never fires (`silent`)."""
    few = family(50, step_pa=20, top_pa=110, rate_hz=rate_hz)
    whole = write_nwb2(root / "truncated.nwb", few).read_bytes()
    (root / "truncated.nwb").write_bytes(whole[: len(whole) // 2])
    (root / "text.nwb").write_text("these are my notes\n")
    (root / "empty.abf").write_bytes(b"")
    (root / "half.abf").write_bytes(write_abf(root / "half.abf", few).read_bytes()[:3000])
    with h5py.File(root / "nothing.nwb", "w") as file:
        file["other"] = 1
    write_nwb2(root / "voltage_clamp.nwb", [Steps(0, 10, clamp="voltage", rate_hz=rate_hz)])
    write_nwb2(root / "silent.nwb", [Steps(n, 10.0 * n, rate_hz=rate_hz) for n in (1, 2)])
    write_nwb2(root / "search.nwb", [Steps(1, 50, 1, "X2LP_Search_DA_0", rate_hz=rate_hz)])
    write_nwb2(root / "slow.nwb", [Steps(1, 50, 1, rate_hz=5000.0)])
    write_nwb2(root / "short.nwb", [Steps(1, 50, 1, duration_s=0.5, rate_hz=rate_hz)])
    # Volts written where the file promises millivolts, and the other way round; samples that are no numbers.
    for name, factor in (("too_large", 1e3), ("too_small", 1e-3), ("nan", 1.0)):
        with h5py.File(write_nwb2(root / f"{name}.nwb", few), "r+") as file:
            for group in file["acquisition"].values():
                group["data"].attrs["conversion"] *= factor
                if name == "nan":
                    group["data"][7000:7010] = np.nan
