"""The cell table (a row a cell, with `cell_id` and `label`): labels, exclusions with reasons, holdout split and folds."""

from stslib.cohort.accounting import REASONS, account, check_cells, count_table, describe, kept
from stslib.cohort.labels import CLASSES, UNSURE, class_index, label_cell
from stslib.cohort.splitting import check_split, folds, holdout_split

__all__ = [
    "CLASSES", "REASONS", "UNSURE", "account", "check_cells", "check_split", "class_index", "count_table", "describe",
    "folds", "holdout_split", "kept", "label_cell",
]  # fmt: skip
