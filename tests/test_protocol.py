"""A network's search: what one machine found, another takes over, to the same numbers; what does not fit is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stslib import training
from stslib.support.errors import ParameterError
from tests.test_training import cohort_of, tiny


def outcome(folder: Path, storage: str, **changes) -> training.Outcome:
    base = tiny(max_epochs=1, learning_rate=2e-3, threads=1).with_changes(changes)
    settings = training.SearchSettings(2, 2, 1, storage, True)
    return training.search_and_refit(cohort_of(48, np.arange(40)), base, settings, folder)


def test_a_machine_without_the_winners_folds_makes_them_again_to_the_same_numbers(tmp_path):
    storage = str(tmp_path / "shared.journal")
    first = outcome(tmp_path / "one", storage)
    second = outcome(tmp_path / "two", storage)  # every trial is finished: it only takes over
    assert not list((tmp_path / "two" / "folds").glob(f"slot-{1 - int(second.trials['mean'].argmax()):04d}*"))
    assert second.trials.equals(first.trials) and second.params == first.params
    assert np.array_equal(second.cv_proba, first.cv_proba)
    states = [done.fitted.model.state_dict() for done in (first, second)]
    assert all((states[0][key] == states[1][key]).all() for key in states[0])
    with pytest.raises(ParameterError, match=r"was made with recipe_sha256 .* use another storage or study"):
        outcome(tmp_path / "three", storage, max_epochs=2)


def test_a_password_in_a_notebooks_storage_is_refused_before_anything_is_written():
    with pytest.raises(ParameterError, match="carries a password") as caught:
        settings = training.SearchSettings(1, 2, 1, "postgresql://me:s3cret@host/x")
        training.search_networks(cohort_of(8), {}, settings, "x")
    assert "s3cret" not in str(caught.value)
