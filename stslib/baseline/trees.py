"""Gradient-boosted trees (LightGBM) on features (paper section III.D), the same on any number of threads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stslib.cohort import CLASSES, class_index
from stslib.support.errors import DamagedFile, MissingInput, ParameterError, StsError
from stslib.support.files import atomic

if TYPE_CHECKING:  # imported where it is used: sts predict needs none of it
    import lightgbm

MODEL_FILE = "model.txt"
CARD_FILE = "model.json"

#: LightGBM's own defaults, under the names of its scikit-learn interface that the authors use.
DEFAULTS: dict[str, Any] = {
    "num_leaves": 31, "max_depth": -1, "learning_rate": 0.1, "n_estimators": 100, "min_child_samples": 20,
    "subsample": 1.0, "colsample_bytree": 1.0, "reg_alpha": 0.0, "reg_lambda": 0.0, "class_weight": "",
}  # fmt: skip

_FIXED = {"objective": "multiclass", "num_class": len(CLASSES), "verbosity": -1}
_FIXED |= {"deterministic": True, "force_row_wise": True}


@dataclass(frozen=True)
class Model:
    """Fitted boosted trees with the columns that they need, in order; saved as text and a card, nothing is pickled."""

    booster: lightgbm.Booster
    features: tuple[str, ...]
    params: dict[str, Any]
    seed: int

    def predict_proba(self, x: pd.DataFrame, threads: int = 1) -> np.ndarray:
        """Probabilities `(n_cells, 4)` in the order of `CLASSES`; the columns of `x` may come in any order."""
        return np.asarray(self.booster.predict(matrix(x, self.features), num_threads=threads))

    def save(self, folder: str | Path) -> None:
        """Write `model.txt` (LightGBM's text) and `model.json` (classes, features, parameters, SHA-256 of the text)."""
        import lightgbm

        text = self.booster.model_to_string()
        card = {
            "kind": "stslib baseline", "classes": CLASSES, "features": self.features, "params": self.params,
            "seed": self.seed, "lightgbm": lightgbm.__version__, "sha256": hashlib.sha256(text.encode()).hexdigest(),
        }  # fmt: skip
        for name, content in ((MODEL_FILE, text), (CARD_FILE, json.dumps(card, indent=1))):
            with atomic(Path(folder) / name) as path:
                path.write_text(content, encoding="utf-8")


def fit(x: pd.DataFrame, y: Any, params: Mapping[str, Any] | None = None, seed: int = 2026, threads: int = 1) -> Model:
    """Fit to features `(n_cells, n_features)`, gaps allowed, and classes; `params`: of `DEFAULTS` or `subsample_freq`."""
    import lightgbm

    settings = {**DEFAULTS, **(params or {})}
    if unknown := [k for k in settings if k not in (*DEFAULTS, "subsample_freq")]:
        raise ParameterError(f"baseline parameter {unknown[0]!r} is unknown; use: {', '.join(DEFAULTS)}")
    if settings["class_weight"] not in ("", "balanced"):
        raise ParameterError(f"class_weight is {settings['class_weight']!r}; use '' or 'balanced'")
    numbers = numbered(x, y)
    counts = np.bincount(numbers, minlength=len(CLASSES))
    n_classes = np.count_nonzero(counts)
    if n_classes < 2:
        only = CLASSES[int(counts.argmax())]
        raise StsError(f"only class {only!r} among {len(numbers)} cells; a classifier needs at least two")
    weight = len(numbers) / (n_classes * counts[numbers]) if settings["class_weight"] else None
    options = {k: v for k, v in settings.items() if k not in ("class_weight", "n_estimators")}
    options |= {**_FIXED, "seed": seed, "num_threads": threads}
    try:
        data = lightgbm.Dataset(matrix(x), numbers, weight=weight, feature_name=list(x.columns))
        booster = lightgbm.train(options, data, num_boost_round=int(settings["n_estimators"]))
    except lightgbm.basic.LightGBMError as error:
        raise ParameterError(f"LightGBM refuses its parameters: {str(error).splitlines()[0]}") from error
    return Model(booster, tuple(map(str, x.columns)), settings, seed)


def numbered(x: pd.DataFrame, y: Any) -> np.ndarray:
    """Index of each label in `CLASSES`, `(n_cells,)`, one for each row of `x`."""
    if len(y) != len(x):
        raise StsError(f"{len(y)} labels for {len(x)} rows of features; give one a cell")
    return class_index(y)


def matrix(x: pd.DataFrame, columns: Sequence[str] | None = None) -> np.ndarray:
    """Features as floats `(n_cells, n_features)`, of these columns if named; what does not fit is one line."""
    if missing := [c for c in columns or () if c not in x.columns]:
        raise StsError(f"the features lack column {missing[0]!r}, which the model needs ({len(missing)} missing)")
    try:
        return (x if columns is None else x[list(columns)]).to_numpy(dtype=float)
    except (ValueError, TypeError) as error:
        raise StsError(f"features hold a value that is not a number ({error})") from error


def load(folder: str | Path) -> Model:
    """Read a model that `Model.save` wrote; files that are missing, foreign or changed are refused."""
    import lightgbm

    card_path, text_path = paths = [Path(folder) / name for name in (CARD_FILE, MODEL_FILE)]
    if missing := [path for path in paths if not path.is_file()]:
        raise MissingInput(f"{missing[0]} is not there; a baseline is the two files {MODEL_FILE} and {CARD_FILE}")
    try:
        card = json.loads(card_path.read_text(encoding="utf-8"))
        features, classes = tuple(card["features"]), tuple(card["classes"])
        params, seed, sha256 = dict(card["params"]), int(card["seed"]), card["sha256"]
        text = text_path.read_text(encoding="utf-8")
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedFile(f"{card_path} is not the card of a baseline; save the model again") from error
    if classes != CLASSES:
        raise DamagedFile(f"{card_path} has the classes {', '.join(classes)}; this version has {', '.join(CLASSES)}")
    # LightGBM ends the process on some broken texts, so only the very text that was saved is handed to it.
    if hashlib.sha256(text.encode()).hexdigest() != sha256:
        raise DamagedFile(f"{text_path} is damaged: it is not the model that {CARD_FILE} names; save the model again")
    return Model(lightgbm.Booster(model_str=text), features, params, seed)
