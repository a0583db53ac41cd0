"""`sts`: the one command. Each subcommand is a thin call into stslib; errors are one line and a status other than 0."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import click

from stslib.press.cli_data import FOLDER, data
from stslib.support.errors import ParameterError, StsError


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


@click.group(cls=_Group, context_settings={
    "help_option_names": ["-h", "--help"], "max_content_width": 110, "show_default": True})  # fmt: skip
@click.version_option(package_name="stslib", prog_name="sts")
def main() -> None:
    """Spike train scalograms: run the notebooks, build the book, bring your own data."""


main.add_command(data)


def _use_results(_ctx: click.Context, _option: click.Parameter, results: Path | None) -> None:
    if results is not None:
        os.environ["STS_RESULTS"] = str(results.expanduser().resolve())


_results_option = click.option(
    "--results", type=FOLDER, callback=_use_results, expose_value=False, is_eager=True,
    help="Folder that holds the run folders [default: results/ of the checkout].",
)  # fmt: skip


@main.command()
@click.argument("notebooks", nargs=-1)
@click.option("--profile", default="default", help="Named set of parameters: notebooks/profiles/.")
@click.option("-p", "--parameter", "overrides", multiple=True, metavar="NOTEBOOK.NAME=VALUE", help="Set a parameter.")
@click.option("--run", "run_name", default="", show_default=False, help="Name of the run [default: the profile's].")
@click.option("--plan", "only_plan", is_flag=True, help="Say what would run, and why; run nothing.")
@click.option("--force", is_flag=True, help="Run also what is current (all, or the NOTEBOOKS named).")
@_results_option
def run(
    notebooks: tuple[str, ...], profile: str, overrides: tuple[str, ...], run_name: str, only_plan: bool, force: bool
) -> None:
    """Run NOTEBOOKS and what they read (all of the profile, if none is named); what is current is not run again."""
    from stslib.press import execution, runner

    run_name = run_name or profile
    tasks = runner.plan(run_name, profile, overrides, notebooks, force)
    if only_plan:
        for task in tasks:
            click.echo(f"{task.name}: {'run (' + task.reason + ')' if task.reason else 'current'}")
        return
    execution.execute(tasks, run_name, echo=click.echo)


@main.command()
@click.option("--run", "run_name", default="default", help="Run whose results the book shows.")
@click.option("--output", type=FOLDER, help="[default: _build]")
@_results_option
def book(run_name: str, output: Path | None) -> None:
    """Build the Jupyter Book from a finished run; warnings are errors."""
    from stslib.press import binder

    click.echo(f"The book: {binder.build(run_name, output)}")


_steps_option = click.option(
    "--steps", type=click.Path(path_type=Path, dir_okay=False),
    help="CSV of current steps (cell_id, sweep, current_pa, onset_s, duration_s) for files that store none "
    "[default: steps.csv beside them].",
)  # fmt: skip


STORAGE = """What the workers share: a journal file on one disk, or postgresql://user@host/database for many machines
(its password in ~/.pgpass or PGPASSWORD)."""
FOLDS = "Where this machine keeps finished folds [default: beside the journal, or searches/ of the run]."


@main.command()
@click.option("--architecture", required=True, help="mobilenet_v2, resnet18, densenet121 or inception_v3.")
@click.option("--run", "run_name", default="default", help="Run whose cells and scalograms are used.")
@click.option("--storage", required=True, metavar="FILE|URL", help=STORAGE)
@click.option("--study", default="", show_default=False, help="Name of the search [default: the architecture].")
@click.option("--folder", type=FOLDER, help=FOLDS)
@click.option("--n-trials", default=50, type=click.IntRange(1), help="Finished trials in all.")
@click.option("--n-folds", default=3, type=click.IntRange(2, 10))
@click.option("--protocol", default="corrected", help="Search space: small, published or corrected.")
@click.option("--weights", default="none", help="none, imagenet, or a .safetensors or .npz file.")
@click.option("--threads", default=1, type=click.IntRange(1, 256), help="Threads of this worker.")
@click.option("--image-px", default=0, type=click.IntRange(0, 512), help="Image side; 0: the protocol's.")
@click.option("--max-epochs", default=0, type=click.IntRange(0, 1000), help="Epochs at most; 0: the protocol's.")
@click.option("--batch-size", default=0, type=click.IntRange(0, 512), help="Cells a batch; 0: the protocol's.")
@click.option("--prune/--no-prune", default=True, help="Give hopeless trials up after a fold.")
@click.option("--device", default="cpu", help="cpu or cuda.")
@click.option("--seed", default=2026, type=click.IntRange(0))
@_results_option
def tune(run_name: str, architecture: str, storage: str, study: str, folder: Path | None, **options: Any) -> None:
    """Search hyperparameters of a network. Start it as often as you like on one --storage: the workers share the search.

    All end when --n-trials trials are finished, over all workers. A worker that was killed loses nothing but the fold
    it was in; the others take its trial over. Notebook 05 takes over the best trial: -p 05_deep_models.search={"storage": ...}
    """
    from stslib import training
    from stslib.press.tuning import tune_network

    asked = {name: options.pop(name) for name in ("n_trials", "n_folds", "seed", "prune")}
    side = options.pop("image_px")
    base = training.recipe(architecture, height=side, width=side, **options)
    found = tune_network(run_name, base, training.SearchSettings(storage=storage, **asked), study, folder)
    table = training.trial_table(found).query("state == 'complete'").drop(columns="state")
    click.echo(table.sort_values("mean", ascending=False).head(5).to_string(index=False))
    counts = Counter(trial.state.name for trial in found.trials)
    complete, pruned = counts["COMPLETE"], counts["PRUNED"]
    summary = f"{complete + pruned} trials finished: {complete} complete, {pruned} given up as hopeless"
    click.echo(f"{summary}; {counts['FAIL']} taken over from workers that died", err=True)


@main.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--model", required=True, type=click.Path(path_type=Path), help="Folder of a model of notebook 05.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="CSV to write [default: print].")
@click.option(
    "--figure", type=FOLDER, is_flag=False, flag_value="figures", metavar="[FOLDER]",
    help="Draw each cell: sweeps, scalograms, saliency [folder: figures]. Give it after PATH.",
)  # fmt: skip
@click.option("--n-jobs", default=1, type=click.IntRange(1, 64), help="Processes that read recordings.")
@_steps_option
def predict(path: Path, model: Path, output: Path | None, figure: Path | None, n_jobs: int, steps: Path | None) -> None:
    """Classify the cells of PATH: a file of recordings, a folder of them, or an HDF5 store of cells.

    Gives a row a cell: the class, four calibrated probabilities, whether the cell lies outside of what the model was
    trained on and why, the sweeps that were used, or the reason why it was left out. With --output, sweeps.csv beside the
    table accounts for every sweep. Status 1 where no cell can be classified.
    """
    from stslib.models import card as modelcard
    from stslib.models import prediction

    trained = modelcard.load(model)  # before anything is read: a wrong model is the first thing to hear of
    source = _source(path, steps, n_jobs)
    cells = source.cells()
    excluded = cells[cells["reason"] != ""] if "reason" in cells else cells[:0]
    usable = cells["cell_id"].drop(excluded.index)
    done = prediction.predict(source.recordings(usable), trained, n_jobs, len(usable), source.kind)
    table = done.table
    if len(excluded):
        table = prediction.in_order(table, excluded[["cell_id", "reason", "detail"]], cells["cell_id"])
    if "warning" in cells:
        for one in (table, done.table):
            one["warning"] = one["cell_id"].map(cells.set_index("cell_id")["warning"])
    _write_tables(table, source, trained.preprocessing.sweeps, output)
    if figure is not None:
        from stslib.figures import predicted as pictures

        pictures.save_predicted(done, figure)
    classified, outside = int((table["predicted"] != "").sum()), int(table["out_of_range"].sum())
    summary = f"{classified} of {len(table)} cells classified ({source.kind}); {len(table) - classified} left out, with reasons"
    if outside:
        summary += f"; {outside} outside of the training range, do not trust these"
    click.echo(summary, err=True)
    if not classified:
        raise StsError("no cell can be classified; the column detail says why, sts inspect FILE shows what was read")


def _source(path: Path, steps: Path | None, n_jobs: int = 1) -> Any:
    """The source of cells at a path: an HDF5 store, or files."""
    from stslib import io as sources

    if path.suffix.lower() in (".h5", ".hdf5"):
        return sources.open_source("store", path=str(path))
    return sources.open_source("files", path=str(path), steps=str(steps or ""), n_jobs=n_jobs)


def _write_tables(table: Any, source: Any, settings: Any, output: Path | None) -> None:
    """Write or print the table, and beside a written one the account of every sweep."""
    from stslib.support import files

    if output is None:
        click.echo(table.to_csv(index=False).rstrip())
        return
    tables = {output: table}
    if hasattr(source, "sweep_table"):
        beside = output.with_name("sweeps.csv")
        tables[output.with_suffix(".sweeps.csv") if beside == output else beside] = source.sweep_table(settings)
    for file, content in tables.items():
        with files.atomic(file) as part:
            content.to_csv(part, index=False)


@main.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--figure", type=click.Path(path_type=Path, dir_okay=False), help="[default: FILE.sweeps.png here]")
@_steps_option
def inspect(path: Path, figure: Path | None, steps: Path | None) -> None:
    """Show what is read from one file: a table of its sweeps, and a picture of commands, responses and the choice."""
    from stslib import figures, sweeps
    from stslib.support import files

    source = _source(path, steps)
    cells = source.cells()
    if len(cells) != 1 or not hasattr(source, "traces"):
        raise ParameterError(f"{path} holds {len(cells)} cells; give one file of recordings")
    cell = cells.iloc[0]
    table = source.sweep_table()
    if table["sweep"].notna().any():
        click.echo(table.drop(columns="cell_id").to_string(index=False, na_rep=""))
        figure = figure or Path(f"{path.stem}.sweeps.png")
        with files.atomic(figure) as part:
            figures.file_sweeps(table, source.traces(cell["cell_id"]), source.kind).savefig(part, dpi=130)
        click.echo(f"The picture: {figure}", err=True)
    if cell["warning"]:
        click.echo(f"Look at this first: {cell['warning']}", err=True)
    if cell["reason"]:
        raise StsError(f"{cell['detail']} ({cell['reason']})")
    sweeps.choose_sweeps(source.recording(cell["cell_id"]))  # says why there is no pair


if __name__ == "__main__":
    sys.exit(main())
