"""The figures: functions of results that return a matplotlib figure; their modules are imported when first asked for."""

from __future__ import annotations

import importlib
from typing import Any

#: Each figure and the module that draws it.
_MODULES = {
    "beside_real": "cells", "class_by_rig": "cells",
    "partners": "sweeps", "raw_sweep": "sweeps", "resampling": "sweeps", "rheobase_search": "sweeps",
    "spectrum_and_share": "sweeps", "pipeline": "paper", "spike_trains": "paper", "scalogram_panel": "panels",
    "bank_response": "wavelets", "compare_wavelets": "wavelets", "pywt_error": "wavelets", "scalograms": "wavelets",
    "absolute_times": "features", "feature_distributions": "features", "model_name": "style",
    "balanced_accuracy_bars": "scores", "confusion_matrix": "scores", "reliability": "scores", "search_history": "scores",
    "ablations": "training", "losses": "training",
    "explanation": "explained", "randomisation": "explained", "saliency_profiles": "explained",
    "features_read_again": "scores", "score_curves": "scores", "score_dots": "scores",
    "predicted_cell": "predicted", "save_predicted": "predicted", "signal_examples": "training",
    "file_sweeps": "inspected",
}  # fmt: skip
__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"stslib.figures has no {name!r}; it has: {', '.join(__all__)}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
