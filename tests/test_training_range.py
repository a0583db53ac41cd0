"""The training range: new cells of the same kind lie inside of it; a wrong gain, noise and silence do not."""

import numpy as np
import pytest

from stslib import sweeps
from stslib.io import open_source
from stslib.models import training_range
from stslib.scalograms import Bank, ImageSettings, cwt_resized
from stslib.support.errors import DamagedFile


@pytest.fixture(scope="module")
def cells():
    traces, table = sweeps.extract(open_source("simulated", n_cells=120, seed=3).recordings())
    return traces, table[table.reason == ""].reset_index(drop=True)


def described(traces, table):
    return training_range.describe(cwt_resized(traces, Bank(), ImageSettings(64, 128)), traces, table)


def test_new_cells_of_the_same_kind_are_inside_and_damaged_ones_are_not(cells):
    traces, table = cells
    train = np.arange(len(traces)) % 4 != 0
    ranges = training_range.fit(described(traces[train], table[train]))
    new, about = traces[~train], table[~train]
    assert sum(map(bool, training_range.outside(described(new, about), ranges))) <= 2  # of 28 or so
    noise = np.random.default_rng(0).normal(0, 20, new.shape).astype(np.float32)
    wrong = ((10 * new, "highest value"), (0.1 * new, "highest value"), (noise, "lowest value"), (0 * new, "power"))
    for damaged, named in wrong:
        for reason in training_range.outside(described(damaged, about), ranges):
            assert named in reason and "\n" not in reason and " in training " in reason


def test_missing_numbers_do_not_count_and_counts_have_no_negative_range(cells):
    traces, table = cells
    ranges, some = training_range.fit(described(traces, table)), traces[:8]
    assert ranges["spikes of the first sweep"][0] >= 0
    assert ranges["potential before the step (mV)"][1] < 0
    unknown = described(some, table[:8].assign(rheobase_pa=np.nan).drop(columns=["rest_mv"]))
    far = {**ranges, "current of the first sweep (pA)": [-2.0, -1.0], "potential before the step (mV)": [1.0, 2.0]}
    known = {name: limits for name, limits in ranges.items() if "current" not in name and "before" not in name}
    assert training_range.outside(unknown, far) == training_range.outside(unknown, known)
    assert "highest value of the second sweep (mV)" not in described(traces[:, :1], table)
    with pytest.raises(DamagedFile, match="training range is damaged"):
        training_range.outside(unknown, {"spikes of the first sweep": 3})
