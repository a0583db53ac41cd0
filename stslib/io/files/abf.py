"""Axon Binary Format (pClamp) files as `Recording`s, read by pyabf (Harden 2022, github.com/swharden/pyABF)."""

from __future__ import annotations

import struct
import warnings
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from stslib.io.files.traces import TO_MV, TO_PA, BadRecording, Step, check_resting, find_step, plain_unit, recorded
from stslib.recordings import Recording, Sweep
from stslib.support.errors import one_line

#: How a stimulus is found: the command that the amplifier was given, or a current that was recorded with the voltage.
_COMMAND, _RECORDED = "command", "recorded"


def read_recording(
    path: Path | str, cell_id: str, dataset: str = "files", label: str | None = None, kind: str = "real"
) -> Recording:
    """The square-step current-clamp sweeps of one ABF 1 or ABF 2 file; BadRecording where there are none.

    The voltage is the first channel in volts; the stimulus is the command in amperes (from the file's epoch table), or,
    where no command holds a step, a recorded channel in amperes.
    """
    path = Path(path)
    abf = _open(path)
    voltage = _first(abf.adcUnits, TO_MV)
    if voltage is None:
        units = ", ".join(sorted(set(abf.adcUnits)))
        raise BadRecording("no_long_square", f"{path.name} holds no voltage (its channels are in {units})")
    for source, channel in _stimuli(abf):
        steps = [find_step(_stimulus(abf, n, source, channel), abf.dataRate) for n in abf.sweepList]
        if any(steps):
            break
    else:
        raise BadRecording("no_long_square", f"{path.name} holds no sweep with a square current step")
    factor = TO_MV[plain_unit(abf.adcUnits[voltage])]
    sweeps = tuple(
        Sweep(
            number=n,
            stimulus_pa=step.level_pa,
            onset_s=step.onset_s,
            duration_s=step.duration_s,
            rate_hz=float(abf.dataRate),
            reader=partial(_read, path, n, step, voltage, factor, source, channel),
        )
        for n, step in zip(abf.sweepList, steps, strict=True)
        if step
    )
    return Recording(cell_id, dataset, kind, sweeps, label)


def _read(
    path: Path, number: int, step: Step, voltage: int, factor: float, source: str, channel: int
) -> tuple[np.ndarray, np.ndarray]:
    """Voltage in mV and current in pA of one sweep."""
    abf = _open(path)
    abf.setSweep(number, voltage)
    v_mv = np.asarray(abf.sweepY, np.float32) * np.float32(factor)
    i_pa = _stimulus(abf, number, source, channel)
    check_resting(v_mv, number, step.onset_s, abf.dataRate)
    length = min(recorded(v_mv, number, step, abf.dataRate), len(i_pa))
    return v_mv[:length], i_pa[:length]


def _stimuli(abf: Any) -> list[tuple[str, int]]:
    """Channels that may hold the stimulus, best first."""
    commands = [(_COMMAND, n) for n in range(len(abf.dacUnits)) if plain_unit(abf.dacUnits[n]) in TO_PA]
    currents = [(_RECORDED, n) for n in range(abf.channelCount) if plain_unit(abf.adcUnits[n]) in TO_PA]
    return [s for s in commands if s[1] < abf.channelCount] + currents


def _stimulus(abf: Any, number: int, source: str, channel: int) -> np.ndarray:
    abf.setSweep(number, channel)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values, unit = (abf.sweepC, abf.sweepUnitsC) if source == _COMMAND else (abf.sweepY, abf.sweepUnitsY)
    except (ValueError, IndexError, AttributeError):  # an epoch table that makes no sense is no stimulus
        return np.zeros(0, np.float32)
    return np.asarray(values, np.float32) * np.float32(TO_PA[plain_unit(unit)])


def _first(units: list[str], factors: dict[str, float]) -> int | None:
    return next((n for n, unit in enumerate(units) if plain_unit(unit) in factors), None)


def _open(path: Path) -> Any:
    try:
        status = path.stat()
        _check_counts(path, status.st_size)
        return _load(str(path), status.st_mtime_ns, status.st_size)
    except ImportError as error:
        raise BadRecording("unreadable_file", f"{path.name} needs pyabf; install it with: pip install pyabf") from error
    except Exception as error:  # pyabf raises many errors over damaged bytes
        raise BadRecording("unreadable_file", f"{path.name} cannot be read as ABF: {one_line(error)}") from error


def _check_counts(path: Path, size: int) -> None:
    """Refuse numbers of sweeps and samples that the file cannot hold: pyabf would make lists of that length."""
    with path.open("rb") as stream:
        head = stream.read(24)
    signature = head[:4]
    if signature not in (b"ABF ", b"ABF2") or len(head) < 24:
        raise ValueError("it does not begin with ABF")
    n_sweeps = struct.unpack_from("<I", head, 16 if signature == b"ABF " else 12)[0]
    n_samples = struct.unpack_from("<I", head, 10)[0] if signature == b"ABF " else size // 2
    # Samples take two bytes; a gap-free recording has no sweeps of its own.
    if n_sweeps > n_samples or n_samples * 2 > size:
        raise ValueError(f"its header promises {n_sweeps} sweeps and {n_samples} samples in {size} bytes")


@lru_cache(maxsize=1)
def _load(path: str, changed: int, size: int) -> Any:
    """The file with its data; the last one is kept, because its sweeps are read one after another."""
    import pyabf

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pyabf.ABF(path)
