"""What the paper claims, in the order of a reader's interest, each with the rule that judges it."""

from __future__ import annotations

from dataclasses import dataclass

from stslib.evaluation import paper_value
from stslib.figures.style import MODEL_NAMES
from stslib.press.pages import rules
from stslib.press.pages.evidence import Evidence, percent
from stslib.press.pages.rules import NETWORKS, Finding, Rule

NOT_MEASURED = "not measured in this run"


@dataclass(frozen=True)
class Claim:
    """One claim of the paper in our words, the section that makes it, the paper's figure, and how it is judged."""

    text: str
    section: str
    paper: str
    rule: Rule

    def findings(self, evidence: Evidence) -> list[Finding]:
        """Findings on every kind of data, the comparable ones first; empty when nothing was measured."""
        return [f for data in evidence.kinds() if (f := self.rule(evidence, data)) is not None]


def paper_text(model: str, split: str, metric: str) -> str:
    """The paper's number in per cent, as `evaluation.PAPER_RESULTS` has it; empty where it has none."""
    found = paper_value(model, split, metric)
    if found is None:
        return ""
    value, relation = found
    return f"above {percent(value, 0)}" if relation == ">" else percent(value, 2)


def paper_claims() -> tuple[Claim, ...]:
    """The claims, in the order of a reader's interest."""
    balanced, weighted = "balanced_accuracy", "weighted_f1"
    others = [m for m in NETWORKS if m != "inception_v3"]
    inception, lightgbm = (paper_text(m, "holdout", weighted) for m in ("inception_v3", "lightgbm"))
    ophir, wang = (paper_text(m, "cv", weighted) for m in ("ophir", "wang"))
    return (
        Claim(
            "InceptionV3 finds the class of a cell from two sweeps.", "abstract, IV.A",
            f"balanced accuracy {paper_text('inception_v3', 'holdout', balanced)}, weighted F1 {inception}",
            rules.scores(("inception_v3", "holdout", balanced), ("inception_v3", "holdout", weighted)),
        ),
        Claim(
            "The other three networks do about as well.", "IV.A",
            "weighted F1 " + ", ".join(f"{MODEL_NAMES[m]} {paper_text(m, 'holdout', weighted)}" for m in others),
            rules.scores(*[(m, "holdout", weighted) for m in others]),
        ),
        Claim(
            "All four networks pass 88\u00a0% in cross-validation too.", "IV.A, Fig. 4",
            f"balanced accuracy {paper_text('resnet18', 'cv', balanced)}",
            rules.scores(*[(m, "cv", balanced) for m in NETWORKS]),
        ),
        Claim(
            "No model overfits: the holdout lies within the range of cross-validation.", "IV.A, Fig. 4",
            "all within one SD of the folds", rules.within_folds((*NETWORKS, "lightgbm")),
        ),
        Claim(
            "LightGBM on 15 hand-made features sets the baseline.", "IV.A",
            f"weighted F1 {lightgbm}, balanced accuracy {paper_text('lightgbm', 'holdout', balanced)}",
            rules.scores(("lightgbm", "holdout", weighted), ("lightgbm", "holdout", balanced)),
        ),
        Claim(
            "Two sweeps and a network lose nothing against the features.", "IV.A, V",
            f"weighted F1 {inception} against {lightgbm}", rules.no_loss,
        ),
        Claim(
            "Features need the full range of stimuli, where networks need two sweeps.", "abstract, IV.A, V",
            "said, not measured", rules.features_from_two_sweeps,
        ),
        Claim(
            "The cohort has 5,590 cells, 80\u00a0% to train; excitatory cells are the minority.", "III.A, III.C",
            "5,590 cells, 4,472 and 1,118", rules.cohort_counts(5590, 4472, 1118, "Excitatory"),
        ),
        Claim(
            "All networks stop improving after about 15 epochs.", "IV.A, Fig. 3", "15 epochs",
            rules.plateau(15),
        ),
        Claim(
            "Saliency and SHAP agree: the first spike marks Excitatory cells, the whole train marks Pvalb.", "IV.B, Fig. 5",
            "four example cells", rules.saliency_and_shap,
        ),
        Claim(
            "The pipeline is better than two earlier networks.", "IV.A", f"weighted F1 {ophir} (Ophir), {wang} (Wang)",
            rules.earlier_networks,
        ),
    )  # fmt: skip
