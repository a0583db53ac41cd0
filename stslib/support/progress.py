"""Progress bars in a terminal and in Jupyter; of a notebook under papermill a small file tells the runner its state.

A bar printed into such a notebook's output would end up in the book.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
ENVIRONMENT = "STS_PROGRESS_FILE"


def progress(iterable: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """The items of `iterable`, shown under `label` if there is one; `total` counts them where it has no length."""
    path = os.environ.get(ENVIRONMENT, "") if label else ""
    bar = tqdm(iterable, desc=label, total=total, leave=False, disable=bool(path) or not label)
    if not path:
        yield from bar
        return
    last, done = 0.0, 0
    _write(path, label, 0, bar.total)
    for done, item in enumerate(iterable, start=1):
        yield item
        if (now := time.monotonic()) - last > 0.25:
            last = now
            _write(path, label, done, bar.total)
    _write(path, label, done, bar.total)


def _write(path: str, label: str, done: int, total: float | None) -> None:
    temporary = Path(f"{path}.part")
    with contextlib.suppress(OSError):  # a bar that cannot be shown must never stop the work
        temporary.write_text(json.dumps({"label": label, "done": done, "total": total}))
        os.replace(temporary, path)
