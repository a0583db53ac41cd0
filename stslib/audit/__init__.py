"""What scores on the real tables measure: the cells, the rigs, or the labels; and how real simulated cells are."""

from stslib.audit.conclusions import conclusions
from stslib.audit.questions import Audit
from stslib.audit.realism import Realism

__all__ = ["Audit", "Realism", "conclusions"]
