"""Spike train scalograms: classify cortical neurons from two current-clamp sweeps by wavelet scalograms.

The rooms of the package are the steps of the notebooks: `from stslib import cohort, sweeps, scalograms`. `stslib.io` is
where cells come from, `stslib.press` how a run becomes results and a book.
"""

__version__ = "0.1.0"
