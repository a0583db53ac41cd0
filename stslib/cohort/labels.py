"""Class labels: the rules that give the authors' own (file `cell_types_GouwensAll_new.txt` of their repository)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from stslib.support.errors import StsError

#: The four classes, in the one order used everywhere (columns of probabilities, rows of confusion matrices).
CLASSES = ("Pvalb", "Sst", "Vip/Lamp5", "Excitatory")

#: Label of a cell whose class is not clear; such cells are left out.
UNSURE = "Unsure"

# Patch-clamp labels by transgenic driver line. Keys are the whole `line_name`; lines that were crossed are joined by "|".
_LINES: dict[str, str] = {
    line: label
    for label, lines in {
        "Excitatory": """
            Ctgf-T2A-dgCre  Cux2-CreERT2  Esr2-IRES2-Cre  Esr2-IRES2-Cre-neo  Esr2-IRES2-Cre-neo|PhiC31-neo
            Esr2-IRES2-Cre|PhiC31-neo  Glt25d2-Cre_NF107  Nr5a1-Cre  Ntsr1-Cre_GN220  Penk-IRES2-Cre-neo
            Rbp4-Cre_KL100  Rorb-IRES2-Cre  Scnn1a-Tg2-Cre  Scnn1a-Tg3-Cre  Sim1-Cre_KJ18  Slc17a6-IRES-Cre
            Tlx3-Cre_PL56""",
        # The last one is a cross that labels chandelier cells. The authors' label file says Pvalb for its 30 cells.
        "Pvalb": "Pvalb-IRES-Cre  Pvalb-T2A-CreERT2  Nkx2-1-CreERT2  Slc32a1-T2A-FlpO|Vipr2-IRES2-Cre",
        "Sst": "Sst-IRES-Cre  Chrna2-Cre_OE25  Nos1-CreERT2|Sst-IRES-FlpO",
        "Vip/Lamp5": "Vip-IRES-Cre  Htr3a-Cre_NO152  Ndnf-IRES2-dgCre  Chat-IRES-Cre-neo",
        UNSURE: """
            Gad2-IRES-Cre  Gng7-Cre_KH71  Nos1-CreERT2  Oxtr-T2A-Cre  Vipr2-IRES2-Cre  Vipr2-IRES2-Cre-neo""",
    }.items()
    for line in lines.split()
}

# A cross with one of these lines is Pvalb, whatever the other line is.
_PVALB_CROSSES = ("Pvalb-T2A-Dre", "Pvalb-T2A-FlpO")

# Patch-seq labels by the first word of the transcriptomic type.
_T_TYPES = dict.fromkeys(("Vip", "Lamp5", "Sncg", "Serpinf1", "Meis2"), "Vip/Lamp5")
_T_TYPES |= {"Pvalb": "Pvalb", "Sst": "Sst", "L2/3": "Excitatory"}


def label_cell(
    line_name: str | None = None, t_type: str | float | None = None, dendrite_type: str | None = None
) -> str:
    """Class of a cell by the authors' rules: one of `CLASSES`, or `UNSURE`.

    Patch-clamp cells have a `line_name`, such as `"Pvalb-IRES-Cre"` (crossed lines are joined by `"|"`), Patch-seq cells
    a `t_type` whose first word decides, such as `"Sst Tac2 Myh4"`; without one, the `dendrite_type` `"spiny"` makes it
    Excitatory. An unknown line or T-type needs a decision, not a guess (`StsError`).

    Examples
    --------
    >>> from stslib import cohort
    >>> cohort.label_cell(line_name="Rorb-IRES2-Cre"), cohort.label_cell(t_type="Sncg Gpr50")
    ('Excitatory', 'Vip/Lamp5')
    """
    if line_name is not None:
        name = line_name.strip()
        if "|" in name and set(_PVALB_CROSSES) & set(name.split("|")):
            return "Pvalb"
        if name not in _LINES:
            raise StsError(f"transgenic line {line_name!r} has no class; add it to the label rules of stslib.cohort")
        return _LINES[name]
    words = [] if pd.isna(t_type) else str(t_type).split()
    if not words:
        return "Excitatory" if dendrite_type == "spiny" else UNSURE
    if words[0] not in _T_TYPES:
        raise StsError(f"T-type {t_type!r} has no class; its first word must be one of: {', '.join(_T_TYPES)}")
    return _T_TYPES[words[0]]


def class_index(labels: Sequence[str] | np.ndarray | pd.Series, name: str = "class") -> np.ndarray:
    """Index `(n,)` of each label in `CLASSES`, the order of all probabilities; `StsError` calls a stranger `name`.

    Examples
    --------
    >>> from stslib import cohort
    >>> cohort.class_index(["Excitatory", "Pvalb", "Sst"])
    array([3, 0, 1])
    """
    values = np.asarray(labels, dtype=object)
    index = pd.Index(CLASSES).get_indexer(values).astype(np.int64)
    if (unknown := values[index < 0]).size:
        how_many = f"{len(unknown)} of {len(values)}"
        raise StsError(f"{name} {unknown[0]!r} is unknown ({how_many}); use one of: {', '.join(CLASSES)}")
    return index
