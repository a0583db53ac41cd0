"""Electrophysiology features: the sets of columns that the baseline uses, and their measurement on a `Recording`."""

from stslib.features.columns import SHARED
from stslib.features.measurement import compare_sweeps, extract, extract_one
from stslib.features.tables import FEATURE_SETS, FeatureTable, describe, of_cells

__all__ = ["FEATURE_SETS", "SHARED", "FeatureTable", "compare_sweeps", "describe", "extract", "extract_one", "of_cells"]
