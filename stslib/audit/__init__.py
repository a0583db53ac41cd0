"""What the baseline's scores on the real tables measure: the cells, the rigs, or the labels."""

from stslib.audit.questions import Audit, conclusions

__all__ = ["Audit", "conclusions"]
