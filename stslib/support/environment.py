"""What code ran on: versions of the libraries, git commit and machine, for manifests, model cards and benchmarks."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import platform
import subprocess
from pathlib import Path

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


def git_commit(root: Path) -> str:
    """Short commit of the checkout, with `+changes` when files differ from it; `unknown` outside git."""
    try:
        run = functools.partial(subprocess.run, cwd=root, capture_output=True, text=True, timeout=10, check=True)
        commit = run(["git", "rev-parse", "--short=12", "HEAD"]).stdout.strip()
        dirty = run(["git", "status", "--porcelain"]).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return commit + ("+changes" if dirty else "")


def machine() -> dict[str, str]:
    """System, processor family and Python of this machine; no name and no path, so that a manifest can be shared."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return {"system": platform.system(), "machine": platform.machine(), "python": python}
