"""A trained model in use: its card, its training range, predictions for new cells, and networks on files of signals."""

from stslib.models.card import load
from stslib.models.cross_validated import CrossValidated, signals_conclusion
from stslib.models.searched import networks_conclusion, score_networks
from stslib.models.signal_models import cross_validate_signals, fit_signals
from stslib.models.signals import prepare_signals

__all__ = [
    "CrossValidated", "cross_validate_signals", "fit_signals", "load", "networks_conclusion",
    "prepare_signals", "score_networks", "signals_conclusion",
]  # fmt: skip
