"""Figures of sweeps, wavelets and scalograms: the paper's Figs. 1 and 2, and those that teach the steps between them."""

from stslib.figures.signals.panels import scalogram_panel, sweep_and_scalogram
from stslib.figures.signals.paper import pipeline, spike_trains
from stslib.figures.signals.sweeps import (
    partners,
    raw_spectra,
    raw_sweep,
    real_sweeps,
    resampling,
    rheobase_search,
    spectrum_and_share,
)
from stslib.figures.signals.wavelets import (
    bank_response,
    compare_wavelets,
    edges,
    model_resolution,
    normalisations,
    pywt_error,
    ridge,
    sine_to_train,
    trade,
    wavelets,
)

__all__ = [
    "bank_response",
    "compare_wavelets",
    "edges",
    "model_resolution",
    "normalisations",
    "partners",
    "pipeline",
    "pywt_error",
    "raw_spectra",
    "raw_sweep",
    "real_sweeps",
    "resampling",
    "rheobase_search",
    "ridge",
    "scalogram_panel",
    "sine_to_train",
    "spectrum_and_share",
    "spike_trains",
    "sweep_and_scalogram",
    "trade",
    "wavelets",
]
