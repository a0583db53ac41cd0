"""The numbers of the way from a recording to the image that a network reads: `ImageSettings`, `CloseUp`, `Preprocessing`.

A scalogram of 1.2 s has pixels of tens of milliseconds; the width of an action potential, which sets Pvalb cells apart from
the others, is lost in them. A close-up is the scalogram of a few milliseconds around the peak of the first spike, with a
band of its own. It stands to the right of the whole sweep in the same image, so that any network can read both.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from stslib.scalograms.bank import Bank
from stslib.support.errors import ParameterError, one_of
from stslib.support.settings import settings_from
from stslib.sweeps import SweepSettings, spike_times
from stslib.sweeps.choice import SPIKE_CROSSING_MV

OUTPUTS = ("coefficients", "magnitude", "energy")
PADDINGS = ("zero", "edge", "reflect", "symmetric")
BACKENDS = ("fft", "pywt")
LARGEST_PX = 16384
IMAGE_OPTIONS = ("padding", "backend", "antialias")  # of notebook 03

#: Where the resting potential was subtracted, a first spike crosses this share of the highest value. A fixed voltage would
#: not do: some cells fire from 30 mV above rest, others from 55.
SPIKE_CROSSING_SHARE = 0.6
#: The peak is sought this long after the spike's crossing.
PEAK_WITHIN_S = 0.003


@dataclass(frozen=True)
class CloseUp:
    """A close-up of the first spike of each sweep.

    Attributes
    ----------
    before_s, after_s : float
        Time shown before and after the peak of the first spike, in s.
    frequency_min_hz, frequency_max_hz : float
        Its band; the upper end is left out.
    output : str
        As in `cwt`. A single spike keeps the sign of its coefficients: nothing is averaged away.

    Raises
    ------
    ParameterError
        A value is out of its range.

    Examples
    --------
    >>> CloseUp(after_s=0.008).bank(Bank(rate_hz=10000)).frequency_min_hz
    100.0
    """

    before_s: float = 0.005
    after_s: float = 0.01
    frequency_min_hz: float = 100.0
    frequency_max_hz: float = 4000.0
    output: str = "coefficients"

    def __post_init__(self) -> None:
        for name in ("before_s", "after_s"):
            if not 0 < getattr(self, name) <= 0.5:
                raise ParameterError(f"{name} is {getattr(self, name)}; give 0.5 s or less, above 0")
        one_of("output", self.output, OUTPUTS)

    def bank(self, whole: Bank) -> Bank:
        """The wavelets of the close-up: those of the whole sweep, over its own band."""
        return replace(whole, frequency_min_hz=self.frequency_min_hz, frequency_max_hz=self.frequency_max_hz)

    def cut(self, sweeps_mv: np.ndarray, settings: SweepSettings) -> np.ndarray:
        """The voltage around each first spike, `(n, c, n_samples)` to `(n, c, n_close_up)`; beyond a sweep its end value."""
        n_before, n_after = round(self.before_s * settings.rate_hz), math.ceil(self.after_s * settings.rate_hz)
        window = np.arange(-n_before, n_after)
        flat = np.asarray(sweeps_mv).reshape(-1, sweeps_mv.shape[-1])
        indices = [np.clip(first_peak(v_mv, settings) + window, 0, len(v_mv) - 1) for v_mv in flat]
        cut = np.take_along_axis(flat, np.array(indices, dtype=np.int64).reshape(len(flat), len(window)), axis=1)
        return cut.reshape(*sweeps_mv.shape[:-1], len(window))


def first_peak(v_mv: np.ndarray, settings: SweepSettings) -> int:
    """Sample of the peak of a prepared sweep's first spike during the step; without a spike, of its highest value there."""
    rate_hz, step_s = settings.rate_hz, settings.step_s
    onset = round(settings.before_s * rate_hz)
    highest_mv = float(np.max(v_mv[onset : onset + max(1, round(step_s * rate_hz))]))
    crossing_mv = SPIKE_CROSSING_SHARE * highest_mv if settings.baseline == "subtract" else SPIKE_CROSSING_MV
    spikes = spike_times(v_mv, rate_hz, settings.before_s, step_s, crossing_mv)
    start = onset + round(float(spikes[0]) * rate_hz) if len(spikes) else onset
    length_s = PEAK_WITHIN_S if len(spikes) else step_s
    return start + int(np.argmax(v_mv[start : start + max(1, round(length_s * rate_hz))]))


@dataclass(frozen=True)
class ImageSettings:
    """How a scalogram becomes the image that a network reads. The defaults are notebook 3's.

    Attributes
    ----------
    height, width : int
        Rows (frequency, row 0 the lowest) and columns (time) of the image, in pixels.
    output, padding, backend : str
        As in `cwt`.
    antialias : bool
        Average over all that a pixel covers. Without it a bilinear resize reads two samples a column, and what is narrower
        than a column is met by chance. Use it with magnitudes: coefficients of both signs average to nothing.
    close_up : CloseUp, optional
        Adds a close-up of the first spike to the right, in as many pixels: the image is then twice as wide.
    dtype : str
        Type in which images are stored, `"float16"` or `"float32"`; energies can leave the range of float16.

    Raises
    ------
    ParameterError
        A value is not among the valid ones, or a size is not a whole number of pixels.

    Examples
    --------
    >>> ImageSettings(height=96, width=96, output="magnitude").padding
    'zero'
    """

    height: int = 64
    width: int = 512
    output: str = "coefficients"
    padding: str = "zero"
    backend: str = "fft"
    antialias: bool = False
    close_up: CloseUp | None = None
    dtype: str = "float16"

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value <= LARGEST_PX:
                raise ParameterError(f"{name} is {value!r}; give a whole number of pixels from 1 to {LARGEST_PX}")
        one_of("output", self.output, OUTPUTS)
        one_of("padding", self.padding, PADDINGS)
        one_of("backend", self.backend, BACKENDS)
        one_of("dtype", self.dtype, ("float16", "float32"))


@dataclass(frozen=True)
class Preprocessing:
    """From a recording to a network's image: which sweeps, which wavelets, which image.

    Attributes
    ----------
    sweeps : SweepSettings
        How sweeps are chosen and brought into one form.
    bank : Bank
        The wavelets, at the rate of the sweeps.
    image : ImageSettings
        What is drawn.
    ready_made : bool
        The scalograms were not made from sweeps here, so that more of them cannot be made.

    Raises
    ------
    ParameterError
        Sweeps and wavelets are of different sampling rates, or the image would hold complex numbers.

    Examples
    --------
    >>> preprocessing = Preprocessing(SweepSettings(), Bank(), ImageSettings(height=8, width=16))
    >>> preprocessing.draw(np.ones((3, 2, 4800))).shape  # cells, sweeps, height, width
    (3, 2, 8, 16)
    >>> Preprocessing.from_dict(preprocessing.as_dict()) == preprocessing
    True
    """

    sweeps: SweepSettings
    bank: Bank
    image: ImageSettings
    ready_made: bool = False

    def __post_init__(self) -> None:
        if self.sweeps.rate_hz != self.bank.rate_hz:
            raise ParameterError(
                f"rate_hz of the sweeps is {self.sweeps.rate_hz:g} and of the bank {self.bank.rate_hz:g}; give one rate"
            )
        for where, image in (("", self.image), ("close_up: ", self.image.close_up)):
            if self.bank.mother.is_complex and image is not None and image.output == "coefficients":
                raise ParameterError(
                    f"{where}output is 'coefficients' and {self.bank.wavelet} is complex; set output to magnitude or energy"
                )

    def draw(self, sweeps_mv: np.ndarray, label: str = "") -> np.ndarray:
        """Images of prepared sweeps, `(n, c, n_samples)` in mV to `(n, c, height, width)`, the close-up to the right.

        `label` names a progress bar; none is shown without.
        """
        from stslib.scalograms.resized import cwt_resized
        from stslib.scalograms.transform import ScalogramWarning

        images: np.ndarray = cwt_resized(sweeps_mv, self.bank, self.image, label).astype(self.image.dtype)
        if (close_up := self.image.close_up) is None:
            return images
        spikes_mv, own = close_up.cut(sweeps_mv, self.sweeps), replace(self.image, output=close_up.output)
        with warnings.catch_warnings():
            # Its lowest wavelets are longer than the few milliseconds, on purpose: no other spike is to be seen.
            warnings.simplefilter("ignore", ScalogramWarning)
            beside = cwt_resized(spikes_mv, close_up.bank(self.bank), own).astype(self.image.dtype)
        return np.concatenate([images, beside], axis=-1)

    def fill(self, images: np.ndarray, sweeps_mv: np.ndarray, n_jobs: int = 1, scheduler: str = "") -> None:
        """`draw` without close-ups, into an array that may lie on disk, by several processes or a Dask cluster."""
        from stslib.scalograms.resized import fill

        fill(images, sweeps_mv, self.bank, self.image, n_jobs, scheduler)

    def as_dict(self) -> dict[str, Any]:
        """The settings as plain values, as `model.json` holds them: `from_dict` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: object) -> Preprocessing:
        """The settings from plain values, which may come from a stranger's file.

        Raises
        ------
        ParameterError
            A key is missing or unknown, or a value has another type or is out of its range; the message names it.
        """
        # What is optional, files do not name that were written before it existed.
        return settings_from(cls, "preprocessing", values, {"n_sweeps", "step_s", "close_up", "ready_made"})


def check_parameters(parameters: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse parameters of notebook 03 that make no sense together, before it runs; `others` are those of all notebooks.

    Raises
    ------
    ParameterError
        They give no bank at the sampling rate of notebook 02, or no numbers that can be saved.
    """
    sweeps = SweepSettings(rate_hz=others.get("02_sweeps", {}).get("rate_hz", SweepSettings().rate_hz))
    fields = ("wavelet", "frequency_min_hz", "frequency_max_hz", "n_frequencies", "spacing", "normalisation")
    bank = Bank(**{name: parameters[name] for name in fields}, rate_hz=sweeps.rate_hz)
    options = parameters["image_options"]
    if unknown := sorted(set(options) - set(IMAGE_OPTIONS)):
        raise ParameterError(f"image_options has no setting {unknown[0]!r}; it has: {', '.join(IMAGE_OPTIONS)}")
    values = {name: parameters[name] for name in ("height", "width", "output")} | options
    image = settings_from(ImageSettings, "image_options", values, ImageSettings.__dataclass_fields__)
    Preprocessing(sweeps, bank, image)
