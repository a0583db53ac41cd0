"""`sts data`: fetch recordings and tables, check what was fetched, list what there is."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from stslib.support.errors import DamagedFile, MissingInput, ParameterError, StsError
from stslib.support.files import MIRROR_ENVIRONMENT

ARCHIVES = ("allen", "dandi", "published")
#: What `sts data get` builds, and the profile that uses it.
PUBLIC = {
    "published": "published", "action_potentials": "action_potentials", "hybrid": "hybrid", "sweeps": "real_sweeps",
}  # fmt: skip
#: Where fetched data go by default, below the current folder.
RECORDINGS = Path("recordings")

_WHAT = {
    "simulated": "drawn from published statistics; needs nothing",
    "published": "the authors' tables: labels, split and features of 5,590 real cells",
    "files": "your own NWB 2, NWB 1 or ABF files",
    "allen": "Cell Types Database (patch-clamp), 1,920 mouse cells, about 38 GB of files",
    "dandi": "Patch-seq, DANDI:000020, 4,435 cells, 142 GB of files",
    "store": "a file of cells; `sts data get hybrid` and `action_potentials` build two of real neurons' data",
    "real_sweeps": "six real sweeps, for the figures; built by `sts data get sweeps`",
    "precomputed": "the authors' scalograms, cell_<id>.npy, 6.9 MB a cell",
    "fetched": "the cells that `sts data fetch` took from allen or dandi, 38 kB a cell",
}


@click.group(context_settings={"show_default": True})
def data() -> None:
    """Fetch and check data."""


FOLDER = click.Path(path_type=Path, file_okay=False)


@data.command()
@click.option("--source", type=click.Choice(ARCHIVES), required=True, help="Where from.")
@click.option("--output", type=FOLDER, help="Folder to fill [default: recordings/SOURCE; for the tables: recordings].")
@click.option("--cells", "n_cells", type=int, default=0, help="Number of cells; 0: all.")
@click.option("--workers", type=int, default=8, help="Cells at a time.")
@click.option("--keep-nwb", is_flag=True, help="Keep whole NWB files (dandi: fetch whole files).")
@click.option("--offset-pa", type=float, default=40.0, help="Current of the partner above the rheobase.")
@click.option("--tolerance-pa", type=float, default=5.0, help="How far the partner may be from it.")
@click.option("--repeats", type=click.Choice(["first", "average"]), default="first")
@click.option("--seed", type=click.IntRange(0), default=2026, help="Of the draw of cells.")
@click.option("--base-uri", default="", show_default=False, help="Another address of the service.")
@click.option("--per-second", type=float, default=100.0, help="Requests a second at most.")
@click.option("--scheduler", default="", show_default=False, help="Dask scheduler of a cluster, tcp://host:port.")
@click.option("--estimate", is_flag=True, help="Say how many bytes and how long; fetch nothing.")
def fetch(source: str, output: Path | None, **options: Any) -> None:
    """Fetch recordings (allen, dandi) or the authors' tables (published); the same command goes on after a stop."""
    if source == "published":
        _fetch_tables(output or RECORDINGS)
    else:
        _fetch_cells(source, output or RECORDINGS / source, **options)


def _fetch_cells(
    source: str, output: Path, offset_pa: float, tolerance_pa: float, repeats: str, n_cells: int, seed: int, workers: int,
    keep_nwb: bool, base_uri: str, per_second: float, scheduler: str, estimate: bool,
) -> None:  # fmt: skip
    if not per_second > 0:
        raise ParameterError(f"per-second is {per_second}; give a number above 0")
    if base_uri and not base_uri.startswith(("http://", "https://")):
        raise ParameterError(f"base-uri is {base_uri!r}; give an address that begins with https:// or http://")
    from stslib.io.archives.archive import open_archive
    from stslib.io.archives.fetch import Fetcher
    from stslib.io.archives.http import Http
    from stslib.support.files import why_not_written
    from stslib.sweeps import SweepSettings

    try:  # before anything travels
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StsError(why_not_written(output, error)) from error
    settings, http = SweepSettings(offset_pa, tolerance_pa, repeats), Http(per_second=per_second)
    archive, fetcher = open_archive(source, output, keep_nwb, base_uri, http), Fetcher(output)
    plan = fetcher.plan(archive, n_cells, seed, workers)
    click.echo(f"{source}: {plan}")
    if estimate:
        return
    click.echo(_summary(fetcher.fetch(archive, plan, settings, _measure, workers, scheduler)))
    click.echo(f"{http.n_bytes / 1e6:,.1f} MB in {http.n_requests:,} requests; {output}")


def _measure(recording: Any) -> dict[str, float]:
    """The features of one recording that the published tables have too."""
    from stslib.features import FEATURE_SETS, extract_one

    row = extract_one(recording)
    return {name: row[name] for name in FEATURE_SETS["intended"]}


def _fetch_tables(output: Path, mirror: str | None = None) -> None:
    from stslib.io import published
    from stslib.support.files import atomic, sha256_of
    from stslib.support.progress import progress

    for name in progress(list(published.FILES), "Tables"):
        path = output / "published" / name
        if not path.is_file() or sha256_of(path) != published.FILES[name][1]:
            fetched = published.fetch(name, mirror)
            with atomic(path) as part:
                part.write_bytes(fetched.read_bytes())
    where = output / "published"
    click.echo(f"{len(published.FILES)} tables in {where}; name the folder in STS_DATA_MIRROR to use them")


@data.command("get")
@click.argument("what", type=click.Choice(list(PUBLIC)))
@click.option("--output", type=FOLDER, default=Path("data"), help="Folder to fill, in the layout of the data mirror.")
def get_public(what: str, output: Path) -> None:
    """Build public data from where they were published; the same command goes on after a stop."""
    from stslib.io.archives import hybrid, public

    if what != "sweeps":
        _fetch_tables(output, mirror="")
    build = {
        "sweeps": public.build_sweeps,
        "action_potentials": public.build_action_potentials,
        "hybrid": hybrid.build_hybrid,
    }
    if what in build:
        click.echo(f"{what}: {build[what](output)}")
    click.echo(f"now: {MIRROR_ENVIRONMENT}={shlex.quote(str(output))} sts run --profile {PUBLIC[what]}")


@data.command()
@click.argument("folder", type=FOLDER)
def check(folder: Path) -> None:
    """Check fetched cells or a mirror of the tables: every file whole, every cell accounted for."""
    if not folder.is_dir():
        raise MissingInput(f"there is no folder {folder}; make one with: sts data fetch")
    if (folder / "fetched.json").exists():
        click.echo(_check_cells(folder))
    elif (folder / "published").is_dir():
        click.echo(_check_tables(folder))
    else:
        raise MissingInput(f"{folder} holds neither fetched cells nor published/ tables; fetch them: sts data fetch")


def _check_cells(folder: Path) -> str:
    from stslib.io.archives.fetched import read_about, read_account, read_cell
    from stslib.support.progress import progress

    account = read_account(folder)
    for cell in progress(account.itertuples(), "Checking", total=len(account)):
        finished = (folder / "cells" / f"{cell.cell_id}.npz").exists()
        if not finished and cell.status == "kept":
            raise MissingInput(f"{folder} lacks cell {cell.cell_id}; run sts data fetch again")
        if finished:
            outcome = read_cell(folder, cell.cell_id)
            if (outcome.row["status"], outcome.row["reason"]) != (cell.status, cell.reason):
                raise DamagedFile(f"{folder}: cell {cell.cell_id} differs from its account; run sts data fetch again")
            if len(outcome.sweeps) != (2 if cell.status == "kept" else 0):
                raise DamagedFile(f"{folder}: cell {cell.cell_id} has {len(outcome.sweeps)} sweeps; fetch it again")
    return f"{read_about(folder)['archive']}: {_summary(account)}; every file is whole"


def _check_tables(folder: Path) -> str:
    from stslib.io import published

    for name, (_, sha256) in published.FILES.items():
        path = folder / "published" / name
        if not path.is_file():
            raise MissingInput(f"{path} is not there; get it with: sts data fetch --source published --output {folder}")
        published.check(path, sha256)
    return f"{len(published.FILES)} tables, each with its sha256"


@data.command("list")
def list_sources() -> None:
    """List the sources of cells."""
    from stslib.io import SOURCES

    for name in SOURCES:
        click.echo(f"{name:12} {_WHAT.get(name, '')}".rstrip())


def _summary(account: Any) -> str:
    """Counts that add up: kept, and excluded by reason."""
    kept = int((account["status"] == "kept").sum())
    counts = account.loc[account["status"] == "excluded", "reason"].value_counts()
    reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(counts.items()))
    if kept + int(counts.sum()) != len(account):
        raise StsError(f"the account does not add up: {kept} kept and {int(counts.sum())} excluded of {len(account)}")
    differs = int((~account["rheobase_agrees"].dropna().astype(bool)).sum())
    rheobases = f"; in {differs} cells the rheobase is not the sweep that the archive names" if differs else ""
    excluded = f"{len(account) - kept} excluded" + (f" ({reasons})" if reasons else "")
    return f"{len(account)} cells: {kept} kept, {excluded}{rheobases}"
