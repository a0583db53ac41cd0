"""What may be concluded from what was measured: a verdict by rule, never by hand.

A verdict is given only where the measured cells are the paper's own (`evaluation.COMPARABLE_DATA`, the same number of
cells, the same features, the paper's settings). Anything measured on simulated or hybrid cells is called not comparable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stslib.evaluation import COMPARABLE_DATA, MARGIN, METRIC_NAMES, non_inferiority, paper_value
from stslib.figures.style import MODEL_NAMES
from stslib.networks import PAPER_ARCHITECTURES
from stslib.press.pages.evidence import DATA_WORDS, Evidence, Record, percent
from stslib.training.crossval import plateaus

NETWORKS = PAPER_ARCHITECTURES

#: Cells behind the paper's numbers, by split (section III.C).
PAPER_CELLS = {"holdout": 1118, "cv": 4472, "cv_pooled": 4472}

#: Parameters of the notebooks that the paper's networks and scalograms have (sections III.B and III.C, and its code).
PAPER_SETTINGS: dict[str, tuple[object, ...]] = {
    "protocol": ("published", "corrected"), "image_px": (0,), "offset_pa": (40,), "rate_hz": (4000,), "wavelet": ("mexh",),
    "frequency_min_hz": (20,), "frequency_max_hz": (200,), "n_frequencies": (180,), "spacing": ("linear",),
    "normalisation": ("L2",), "output": ("coefficients",), "image_options": ({},),
}  # fmt: skip
_OF_THE_MACHINE = {"device", "threads", "compile", "amp"}  # of `settings` of notebook 05, what changes no result


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
    return why_other_networks(record) if record.model in NETWORKS else ""


def why_other_networks(record: Record) -> str:
    """Which setting of a network's run is not the paper's; empty where all are."""
    options = record.options
    if options.get("weights") == "none":
        return "networks without pre-trained weights"
    for name, allowed in PAPER_SETTINGS.items():
        if options.get(name, allowed[0]) not in allowed:
            return f"another {name} ({options[name]})"
    changed = sorted(set(options.get("settings", {})) - _OF_THE_MACHINE)
    return f"other settings ({', '.join(changed)})" if changed else ""


def judge(record: Record) -> tuple[str, str]:
    """Verdict and grade of one number against the paper's number of the same model, split and metric.

    An equality is reproduced when the paper's number lies within the interval; a bound when the whole interval lies
    above it. Where a bound lies inside the interval, nothing is decided.
    """
    if reason := why_not_comparable(record):
        return f"not comparable: {reason}", "open"
    found = paper_value(record.model, record.split.removesuffix("_pooled"), record.metric)
    if found is None:
        return "the paper gives no number", "open"
    if record.split == "cv":
        return "not decided: the spread of the folds is not an interval", "open"
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
        found = [r for t in targets if (r := _with_interval(evidence, data, *t)) is not None]
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


def _with_interval(evidence: Evidence, data: str, model: str, split: str, metric: str) -> Record | None:
    """The record of that name; of a cross-validation that of all held-out cells together, which has an interval."""
    return evidence.find(data, model, f"{split}_pooled" if split == "cv" else split, metric) or evidence.find(
        data, model, split, metric
    )


def _words(found: Sequence[Record]) -> str:
    """One number in full; several of one metric as a range over the models."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in found:
        groups.setdefault((record.metric, record.split), []).append(record)
    parts = []
    for (metric, split), group in groups.items():
        name = METRIC_NAMES.get(metric, metric) + (" in cross-validation" if split.startswith("cv") else "")
        if len(group) == 1:
            parts.append(f"{name} {group[0].text}")
        else:
            values = [r.value for r in group]
            parts.append(f"{name} {100 * min(values):.1f} to {percent(max(values))} ({len(group)} networks)")
    return "; ".join(parts)


def within_folds(models: Sequence[str]) -> Rule:
    """The paper's criterion against overfitting: the holdout lies within one SD of the folds' mean.

    Both are scores of cells that were not learnt from, so how far those of learnt ones lie above is not seen.
    """

    def rule(evidence: Evidence, data: str) -> Finding | None:
        pairs = [[evidence.find(data, m, s, "balanced_accuracy") for s in ("cv", "holdout")] for m in models]
        found = [(cv, out, cv.low or 0.0, cv.high or 0.0) for cv, out in pairs if cv and out]
        if not found:
            return None
        inside = [low <= out.value <= high for _, out, low, high in found]
        parts = [(MODEL_NAMES[cv.model], percent(v.value), 100 * low, percent(high)) for cv, v, low, high in found]
        text = "; ".join(f"{name} {value}, folds {low:.1f} to {high}" for name, value, low, high in parts)
        verdict, grade = f"{sum(inside)} of {len(found)} within", "good" if all(inside) else "bad"
        if reason := next((why for pair in found for r in pair[:2] if (why := why_not_comparable(r))), ""):
            verdict, grade = f"not comparable: {reason}", "open"
        elif len(found) < len(models):
            verdict, grade = f"{verdict}; {len(models) - len(found)} not measured", "open"
        return Finding(data, text, verdict, grade, found[0][1].run, found[0][1].notebook)

    return rule


def _points(value: float, low: float, high: float) -> str:
    return f"{100 * value:+.1f} points of balanced accuracy [{100 * low:+.1f}, {100 * high:+.1f}]"


def no_loss(evidence: Evidence, data: str) -> Finding | None:
    """The claim: the best network (by cross-validation) is no worse than the baseline, as a paired non-inferiority test."""
    result = evidence.result(data, "05_deep_models", "comparison")
    if result is None:
        return None
    gap = result.value
    records = [evidence.find(data, m, "holdout", "balanced_accuracy") for m in (gap["network"], "lightgbm")]
    reason = next((why for r in records if (why := why_not_comparable(r) if r else "no score of the holdout")), "")
    ends = gap["difference"], gap["low"], gap["high"]
    text = f"{MODEL_NAMES[gap['network']]} minus LightGBM on the same {gap['n']:,} cells: {_points(*ends)}"
    shown = {"better": "good", "not worse": "good", "worse": "bad"}
    judged = non_inferiority(*ends[1:])
    verdict = f"{judged} on real cells, with a margin of {100 * MARGIN:.0f} points"
    found = (f"not comparable: {reason}", "open") if reason else (verdict, shown.get(judged, "open"))
    return Finding(data, text, *found, result.run, "05_deep_models")


def features_from_two_sweeps(evidence: Evidence, data: str) -> Finding | None:
    """The claim: features need more sweeps than two. Without the one feature that does, they should then lose much."""
    result = evidence.result(data, "07_audit", "two_sweeps")
    if result is None:
        return None
    row = result.value.set_index("features").loc["published"]
    judged = non_inferiority(row["low"], row["high"])
    verdict = {
        "worse": ("true of the authors' tables", "good"),
        "not decided": ("not decided: within the interval", "open"),
    }
    about = f"not so in the authors' tables: within a margin of {100 * MARGIN:.0f} points"
    text = "without the f-I slope, the only one of the 15 features that needs more sweeps, LightGBM changes by "
    text += _points(row["difference"], row["low"], row["high"])
    return Finding(data, text, *_only_on_real(data, *verdict.get(judged, (about, "bad"))), result.run, "07_audit")


def earlier_networks(evidence: Evidence, data: str) -> Finding | None:
    """The claim: better than two networks that were tried on patch-clamp cells only. LightGBM is set on that ground."""
    found = [r for r in evidence.records if (r.data, r.split, r.metric) == (data, "cv:Clamp", "weighted_f1")]
    if not found:
        return None
    own = next((r for r in found if r.model == "lightgbm:published"), found[0])
    text = "LightGBM on patch-clamp cells only, in cross-validation: weighted F1 "
    text += ", ".join(f"{r.text} ({r.model.partition(':')[2]})" for r in found)
    papers = {name: paper_value(name, "cv", own.metric) for name in ("ophir", "wang")}
    lower = [name for name, theirs in papers.items() if theirs and own.high is not None and own.high < theirs[0]]
    verdict = "no network was measured there"
    if lower:
        names = " and ".join(map(str.title, lower))
        verdict += f"; the features that the paper calls equal to its networks score lower than {names}"
    return Finding(data, text, *_only_on_real(data, verdict, "open"), own.run, own.notebook)


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


def plateau(epochs: int) -> Rule:
    """The claim: after so many epochs no network's validation loss falls by 5 % any more, the step that early stopping asks."""

    def rule(evidence: Evidence, data: str) -> Finding | None:
        result = evidence.result(data, "05_deep_models", "history")
        if result is None or result.value.empty:
            return None
        found = plateaus(result.value)
        text = "last epoch with a validation loss 5\u00a0% lower, median and range of the folds: " + ", ".join(
            f"{MODEL_NAMES.get(r.model, r.model)} {r.median:.0f} ({r.first} to {r.last}, of {r.epochs} epochs)"
            for r in found.itertuples()
        )
        late, grade = [str(MODEL_NAMES.get(m, m)) for m in found.loc[found["median"] > epochs, "model"]], "bad"
        verdict = f"not so for {', '.join(late)}"
        if not late:
            settled = (found["last"] <= epochs).all() and (found["epochs"] > epochs).all()
            verdict, grade = (
                ("reproduced on real cells", "good") if settled else ("not decided: not in every fold", "open")
            )
        return Finding(data, text, *_only_on_real(data, verdict, grade), result.run, "05_deep_models")

    return rule


def saliency_and_shap(evidence: Evidence, data: str) -> Finding | None:
    """The claim: what the maps and SHAP show. Each statement was tested on all test cells in notebook 06, SHAP in 07 too."""
    maps = evidence.result(data, "06_explainability", "statements")
    shap = evidence.result(data, "07_audit", "features_read_again")
    if (shown := maps or shap) is None:
        return None
    texts, verdicts, grade = [], [], "open"
    if maps is not None:
        table = maps.value
        texts += [f"{r.statement}: {r.verdict} (n = {r.n})" for r in table.itertuples()]
        verdicts.append(f"{(table['verdict'] == 'holds').sum()} of {len(table)} statements on maps hold")
        refuted = (table["verdict"] == "does not hold").any()
        grade = "bad" if refuted else "good" if (table["verdict"] == "holds").all() else "open"
    if shap is not None:
        named = shap.value[shap.value["paper"]]
        texts += [f"{r.feature.removesuffix('_long_square')} has rank {r.rank}" for r in named.itertuples()]
        verdicts.append(f"{(named['rank'] <= 5).sum()} of {len(named)} features are among the five strongest")
    judged = _only_on_real(data, "; ".join(verdicts), grade)
    return Finding(data, "; ".join(texts), *judged, shown.run, shown.notebook)
