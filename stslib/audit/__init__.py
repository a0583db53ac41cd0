"""What the baseline's scores on the real tables measure: the cells, the rigs, or the labels."""

from stslib.audit.findings import conclusions
from stslib.audit.questions import Audit

__all__ = ["Audit", "conclusions"]
