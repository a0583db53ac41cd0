"""What all figures share: colours, names, sizes, and the line that says which data are shown."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

import matplotlib as mpl
from matplotlib.figure import Figure

from stslib.support.errors import ScalogramWarning

P = ParamSpec("P")

#: Okabe-Ito colours, which stay apart for colour-blind eyes; Pvalb green and Excitatory blue as in the paper's Fig. 2.
CLASS_COLOURS = {"Pvalb": "#009E73", "Sst": "#D55E00", "Vip/Lamp5": "#AA4499", "Excitatory": "#0072B2"}

#: One colour a model, the same in every figure; their order is that of the figures.
MODEL_COLOURS = {
    "mobilenet_v2": "#0072B2", "resnet18": "#56B4E9", "densenet121": "#009E73", "inception_v3": "#CC79A7",
    "compact": "#D55E00", "lightgbm": "#E69F00",
}  # fmt: skip

#: Names of the models as they are written in figures and prose.
MODEL_NAMES = {
    "mobilenet_v2": "MobileNetV2", "resnet18": "ResNet18", "densenet121": "DenseNet121", "inception_v3": "InceptionV3",
    "compact": "Compact CNN", "mean": "Mean of classifiers", "rocket": "Rocket", "kernel": "Kernel", "cnn_1d": "1-D CNN",
    "lightgbm": "LightGBM", "lightgbm_same_sweeps": "LightGBM", "discriminant": "Linear discriminant",
    "svm_first_spike": "SVM, first spike", "svm_spike_times": "SVM, spike times", "minirocket": "MiniRocket",
}  # fmt: skip

#: Colours for up to five series (Okabe-Ito), each with a marker of its own, so that no figure rests on colour alone.
SERIES = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "D"), ("#CC79A7", "^"), ("#6E6E6E", "v"))
NEUTRAL = SERIES[-1][0]

RC: dict[Any, Any] = {
    "figure.dpi": 110, "savefig.dpi": 160, "figure.constrained_layout.use": True, "font.size": 10,
    "axes.titlesize": 10.5, "axes.labelsize": 10, "axes.spines.top": False, "axes.spines.right": False,
    "legend.frameon": False, "figure.constrained_layout.w_pad": 0.07,
    "svg.hashsalt": "stslib",  # the same figure gives the same SVG bytes
}  # fmt: skip

KIND_WORDS = {
    "simulated": "simulated cells (no recordings)",
    "hybrid": "hybrid cells (modelled spike times, recorded action potential)",
    "real": "real recordings",
    "unknown": "cells of which nobody said what they are",
    "allen": "real recordings (Allen Institute)",
    "published": "published feature tables (real cells)",
}


def new_figure(width: float = 7.0, height: float = 3.2) -> Figure:
    """An empty figure of `width` x `height` inches, outside pyplot (nothing is shown twice)."""
    return Figure(figsize=(width, height), layout="constrained")


def label_data(figure: Figure, kind: str) -> Figure:
    """Write at the figure's lower right which data it shows (a key of `KIND_WORDS`)."""
    figure.supxlabel(f"Data: {KIND_WORDS.get(kind, kind)}", x=0.995, ha="right", fontsize=7.5, color="0.35")
    return figure


def house_style(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Run `draw` under the house style, for figures and axes take their look when they are made.

    A wavelet that is longer than the sweep warns where the scalograms are made, not again in each picture.
    """

    @wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with mpl.rc_context(RC), warnings.catch_warnings():
            warnings.simplefilter("ignore", ScalogramWarning)
            return draw(*args, **kwargs)

    return styled


def model_name(model: str) -> str:
    """How a model is written in figures, from its name in the metric records; a variant follows on a line of its own.

    Examples
    --------
    >>> from stslib import figures
    >>> figures.model_name("mobilenet_v2:imagenet")
    'MobileNetV2\\n(ImageNet)'
    """
    base, _, variant = model.partition(":")
    name = MODEL_NAMES.get(base, base)
    variant = "(ImageNet)" if variant == "imagenet" else variant.replace("_", " ")
    return f"{name}\n{variant}" if variant else name


def model_colour(model: str) -> str:
    """The colour of a model and its variants."""
    return MODEL_COLOURS.get(model.split(":")[0], NEUTRAL)


def in_order(models: Any) -> list[str]:
    """Models without doubles, in the order of the figures; those that are not known follow by name."""
    found = set(map(str, models))
    return [m for m in MODEL_COLOURS if m in found] + sorted(found - set(MODEL_COLOURS))
