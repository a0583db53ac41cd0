"""What a run was made on: git commit and machine, for manifests and benchmarks."""

from __future__ import annotations

import functools
import platform
import subprocess
from pathlib import Path


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
