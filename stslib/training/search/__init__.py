"""The search for hyperparameters (paper section III.C): Bayesian, cross-validated, for any number of workers."""

from stslib.training.search.storage import address_with_password
from stslib.training.search.study import (
    Objective,
    best_trial,
    count_states,
    fold_scores,
    run_study,
    seed_of,
    slot_of,
    trial_table,
)

__all__ = [
    "Objective",
    "address_with_password",
    "best_trial",
    "count_states",
    "fold_scores",
    "run_study",
    "seed_of",
    "slot_of",
    "trial_table",
]
