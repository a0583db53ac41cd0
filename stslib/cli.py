"""`sts`: the one command. Each subcommand is a thin call into stslib; errors are one line and a status other than 0."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from stslib.errors import ParameterError, StsError


class _Group(click.Group):
    """Turns `StsError` into one line on stderr: status 2 for a wrong parameter, 1 for anything else."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except StsError as error:
            click.echo("sts: " + " ".join(str(error).split()), err=True)
            ctx.exit(2 if isinstance(error, ParameterError) else 1)
        except KeyboardInterrupt:
            click.echo("sts: stopped; the same command goes on where it was", err=True)
            ctx.exit(130)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="stslib", prog_name="sts")
def main() -> None:
    """Spike train scalograms: run the notebooks, build the book, bring your own data."""


def _results_option(function: Any) -> Any:
    return click.option(
        "--results", type=click.Path(path_type=Path, file_okay=False), default=None,
        help="Folder that holds the run folders [default: results/ of the checkout].",
    )(function)  # fmt: skip


def _use_results(results: Path | None) -> None:
    if results is not None:
        os.environ["STS_RESULTS"] = str(results.expanduser().resolve())


@main.command()
@click.argument("notebooks", nargs=-1)
@click.option("--profile", default="default", show_default=True, help="Named set of parameters: notebooks/profiles/.")
@click.option("-p", "--parameter", "overrides", multiple=True, metavar="NOTEBOOK.NAME=VALUE", help="Set a parameter.")
@click.option("--run", "run_name", default="", help="Name of the run folder [default: the profile's name].")
@click.option("--plan", "only_plan", is_flag=True, help="Say what would run, and why; run nothing.")
@click.option("--force", is_flag=True, help="Run also what is current (all, or the NOTEBOOKS named).")
@_results_option
def run(
    notebooks: tuple[str, ...], profile: str, overrides: tuple[str, ...], run_name: str, only_plan: bool, force: bool,
    results: Path | None,
) -> None:  # fmt: skip
    """Run NOTEBOOKS and what they read (all of the profile, if none is named); what is current is not run again."""
    from stslib import notebooks as nb

    _use_results(results)
    run_name = run_name or profile
    tasks = nb.plan(run_name, profile, overrides, notebooks, force)
    if only_plan:
        for task in tasks:
            click.echo(f"{task.name}: {'run (' + task.reason + ')' if task.reason else 'current'}")
        return
    nb.execute(tasks, run_name, echo=click.echo)


@main.command()
@click.option("--run", "run_name", default="default", show_default=True, help="Run whose results the book shows.")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), default=None, help="[default: _build]")
@_results_option
def book(run_name: str, output: Path | None, results: Path | None) -> None:
    """Build the Jupyter Book from a finished run; warnings are errors."""
    from stslib import book as binder

    _use_results(results)
    index = binder.build(run_name, output)
    click.echo(f"The book: {index}")


if __name__ == "__main__":
    sys.exit(main())
