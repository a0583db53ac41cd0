"""Networks on the hybrid cells and on recorded action potentials, in the profiles' whole cross-validations.

Each record has its scores in its note. On another machine a network comes out a little different, by about a hundredth of
either score; the bounds are those of the book's page on real signals.
"""

import tempfile

import pytest

from stslib import models
from tests.test_real_signals import SEED, parameters_of, prepared, recipe_of

pytestmark = pytest.mark.filterwarnings("ignore::stslib.scalograms.ScalogramWarning")


@pytest.mark.parametrize(
    ("profile", "model", "n", "bounds"),
    [
        ("hybrid", "compact", 522, {"weighted_f1": 0.80, "balanced_accuracy": 0.70}),
        ("hybrid", "mobilenet_v2:imagenet", 522, {"weighted_f1": 0.80, "balanced_accuracy": 0.70}),
        ("action_potentials", "compact", 890, {"accuracy": 0.84, "balanced_accuracy": 0.79}),
    ],
)
def bench_cross_validation(mirror, measure, profile, model, n, bounds):
    """Five folds, of one seed where the profile takes several."""
    p = parameters_of(profile)
    cells = prepared(p, n_jobs=2)
    recipes = {model: recipe_of(p, cells, model, n_seeds=1)}

    def validate() -> models.CrossValidated:
        with tempfile.TemporaryDirectory() as folder:
            return models.cross_validate_signals(cells, recipes, folder, p["n_folds"], SEED, n_jobs=2)

    def scores(scored: models.CrossValidated) -> str:
        return ", ".join(f"{metric} {scored.score(model, metric):.3f}" for metric in bounds)

    work = f"5 folds of {n} cells ({profile.replace('_', ' ')})"
    scored = measure(model, work, validate, rounds=1, memory=False, note=scores)
    assert len(scored.labels) == n
    for metric, least in bounds.items():
        assert scored.score(model, metric) >= least, scores(scored)
