"""`sts tune`: a worker on the search of one network, with the cells of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import optuna

from stslib import cohort, training
from stslib.io import reopen
from stslib.press.folders import run_folder
from stslib.press.stage import open_stage
from stslib.scalograms import Preprocessing
from stslib.support.errors import ParameterError


def tune_network(
    run: str, base: training.Recipe, settings: training.SearchSettings, study: str = "", folder: Path | None = None
) -> optuna.Study:
    """Work on a search, alone or beside other workers, until all its trials are finished (paper, section III.C).

    The trials vary `base` on the training cells of `run`. By default `study` is the architecture, and `folder` (of this
    machine's finished folds) lies beside the journal or in `searches` of the run.
    """
    table = open_stage(run, "01_data").load_table("cells", keep_default_na=False)
    cells = cohort.kept(table).reset_index(drop=True)
    images = open_stage(run, "03_scalograms").load_array("scalograms")
    if len(images) != len(cells):
        raise ParameterError(f"run {run} has {len(images)} scalograms, {len(cells)} kept cells; run it again: sts run")
    train, sized = np.flatnonzero(cells["split"] == "train"), {}
    if base.direct:
        size = base.height, base.width
        made = Preprocessing.from_dict(open_stage(run, "03_scalograms").load_json("preprocessing")).at(*size)
        sized[size] = np.empty((*images.shape[:2], *size), np.float32)
        reopen(open_stage(run, "01_data")).draw_scalograms(
            sized[size], made, open_stage(run, "02_sweeps").load_array("sweeps")
        )
    known = training.TrainingSet(images, cells["label"].to_numpy(), train, sized=sized).read_by(base)
    study = study or base.architecture
    if folder is None:
        journal = Path(settings.storage).expanduser()
        beside = journal.parent if journal.suffix == ".journal" else journal
        beside = run_folder(run) / "searches" if "://" in str(settings.storage) else beside
        folder = beside / f"{study}.folds"
    return training.run_search(known, base, settings, study, folder)
