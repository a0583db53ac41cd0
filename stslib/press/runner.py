"""What a run of the notebooks would do: every parameter is checked first, and only what is not current runs.

The order is the notebooks' own numbering; what reads what is found in their code (`stage.input("02_sweeps")`).
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stslib.press.fingerprint import Fingerprint, fingerprint, inputs_named, notebook_code
from stslib.press.folders import STATE, digest_of, identity, project_root, read_manifest, run_folder
from stslib.press.parameters import read_notebook, read_parameters, resolve
from stslib.press.stage import open_stage
from stslib.support.errors import ParameterError, StsError
from stslib.support.files import MIRROR_PREFIX

#: Parameters of any notebook that name files or folders.
PATHS = ("path", "labels", "store_path")


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
    folder = project_root() / "notebooks"
    return {p.stem: p for p in sorted(folder.glob("[0-9][0-9]_*.ipynb"))}


def read_profile(name: str) -> dict[str, Any]:
    """A profile: the `notebooks` that it runs (by default all) and the `parameters` that it gives each.

    A name that does not exist, of the profile or of a notebook in it, is a `ParameterError`.
    """
    known = available()
    paths = {p.stem: p for p in sorted((project_root() / "notebooks" / "profiles").glob("*.yaml"))}
    if name not in paths:
        raise ParameterError(f"there is no profile {name!r}; use one of: {', '.join(paths)}")
    try:
        content = yaml.safe_load(paths[name].read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ParameterError(f"profile {paths[name]} is not valid YAML: {' '.join(str(error).split())}") from None
    chosen = content.pop("notebooks", list(known))
    content.pop("description", "")
    for notebook in (*chosen, *content):
        if notebook not in known:
            raise ParameterError(f"profile {name} names {notebook!r}; the notebooks are: {', '.join(known)}")
    return {"notebooks": chosen, "parameters": content}


def plan(
    run: str, profile: str = "default", overrides: Sequence[str] = (), only: Sequence[str] = (), force: bool = False
) -> list[Task]:
    """What a run would do, with every parameter checked; nothing is executed and nothing written.

    `overrides` (`NOTEBOOK.PARAMETER=VALUE` each) win over the profile. Planned are the notebooks of `only` and what they
    read, or all of the profile; `force` runs those asked for even where they are current. Anything unknown, of the wrong
    type or out of range is a `ParameterError`.
    """
    known, content = available(), read_profile(profile)
    for name in only:
        if name not in known:
            raise ParameterError(f"there is no notebook {name!r}; use one of: {', '.join(known)}")
    given = _given(content["parameters"], overrides, known)
    reads = {name: inputs_named(notebook_code(path)) for name, path in known.items()}
    wanted = _with_upstream(only or content["notebooks"], reads)
    run_folder(run)  # refuses a bad run name
    tasks: dict[str, Task] = {}
    for name in (n for n in known if n in wanted):
        schema = read_parameters(known[name])
        values = resolve(schema, {**given.get(name, {}), **({"run": run} if "run" in schema else {})}, name)
        before = {other: read_manifest(run_folder(run) / other) for other in reads[name]}
        upstream = {other: identity(tasks[other].fingerprint, manifest) for other, manifest in before.items()}
        made_from = fingerprint(known[name], values, upstream)
        reason = "asked for" if force and (not only or name in only) else _why_stale(run, name, made_from)
        stale_before = [o for o in reads[name] if tasks[o].reason]
        if not reason and stale_before:
            reason = f"{stale_before[0]} runs again"
        tasks[name] = Task(name, known[name], values, made_from.value, tuple(reads[name]), reason)
    _check_together(tasks)
    return list(tasks.values())


def _check_together(tasks: Mapping[str, Task]) -> None:
    """Ask the check that a notebook's metadata names (`sts.check`: module:function) whether its parameters go together.

    The function gets the notebook's parameters, and those of all notebooks of the run by name. It is not asked about the
    defaults, nor about what is current: such functions may take seconds to import.
    """
    defaults = {name: {k: p.default for k, p in read_parameters(t.notebook).items()} for name, t in tasks.items()}
    changed = {n for n, t in tasks.items() if {**t.parameters, "run": ""} != {**defaults[n], "run": ""}}
    for name, task in tasks.items():
        check = str(read_notebook(task.notebook).metadata.get("sts", {}).get("check", ""))
        if check and task.reason and changed & {name, *task.upstream}:
            module, _, function = check.partition(":")
            try:
                ask = getattr(importlib.import_module(module), function)
                ask(task.parameters, {other: t.parameters for other, t in tasks.items()})
            except ParameterError as error:
                raise ParameterError(f"{name}: {error}") from None


def _given(profile: dict[str, Any], overrides: Sequence[str], known: dict[str, Path]) -> dict[str, dict[str, Any]]:
    """The parameters that a profile and the overrides give each notebook, each checked."""
    given = {name: dict(values or {}) for name, values in profile.items()}
    schemas = {name: read_parameters(path) for name, path in known.items()}
    for name, values in given.items():
        resolve(schemas[name], values, name)
    for text in overrides:
        match = re.fullmatch(r"([^.=]+)\.([^.=]+)=(.*)", text, flags=re.DOTALL)
        if not match:
            example = "03_scalograms.wavelet=gaus2"
            raise ParameterError(f"-p {text!r} will not do; write NOTEBOOK.PARAMETER=VALUE, as {example}")
        name, parameter, value = match.groups()
        if name not in schemas:
            raise ParameterError(f"-p {text}: there is no notebook {name!r}; use one of: {', '.join(known)}")
        if parameter not in schemas[name]:
            raise ParameterError(f"{name} has no parameter {parameter!r}; it has: {', '.join(schemas[name])}")
        if parameter == "run":
            raise ParameterError(f"-p {text}: name the run with --run")
        checked = schemas[name][parameter].from_text(value, name)
        given.setdefault(name, {})[parameter] = _from_here(checked) if parameter in PATHS else checked
    return given


def _from_here(value: str) -> str:
    """Paths as the user's folder has them: notebooks run in the folder of the checkout. Several are joined by a colon."""
    if not value or value.startswith(MIRROR_PREFIX):
        return value
    return os.pathsep.join(str(Path(path).expanduser().absolute()) for path in value.split(os.pathsep) if path)


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


def _why_stale(run: str, name: str, made_from: Fingerprint) -> str:
    """Why a notebook has to run; empty when its results are current. Damaged results are an error, not a reason."""
    folder = run_folder(run) / name
    manifest = read_manifest(folder)
    if manifest is None:
        return "unfinished" if (folder / STATE).exists() else "not run yet"
    if manifest["fingerprint"] != made_from.value:
        return made_from.difference(manifest.get("made_from", {})) or "changed"
    for path, digest in manifest.get("files_read", {}).items():
        if digest_of(Path(path)) != digest:
            return f"input {Path(path).name} changed"
    if not (folder / f"{name}.ipynb").is_file():
        return "the executed notebook is missing"
    stage = open_stage(run, name)
    for output in manifest["outputs"]:
        stage._existing(output)
    return ""
