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
    source = open_source("simulated", n_cells=120, seed=3)
    traces, table = sweeps.extract(source.recordings())
    return traces, table[table.reason == ""].reset_index(drop=True)


def described(traces, table):
    return training_range.describe(cwt_resized(traces, Bank(), ImageSettings(64, 128)), traces, table)


def test_new_cells_of_the_same_kind_are_inside_and_damaged_ones_are_not(cells):
    traces, table = cells
    train = np.arange(len(traces)) % 4 != 0
    ranges = training_range.fit(described(traces[train], table[train]))
    new, about = traces[~train], table[~train]
    reasons = training_range.outside(described(new, about), ranges)
    assert sum(map(bool, reasons)) <= 2  # of 28 or so; the range comes from some eighty cells
    noise = np.random.default_rng(0).normal(0, 20, new.shape).astype(np.float32)
    for wrong, said in (
        (10 * new, "highest value"),
        (0.1 * new, "highest value"),
        (noise, "lowest value"),
        (0 * new, "power"),
    ):
        reasons = training_range.outside(described(wrong, about), ranges)
        assert all(said in reason for reason in reasons)
        assert all("\n" not in reason and " in training " in reason for reason in reasons)


def test_what_a_source_does_not_tell_is_not_judged_and_counts_have_no_negative_range(cells):
    traces, table = cells
    ranges = training_range.fit(described(traces, table))
    assert ranges["spikes of the first sweep"][0] >= 0
    assert ranges["potential before the step (mV)"][1] < 0
    silent = table.assign(rheobase_pa=np.nan).drop(columns=["rest_mv"])
    far = {**ranges, "current of the first sweep (pA)": [-2.0, -1.0], "potential before the step (mV)": [1.0, 2.0]}
    assert training_range.outside(described(traces[:8], silent[:8]), far) == training_range.outside(
        described(traces[:8], silent[:8]), {k: v for k, v in ranges.items() if "current" not in k and "before" not in k}
    )
    one_sweep = described(traces[:, :1], table)
    assert "highest value of the second sweep (mV)" not in one_sweep


def test_a_damaged_range_is_one_line(cells):
    with pytest.raises(DamagedFile, match="training range is damaged"):
        training_range.outside(described(cells[0][:2], cells[1][:2]), {"spikes of the first sweep": 3})
