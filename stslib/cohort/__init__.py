"""The cell table: class labels, exclusions with their reasons, the holdout split and the folds.

A cell table is a `DataFrame` with one row a cell and at least the columns `cell_id` (str) and `label`.
"""

from stslib.cohort.accounting import REASONS, account, check_cells, count_table, kept, require_classes
from stslib.cohort.labels import CLASSES, DATASETS, UNSURE, class_index, label_patch_clamp, label_patch_seq
from stslib.cohort.splitting import check_split, folds, holdout_split

__all__ = [
    "CLASSES",
    "DATASETS",
    "REASONS",
    "UNSURE",
    "account",
    "check_cells",
    "check_split",
    "class_index",
    "count_table",
    "folds",
    "holdout_split",
    "kept",
    "label_patch_clamp",
    "label_patch_seq",
    "require_classes",
]
