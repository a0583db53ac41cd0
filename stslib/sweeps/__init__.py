"""The two sweeps of a cell: which ones (`choose_pair`), in one form (`prepare`), and of a cohort (`survey`, `extract`)."""

from stslib.sweeps.choice import (
    REASON_TEXT,
    REASONS,
    NoPair,
    SweepPair,
    choose_pair,
    choose_sweeps,
    count_spikes,
    spike_times,
)
from stslib.sweeps.extraction import extract
from stslib.sweeps.resampling import prepare, prepare_with_metadata, resample
from stslib.sweeps.resampling_quality import TRIED_HZ, Judged, judge, judged_tables, share_above
from stslib.sweeps.settings import BASELINES, REPEATS, STEP_S, SweepSettings
from stslib.sweeps.spectra import (
    band_share,
    firing,
    power_spectrum,
    reconstruction_error,
    resampled_spike,
    there_and_back,
    typical_cells,
)
from stslib.sweeps.survey import Survey, count_partners, survey, with_counts

__all__ = [
    "BASELINES",
    "REASONS",
    "REASON_TEXT",
    "REPEATS",
    "STEP_S",
    "TRIED_HZ",
    "Judged",
    "NoPair",
    "Survey",
    "SweepPair",
    "SweepSettings",
    "band_share",
    "choose_pair",
    "choose_sweeps",
    "count_partners",
    "count_spikes",
    "extract",
    "firing",
    "judge",
    "judged_tables",
    "power_spectrum",
    "prepare",
    "prepare_with_metadata",
    "reconstruction_error",
    "resample",
    "resampled_spike",
    "share_above",
    "spike_times",
    "survey",
    "there_and_back",
    "typical_cells",
    "with_counts",
]
