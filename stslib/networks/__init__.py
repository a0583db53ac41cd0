"""The paper's four networks (section III.B), small classifiers of ours, their input, their files."""

from stslib.networks.architectures import (
    ARCHITECTURES,
    CLASSIFIERS,
    PAPER_ARCHITECTURES,
    build,
    check_size,
    recalibrate_batch_norm,
)
from stslib.networks.closed_form import ClosedForm
from stslib.networks.inputs import READS, SCALOGRAMS, InputTransform
from stslib.networks.storage import load, save

__all__ = [
    "ARCHITECTURES", "CLASSIFIERS", "PAPER_ARCHITECTURES", "READS", "SCALOGRAMS", "ClosedForm", "InputTransform",
    "build", "check_size", "load", "recalibrate_batch_norm", "save",
]  # fmt: skip
