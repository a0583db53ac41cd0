"""Electrophysiology features: the sets of columns that the baseline uses, and their measurement on a `Recording`."""

from stslib.features.measurement import extract, extract_one
from stslib.features.names import INTENDED, LONG_SQUARE, MEASURED, POINTS, PUBLISHED, SHARED, STIMULI
from stslib.features.sets import FEATURE_SETS, describe
from stslib.features.tables import check_table, from_source, select

__all__ = [
    "FEATURE_SETS",
    "INTENDED",
    "LONG_SQUARE",
    "MEASURED",
    "POINTS",
    "PUBLISHED",
    "SHARED",
    "STIMULI",
    "check_table",
    "describe",
    "extract",
    "extract_one",
    "from_source",
    "select",
]
