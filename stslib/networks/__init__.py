"""The four networks (paper, section III.B): torchvision architectures with a four-class head, their input, their files."""

from stslib.networks.architectures import (
    ARCHITECTURES,
    Architecture,
    batch_norms,
    build,
    check_size,
    count_parameters,
    has_folded_batch_norm,
    recalibrate_batch_norm,
)
from stslib.networks.inputs import COMPRESSIONS, NORMALISATIONS, InputTransform
from stslib.networks.storage import load, save

__all__ = [
    "ARCHITECTURES",
    "COMPRESSIONS",
    "NORMALISATIONS",
    "Architecture",
    "InputTransform",
    "batch_norms",
    "build",
    "check_size",
    "count_parameters",
    "has_folded_batch_norm",
    "load",
    "recalibrate_batch_norm",
    "save",
]
