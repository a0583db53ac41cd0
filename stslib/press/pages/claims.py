"""What the paper claims, and what may be concluded from what was measured: a verdict by rule, never by hand.

A verdict is given only where the measured cells are the paper's own (`evaluation.COMPARABLE_DATA`, the same number of
cells, the same features). Anything measured on simulated or hybrid cells is shown, and called not comparable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stslib.evaluation import COMPARABLE_DATA, METRIC_NAMES, paper_value
from stslib.figures.style import MODEL_NAMES
from stslib.networks import PAPER_ARCHITECTURES
from stslib.press.pages.evidence import DATA_WORDS, Evidence, Record, percent

NETWORKS = PAPER_ARCHITECTURES

#: Cells behind the paper's numbers, by split (section III.C).
PAPER_CELLS = {"holdout": 1118, "cv": 4472}

NOT_MEASURED = "not measured in this run"


@dataclass(frozen=True)
class Finding:
    """What was measured for a claim on one kind of data: the numbers in words, the verdict, and the run that made them."""

    data: str
    text: str
    verdict: str
    grade: str  # "good": agrees with the paper on its own cells; "bad": disagrees there; "open": neither may be said
    run: str
    notebook: str


def why_not_comparable(record: Record) -> str:
    """Why a number may not be set against the paper's; empty when it may."""
    if record.data not in COMPARABLE_DATA:
        return DATA_WORDS.get(record.data, f"{record.data} data")
    wanted = PAPER_CELLS.get(record.split)
    if wanted is None or record.n != wanted:
        return f"{record.n:,} real cells" + (f", the paper has {wanted:,}" if wanted else "")
    if record.model == "lightgbm" and record.options.get("feature_set", "published") != "published":
        return f"other features ({record.options['feature_set']})"
    if record.model in NETWORKS and record.options.get("weights") == "none":
        return "networks without pre-trained weights"
    return ""


def judge(record: Record) -> tuple[str, str]:
    """Verdict and grade of one number against the paper's number of the same model, split and metric.

    An equality is reproduced when the paper's number lies within the interval; a bound when the whole interval lies
    above it. Where a bound lies inside the interval, nothing is decided.
    """
    if reason := why_not_comparable(record):
        return f"not comparable: {reason}", "open"
    found = paper_value(record.model, record.split, record.metric)
    if found is None:
        return "the paper gives no number", "open"
    if record.low is None or record.high is None:
        return "not decided: no interval", "open"
    paper, relation = found
    where = "on real tables" if record.data == "published" else "on real recordings"
    equality = relation == "="
    if record.low > paper:
        return f"{'higher than the paper' if equality else 'reproduced'} {where}", "good"
    if record.high < paper or (record.high == paper and not equality):
        return ("lower than the paper" if equality else "below the paper's bound") + f" {where}", "bad"
    return (f"reproduced {where}", "good") if equality else ("not decided: within the interval", "open")


Rule = Callable[[Evidence, str], Finding | None]


def _only_on_real(data: str, verdict: str, grade: str) -> tuple[str, str]:
    return (verdict, grade) if data in COMPARABLE_DATA else (f"not comparable: {DATA_WORDS.get(data, data)}", "open")


def scores(*targets: tuple[str, str, str]) -> Rule:
    """The claim is a number for each target (model, split, metric); the weakest verdict counts."""

    def rule(evidence: Evidence, data: str) -> Finding | None:
        found = [r for t in targets if (r := evidence.find(data, *t)) is not None]
        if not found:
            return None
        verdicts = [judge(r) for r in found]
        # Nothing is settled for the claim while a part of it is unmeasured or open, unless a part is already refuted.
        grade = next(g for g in ("bad", "open", "good") if any(v[1] == g for v in verdicts))
        words = list(dict.fromkeys(v[0] for v in verdicts))
        if len(words) > 1:
            words = [
                f"{MODEL_NAMES.get(r.model, r.model)}, {METRIC_NAMES.get(r.metric, r.metric)}: {v[0]}"
                for r, v in zip(found, verdicts, strict=True)
            ]
        if len(found) < len(targets) and grade != "bad":
            words, grade = [f"only {len(found)} of {len(targets)} numbers measured", *words], "open"
        return Finding(data, _words(found), "; ".join(words), grade, found[0].run, found[0].notebook)

    return rule


def _words(found: Sequence[Record]) -> str:
    """One number in full; several of one metric as a range over the models."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in found:
        groups.setdefault((record.metric, record.split), []).append(record)
    parts = []
    for (metric, split), group in groups.items():
        name = METRIC_NAMES.get(metric, metric) + (" in cross-validation" if split == "cv" else "")
        if len(group) == 1:
            parts.append(f"{name} {group[0].text}")
        else:
            values = [r.value for r in group]
            parts.append(f"{name} {100 * min(values):.1f} to {percent(max(values))} ({len(group)} networks)")
    return "; ".join(parts)


def no_loss(metric: str) -> Rule:
    """The claim: the best network is no worse than the baseline. The best is chosen by cross-validation, not by the test."""

    def rule(evidence: Evidence, data: str) -> Finding | None:
        base = evidence.find(data, "lightgbm", "holdout", metric)
        tried = [r for m in NETWORKS if (r := evidence.find(data, m, "cv", "balanced_accuracy"))]
        chosen = max(tried, key=lambda r: r.value, default=None)
        best = evidence.find(data, chosen.model, "holdout", metric) if chosen else None
        if base is None or best is None:
            return None
        text = f"{MODEL_NAMES[best.model]} {best.text}, LightGBM {base.text} ({METRIC_NAMES[metric]})"
        if reason := why_not_comparable(best) or why_not_comparable(base):
            verdict, grade = f"not comparable: {reason}", "open"
        elif None in (base.low, base.high, best.low, best.high):
            verdict, grade = "not decided: no interval", "open"
        elif best.high < base.low:  # type: ignore[operator]
            verdict, grade = "the network is worse on real cells", "bad"
        elif best.low > base.high:  # type: ignore[operator]
            verdict, grade = "the network is better on real cells", "good"
        else:
            verdict, grade = "no clear difference on real cells: the intervals overlap", "open"
        return Finding(data, text, verdict, grade, best.run, best.notebook)

    return rule


def cohort_counts(kept: int, train: int, test: int, smallest: str) -> Rule:
    """The claim: so many cells are kept, split so, and `smallest` is the smallest class."""

    def rule(evidence: Evidence, data: str) -> Finding | None:
        cohort = next((c for c in evidence.cohorts if c.data == data), None)
        if cohort is None or not cohort.classes:
            return None
        least = min(cohort.classes, key=lambda c: cohort.classes[c])
        text = f"{cohort.kept:,} cells kept, {cohort.train:,} to train and {cohort.test:,} to test; "
        text += f"smallest class {least} ({percent(cohort.classes[least] / cohort.kept, 0)})"
        same = (cohort.kept, cohort.train, cohort.test, least) == (kept, train, test, smallest)
        judged = ("true of the authors' tables", "good") if same else ("not so in the authors' tables", "bad")
        return Finding(data, text, *_only_on_real(data, *judged), cohort.run, "01_data")

    return rule


def by_eye(notebook: str, figure: str) -> Rule:
    """The claim is about a picture: the run can only show its own."""

    def rule(evidence: Evidence, data: str) -> Finding | None:
        if (notebook, figure, data) not in evidence.figures:
            return None
        run = next((r.run for r in evidence.records if r.data == data), "")
        return Finding(data, "see the figure of this run", *_only_on_real(data, "judge by eye", "open"), run, notebook)

    return rule


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
            scores(("inception_v3", "holdout", balanced), ("inception_v3", "holdout", weighted)),
        ),
        Claim(
            "The other three networks do about as well.", "IV.A",
            "weighted F1 " + ", ".join(f"{MODEL_NAMES[m]} {paper_text(m, 'holdout', weighted)}" for m in others),
            scores(*[(m, "holdout", weighted) for m in others]),
        ),
        Claim(
            "All four networks pass 88\u00a0% in cross-validation too: no overfitting.", "IV.A, Fig. 4",
            f"balanced accuracy {paper_text('resnet18', 'cv', balanced)}",
            scores(*[(m, "cv", balanced) for m in NETWORKS]),
        ),
        Claim(
            "LightGBM on 15 hand-made features sets the baseline.", "IV.A",
            f"weighted F1 {lightgbm}, balanced accuracy {paper_text('lightgbm', 'holdout', balanced)}",
            scores(("lightgbm", "holdout", weighted), ("lightgbm", "holdout", balanced)),
        ),
        Claim(
            "Two sweeps and a network lose nothing against the features.", "IV.A, V",
            f"weighted F1 {inception} against {lightgbm}", no_loss(weighted),
        ),
        Claim(
            "The cohort has 5,590 cells, 80\u00a0% to train; excitatory cells are the minority.", "III.A, III.C",
            "5,590 cells, 4,472 and 1,118", cohort_counts(5590, 4472, 1118, "Excitatory"),
        ),
        Claim(
            "All networks stop improving after about 15 epochs.", "IV.A, Fig. 3", "15 epochs",
            by_eye("05_deep_models", "fig3_losses"),
        ),
        Claim(
            "Saliency and SHAP agree: the first spike marks Excitatory cells, the whole train marks Pvalb.", "IV.B, Fig. 5",
            "four example cells", by_eye("06_explainability", "fig5_explainability"),
        ),
        Claim(
            "The pipeline is better than two earlier networks.", "IV.A", f"weighted F1 {ophir} (Ophir), {wang} (Wang)",
            lambda _evidence, _data: None,  # no notebook measures it
        ),
    )  # fmt: skip
