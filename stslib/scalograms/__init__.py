"""Scalograms: the continuous wavelet transform of spike trains (paper, section III-B), whole and as a network reads it."""

from stslib.scalograms.accuracy import conclusion, direct_evaluation, errors_by_frequency
from stslib.scalograms.bank import Bank
from stslib.scalograms.pixels import cwt_resized
from stslib.scalograms.preprocessing import Preprocessing, check_parameters
from stslib.scalograms.settings import CloseUp, ImageSettings
from stslib.scalograms.transform import cwt
from stslib.support.errors import ScalogramWarning

__all__ = [
    "Bank", "CloseUp", "ImageSettings", "Preprocessing", "ScalogramWarning", "check_parameters", "conclusion", "cwt",
    "cwt_resized", "direct_evaluation", "errors_by_frequency",
]  # fmt: skip
