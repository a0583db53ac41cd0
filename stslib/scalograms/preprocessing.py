"""`Preprocessing`: the whole way from a recording to the image that a network reads."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from stslib.scalograms.bank import Bank
from stslib.scalograms.pixels import cwt_resized
from stslib.scalograms.settings import ImageSettings
from stslib.support import parallel
from stslib.support.errors import ParameterError, ScalogramWarning
from stslib.support.progress import progress
from stslib.support.settings import settings_from
from stslib.sweeps import SweepSettings

CELLS_PER_JOB = 32  # cells that one process transforms at a time: a few MB to send, a second of work
IMAGE_OPTIONS = ("padding", "backend", "antialias")  # of notebook 03


@dataclass(frozen=True)
class Preprocessing:
    """From a recording to a network's image: which sweeps, which wavelets, which image.

    `ParameterError` where sweeps and wavelets are of different sampling rates, or the image would hold complex numbers.

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
    ready_made: bool = False  # not made from sweeps here, so that more scalograms cannot be made

    def __post_init__(self) -> None:
        if self.sweeps.rate_hz != self.bank.rate_hz:
            rates = f"rate_hz of the sweeps is {self.sweeps.rate_hz:g} and of the bank {self.bank.rate_hz:g}"
            raise ParameterError(f"{rates}; give one rate")
        for where, image in (("", self.image), ("close_up: ", self.image.close_up)):
            if self.bank.mother.is_complex and image is not None and image.output == "coefficients":
                problem = f"{where}output is 'coefficients' and {self.bank.wavelet} is complex"
                raise ParameterError(f"{problem}; set output to magnitude or energy")

    def draw(self, sweeps_mv: np.ndarray, label: str = "") -> np.ndarray:
        """Images `(n, c, height, width)` of prepared sweeps `(n, c, n_samples)` in mV; `label` names a progress bar."""
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
        """`draw` without close-ups into `images` `(n, c, height, width)`, which may lie on disk.

        `n_jobs` processes do the work, or the workers of a Dask `scheduler`; the numbers do not depend on who does it.
        """
        # Always in the same parts: the last bits of a product of matrices depend on how many sweeps it is of.
        parts = [slice(k, k + CELLS_PER_JOB) for k in range(0, len(sweeps_mv), CELLS_PER_JOB)]
        jobs = ((np.array(sweeps_mv[part]), self.bank, self.image) for part in parts)
        done = parallel.run(cwt_resized, jobs, n_jobs, scheduler)
        for part, values in zip(parts, progress(done, "Scalograms", total=len(parts)), strict=True):
            images[part] = values

    def at(self, height: int, width: int) -> Preprocessing:
        """The same with the whole scalogram brought to another size by one resize, in float32: a network's own input."""
        return replace(self, image=replace(self.image, height=height, width=width, dtype="float32"))

    def as_dict(self) -> dict[str, Any]:
        """The settings as plain values, as `model.json` holds them: `from_dict` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: object) -> Preprocessing:
        """The settings from plain values, which may come from a stranger's file: `ParameterError` names a wrong key."""
        # What is optional, files do not name that were written before it existed.
        return settings_from(cls, "preprocessing", values, {"n_sweeps", "step_s", "close_up", "ready_made"})


def check_parameters(parameters: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse parameters of notebook 03 that give no bank or no image; `others` are those of all notebooks."""
    sweeps = SweepSettings(rate_hz=others.get("02_sweeps", {}).get("rate_hz", SweepSettings().rate_hz))
    fields = ("wavelet", "frequency_min_hz", "frequency_max_hz", "n_frequencies", "spacing", "normalisation")
    bank = Bank(**{name: parameters[name] for name in fields}, rate_hz=sweeps.rate_hz)
    options = parameters["image_options"]
    if unknown := sorted(set(options) - set(IMAGE_OPTIONS)):
        raise ParameterError(f"image_options has no setting {unknown[0]!r}; it has: {', '.join(IMAGE_OPTIONS)}")
    values = {name: parameters[name] for name in ("height", "width", "output")} | options
    image = settings_from(ImageSettings, "image_options", values, ImageSettings.__dataclass_fields__)
    Preprocessing(sweeps, bank, image)
