"""Pages of the book that hold numbers: written from result files, never typed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def write(run: str, notebooks: Sequence[str], folder: Path) -> None:
    """Write the generated pages of a run into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
