"""Other formats as sweeps, by the libraries that keep them: neo (WinWCP, AxoGraph, Igor, Spike2), myokit (HEKA PatchMaster).

Each channel in volts is set beside each channel in amperes; `stslib.io.files.account` sees which of them fit together.
"""

from __future__ import annotations

import contextlib
import importlib
import warnings
from collections.abc import Iterator
from functools import lru_cache, partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stslib.io.files.steps import on_time_base, with_steps
from stslib.io.files.traces import TO_MV, TO_PA, BadRecording, RawSweep, plain_unit
from stslib.support.errors import one_line

#: Reader of neo by suffix.
NEO = {
    ".wcp": "WinWcpIO", ".axgd": "AxographIO", ".axgx": "AxographIO", ".ibw": "IgorIO", ".pxp": "IgorIO",
    ".smr": "Spike2IO", ".smrx": "CedIO",
}  # fmt: skip
HEKA = ".dat"
_NEEDS = {".ibw": "neo igor2", ".pxp": "neo igor2", ".smrx": "neo sonpy", HEKA: "myokit"}


class Signal(NamedTuple):
    """One channel of one sweep: `values` in mV, or in pA."""

    name: str
    rate_hz: float
    start_s: float
    values: np.ndarray


class Episode(NamedTuple):
    """What was recorded, and commanded, in one sweep of a protocol."""

    protocol: str
    voltages: list[Signal]
    currents: list[Signal]

    def signals(self, voltage: int, current: int) -> tuple[Signal, Signal]:
        """A voltage and a current; where there is no such current, NaN."""
        v = self.voltages[voltage]
        return v, self.currents[current] if current < len(self.currents) else v._replace(values=v.values * np.nan)

    def add(self, name: str, unit: str, rate_hz: float, start_s: float, values: Any) -> None:
        """Add a channel; one that is neither in volts nor in amperes is left out."""
        for signals, factors in ((self.voltages, TO_MV), (self.currents, TO_PA)):
            if factor := factors.get(plain_unit(unit)):
                signals.append(Signal(name, rate_hz, start_s, (np.asarray(values, float) * factor).astype(np.float32)))


def readings(path: Path) -> Iterator[list[RawSweep]]:
    """The sweeps of one file, as each of its voltages with each of its currents; BadRecording where it cannot be read."""
    episodes = _episodes(path)
    n_voltages, n_currents = (max((len(e[side]) for e in episodes), default=0) for side in (1, 2))
    if not n_voltages:
        raise BadRecording("no_long_square", f"{path.name} holds no voltage (no channel in volts)")
    for voltage, current in product(range(n_voltages), range(n_currents + 1)):  # the last one stands for no current
        raws = []
        for number, episode in enumerate(e for e in episodes if voltage < len(e.voltages)):
            v, i = episode.signals(voltage, current)
            reader = partial(_read, path, number, voltage, current)
            words = f"{episode.protocol} {v.name}".strip()
            raw = RawSweep(number, words, v.rate_hz, None, reader, channel=f"voltage {voltage + 1}")
            raws += with_steps(raw, i.values, i.rate_hz, i.start_s - v.start_s, len(episodes) == 1)
        yield raws


def _read(path: Path, number: int, voltage: int, current: int) -> tuple[np.ndarray, np.ndarray]:
    v, i = [e for e in _episodes(path) if voltage < len(e.voltages)][number].signals(voltage, current)
    return v.values, on_time_base(i.values, i.rate_hz, len(v.values), v.rate_hz, i.start_s - v.start_s)


def _episodes(path: Path) -> list[Episode]:
    suffix = path.suffix.lower()
    try:
        return _load(str(path), suffix, path.stat().st_mtime_ns)
    except ImportError as error:
        needed = _NEEDS.get(suffix, "neo")
        words = f"{path.name} needs {needed}; install it with: pip install {needed}"
        raise BadRecording("unreadable_file", words) from error
    except Exception as error:  # the libraries raise many errors over damaged bytes
        raise BadRecording("unreadable_file", f"{path.name} cannot be read as {suffix}: {one_line(error)}") from error


@lru_cache(maxsize=1)
def _load(path: str, suffix: str, changed: int) -> list[Episode]:
    """The file with its data; the last one is kept, because its sweeps are read one after another."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _heka(path) if suffix == HEKA else _neo(path, NEO[suffix])


def _neo(path: str, reader: str) -> list[Episode]:
    episodes = []
    for segment in getattr(importlib.import_module("neo.io"), reader)(path).read_block().segments:
        episode = Episode(segment.name or "", [], [])
        for signal in segment.analogsignals:
            unit, rate_hz = str(signal.units.dimensionality), float(signal.sampling_rate.rescale("Hz"))
            for column in np.asarray(signal.magnitude).reshape(len(signal), -1).T:
                episode.add(str(signal.name), unit, rate_hz, float(signal.t_start.rescale("s")), column)
        episodes.append(episode)
    if reader == "IgorIO" and len(episodes) == 1:  # a sweep a column, or a wave a sweep
        _, voltages, currents = episodes[0]
        paired = len(currents) == len(voltages)
        return [Episode(v.name, [v], currents[k : k + 1] if paired else []) for k, v in enumerate(voltages)]
    return episodes


def _heka(path: str) -> list[Episode]:
    from myokit.formats.heka import PatchMasterFile

    episodes = []
    with PatchMasterFile(path) as file:
        for series in (series for group in file for series in group.complete_series()):
            commands: list[Any] = []
            with contextlib.suppress(Exception):  # only simple protocols can be rebuilt
                commands, unit = series.da()[1], str(series.da_units(0)).strip("[]")
            for k, sweep in enumerate(series):
                episode = Episode(series.label(), [], [])
                for trace in sweep:
                    times_s = trace.times()
                    rate_hz = 1 / float(times_s[1] - times_s[0])
                    episode.add(trace.label(), str(trace.value_unit()).strip("[]"), rate_hz, 0.0, trace.values())
                if k < len(commands) and episode.voltages and plain_unit(unit) in TO_PA:
                    episode.add("command", unit, episode.voltages[0].rate_hz, 0.0, commands[k])
                episodes.append(episode)
    return episodes
