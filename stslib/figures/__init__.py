"""The figures: functions that take results and return a matplotlib figure; nothing is computed or saved here.

A figure's module is imported when one of its figures is first asked for, so that a notebook needs only those it shows.
"""

from __future__ import annotations

import importlib
from typing import Any

#: Each figure and the module that draws it.
_MODULES = {
    "absolute_times": "features",
    "ablations": "training",
    "balanced_accuracy_bars": "scores",
    "bank_response": "signals.wavelets",
    "beeswarm": "explained",
    "beside_real": "cells",
    "class_by_rig": "cells",
    "class_f1": "scores",
    "compare_wavelets": "signals.wavelets",
    "confusion_matrix": "scores",
    "curves": "audit",
    "dots": "audit",
    "edges": "signals.wavelets",
    "examples": "realsignals",
    "explanation": "explained",
    "feature_distributions": "features",
    "features_read_again": "audit",
    "losses": "training",
    "model_name": "scores",
    "model_resolution": "signals.wavelets",
    "normalisations": "signals.wavelets",
    "partners": "signals.sweeps",
    "pipeline": "signals.paper",
    "predicted_cell": "predicted",
    "pywt_error": "signals.wavelets",
    "randomisation": "explained",
    "raw_spectra": "signals.sweeps",
    "raw_sweep": "signals.sweeps",
    "real_sweeps": "signals.sweeps",
    "reliability": "scores",
    "resampling": "signals.sweeps",
    "rheobase_search": "signals.sweeps",
    "ridge": "signals.wavelets",
    "saliency_panel": "explained",
    "saliency_profiles": "explained",
    "scalogram_panel": "signals.panels",
    "search_history": "scores",
    "shapes": "signals.wavelets",
    "sine_to_train": "signals.wavelets",
    "spectrum_and_share": "signals.sweeps",
    "spike_trains": "signals.paper",
    "sweep_and_scalogram": "signals.panels",
    "trade": "signals.wavelets",
    "wavelets": "signals.wavelets",
}
__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"stslib.figures has no {name!r}; it has: {', '.join(__all__)}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
