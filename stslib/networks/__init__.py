"""The paper's four networks (section III.B) and a small one of ours, with a four-class head, their input, their files."""

from stslib.networks.architectures import ARCHITECTURES, PAPER_ARCHITECTURES, build, check_size, count_parameters
from stslib.networks.inputs import InputTransform
from stslib.networks.storage import load, save
from stslib.networks.weights import batch_norms, has_folded_batch_norm, recalibrate_batch_norm

__all__ = [
    "ARCHITECTURES", "PAPER_ARCHITECTURES", "InputTransform", "batch_norms", "build", "check_size", "count_parameters",
    "has_folded_batch_norm", "load", "recalibrate_batch_norm", "save",
]  # fmt: skip
