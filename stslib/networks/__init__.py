"""The paper's four networks (section III.B) and a small one of ours, with a four-class head, their input, their files."""

from stslib.networks.architectures import (
    ARCHITECTURES,
    PAPER_ARCHITECTURES,
    Architecture,
    build,
    check_size,
    count_parameters,
    with_auxiliary,
)
from stslib.networks.compact import Compact, Ensemble
from stslib.networks.inputs import COMPRESSIONS, NORMALISATIONS, InputTransform
from stslib.networks.storage import load, save
from stslib.networks.weights import batch_norms, has_folded_batch_norm, recalibrate_batch_norm

__all__ = [
    "ARCHITECTURES", "COMPRESSIONS", "NORMALISATIONS", "PAPER_ARCHITECTURES", "Architecture", "Compact", "Ensemble",
    "InputTransform", "batch_norms", "build", "check_size", "count_parameters", "has_folded_batch_norm", "load",
    "recalibrate_batch_norm", "save", "with_auxiliary",
]  # fmt: skip
