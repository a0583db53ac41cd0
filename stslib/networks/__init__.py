"""The paper's four networks (section III.B) and a small one of ours, with a four-class head, their input, their files."""

from stslib.networks.architectures import ARCHITECTURES, PAPER_ARCHITECTURES, build, check_size, recalibrate_batch_norm
from stslib.networks.inputs import InputTransform
from stslib.networks.storage import load, save

__all__ = [
    "ARCHITECTURES", "PAPER_ARCHITECTURES", "InputTransform", "build", "check_size", "load", "recalibrate_batch_norm",
    "save",
]  # fmt: skip
