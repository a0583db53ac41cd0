"""A trained model in use: its card, its training range, and predictions for new cells."""

from stslib.models.searched import ScoredNetworks, networks_conclusion, score_networks
from stslib.models.training_range import describe as describe_cells

__all__ = ["ScoredNetworks", "describe_cells", "networks_conclusion", "score_networks"]
