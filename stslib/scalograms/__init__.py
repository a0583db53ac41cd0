"""Scalograms: the continuous wavelet transform of spike trains (paper, section III-B).

`Bank` says which wavelet at which frequencies, `cwt` gives the whole scalogram, `cwt_resized` the one a network reads,
`fill` those of a cohort.
"""

from stslib.scalograms.accuracy import direct_evaluation, errors_by_frequency
from stslib.scalograms.bank import NORMALISATIONS, SPACINGS, Bank, cone_of_influence
from stslib.scalograms.batch import fill
from stslib.scalograms.preprocessing import Preprocessing
from stslib.scalograms.resized import cwt_resized
from stslib.scalograms.settings import BACKENDS, OUTPUTS, PADDINGS, CloseUp, ImageSettings
from stslib.scalograms.transform import ScalogramWarning, check_output, check_parameters, cwt
from stslib.scalograms.wavelets import NAMES, Wavelet, wavelet

__all__ = [
    "BACKENDS",
    "NAMES",
    "NORMALISATIONS",
    "OUTPUTS",
    "PADDINGS",
    "SPACINGS",
    "Bank",
    "CloseUp",
    "ImageSettings",
    "Preprocessing",
    "ScalogramWarning",
    "Wavelet",
    "check_output",
    "check_parameters",
    "cone_of_influence",
    "cwt",
    "cwt_resized",
    "direct_evaluation",
    "errors_by_frequency",
    "fill",
    "wavelet",
]
