"""Recipes: everything that decides how one network is made and fitted, and the space that the search looks through."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from stslib import networks
from stslib.support.errors import ParameterError, one_of

if TYPE_CHECKING:
    import optuna

Settings = TypeVar("Settings", bound="Any")

#: "small": from random weights on a few hundred cells, minutes on two cores (ours). "published": the paper's code, quirks
#: included. "corrected": the same with square images, normalisation and the best weights. "signals": ours for a few hundred
#: recorded or hybrid cells, with mixup and several seeds, from random or ImageNet weights.
PROTOCOLS = ("small", "published", "corrected", "signals")

# Choices, and smallest numbers, of some fields of `FitConfig`.
_CHOICES = {
    "schedule": ("step", "one_cycle"), "keep": ("best", "last"), "amp": ("none", "bf16", "fp16"), "device": ("cpu", "cuda")
}  # fmt: skip
_AT_LEAST = {
    "batch_size": 2, "max_epochs": 1, "decay_every": 1, "decay_factor": 0, "patience": 0, "weight_decay": 0,
    "jitter_columns": 0, "gain_sd": 0, "mixup": 0, "aux_weight": 0, "threads": 0,
}  # fmt: skip


def replaced(settings: Settings, changes: Mapping[str, Any], what: str) -> Settings:
    """A copy of a frozen dataclass with other values; an unknown name or a value of another type is a ParameterError."""
    for name, value in changes.items():
        if name not in settings.__dataclass_fields__:
            raise ParameterError(f"{what} has no {name!r}; it has: {', '.join(settings.__dataclass_fields__)}")
        kind = type(getattr(settings, name))
        if not isinstance(value, (int, float) if kind is float else kind) or isinstance(value, bool) != (kind is bool):
            raise ParameterError(f"{name} is {value!r}; it must be of type {kind.__name__}")
    return dataclasses.replace(settings, **changes)


@dataclass(frozen=True)
class FitConfig:
    """How one network is fitted; the defaults follow the paper's code where it fixes a value."""

    learning_rate: float = 1e-3  # of Adam, at the start ("step") or at the peak ("one_cycle")
    batch_size: int = 32  # at most: an epoch is cut into even batches, so that none is left with a single cell
    max_epochs: int = 1000
    # "step" multiplies the rate by `decay_factor` (0: never) every `decay_every` epochs, as in the paper. "one_cycle" lets it
    # rise over 30 % of all steps and fall to nearly 0 (Smith & Topin 2019, Proc. SPIE 11006); for random weights.
    schedule: str = "step"
    decay_factor: float = 0.1
    decay_every: int = 10
    patience: int = 15  # epochs in a row without a loss `min_improvement` (a fraction) below the lowest; 0 never stops
    min_improvement: float = 0.05
    keep: str = "best"  # weights of the lowest validation loss, or the "last", as in the paper's code
    weight_decay: float = 0.0  # decoupled (AdamW); 0 is plain Adam
    label_smoothing: float = 0.0  # share of the target that is spread over all classes
    class_weights: bool = False  # weigh the loss of a class by the inverse of its share
    jitter_columns: int = 0  # shift of training images in time by up to so many columns, both sweeps alike
    gain_sd: float = 0.0  # SD of a factor on training images
    mixup: float = 0.0  # blend by a share from Beta(mixup, mixup), 1 any alike; 0 is off (Zhang et al. 2018, ICLR)
    aux_weight: float = 0.0  # of InceptionV3's second head; 0 none (the paper's code), torchvision's own training 0.4
    amp: str = "none"  # mixed precision: "bf16" pays on a GPU or with avx512_bf16 or amx_bf16, "fp16" needs a GPU
    compile: bool = False  # torch.compile, for a GPU: takes a minute or more and needs a C++ compiler
    threads: int = 0  # of torch; 0 leaves them. Results are identical for the same number only
    device: str = "cpu"  # or "cuda"

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            one_of(name, getattr(self, name), known)
        for name, low in _AT_LEAST.items():
            if not getattr(self, name) >= low:
                raise ParameterError(f"{name} is {getattr(self, name)}; use at least {low}")
        for name in ("label_smoothing", "min_improvement"):
            if not 0 <= getattr(self, name) < 1:
                raise ParameterError(f"{name} is {getattr(self, name)}; use a value from 0 to below 1")
        if not self.learning_rate > 0:
            raise ParameterError(f"learning_rate is {self.learning_rate}; use a value above 0")
        if self.amp == "fp16" and self.device != "cuda":
            raise ParameterError('amp is "fp16", which needs a GPU; use "bf16" or "none" with device "cpu"')
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ParameterError('device is "cuda", and there is no CUDA device here; use device "cpu"')


@dataclass(frozen=True)
class Recipe:
    """Everything that decides how one network is made and fitted."""

    architecture: str  # this and the next three: see `networks.build`
    weights: str = "none"
    dropout: float = 0.0
    freeze: bool = False
    protocol: str = "small"  # decides what the search varies
    height: int = 0  # pixels, 0 as stored; these five: see `networks.InputTransform.fit`
    width: int = 0
    compress: str = "asinh"
    antialias: bool = True
    normalise: str = "own"
    reads: str = "scalograms"  # what the images show of a cell, of `networks.READS`
    n_seeds: int = 1  # networks fitted from different seeds that answer together (`Ensemble`)
    valid_fraction: float = 0.2  # of a fold's fitted part, set aside to watch the loss (protocol of the paper's code)
    fit: FitConfig = field(default_factory=FitConfig)

    def with_changes(self, changes: Mapping[str, Any]) -> Recipe:
        """A copy with other values, also of the fields of `fit`; an unknown name is a ParameterError."""
        of_fit = {name: value for name, value in changes.items() if name in FitConfig.__dataclass_fields__}
        own = {name: value for name, value in changes.items() if name not in of_fit}
        known = [name for name in Recipe.__dataclass_fields__ if name != "fit"]
        if unknown := sorted(set(own) - set(known)):
            names = [*known, *FitConfig.__dataclass_fields__]
            raise ParameterError(f"a recipe has no {unknown[0]!r}; it has: {', '.join(names)}")
        return dataclasses.replace(replaced(self, own, "a recipe"), fit=replaced(self.fit, of_fit, "a fit"))

    @property
    def direct(self) -> bool:
        """Whether the network reads the whole scalogram by one resize to its own size, as in the paper's code."""
        return self.protocol in ("published", "corrected")

    def overview(self) -> dict[str, Any]:
        """The network's size and the most important settings, as a row of a table."""
        network = networks.build(self.architecture, self.dropout, freeze=self.freeze)
        weights, trained = (sum(p.numel() for p in network.parameters() if p.requires_grad or all_) for all_ in (1, 0))
        return {
            "network": self.architecture, "weights (million)": weights / 1e6, "trained (million)": trained / 1e6,
            "image (px)": f"{self.height} x {self.width}", "epochs at most": self.fit.max_epochs,
            "batch": self.fit.batch_size, "learning rate": self.fit.learning_rate,
        }  # fmt: skip


# Found by trial on simulated cells: from random weights a few hundred scalograms are enough for small images when the
# resize averages, the rate runs through one cycle and images are varied a little, of InceptionV3 less, in smaller steps.
_SMALL_FIT = FitConfig(schedule="one_cycle", patience=0, keep="last", jitter_columns=2, gain_sd=0.1)
_SMALL = {
    "mobilenet_v2": {"height": 64, "width": 64, "learning_rate": 6e-3, "batch_size": 16, "max_epochs": 25},
    "resnet18": {"height": 48, "width": 48, "learning_rate": 2e-3, "batch_size": 32, "max_epochs": 20},
    "densenet121": {"height": 32, "width": 32, "learning_rate": 2e-3, "batch_size": 32, "max_epochs": 20},
    "inception_v3": {"height": 75, "width": 75, "learning_rate": 4e-3, "batch_size": 16, "max_epochs": 25,
                     "jitter_columns": 1, "gain_sd": 0.03},
    "compact": {"height": 32, "width": 64, "learning_rate": 4e-3, "batch_size": 32, "max_epochs": 30},
    "cnn_1d": {"learning_rate": 4e-3, "batch_size": 32, "max_epochs": 30},
}  # fmt: skip

# Chosen by cross-validation on the hybrid cells and the action potentials (the book's page on real signals says how many
# settings were tried). Every cell of a fold is learnt from: the number of epochs is fixed, nothing stops early.
_SIGNALS_FIT = FitConfig(
    schedule="one_cycle", patience=0, keep="last", jitter_columns=1, gain_sd=0.02, mixup=0.4, label_smoothing=0.1,
    weight_decay=0.01, class_weights=True,
)  # fmt: skip
_SIGNALS: dict[str, dict[str, Any]] = {
    "compact": {"height": 48, "width": 48, "max_epochs": 40, "dropout": 0.3, "n_seeds": 3},
    "cnn_1d": {"compress": "none", "max_epochs": 20, "dropout": 0.3},
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
#: Of these, 0 means the protocol's own.
_OWN_IF_ZERO = ("height", "width", "max_epochs", "batch_size", "learning_rate", "n_seeds")


def recipe(architecture: str, protocol: str = "small", /, **changes: Any) -> Recipe:
    """The recipe of a network in one of the protocols, with other values where `changes` gives them.

    Parameters
    ----------
    architecture, protocol : str, of `networks.ARCHITECTURES`, and "small", "published", "corrected" or "signals", which
        takes those of `networks.CLASSIFIERS`
    **changes : fields of `Recipe` and `FitConfig`; one that is unknown or out of range is a `ParameterError`. A 0 for
        `height`, `width`, `max_epochs`, `batch_size`, `learning_rate` or `n_seeds` means the protocol's own;
        `aux_weight` counts for InceptionV3 only.

    Examples
    --------
    >>> small = recipe("resnet18", max_epochs=2)
    >>> small.height, small.fit.max_epochs
    (48, 2)
    """
    one_of("protocol", protocol, PROTOCOLS)
    one_of("architecture", architecture, networks.CLASSIFIERS if protocol == "signals" else networks.ARCHITECTURES)
    changes = {name: value for name, value in changes.items() if value or name not in _OWN_IF_ZERO}
    if architecture != "inception_v3":
        changes.pop("aux_weight", None)
    base = Recipe(architecture, protocol=protocol)
    if protocol == "small":
        return dataclasses.replace(base, fit=_SMALL_FIT).with_changes({**_SMALL[architecture], **changes})
    if protocol == "signals":
        start = _PRETRAINED if changes.get("weights", "none") != "none" else {}
        own = {**_SMALL.get(architecture, {}), **_SIGNALS.get(architecture, {}), **start, "valid_fraction": 0.0}
        return dataclasses.replace(base, fit=_SIGNALS_FIT).with_changes({**own, **changes})
    native = networks.ARCHITECTURES[architecture].native_px
    paper = {"height": native, "width": native, "compress": "none", "antialias": False, "normalise": "pretrained"}
    if protocol == "published":
        # The code asks for a width of 244 where 224 was meant, for all but InceptionV3.
        paper |= {"width": 244 if native == 224 else native, "normalise": "none", "keep": "last"}
        if architecture == "inception_v3" and changes.get("weights", "none") != "none":
            paper["normalise"] = "inception"  # torchvision sets `transform_input` with its ImageNet weights
    return base.with_changes({**paper, **changes})


def search_space(trial: optuna.Trial, base: Recipe) -> Recipe:
    """The recipe of one trial around `base`: in the paper's space, or in ours of learning rate and dropout."""
    if base.protocol in ("small", "signals"):
        rate = base.fit.learning_rate
        rate = trial.suggest_float("learning_rate", rate / 3, rate * 3, log=True)
        return base.with_changes({"learning_rate": rate, "dropout": trial.suggest_categorical("dropout", [0.0, 0.3])})
    tried = {
        "batch_size": trial.suggest_categorical("batch_size", [32, 64]),
        "learning_rate": trial.suggest_float("learning_rate", 1e-3, 0.08, log=True),
        "decay_factor": trial.suggest_categorical("decay_factor", [0.0, 0.01, 0.1]),
        "decay_every": trial.suggest_int("decay_every", 5, 20),
        "patience": trial.suggest_int("patience", 10, 20),
        "dropout": trial.suggest_categorical("dropout", [0.0, 0.3, 0.5, 0.7]),
    }
    return base.with_changes(tried)


def first_params(base: Recipe) -> dict[str, Any]:
    """What the search tries first: the recipe's own values, or nothing fixed for the paper's space."""
    if base.protocol in ("small", "signals"):
        return {"learning_rate": base.fit.learning_rate, "dropout": base.dropout}
    return {}
