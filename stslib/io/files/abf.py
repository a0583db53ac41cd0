"""Axon Binary Format (pClamp) files, ABF 1 and 2, as sweeps, by pyabf (Harden 2022, github.com/swharden/pyABF).

A command is what the epochs in the header make an output play; what of that is not in the file is refused, never guessed.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple

import numpy as np

from stslib.io.files.steps import with_steps
from stslib.io.files.traces import TO_MV, TO_PA, BadRecording, RawSweep, plain_unit, text_of
from stslib.support.errors import one_line

_EPISODES = 5  # the mode of acquisition in which epochs are played, sweep by sweep
_EPOCHS, _FILE = 1, 2  # where the waveform of an output comes from
_LONG_HEADER = 12  # ABF 1: blocks before the data, where the epochs are in the header


class Output(NamedTuple):
    """One output (DAC) of the file's protocol; `problem` says why it is not known what it played."""

    number: int
    name: str
    unit: str
    problem: str


def readings(path: Path) -> Iterator[list[RawSweep]]:
    """The sweeps of one file, as a voltage of each channel in volts with each command or recorded current in amperes.

    Commands come before recorded currents, those of the same channel first; `stslib.io.files.account` sees which fit.
    """
    abf = _open(path)
    units = _units(abf, path)
    voltages = [n for n, unit in enumerate(units) if unit in TO_MV]
    currents = [n for n, unit in enumerate(units) if unit in TO_PA]
    if not voltages:
        shown = ", ".join(sorted({str(u) for u in abf.adcUnits}))
        raise BadRecording("no_long_square", f"{path.name} holds no voltage (its channels are in {shown})")
    outputs = _outputs(abf)
    played: list[Output | int] = [o for o in outputs if plain_unit(o.unit) in TO_PA and not o.problem]
    for channel in voltages:
        own = sorted(played, key=lambda o: isinstance(o, Output) and o.number != channel)
        for stimulus in (*own, *currents):
            raws = _raws(abf, path, channel, stimulus)
            if any(raw.step for raw in raws):
                yield raws
    if played or currents:
        why = "it holds no sweep with a square current step"
    elif problem := next((o.problem for o in outputs if o.problem), ""):
        why = f"{problem}; give a table of steps (steps.csv)"
    elif shown := ", ".join(f"{o.name} in {o.unit or 'no unit'}" for o in outputs):
        why = f"it commands no current ({shown}): voltage clamp, or an output whose unit was not set"
    else:
        why = "it stores no command and no current; give a table of steps (steps.csv)"
    readers = [partial(_read, path, number, voltages[0], None) for number in abf.sweepList]
    yield [
        RawSweep(n, "", float(abf.dataRate), None, reader, "no_long_square", why) for n, reader in enumerate(readers)
    ]


def _raws(abf: Any, path: Path, channel: int, stimulus: Output | int) -> list[RawSweep]:
    """Every sweep of a channel with a stimulus."""
    name = stimulus.name if isinstance(stimulus, Output) else f"recorded {abf.adcNames[stimulus]}"
    words, rate_hz, raws = f"{abf.adcNames[channel]} with {name}", float(abf.dataRate), []
    for number in abf.sweepList:
        reader = partial(_read, path, number, channel, stimulus)
        raw = RawSweep(number, words, rate_hz, reader=reader, channel=abf.adcNames[channel] or f"channel {channel}")
        try:
            raws += with_steps(raw, _stimulus(abf, path, number, stimulus), rate_hz, split=len(abf.sweepList) == 1)
        except BadRecording as error:
            raws.append(raw.without(error.reason, str(error)))
    return raws


def _read(path: Path, number: int, channel: int, stimulus: Output | int | None) -> tuple[np.ndarray, np.ndarray]:
    """Voltage in mV and current in pA (NaN where there is none) of one sweep."""
    abf = _open(path)
    v_mv = _recorded(abf, number, channel) * np.float32(TO_MV[_units(abf, path)[channel]])
    if stimulus is None:
        return v_mv, np.full_like(v_mv, np.nan)
    i_pa = _stimulus(abf, path, number, stimulus)
    return v_mv, i_pa[: len(v_mv)]


def _stimulus(abf: Any, path: Path, number: int, stimulus: Output | int) -> np.ndarray:
    if isinstance(stimulus, Output):
        from pyabf.waveform import EpochTable

        values = EpochTable(abf, stimulus.number).epochWaveformsBySweep[number].getWaveform()
        return (values * TO_PA[plain_unit(stimulus.unit)]).astype(np.float32)
    return _recorded(abf, number, stimulus) * np.float32(TO_PA[_units(abf, path)[stimulus]])


def _recorded(abf: Any, number: int, channel: int) -> np.ndarray:
    abf.setSweep(number, channel)
    return np.asarray(abf.sweepY, np.float32)


def _units(abf: Any, path: Path) -> list[str]:
    """Units of the recorded channels, as `plain_unit` writes them; pyabf drops the sign for micro in ABF 1."""
    if abf.abfVersion["major"] > 1:
        return [plain_unit(unit) for unit in abf.adcUnits]
    with path.open("rb") as stream:
        header = stream.read(730)
    physical = struct.unpack_from("<16h", header, 410)[: abf.channelCount]
    return [plain_unit(text_of(header[602 + 8 * n : 610 + 8 * n])) for n in physical]


def _outputs(abf: Any) -> list[Output]:
    """The outputs that played a waveform, from either header; none where the file was not acquired in episodes."""
    if abf.nOperationMode != _EPISODES:
        return []
    if abf.abfVersion["major"] == 1:
        head = abf._headerV1
        if head.lDataSectionPtr < _LONG_HEADER:
            return []
        header = Path(abf.abfFilePath).read_bytes()[: 512 * _LONG_HEADER]
        varied = any(struct.unpack_from("<4h", header, 3360))
        units = [text_of(header[at : at + 8]) for at in (1346, 1354)]  # ABF 1 plays on two outputs
        files = [text_of(header[at : at + 256].split(b"\0")[0]) for at in (2736, 2992)]
        found = [
            (k, f"output {k}", units[k], head.nWaveformSource[k], files[k], varied)
            for k in range(2)
            if head.nWaveformEnable[k]
            and (head.nWaveformSource[k] == _FILE or any(head.nEpochType[10 * k : 10 * k + 10]))
        ]
    else:
        dac, strings = abf._dacSection, abf._stringsSection._indexedStrings
        varied = any(abf._userListSection.nULEnable) or bool(abf._protocolSection.nAlternateDACOutputState)
        found = [
            (number, strings[dac.lDACChannelNameIndex[k]], strings[dac.lDACChannelUnitsIndex[k]], dac.nWaveformSource[k],
             strings[dac.lDACFilePathIndex[k]] if dac.nWaveformSource[k] == _FILE else "", varied or bool(dac.nConditEnable[k]))
            for k, number in enumerate(dac.nDACNum)
            if dac.nWaveformEnable[k] and (dac.nWaveformSource[k] == _FILE or number in abf._epochPerDacSection.nDACNum)
        ]  # fmt: skip
    return [
        Output(number, name, unit, _problem(name, source, *more))
        for number, name, unit, source, *more in found
        if source
    ]


def _problem(name: str, source: int, file: Any, varied: Any) -> str:
    """Why it is not known what an output played; empty where it is."""
    if source == _FILE:
        return f"it plays {name} from the file {PureWindowsPath(file).name or '(not named)'}, which is not read"
    return (
        f"it varies {name} by a user list, by alternation or by a conditioning train, which is not read"
        if varied
        else ""
    )


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
        abf = pyabf.ABF(path)
    if abf.abfVersion["major"] == 1:  # pyabf takes the levels of the first epochs for the holding levels
        stored = struct.unpack_from("<4f", Path(path).read_bytes(), 1394)
        abf.holdingCommand = [level if abs(level) < 1e6 else 0.0 for level in stored]
    return abf
