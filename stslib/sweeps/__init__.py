"""The two sweeps of a cell: which ones (`choose_sweeps`), in one form (`prepare`), and of a cohort (`survey`, `extract`)."""

from stslib.sweeps.choice import REASONS, NoPair, SweepPair, choose_pair, choose_sweeps, counted, spike_times
from stslib.sweeps.extraction import extract, firing, summary, typical_cells
from stslib.sweeps.quality import ResamplingQuality, band_power, power_spectrum, resampling_quality, sweep_quality
from stslib.sweeps.resampling import prepare, reconstruction_error, resample, round_trip
from stslib.sweeps.settings import STEP_S, SweepSettings
from stslib.sweeps.survey import Survey, count_partners, survey, with_counts

__all__ = [
    "REASONS", "STEP_S", "NoPair", "ResamplingQuality", "Survey", "SweepPair", "SweepSettings", "band_power",
    "choose_pair", "choose_sweeps", "count_partners", "counted", "extract",
    "firing", "power_spectrum", "prepare", "reconstruction_error", "resample", "resampling_quality", "round_trip",
    "spike_times", "summary", "survey", "sweep_quality", "typical_cells", "with_counts",
]  # fmt: skip
