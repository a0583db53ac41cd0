"""What the baseline's scores on the real tables measure: the cells, the rigs, or the labels."""

from stslib.audit.checks import by_part, calibration_interval, learning_curve, noisy_labels, suspects
from stslib.audit.importance import PAPER_TOP, reread, share_of_times
from stslib.audit.rigs import rig_told
from stslib.audit.sweeps import compare_or_none, compare_sweeps
from stslib.audit.tables import Tables, load
from stslib.audit.transfer import Crossing, Direction, across, adapted, directions, discriminant

__all__ = [
    "PAPER_TOP",
    "Crossing",
    "Direction",
    "Tables",
    "across",
    "adapted",
    "by_part",
    "calibration_interval",
    "compare_or_none",
    "compare_sweeps",
    "directions",
    "discriminant",
    "learning_curve",
    "load",
    "noisy_labels",
    "reread",
    "rig_told",
    "share_of_times",
    "suspects",
]
