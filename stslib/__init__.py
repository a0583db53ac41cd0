"""Spike train scalograms: classify cortical neurons from two current-clamp sweeps by wavelet scalograms.

The package is thin, a module an idea; the notebooks call it and tell the story. The names below are the ones that a
notebook or a script starts from; each is loaded when it is first asked for, so that `import stslib` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "CLASSES": "cohort",
    "Recording": "recordings",
    "Sweep": "recordings",
    "open_source": "io",
    "choose_pair": "sweeps",
    "prepare": "sweeps",
    "Bank": "scalograms",
    "cwt": "scalograms",
    "cwt_resized": "scalograms",
    "run_study": "training.search",
    "scores": "evaluation",
    "begin": "press.stage",
    "StsError": "support.errors",
}
__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"stslib has no {name!r}; it has: {', '.join(sorted(_PUBLIC))}")
    return getattr(importlib.import_module(f"stslib.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return [*sorted(_PUBLIC), "__version__"]
