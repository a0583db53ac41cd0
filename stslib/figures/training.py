"""Training as a picture: the losses of the paper's Fig. 3, and what each choice is worth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from stslib.figures import style
from stslib.support.errors import StsError


@style.house_style
def losses(history: pd.DataFrame, kind: str) -> Figure:
    """Mean training and validation loss over the folds with bands of one SD, a panel a network (paper Fig. 3).

    A mean is drawn as far as every fold went; without an epoch it is an `StsError`.

    Parameters
    ----------
    history : DataFrame from `stslib.training.history_table`: model, fold, epoch, train_loss, valid_loss
    kind : str, which data they are about: `simulated`, `hybrid` or `real`

    Examples
    --------
    >>> import pandas as pd
    >>> from stslib import figures
    >>> epochs = {"model": "resnet18", "fold": [0, 0, 1, 1], "epoch": [1, 2, 1, 2]}
    >>> loss = {"train_loss": [1.2, 0.8, 1.1, 0.9], "valid_loss": [1.3, 1.0, 1.2, 1.1]}
    >>> len(figures.losses(pd.DataFrame({**epochs, **loss}), "simulated").axes)
    1
    """
    if history.empty:
        raise StsError("the training history is empty; nothing to draw")
    models = style.in_order(history["model"])
    columns = min(len(models), 4)
    figure = style.new_figure(max(2.3 * columns + 0.6, 4.2), 2.6 * -(-len(models) // columns) + 0.7)
    grid = figure.subplots(-(-len(models) // columns), columns, sharex=True, sharey=True, squeeze=False)
    for ax, model in zip(grid.flat, models, strict=False):
        own = history[history["model"] == model]
        whole = own[own.groupby("epoch")["fold"].transform("nunique") == own["fold"].nunique()]
        for column, dash in (("train_loss", "-"), ("valid_loss", "--")):
            sns.lineplot(
                whole, x="epoch", y=column, ax=ax, errorbar=_spread, ls=dash, lw=1.8,
                color=style.MODEL_COLOURS.get(model, "0.4"), err_kws={"alpha": 0.18, "lw": 0},
            )  # fmt: skip
        ax.axhline(np.log(4), color="0.6", lw=0.9, ls=":")
        ax.set(title=style.MODEL_NAMES.get(model, model), xlabel="epoch", ylabel="cross-entropy")
        ax.label_outer(remove_inner_ticks=False)
    for ax in list(grid.flat)[len(models) :]:
        ax.axis("off")
    # A single wild epoch at a high learning rate must not flatten all curves, so the axis may cut it.
    values = history[["train_loss", "valid_loss"]].to_numpy()
    top = max(1.25 * np.log(4), float(np.nanquantile(values, 0.97)))
    grid[0, 0].set_ylim(0, min(top, 1.05 * float(np.nanmax(values))))
    grid[0, 0].xaxis.get_major_locator().set_params(integer=True)
    handles: list[Artist] = [
        Line2D([], [], color="0.25", lw=1.8, label="training, mean of the folds"),
        Line2D([], [], color="0.25", lw=1.8, ls="--", label="validation, mean of the folds"),
        Patch(color="0.25", alpha=0.18, lw=0, label="one SD over the folds"),
        Line2D([], [], color="0.6", lw=0.9, ls=":", label="chance"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=4, fontsize=8.5)
    return style.label_data(figure, kind)


def _spread(values: pd.Series) -> tuple[float, float]:
    """One SD of the folds below and above their mean."""
    return values.mean() - values.std(ddof=0), values.mean() + values.std(ddof=0)


@style.house_style
def ablations(table: pd.DataFrame, kind: str) -> Figure:
    """Balanced accuracy of each variant of a network, a panel a group; a point is the mean of the folds, a bar one SD.

    Parameters
    ----------
    table : DataFrame from `stslib.training.compare_variants`: group, name, mean, sd; an empty one is an `StsError`
    kind : str, which data they are about

    Examples
    --------
    >>> import pandas as pd
    >>> from stslib import figures
    >>> table = pd.DataFrame({"group": "sweeps", "name": ["both", "first"], "mean": [0.8, 0.7], "sd": [0.02, 0.03]})
    >>> len(figures.ablations(table, "simulated").axes)
    1
    """
    if table.empty:
        raise StsError("there is no variant to draw")
    groups = {str(group): rows for group, rows in table.groupby("group", sort=False)}
    sizes = [len(rows) for rows in groups.values()]
    figure = style.new_figure(7.2, 0.34 * sum(sizes) + 0.42 * len(groups) + 0.8)
    panels = figure.subplots(len(groups), 1, sharex=True, squeeze=False, height_ratios=sizes)[:, 0]
    for ax, (group, rows) in zip(panels, groups.items(), strict=True):
        heights = np.arange(len(rows))[::-1]
        colours = ["#D55E00"] + ["#0072B2"] * (len(rows) - 1)
        for height, mean, sd, colour in zip(heights, rows["mean"], rows["sd"], colours, strict=True):
            ax.errorbar(mean, height, xerr=sd, fmt="o", ms=5, color=colour, capsize=2.5, lw=1.2)
        ax.axvline(float(rows["mean"].iloc[0]), color="#D55E00", lw=0.8, ls=":")
        ax.axvline(0.25, color="0.6", lw=0.9, ls=":")
        ax.set_yticks(heights, list(rows["name"]))
        ax.set_ylim(-0.6, len(rows) - 0.4)
        ax.set_title(group, loc="left", fontsize=9.5)
    panels[-1].set_xlabel(
        "balanced accuracy in cross-validation, mean and one SD of the folds\n(orange: as in the run; grey: chance)"
    )
    return style.label_data(figure, kind)
