"""The model card: what `model.json` says of a network, so that nobody needs its training run to use it or to judge it."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from stslib import networks, training
from stslib.baseline.traces import first_spikes, time_features
from stslib.cohort import CLASSES
from stslib.evaluation import Predictions, calibration, temperature
from stslib.models import training_range
from stslib.networks import InputTransform
from stslib.scalograms import Preprocessing, ScalogramWarning, cwt
from stslib.support.environment import versions
from stslib.support.errors import DamagedFile, MissingInput, ParameterError, StsError
from stslib.support.files import atomic, sha256_of

#: Beside the folders of networks that answer together: which they are, and the card of their mean.
JOINT = "joint.json"
JOINT_FORMAT = 1


def finish(
    card: Mapping[str, Any], records: Sequence[Mapping[str, Any]], held_out: Predictions, described: pd.DataFrame
) -> dict[str, Any]:
    """The whole card of a network that was cross-validated, refitted (`card` is that of `training.refit`) and tested.

    `described` is `training_range.describe` of the cells of `held_out`.
    """
    train, n_test = held_out.train, len(held_out.outside)
    scaling = temperature.summary(held_out.cells["label"].to_numpy()[train], held_out.inside, held_out.folds)
    ranges = training_range.fit(described[train])
    flagged = sum(map(bool, training_range.outside(described[~train], ranges)))
    if n_test:  # reported, not fitted: the holdout has no part in the temperature
        after = temperature.calibrated(held_out.outside, scaling["temperature"])
        errors = held_out.calibration()[1], calibration(held_out.test_labels, after)[1]
        scaling["holdout"] = {"ece_before": errors[0], "ece_after": errors[1], "n": n_test}
    margins = {"central": training_range.CENTRAL, "margin": training_range.MARGIN, "ranges": ranges}
    return {
        **card,
        "calibration": scaling,
        "training_range": {**margins, "flagged_test_cells": flagged, "n_test_cells": n_test},
        "versions": versions(),
        "metrics": [dict(record) for record in records],
    }


@dataclass(frozen=True)
class Model:
    """A model that a lab can use: one network, or several of which the mean probability counts."""

    members: list[tuple[nn.Module, InputTransform]]
    card: dict[str, Any]  # of the joint model, else of the first
    preprocessing: Preprocessing
    temperature: float
    ranges: dict[str, Any]  # of its training cells (`training_range.fit`)
    factors: tuple[float, ...] = (1.0,) * len(CLASSES)  # on the mean probability of each class

    def proba(self, images: np.ndarray, traces: np.ndarray | None = None) -> np.ndarray:
        """Calibrated probabilities `(n, 4)` of stored scalograms `(n, c, h, w)` and, where a member reads them, sweeps."""
        if not len(images):
            return np.empty((0, len(CLASSES)))
        each = [
            training.predict_proba(network, transform, read(transform.reads, images, traces, self.preprocessing))
            for network, transform in self.members
        ]
        return temperature.calibrated(np.mean(each, axis=0) * self.factors, self.temperature)


def read(what: str, images: np.ndarray, traces: np.ndarray | None, preprocessing: Preprocessing) -> np.ndarray:
    """What a classifier reads, one of `networks.READS`, of images and prepared sweeps `(n, c, n_samples)`: `(n, c, h, w)`."""
    settings, image = preprocessing.sweeps, preprocessing.image
    if what == "scalograms":
        return images
    if what == "close_ups" and image.close_up:
        return images[..., image.width :]
    if traces is None or what == "close_ups" or (what == "spike_times" and not settings.step_s):
        raise ParameterError(f"a classifier that reads {what} does not suit these cells, which have none")
    if what == "spike_times":
        return time_features(traces, settings)[:, None, None].astype(np.float32)
    voltage = np.asarray(traces if what == "sweeps" else first_spikes(traces, settings), np.float32)
    if what != "spike_scalograms":
        return voltage[:, :, None]
    bank = image.close_up.bank(preprocessing.bank) if image.close_up else preprocessing.bank
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScalogramWarning)  # a spike is shorter than the lowest wavelet
        return np.asarray(
            cwt(voltage, bank, "magnitude" if bank.mother.is_complex else "coefficients", "edge"), np.float32
        )


def save_joint(
    folder: str | Path,
    members: Mapping[str, tuple[nn.Module, InputTransform, Mapping[str, Any]]],
    card: Mapping[str, Any],
) -> None:
    """Write networks that answer together, each in a folder of its name, and `card`, that of their mean probability.

    The folder is whole by itself, to be handed on.
    """
    folder = Path(folder)
    for name, (network, transform, own) in members.items():
        networks.save(folder / name, network, transform, own)
    described = {name: sha256_of(folder / name / "model.json") for name in members}
    fields = {"format": JOINT_FORMAT, "classes": list(CLASSES), "members": described, "card": dict(card)}
    with atomic(folder / JOINT) as path:
        path.write_text(json.dumps(fields, indent=1) + "\n", encoding="utf-8")


def _read_joint(folder: Path) -> tuple[list[Path], dict[str, Any]]:
    """The members' folders and the card of a joint model; see `load` for the errors."""
    path, again = folder / JOINT, "make the model again (08_real_signals)"
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        kind, members, card = (fields["format"], fields["classes"]), dict(fields["members"]), dict(fields["card"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedFile(f"{path} is damaged ({error!r}); {again}") from error
    if kind != (JOINT_FORMAT, list(CLASSES)):
        raise DamagedFile(f"{path} is of another kind of model {kind}; use one of format {JOINT_FORMAT} for {CLASSES}")
    for name, digest in members.items():
        # A member lies inside the folder; a name such as ../other would leave it.
        if name in ("", ".", "..") or Path(name).name != name or "\\" in name:
            raise DamagedFile(f"{path} names {name!r} as a member, which is no folder's name; {again}")
        own = folder / name / "model.json"
        if not own.is_file() or sha256_of(own) != digest:
            raise DamagedFile(f"{own} is not the network that {JOINT} describes; {again}")
    return [folder / name for name in members], card


def load(folder: str | Path) -> Model:
    """A model's folder, a joint model's, or a folder of several that were trained alike with other seeds.

    `MissingInput` or `DamagedFile` where there is none, or its card does not hold what new cells need.
    """
    folder = Path(folder).expanduser()
    joint: dict[str, Any] = {}
    if (folder / "model.json").is_file():
        parts = [folder]
    elif (folder / JOINT).is_file():
        parts, joint = _read_joint(folder)
    else:
        parts = sorted(path.parent for path in folder.glob("*/model.json"))
    if not parts:
        raise MissingInput(f"there is no model at {folder}; 05_deep_models makes it")
    found = [networks.load(part) for part in parts]
    cards = [card for _, _, card in found]
    names = {card.get("architecture") for card in cards}
    if any(dict(card.get("preprocessing") or {}).get("ready_made") for card in cards):
        why = "was trained on precomputed scalograms, and how those were made from sweeps is not known in full"
        raise StsError(f"{folder} {why}; use a network that was trained on sweeps")
    if len({str(card.get("preprocessing")) for card in cards}) > 1 or (len(names) > 1 and not joint):
        shown = ", ".join(part.name for part in parts[:4])
        raise DamagedFile(f"{folder} holds models of several kinds ({shown}); name one of them")
    card = joint or cards[0]
    try:
        temperature.check(float(card["calibration"]["temperature"]))
        members, preprocessing = [own[:2] for own in found], Preprocessing.from_dict(card["preprocessing"])
        ranges = dict(card["training_range"]["ranges"])
        factors = tuple(float(factor) for factor in card.get("class_factors", [1.0] * len(CLASSES)))
        if len(factors) != len(CLASSES) or not all(0 < factor < np.inf for factor in factors):
            raise ValueError(f"class_factors are {factors}")
        return Model(members, card, preprocessing, float(card["calibration"]["temperature"]), ranges, factors)
    except (KeyError, TypeError, ValueError, ParameterError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        lack = f"the card of {folder} does not hold what new cells need ({what})"
        raise DamagedFile(f"{lack}; make the model again (05_deep_models)") from None
