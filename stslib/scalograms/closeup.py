"""From prepared sweeps to the image that a network reads: the whole sweep and, if wanted, a close-up of its first spike.

A scalogram of 1.2 s has pixels of tens of milliseconds; the width of an action potential, which tells Pvalb cells from the
others, is lost in them. A close-up is the scalogram of a few milliseconds around the peak of the first spike, with a band of
its own, in as many pixels. It stands to the right of the whole sweep in the same image, so that any network can read both.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stslib.scalograms import Bank, ScalogramWarning, cwt_resized
from stslib.support.errors import ParameterError
from stslib.sweeps import STEP_S, spike_times
from stslib.sweeps.choice import SPIKE_CROSSING_MV

#: Where the resting potential was taken away, a first spike goes up through this share of the highest value. A voltage would
#: not do: some cells fire from 30 mV above rest, others from 55.
SPIKE_CROSSING_SHARE = 0.6
#: The peak is sought this long after the spike went up through the voltage above.
PEAK_WITHIN_S = 0.003


@dataclass(frozen=True)
class CloseUp:
    """What a close-up shows.

    Attributes
    ----------
    before_s, after_s : float
        Time kept before and after the peak of the first spike, in s.
    frequency_min_hz, frequency_max_hz : float
        Its band; the upper end is left out.
    output : str
        As in `scalograms.cwt`. A single spike keeps the sign of its coefficients: nothing is averaged away.
    """

    before_s: float = 0.005
    after_s: float = 0.01
    frequency_min_hz: float = 100.0
    frequency_max_hz: float = 4000.0
    output: str = "coefficients"

    def __post_init__(self) -> None:
        for name in ("before_s", "after_s"):
            if not 0 < getattr(self, name) <= 0.5:
                raise ParameterError(f"close_up: {name} is {getattr(self, name)}; give 0.5 s or less, above 0")

    def bank(self, whole: Bank) -> Bank:
        """The wavelets of the close-up: those of the whole sweep, over its own band."""
        return dataclasses.replace(
            whole, frequency_min_hz=self.frequency_min_hz, frequency_max_hz=self.frequency_max_hz
        )

    def cut(self, sweeps_mv: np.ndarray, rate_hz: float, sweeps: Mapping[str, Any]) -> np.ndarray:
        """The voltage around the first spike of each sweep: `(n, c, n_samples)` to `(n, c, n_close_up)`, in mV.

        Where the window reaches beyond the sweep, its end value is held. `rate_hz` is that of the sweeps; `sweeps` as for
        `draw`.
        """
        n_before, n_after = round(self.before_s * rate_hz), math.ceil(self.after_s * rate_hz)
        window = np.arange(-n_before, n_after)
        flat = np.asarray(sweeps_mv).reshape(-1, sweeps_mv.shape[-1])
        places = [np.clip(first_peak(v_mv, rate_hz, sweeps) + window, 0, len(v_mv) - 1) for v_mv in flat]
        cut = np.take_along_axis(flat, np.array(places, dtype=np.int64).reshape(len(flat), len(window)), axis=1)
        return cut.reshape(*sweeps_mv.shape[:-1], len(window))


def first_peak(v_mv: np.ndarray, rate_hz: float, sweeps: Mapping[str, Any]) -> int:
    """Sample of the peak of a prepared sweep's first spike during the step; without a spike, of its highest value there.

    Parameters
    ----------
    v_mv : (n_samples,) array
        A sweep as `sweeps.extract` gives it, in mV.
    rate_hz : float
        Its sampling rate.
    sweeps : mapping
        Options it was prepared with; `before_s`, `step_s` and `baseline` are read.
    """
    onset_s, step_s = float(sweeps["before_s"]), float(sweeps.get("step_s", STEP_S))
    onset = round(onset_s * rate_hz)
    highest_mv = float(np.max(v_mv[onset : onset + max(1, round(step_s * rate_hz))]))
    crossing_mv = SPIKE_CROSSING_SHARE * highest_mv if sweeps["baseline"] == "subtract" else SPIKE_CROSSING_MV
    spikes = spike_times(v_mv, rate_hz, onset_s, step_s, crossing_mv)
    start = onset + round(float(spikes[0]) * rate_hz) if len(spikes) else onset
    length = PEAK_WITHIN_S if len(spikes) else step_s
    return start + int(np.argmax(v_mv[start : start + max(1, round(length * rate_hz))]))


def close_up_of(image: Mapping[str, Any]) -> CloseUp | None:
    """The close-up that the settings of an image ask for, or None.

    Raises
    ------
    TypeError, ParameterError
        Its settings are not those of a `CloseUp`.
    """
    return CloseUp(**image["close_up"]) if image.get("close_up") else None


def draw(
    sweeps_mv: np.ndarray, bank: Bank, image: Mapping[str, Any], sweeps: Mapping[str, Any], label: str = ""
) -> np.ndarray:
    """Scalograms of prepared sweeps as a network reads them.

    Parameters
    ----------
    sweeps_mv : (n, c, n_samples) array
        In mV at `bank.rate_hz`.
    bank : Bank
        The wavelets for whole sweeps.
    image : mapping
        `height`, `width`, `output`, `padding`, `backend`, `antialias` of `scalograms.cwt_resized`, and, if wanted, `close_up`
        with the fields of `CloseUp`. The close-up has the same height and width, so the image is then twice as wide.
    sweeps : mapping
        Options of `sweeps.extract` with which the sweeps were prepared.
    label : str
        Of a progress bar; none is shown without.

    Returns
    -------
    (n, c, height, width or 2 width) array
        float32, row 0 the lowest frequency.
    """
    whole = {key: value for key, value in image.items() if key != "close_up"}
    images: np.ndarray = cwt_resized(sweeps_mv, bank, **whole, label=label)
    if (close_up := close_up_of(image)) is None:
        return images
    spikes = close_up.cut(sweeps_mv, bank.rate_hz, sweeps)
    with warnings.catch_warnings():
        # Its lowest wavelets are longer than the few milliseconds, on purpose: no other spike is to be seen.
        warnings.simplefilter("ignore", ScalogramWarning)
        beside = cwt_resized(spikes, close_up.bank(bank), **{**whole, "output": close_up.output})
    return np.concatenate([images, beside], axis=-1)
