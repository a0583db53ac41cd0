"""The published tables as the audit takes them: cells, classes, rigs, and every set of features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from stslib import cohort, features
from stslib.io import open_source
from stslib.press.stage import Stage
from stslib.support.errors import StsError


@dataclass(frozen=True)
class Tables:
    """What the audit works on, row by row the same cells.

    Attributes
    ----------
    cells : DataFrame
        Kept cells with `cell_id`, `label`, `dataset`, `donor`, `split`, `line`, `t_type`.
    y, rigs, train : (n_cells,) arrays
        Class, data set, and whether the cell is one to train on.
    raw : DataFrame
        The published columns of these cells.
    sets : dict of name to DataFrame
        Each set of `stslib.features.FEATURE_SETS`, and `times` and `aligned times`: the five times of the first action
        potential in the long square alone, as published and from the stimulus or the threshold.
    """

    cells: pd.DataFrame
    y: np.ndarray
    rigs: np.ndarray
    train: np.ndarray
    raw: pd.DataFrame
    sets: dict[str, pd.DataFrame]


def load(data: Stage) -> Tables:
    """The tables behind the finished notebook `01_data` of a run.

    Raises
    ------
    StsError
        The run's cells are not the authors' published ones: nothing but their tables can be audited so.
    """
    source = data.parameters["source"]
    if source != "published":
        raise StsError(
            f"the audit needs the authors' tables, and the cells of run {data.run!r} are from {source!r}; "
            "make it with: sts run --profile published"
        )
    cells = cohort.kept(data.load_table("cells", keep_default_na=False))
    raw = features.from_source(open_source("published"), cells["cell_id"].tolist(), "relative")
    sets = {name: features.select(raw, name) for name in features.FEATURE_SETS}
    for name, whole in (("times", "intended"), ("aligned times", "stimulus_aligned")):
        timed = [c for c in sets[whole] if "_t_" in c]
        sets[name] = sets[whole][timed]
    return Tables(
        cells, cells["label"].to_numpy(), cells["dataset"].to_numpy(), (cells["split"] == "train").to_numpy(), raw, sets
    )
