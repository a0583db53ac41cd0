"""Simulated cells: how long they take, and the judge at its full size (`audit.Realism`), for which 1,200 cells are measured.

What it asks for is in the notes of the records: the AUC of each class, the transfer to real training cells, the features that
lie outside of 0.35 to 0.65, the difficulty of 400 cells for LightGBM. No test cell takes part.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from stslib import audit, baseline, cohort, evaluation, io, sweeps
from stslib.audit.realism import COLUMNS

N_JUDGED, N_DRAWN, DRAWS = 1200, {"Pvalb": 76, "Sst": 138, "Vip/Lamp5": 129, "Excitatory": 57}, 5


def cohort_of_400() -> tuple[list]:
    return (list(io.open_source("simulated", n_cells=400).recordings()),)


def bench_simulated_sweeps(measure):
    measure("stslib, two processes", "400 simulated cells: both sweeps at 4 kHz", both_sweeps, cohort_of_400, rounds=3)


def both_sweeps(recordings: list) -> np.ndarray:
    return sweeps.extract(recordings, n_jobs=2)[0]


def judge() -> audit.Realism:
    cells = io.open_cells({"source": "simulated", "n_cells": N_JUDGED, "seed": 1, "simulation": {"failures": 0.0}})
    return audit.Realism.of(cells, cells.cells, cells.real_training(), n_each=N_JUDGED, n_jobs=2)


def recall_of_400(table: pd.DataFrame) -> pd.Series:
    """Cross-validated recall of each class by LightGBM on cells in the paper's shares, mean of five draws."""
    rows = []
    for draw in range(DRAWS):
        part = pd.concat([table[table["label"] == c].sample(n, random_state=draw) for c, n in N_DRAWN.items()])
        y = part["label"].to_numpy()
        found = evaluation.predicted(baseline.Learner().held_out(part[COLUMNS], y, cohort.folds(y, 5, draw)))
        rows.append({c: float(np.mean(found[y == c] == c)) for c in N_DRAWN})
    return pd.DataFrame(rows).mean()


def note(realism: audit.Realism) -> str:
    auc, two = realism.feature_auc(), realism.two_sample
    outside = [f"{f} {c} {auc.loc[f, c]:.2f}" for c in auc for f in auc.index if abs(auc.loc[f, c] - 0.5) > 0.15]
    harder = recall_of_400(realism.ours) - recall_of_400(realism.real)
    there, back = realism.transfer["value"]
    return (
        f"two-sample AUC {two['auc'].mean():.3f} ({', '.join(f'{r.label} {r.auc:.3f}' for r in two.itertuples())}); features "
        f"outside 0.35 to 0.65: {', '.join(outside) or 'none'}; simulated to real {there:.3f}, back {back:.3f}; recall of 400 "
        f"simulated less 400 real: {', '.join(f'{c} {100 * d:+.1f}' for c, d in harder.items())} points"
    )


def bench_judge_of_simulated_cells(measure):
    if io.open_cells({"source": "simulated", "n_cells": 24}).real_training() is None:
        pytest.skip("the authors' tables are not at hand")
    measure("stslib", f"judge of {N_JUDGED:,} simulated cells", judge, rounds=1, note=note, memory=False)
