"""Run the notebooks of a plan through papermill, one after the other, in the folder of their run."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from stslib.press.folders import MANIFEST, RESULTS_ENVIRONMENT, project_root, read_manifest, run_folder
from stslib.press.runner import Task
from stslib.press.stage import open_stage
from stslib.support import files, progress
from stslib.support.errors import MissingInput, StsError

_SECONDS_BETWEEN_LINES = 15.0


def execute(tasks: Sequence[Task], run: str, echo: Any = print) -> None:
    """Run the tasks that have a reason to run, one after the other; a failure is a `StsError` that names its traceback."""
    folder = run_folder(run)
    with _locked(folder):
        for index, task in enumerate(tasks, 1):
            head = f"[{index}/{len(tasks)}] {task.name}"
            if not task.reason:
                echo(f"{head}: current")
                continue
            started = time.time()
            echo(f"{head}: running ({task.reason})")
            _execute_one(task, run)
            echo(f"{head}: done in {time.time() - started:.0f} s")
        _collect_metrics(run, [t.name for t in tasks])


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0)
        lock.acquire()
    except Timeout:
        raise StsError(f"another sts run is at work in {folder}; wait for it, or choose another --run") from None
    except OSError as error:
        raise StsError(files.why_not_written(folder, error)) from None
    try:
        yield
    finally:
        lock.release()


def _execute_one(task: Task, run: str) -> None:
    import papermill
    from nbclient.exceptions import CellExecutionError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    folder = run_folder(run) / task.name
    failed = run_folder(run) / f"{task.name}.failed.ipynb"
    with tempfile.TemporaryDirectory(prefix="sts-") as temporary:
        executed = Path(temporary) / f"{task.name}.ipynb"
        with contextlib.suppress(OSError):  # what stands there now is no sign that this run ended
            (folder / MANIFEST).unlink()
        try:
            shown = Path(temporary) / "progress.json"
            known = {RESULTS_ENVIRONMENT: str(run_folder(run).parent), progress.ENVIRONMENT: str(shown)}
            known["JUPYTER_PATH"] = os.pathsep.join([_own_kernel(Path(temporary)), os.environ.get("JUPYTER_PATH", "")])
            with _environment(**known), _bar(shown):
                papermill.execute_notebook(
                    str(task.notebook), str(executed), parameters=task.parameters, kernel_name="python3",
                    progress_bar=False, extra_arguments=["--log-level=50"], cwd=str(project_root()),
                )  # fmt: skip
        except (PapermillExecutionError, CellExecutionError) as error:
            with contextlib.suppress(StsError), files.atomic(failed) as path:  # a full disk must not hide the error
                shutil.copyfile(executed, path)
            trace = f" (traceback: {failed}; what it had saved: {folder})" if failed.is_file() else ""
            raise StsError(f"{task.name} failed in {_what_failed(error)}{trace}") from None
        except DeadKernelError:
            raise StsError(f"{task.name}: its kernel died, most often for want of memory; run it again") from None
        if read_manifest(folder) is None:
            reason = re.search(rf'{re.escape(task.name)} is unfinished: [^"\\]*', executed.read_text(encoding="utf-8"))
            must = f"{task.name} ended unfinished: it must open its stage with begin({task.name!r}, globals())"
            raise StsError(reason.group() if reason else must)
        with files.atomic(folder / f"{task.name}.ipynb") as path:
            shutil.copyfile(executed, path)
    failed.unlink(missing_ok=True)


def _own_kernel(folder: Path) -> str:
    """A Jupyter path whose kernel python3 is the interpreter that runs this, whatever other kernels are installed."""
    spec = folder / "jupyter" / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec.write_text(json.dumps({"argv": argv, "display_name": "Python 3", "language": "python"}), encoding="utf-8")
    return str(folder / "jupyter")


def _what_failed(error: Exception) -> str:
    """The cell and the last line of its error; the kind of an `StsError` is left out, its words are meant for the reader."""
    count = getattr(error, "exec_count", None)
    name, text = getattr(error, "ename", "error"), " ".join(str(getattr(error, "evalue", "")).split())
    ours = name in ("StsError", *(kind.__name__ for kind in StsError.__subclasses__()))
    return (f"cell {count}: " if count else "a cell: ") + (text if ours else f"{name}: {text}")


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Environment variables that the kernel inherits."""
    before = {name: os.environ[name] for name in values if name in os.environ}
    os.environ.update(values)
    try:
        yield
    finally:
        for name in values:
            del os.environ[name]
        os.environ.update(before)


@contextlib.contextmanager
def _bar(path: Path) -> Iterator[None]:
    """Show the progress that the notebook's kernel writes to `path` as a bar in this terminal; in a log as lines."""
    from tqdm import tqdm

    stop = threading.Event()
    terminal = sys.stderr.isatty()

    def show() -> None:
        last = None
        with tqdm(leave=False, delay=0.1, file=sys.stderr, disable=not terminal) as bar:
            while not stop.wait(0.3 if terminal else _SECONDS_BETWEEN_LINES):
                state = _progress(path)
                if state is None or state == last:
                    continue
                text, done, total = state
                if not terminal:
                    print(f"  {text}: {done}" + (f" of {total}" if total else ""), file=sys.stderr, flush=True)
                elif last is None or text != last[0] or done < bar.n:
                    bar.set_description(f"  {text}", refresh=False)
                    bar.reset(total)
                bar.n, last = done, state
                bar.refresh()

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _progress(path: Path) -> tuple[str, int, int | None] | None:
    """The label, what is done and the total that the kernel wrote last, or None while there is nothing."""
    try:
        state = json.loads(path.read_text())
        return state["label"], state["done"], state["total"]
    except (OSError, ValueError, KeyError):
        return None


def _collect_metrics(run: str, names: Sequence[str]) -> None:
    """Put the metric records of all notebooks into `results/<run>/metrics.json`, the one file that others read."""
    records: list[dict[str, Any]] = []
    for name in names:
        with contextlib.suppress(MissingInput):
            records += open_stage(run, name).load_json("metrics")
    with files.atomic(run_folder(run) / "metrics.json") as path:
        path.write_text(json.dumps(records, indent=1), encoding="utf-8")
