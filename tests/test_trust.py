"""Sets of classes, answers withheld, and cells that do not belong: promises are kept where they can be, and seen where not."""

import numpy as np
import pandas as pd
import pytest

from stslib import evaluation
from stslib.audit import outsiders
from stslib.cohort import CLASSES
from stslib.support.errors import ParameterError, StsError

NAMES = np.asarray(CLASSES, dtype=object)


def answers(n: int, seed: int, boast: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from honest probabilities, and these probabilities sharpened by `boast`."""
    rng = np.random.default_rng(seed)
    proba = rng.dirichlet([0.6] * 4, n)
    labels = NAMES[(rng.random(n)[:, None] > np.cumsum(proba, axis=1)).sum(axis=1).clip(max=3)]
    sharp = proba**boast
    return labels, sharp / sharp.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("level", [0.8, 0.9])
def test_each_rig_keeps_its_rate_with_its_own_threshold_though_one_boasts(level):
    rigs = np.repeat(["Clamp", "Seq"], 4000)
    known, new = (
        [np.concatenate(v) for v in zip(answers(4000, s, 6.0), answers(4000, s + 1), strict=True)] for s in (0, 5)
    )
    limits = evaluation.thresholds(*known, rigs, level)
    sets = evaluation.prediction_sets(new[1], rigs, limits)
    table = evaluation.sets_by_group(new[0], sets, rigs).set_index("group")
    assert table["value"].to_numpy() == pytest.approx([level, level], abs=0.03)
    assert sets.any(axis=1).all() and sets[np.arange(8000), new[1].argmax(axis=1)].all()
    both = np.full(8000, "both")
    one = evaluation.prediction_sets(new[1], both, evaluation.thresholds(*known, both, level))
    spread = evaluation.sets_by_group(new[0], one, rigs)["value"]
    assert abs(np.diff(spread))[0] > 0.05 > abs(np.diff(table["value"]))[0]


def test_few_cells_promise_everything_and_bad_input_is_one_line():
    labels, proba = answers(8, 1)
    assert evaluation.thresholds(labels, proba, ["Seq"] * 8, 0.9) == {"Seq": 0.0}
    assert evaluation.prediction_sets(proba, ["Seq"] * 8, {"Seq": 0.0}).all()
    with pytest.raises(ParameterError, match="level is 90; it must lie between 0 and 1"):
        evaluation.thresholds(labels, proba, ["Seq"] * 8, 90)
    with pytest.raises(StsError, match="no held-out cell is from 'Clamp'"):
        evaluation.prediction_sets(proba, ["Clamp"] * 8, {"Seq": 0.5})


def test_the_surest_answers_are_the_most_often_right():
    table = evaluation.accuracy_by_coverage(*answers(4000, 2))
    assert table["value"].is_monotonic_decreasing and table["threshold"].is_monotonic_decreasing
    assert table["n"].iloc[-1] == 4000 and table["value"].iloc[0] > table["value"].iloc[-1] + 0.1


def test_cells_of_another_kind_are_far_and_new_cells_of_the_same_kind_are_flagged_as_often_as_allowed():
    rng = np.random.default_rng(0)
    rigs = np.where(rng.random(1500) < 0.3, "Clamp", "Seq").astype(object)
    x = pd.DataFrame(rng.normal(size=(1500, 6)) + 3 * (rigs == "Seq")[:, None], columns=list("abcdef"))
    x["f"] = x["e"] + 0.1 * rng.normal(size=1500)  # two columns that go together in every cell
    new = x[1000:].copy()
    new.iloc[-100:, 5] = new.iloc[-100:, 5].to_numpy()[::-1]  # but not in these: no single column is odd
    fit, where, there = x[:1000], rigs[:1000], rigs[1000:]
    far = [
        pd.DataFrame({"distance": d})
        for d in (outsiders.distances(fit, where, new, there), outsiders.distances(fit, where))
    ]
    groups = np.repeat(["same", "other"], [400, 100]).astype(object)
    p = outsiders.oddness(*far, there, where)
    table = outsiders.judged(p, np.ones(500, dtype=bool), groups, "same").set_index(["score", "cells"])
    assert table.loc[("distance", "same"), "flagged"] == pytest.approx(0.05, abs=0.03)
    assert table.loc[("distance", "other"), "flagged"] > 0.3 and table.loc[("distance", "other"), "area"] > 0.7
    assert (table.loc["both", "n"] == [400, 100]).all()
