"""Run the notebooks, in order, strictly: every parameter is checked first, and only what is not current runs.

The order is the notebooks' own numbering; what reads what is found in their code (`stage.input("02_sweeps")`).
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from stslib.press import fingerprint as provenance
from stslib.press import stage as runs
from stslib.press.parameters import Parameter, read_notebook, read_parameters, resolve
from stslib.support import files, progress
from stslib.support.errors import MissingInput, ParameterError, StsError

_SECONDS_BETWEEN_LINES = 15.0


@dataclass(frozen=True)
class Task:
    """One notebook of a run: what it will be run with, and why it must run (`reason`, empty when it is current)."""

    name: str
    notebook: Path
    parameters: dict[str, Any]
    fingerprint: str
    upstream: tuple[str, ...]
    reason: str


def available() -> dict[str, Path]:
    """The project's notebooks in order: name without suffix to path."""
    folder = provenance.project_root() / "notebooks"
    return {p.stem: p for p in sorted(folder.glob("[0-9][0-9]_*.ipynb"))}


def profiles() -> dict[str, Path]:
    """The profiles by name."""
    return {p.stem: p for p in sorted((provenance.project_root() / "notebooks" / "profiles").glob("*.yaml"))}


def read_profile(name: str) -> dict[str, Any]:
    """A profile: which notebooks it runs and what it gives each.

    Returns
    -------
    dict
        `description` (text), `notebooks` (names, all of them where the profile names none), `parameters`
        (notebook name to dict).

    Raises
    ------
    ParameterError
        No such profile (the valid ones are listed), or it names a notebook that does not exist.
    """
    known, paths = available(), profiles()
    if name not in paths:
        raise ParameterError(f"there is no profile {name!r}; use one of: {', '.join(paths)}")
    try:
        content = yaml.safe_load(paths[name].read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ParameterError(f"profile {paths[name]} is not valid YAML: {' '.join(str(error).split())}") from None
    chosen = content.pop("notebooks", list(known))
    description = content.pop("description", "")
    for notebook in (*chosen, *content):
        if notebook not in known:
            raise ParameterError(f"profile {name} names {notebook!r}; the notebooks are: {', '.join(known)}")
    return {"description": description, "notebooks": chosen, "parameters": content}


def split_override(text: str) -> tuple[str, str, str]:
    """Take `03_scalograms.wavelet=gaus2` apart.

    Raises
    ------
    ParameterError
        When it has not that form.
    """
    match = re.fullmatch(r"([^.=]+)\.([^.=]+)=(.*)", text, flags=re.DOTALL)
    if not match:
        raise ParameterError(f"-p {text!r} will not do; write NOTEBOOK.PARAMETER=VALUE, as 03_scalograms.wavelet=gaus2")
    return match.group(1), match.group(2), match.group(3)


def plan(
    run: str, profile: str = "default", overrides: Sequence[str] = (), only: Sequence[str] = (), force: bool = False
) -> list[Task]:
    """What a run would do, with every parameter checked; nothing is executed and nothing written.

    Parameters
    ----------
    run : str
        Run name.
    profile : str
        Profile name.
    overrides : sequence of str
        `NOTEBOOK.PARAMETER=VALUE` each; they win over the profile.
    only : sequence of str
        Notebooks asked for; they and what they read are planned. Empty: all of the profile.
    force : bool
        Run the notebooks of `only` (or all) even where they are current.

    Raises
    ------
    ParameterError
        Anything unknown, of the wrong type or out of range.
    """
    known, content = available(), read_profile(profile)
    for name in only:
        if name not in known:
            raise ParameterError(f"there is no notebook {name!r}; use one of: {', '.join(known)}")
    given = _given(content, overrides, known)
    reads = {name: provenance.inputs_named(provenance.notebook_code(path)) for name, path in known.items()}
    wanted = _with_upstream(only or content["notebooks"], reads)
    runs.run_folder(run)  # refuses a bad run name
    tasks: dict[str, Task] = {}
    for name in (n for n in known if n in wanted):
        schema = read_parameters(known[name])
        values = resolve(schema, {**given.get(name, {}), **({"run": run} if "run" in schema else {})}, name)
        upstream = {
            other: runs.identity(tasks[other].fingerprint, runs.read_manifest(runs.run_folder(run) / other))
            for other in reads[name]
        }
        print_ = provenance.fingerprint(known[name], values, upstream)
        reason = "asked for" if force and (not only or name in only) else _why_stale(run, name, print_)
        stale_before = [o for o in reads[name] if tasks[o].reason]
        if not reason and stale_before:
            reason = f"{stale_before[0]} runs again"
        tasks[name] = Task(name, known[name], values, print_.value, tuple(reads[name]), reason)
    _check_together(tasks)
    return list(tasks.values())


def _check_together(tasks: Mapping[str, Task]) -> None:
    """Ask the check that a notebook's metadata names (`sts.check`: module:function) whether its parameters go together.

    The function gets the notebook's parameters, and those of all notebooks of the run by name. It is not asked about the
    defaults, nor about what is current: such functions may take seconds to import.
    """
    changed = {name for name, task in tasks.items() if _differs(task)}
    for name, task in tasks.items():
        check = str(read_notebook(task.notebook).metadata.get("sts", {}).get("check", ""))
        if check and task.reason and changed & {name, *task.upstream}:
            module, _, function = check.partition(":")
            try:
                getattr(importlib.import_module(module), function)(
                    task.parameters, {other: t.parameters for other, t in tasks.items()}
                )
            except ParameterError as error:
                raise ParameterError(f"{name}: {error}") from None


def _differs(task: Task) -> bool:
    defaults = {name: p.default for name, p in read_parameters(task.notebook).items()}
    return any(value != defaults[name] for name, value in task.parameters.items() if name != "run")


def _given(
    content: Mapping[str, Any], overrides: Sequence[str], known: Mapping[str, Path]
) -> dict[str, dict[str, Any]]:
    given: dict[str, dict[str, Any]] = {k: dict(v or {}) for k, v in content["parameters"].items()}
    schemas: dict[str, dict[str, Parameter]] = {name: read_parameters(path) for name, path in known.items()}
    for name, values in given.items():
        resolve(schemas[name], values, name)
    for text in overrides:
        name, parameter, value = split_override(text)
        if name not in schemas:
            raise ParameterError(f"-p {text}: there is no notebook {name!r}; use one of: {', '.join(known)}")
        if parameter not in schemas[name]:
            raise ParameterError(f"{name} has no parameter {parameter!r}; it has: {', '.join(schemas[name])}")
        if parameter == "run":
            raise ParameterError(f"-p {text}: name the run with --run")
        given.setdefault(name, {})[parameter] = schemas[name][parameter].from_text(value, name)
    return given


def _with_upstream(names: Sequence[str], reads: Mapping[str, Sequence[str]]) -> set[str]:
    wanted, waiting = set(), list(names)
    while waiting:
        name = waiting.pop()
        if name not in reads:
            raise StsError(f"a notebook reads the results of {name!r}, and there is no such notebook")
        if name not in wanted:
            wanted.add(name)
            waiting.extend(reads[name])
    return wanted


def _why_stale(run: str, name: str, print_: provenance.Fingerprint) -> str:
    """Why a notebook has to run; empty when its results are current. Damaged results are an error, not a reason."""
    folder = runs.run_folder(run) / name
    manifest = runs.read_manifest(folder)
    if manifest is None:
        return "unfinished" if (folder / runs.STATE).exists() else "not run yet"
    if manifest["fingerprint"] != print_.value:
        return print_.difference(manifest.get("made_from", {})) or "changed"
    for path, digest in manifest.get("files_read", {}).items():
        if provenance.digest_of(Path(path)) != digest:
            return f"input {Path(path).name} changed"
    if not (folder / f"{name}.ipynb").is_file():
        return "the executed notebook is missing"
    stage = runs.open_stage(run, name)
    for output in manifest["outputs"]:
        stage._existing(output)
    return ""


def execute(tasks: Sequence[Task], run: str, echo: Any = print) -> None:
    """Run the tasks that have a reason to run, one after the other.

    Raises
    ------
    StsError
        A notebook failed (its last line of error, and where the notebook with the traceback lies), or another process
        is at work on this run.
    """
    folder = runs.run_folder(run)
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

    folder = runs.run_folder(run) / task.name
    failed = runs.run_folder(run) / f"{task.name}.failed.ipynb"
    with tempfile.TemporaryDirectory(prefix="sts-") as temporary:
        executed = Path(temporary) / f"{task.name}.ipynb"
        with contextlib.suppress(OSError):  # what stands there now is no sign that this run ended
            (folder / runs.MANIFEST).unlink()
        try:
            with _environment(run), _bar(Path(temporary) / "progress.json", task.name):
                papermill.execute_notebook(
                    str(task.notebook), str(executed), parameters=task.parameters, kernel_name="python3",
                    progress_bar=False, extra_arguments=["--log-level=50"], cwd=str(provenance.project_root()),
                )  # fmt: skip
        except (PapermillExecutionError, CellExecutionError) as error:
            with contextlib.suppress(StsError), files.atomic(failed) as path:  # a full disk must not hide the error
                shutil.copyfile(executed, path)
            count = getattr(error, "exec_count", None)
            where = f"cell {count}" if count else "a cell"
            what = f"{getattr(error, 'ename', 'error')}: {getattr(error, 'evalue', '')}".strip()
            ours = what.split(":")[0] in ("StsError", *(kind.__name__ for kind in StsError.__subclasses__()))
            what = " ".join((what.split(": ", 1)[-1] if ours else what).split())
            trace = f" (traceback: {failed})" if failed.is_file() else ""
            raise StsError(f"{task.name} failed in {where}: {what}{trace}") from None
        except DeadKernelError:
            raise StsError(f"{task.name}: its kernel died, most often for want of memory; run it again") from None
        if runs.read_manifest(folder) is None:
            raise StsError(f"{task.name} ended unfinished: it must open its stage with begin({task.name!r}, globals())")
        with files.atomic(folder / f"{task.name}.ipynb") as path:
            shutil.copyfile(executed, path)
    failed.unlink(missing_ok=True)


@contextlib.contextmanager
def _environment(run: str) -> Iterator[None]:
    """Let the kernel find the same results folder."""
    before = os.environ.get(runs.RESULTS_ENVIRONMENT)
    os.environ[runs.RESULTS_ENVIRONMENT] = str(runs.run_folder(run).parent)
    try:
        yield
    finally:
        if before is None:
            del os.environ[runs.RESULTS_ENVIRONMENT]
        else:
            os.environ[runs.RESULTS_ENVIRONMENT] = before


@contextlib.contextmanager
def _bar(path: Path, label: str) -> Iterator[None]:
    """Show the progress that the notebook's kernel writes to `path` as a bar in this terminal."""
    from tqdm import tqdm

    stop = threading.Event()

    def show() -> None:
        bar = None
        last: tuple[str, int, int | None] = ("", 0, None)
        terminal = sys.stderr.isatty()
        while not stop.wait(0.3 if terminal else _SECONDS_BETWEEN_LINES):
            state = progress.read_progress(path)
            if state is None or state == last:
                continue
            (text, done, total), before, last = state, last[0], state
            if not terminal:  # a log: now and then a line, not a bar
                print(f"  {text}: {done}" + (f" of {total}" if total else ""), file=sys.stderr, flush=True)
                continue
            if bar is not None and (text != before or done < bar.n):
                bar.close()
                bar = None
            if bar is None and done != total:
                bar = tqdm(total=total, desc=f"  {text}", leave=False, file=sys.stderr)
            if bar is not None:
                bar.n = done
                bar.refresh()
                if done == total:
                    bar.close()
                    bar = None
        if bar is not None:
            bar.close()

    os.environ[progress.ENVIRONMENT] = str(path)
    thread = threading.Thread(target=show, name=f"bar-{label}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        del os.environ[progress.ENVIRONMENT]


def _collect_metrics(run: str, names: Sequence[str]) -> None:
    """Put the metric records of all notebooks into `results/<run>/metrics.json`, the one file that others read."""
    import json

    records: list[dict[str, Any]] = []
    for name in names:
        with contextlib.suppress(MissingInput):
            records += runs.open_stage(run, name).load_json("metrics")
    with files.atomic(runs.run_folder(run) / "metrics.json") as path:
        path.write_text(json.dumps(records, indent=1), encoding="utf-8")
