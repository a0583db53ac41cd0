"""The figures: functions that take results and return a matplotlib figure; nothing is computed or saved here.

A figure's module is imported when one of its figures is first asked for, so that a notebook needs only those it shows.
"""

from __future__ import annotations

import importlib
from typing import Any

#: Each figure and the module that draws it.
_MODULES = {
    "ablations": "training",
    "absolute_times": "features",
    "balanced_accuracy_bars": "scores",
    "bank_response": "wavelets",
    "beside_real": "cells",
    "class_by_rig": "cells",
    "compare_wavelets": "wavelets",
    "confusion_matrix": "scores",
    "explanation": "explained",
    "feature_distributions": "features",
    "features_read_again": "scores",
    "losses": "training",
    "model_name": "style",
    "partners": "sweeps",
    "pipeline": "paper",
    "predicted_cell": "predicted",
    "pywt_error": "wavelets",
    "randomisation": "explained",
    "raw_sweep": "sweeps",
    "reliability": "scores",
    "resampling": "sweeps",
    "rheobase_search": "sweeps",
    "saliency_profiles": "explained",
    "save_predicted": "predicted",
    "scalogram_panel": "panels",
    "scalograms": "wavelets",
    "score_curves": "scores",
    "score_dots": "scores",
    "search_history": "scores",
    "signal_examples": "training",
    "spectrum_and_share": "sweeps",
    "spike_trains": "paper",
}
__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"stslib.figures has no {name!r}; it has: {', '.join(__all__)}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
