"""The baseline: a search of 50 trials x 3 folds on as many cells as the paper has, fits of both models, one cell's features."""

import tempfile
from functools import cache, partial

import numpy as np
import pandas as pd
import pytest

from stslib import baseline, cohort, features, training
from stslib.cohort import CLASSES
from stslib.io import open_source

N_TRAIN = {"Pvalb": 852, "Sst": 1545, "Vip/Lamp5": 1438, "Excitatory": 637}  # the paper's training cells
SEARCH = "search of 50 trials x 3 folds, 4,472 cells x 15 features, 1 thread"
ONE_FIT = "fit of 4,472 cells x 130 features, 1 thread"
MEASURED = "features of one simulated cell from its sweeps"


@cache
def made_up(n_features: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Gaussian classes that overlap, one value in ten missing: the size and the gaps of the published tables."""
    rng = np.random.default_rng(0)
    y = rng.permutation(np.repeat(np.asarray(list(N_TRAIN), dtype=object), list(N_TRAIN.values())))
    numbers = np.array([CLASSES.index(c) for c in y])
    x = rng.normal(size=(4, n_features))[numbers] + rng.normal(scale=3, size=(len(y), n_features))
    x[rng.random(x.shape) < 0.1] = np.nan
    return pd.DataFrame(x, columns=[f"f{k}" for k in range(n_features)]), y


def search(x, y):
    score = baseline.Learner().objective(x, y, cohort.folds(y, 3))
    with tempfile.TemporaryDirectory() as folder:
        return training.run_study(score, training.SearchSettings(50, storage=folder), "bench").best_value


@cache
def recording() -> tuple:
    source = open_source("simulated", n_cells=24, seed=1)
    return (source.recording(source.cells()["cell_id"].iloc[0]),)


@pytest.mark.parametrize(
    ("name", "work", "function", "inputs", "options"),
    [
        ("stslib", SEARCH, search, partial(made_up, 15),
         {"rounds": 1, "memory": False, "note": "one round; the journal on a local disk"}),
        ("LightGBM", ONE_FIT, baseline.Learner().fit, partial(made_up, 130), {}),
        ("ensemble", ONE_FIT, baseline.Learner("lightgbm:ensemble").fit, partial(made_up, 130), {"rounds": 3}),
        ("stslib (AllenSDK)", MEASURED, features.extract_one, recording, {}),
    ],
)  # fmt: skip
def bench_baseline(measure, name, work, function, inputs, options):
    measure(name, work, function, inputs, **options)
