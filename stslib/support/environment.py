"""Versions of the libraries, for manifests, model cards and benchmarks."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import platform

#: The libraries whose version can move a number or a figure.
LIBRARIES = (
    "numpy", "scipy", "pandas", "PyWavelets", "scikit-learn", "lightgbm", "optuna", "torch", "torchvision", "captum",
    "shap", "matplotlib", "seaborn", "h5py", "allensdk",
)  # fmt: skip


@functools.cache
def versions() -> dict[str, str]:
    """Versions of Python and of `LIBRARIES`, as installed (an absent optional library is not listed)."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
