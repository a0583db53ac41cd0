"""Where cells come from: every source gives a cell table and the cells' recordings, in one form.

Notebooks use `open_cells` (what the parameters of notebook 01 name), `reopen` (the included cells of a finished notebook 01)
and `mirrored` (the recordings of the data mirror, to compare with).
"""

from stslib.io.opening import Cells, mirrored, open_cells, reopen
from stslib.io.source import SOURCES, Source, open_source

__all__ = ["SOURCES", "Cells", "Source", "mirrored", "open_cells", "open_source", "reopen"]
