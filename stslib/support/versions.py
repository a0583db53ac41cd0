"""Versions of Python and of the libraries whose version can move a number or a figure."""

from __future__ import annotations

import functools
import importlib.metadata
import platform

LIBRARIES = (
    "numpy", "scipy", "pandas", "PyWavelets", "scikit-learn", "lightgbm", "optuna", "torch", "torchvision", "captum",
    "shap", "matplotlib", "h5py", "allensdk",
)  # fmt: skip


@functools.cache
def versions() -> dict[str, str]:
    """Versions of Python and of `LIBRARIES`, as installed; an absent optional library is not listed."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
