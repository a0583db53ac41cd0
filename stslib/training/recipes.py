"""Recipes: everything that decides how one network is made and fitted, and the space that the search looks through."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stslib import networks
from stslib.support.errors import ParameterError, one_of
from stslib.training.config import FitConfig

if TYPE_CHECKING:
    import optuna

#: "small": from random weights on a few hundred cells, minutes on two cores (ours). "published": the paper's code, quirks
#: included. "corrected": the same with square images, normalisation and the best weights. "signals": ours for a few hundred
#: recorded or hybrid cells, with mixup and several seeds, from random or ImageNet weights.
PROTOCOLS = ("small", "published", "corrected", "signals")


#: Share of a fold's fitted part that is set aside for validation (protocol of the paper's code).
VALID_FRACTION = 0.2


@dataclass(frozen=True)
class Recipe:
    """Everything that decides how one network is made and fitted.

    Attributes
    ----------
    architecture, weights, dropout, freeze
        As for `networks.build`.
    height, width, compress, antialias, normalise
        As for `networks.InputTransform.fit`; sizes in pixels, 0 as stored.
    n_seeds : int
        Networks that are fitted from different seeds and answer together (`networks.Ensemble`); 1 is a single one.
    valid_fraction : float
        Share of a fold's fitted part that is set aside to watch the loss; 0 leaves all of it to be learnt from.
    fit : FitConfig
        The training loop's settings.
    """

    architecture: str
    weights: str = "none"
    dropout: float = 0.0
    freeze: bool = False
    height: int = 0
    width: int = 0
    compress: str = "asinh"
    antialias: bool = True
    normalise: str = "own"
    n_seeds: int = 1
    valid_fraction: float = VALID_FRACTION
    fit: FitConfig = field(default_factory=FitConfig)

    def with_changes(self, changes: Mapping[str, Any]) -> Recipe:
        """A copy with other values; names of `FitConfig` are found there.

        Raises
        ------
        ParameterError
            An unknown name, or a value out of range.
        """
        of_fit = {name: value for name, value in changes.items() if name in FitConfig.__dataclass_fields__}
        own = {name: value for name, value in changes.items() if name not in of_fit}
        unknown = sorted(set(own) - (set(Recipe.__dataclass_fields__) - {"fit"}))
        if unknown:
            raise ParameterError(f"a recipe has no {unknown[0]!r}; see training.Recipe and training.FitConfig")
        return dataclasses.replace(self, fit=dataclasses.replace(self.fit, **of_fit), **own)


# Found by trial on simulated cells: from random weights a few hundred scalograms are enough for small images when the
# resize averages, the learning rate runs through one cycle and training images are varied a little. InceptionV3 needs more
# and smaller steps than the others, and a gentler variation.
_SMALL_FIT = FitConfig(schedule="one_cycle", patience=0, keep="last", jitter_columns=2, gain_sd=0.1)
_SMALL = {
    "mobilenet_v2": {"height": 64, "width": 64, "learning_rate": 6e-3, "batch_size": 16, "max_epochs": 25},
    "resnet18": {"height": 48, "width": 48, "learning_rate": 2e-3, "batch_size": 32, "max_epochs": 20},
    "densenet121": {"height": 32, "width": 32, "learning_rate": 2e-3, "batch_size": 32, "max_epochs": 20},
    "inception_v3": {
        "height": 75, "width": 75, "learning_rate": 4e-3, "batch_size": 16, "max_epochs": 25, "jitter_columns": 1,
        "gain_sd": 0.03,
    },
    "compact": {"height": 32, "width": 64, "learning_rate": 4e-3, "batch_size": 32, "max_epochs": 30},
}  # fmt: skip

# Chosen by cross-validation on the hybrid cells and the action potentials (the book's page on real signals says how many
# settings were tried). Every cell of a fold is learnt from: the number of epochs is fixed, nothing stops early.
_SIGNALS_FIT = FitConfig(
    schedule="one_cycle", patience=0, keep="last", jitter_columns=1, gain_sd=0.02, mixup=0.4, label_smoothing=0.1,
    weight_decay=0.01, class_weights=True,
)  # fmt: skip
_SIGNALS = {
    "compact": {"height": 48, "width": 48, "max_epochs": 40, "dropout": 0.3, "n_seeds": 3},
}
#: What may be changed of it: where the shape of a spike is seen up close, less blurring of the targets is better.
REGULARISATIONS: dict[str, dict[str, Any]] = {
    "strong": {},
    "balanced": {"mixup": 0.0, "label_smoothing": 0.05},
    "light": {"mixup": 0.0, "label_smoothing": 0.05, "class_weights": False},
}
#: From ImageNet weights: larger images, smaller steps, no blending, and the input that these weights ask for.
_PRETRAINED = {
    "height": 96, "width": 96, "learning_rate": 7e-4, "batch_size": 32, "max_epochs": 20, "mixup": 0.0,
    "normalise": "pretrained", "jitter_columns": 2, "gain_sd": 0.1,
}  # fmt: skip


def recipe(architecture: str, protocol: str = "small", **changes: Any) -> Recipe:
    """The recipe of a network in one of the `PROTOCOLS`, with other values where `changes` gives them.

    Parameters
    ----------
    architecture : str
        A key of `networks.ARCHITECTURES`.
    protocol : str
        One of `PROTOCOLS`.
    **changes
        Fields of `Recipe` and `FitConfig`. A number that is 0 for `height`, `width`, `max_epochs`, `batch_size`,
        `learning_rate` or `n_seeds` means the protocol's own.
    """
    one_of("architecture", architecture, networks.ARCHITECTURES)
    one_of("protocol", protocol, PROTOCOLS)
    own = ("height", "width", "max_epochs", "batch_size", "learning_rate", "n_seeds")
    changes = {name: value for name, value in changes.items() if value or name not in own}
    if architecture != "inception_v3":
        changes.pop("aux_weight", None)  # the others have no second head
    if protocol == "small":
        return Recipe(architecture, fit=_SMALL_FIT).with_changes({**_SMALL[architecture], **changes})
    if protocol == "signals":
        start = _PRETRAINED if changes.get("weights", "none") != "none" else {}
        own_values = {**_SMALL[architecture], **_SIGNALS.get(architecture, {}), **start, "valid_fraction": 0.0}
        return Recipe(architecture, fit=_SIGNALS_FIT).with_changes({**own_values, **changes})
    native = networks.ARCHITECTURES[architecture].native_px
    if protocol == "published":
        # The code asks for a width of 244 where 224 was meant, for all but InceptionV3.
        width = 244 if native == 224 else native
        base = Recipe(architecture, height=native, width=width, compress="none", antialias=False, normalise="none")
        return base.with_changes({"keep": "last", **changes})
    base = Recipe(architecture, height=native, width=native, compress="none", antialias=False, normalise="pretrained")
    return base.with_changes({"keep": "best", **changes})


def search_space(trial: optuna.Trial, base: Recipe, protocol: str = "small") -> Recipe:
    """The recipe of one trial of the search.

    The space of the paper's code for "published" and "corrected": batch size, learning rate (log-uniform), its decay factor
    and interval, patience of early stopping, dropout. For "small" and "signals" a narrow one around `base`: learning rate
    and dropout.
    """
    if protocol in ("small", "signals"):
        rate = base.fit.learning_rate
        return base.with_changes(
            {
                "learning_rate": trial.suggest_float("learning_rate", rate / 3, rate * 3, log=True),
                "dropout": trial.suggest_categorical("dropout", [0.0, 0.3]),
            }
        )
    return base.with_changes(
        {
            "batch_size": trial.suggest_categorical("batch_size", [32, 64]),
            "learning_rate": trial.suggest_float("learning_rate", 1e-3, 0.08, log=True),
            "decay_factor": trial.suggest_categorical("decay_factor", [0.0, 0.01, 0.1]),
            "decay_every": trial.suggest_int("decay_every", 5, 20),
            "patience": trial.suggest_int("patience", 10, 20),
            "dropout": trial.suggest_categorical("dropout", [0.0, 0.3, 0.5, 0.7]),
        }
    )


def first_params(base: Recipe, protocol: str = "small") -> dict[str, Any]:
    """What the search tries first: the recipe's own values for "small", nothing fixed for the paper's space."""
    return (
        {"learning_rate": base.fit.learning_rate, "dropout": base.dropout} if protocol in ("small", "signals") else {}
    )
