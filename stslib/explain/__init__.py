"""What the models look at: saliency of a network, SHAP of the baseline, and checks of both (paper sections III.E, IV.B)."""

from stslib.explain.cells import Shap, conclusion, representative_cells, shap_values
from stslib.explain.regions import Measured, image_axes, measure
from stslib.explain.saliency import Maps, Network, gradients, load_network, saliency_maps

__all__ = [
    "Maps", "Measured", "Network", "Shap", "conclusion", "gradients", "image_axes", "load_network", "measure",
    "representative_cells", "saliency_maps", "shap_values",
]  # fmt: skip
