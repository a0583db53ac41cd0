"""What the answers of the audit mean together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd

from stslib.evaluation import MARGIN, paper_value


def conclusions(tables: Mapping[str, pd.DataFrame]) -> str:
    """What the answers of the audit mean together, as a Markdown list.

    Parameters
    ----------
    tables : `rig`, `transfer` (as a table), `donors`, `by_part`, `calibration`, `shuffled`, from the methods of `Audit`,
        and perhaps `two_sweeps`, `earlier` (of `earlier_networks`), `sets` (of `prediction_sets`), `outsiders`

    Examples
    --------
    >>> sets = {"features": ["published", "intended", "stimulus_aligned", "relative"], "value": 0.9, "random": 0.9}
    >>> ways = {"split": ["transfer:Clamp->Seq", "transfer:Seq->Clamp"], "metric": "balanced_accuracy", "value": 0.6}
    >>> parts = {"part": ["Clamp", "Seq"], "data set": ["Clamp", "Seq"], "metric": "balanced accuracy", "value": 0.88}
    >>> rig, part = pd.DataFrame(sets), pd.DataFrame(parts).assign(model="LightGBM", error=0.05)
    >>> tables = {"rig": rig, "donors": rig.assign(difference=0.001), "by_part": part, "calibration": part}
    >>> tables |= {"transfer": pd.DataFrame(ways).assign(model="lightgbm:published"), "shuffled": rig[["random"]]}
    >>> conclusions(tables).splitlines()[3]
    '- **Donors matter little**: keeping them together changes balanced accuracy by at most 0.1 points.'
    """
    balanced = tables["transfer"].query("metric == 'balanced_accuracy'").set_index(["model", "split"])["value"]
    rig = 100 * tables["rig"].set_index("features")["value"]
    way = 100 * balanced["lightgbm:published"]
    inside = 100 * tables["donors"].set_index("features")["random"]
    widest = 100 * tables["donors"]["difference"].abs().max()
    parts = tables["by_part"].query("metric == 'balanced accuracy' and model == 'LightGBM'")
    part = 100 * parts.set_index("part")["value"]
    off = 100 * tables["calibration"].query("model == 'LightGBM'").set_index("data set")["error"]
    chance = 100 * tables["shuffled"].to_numpy()
    lines = [
        f"**The published features predict the rig**: {rig['published']:.1f} % balanced within classes, against "
        f"{rig['stimulus_aligned']:.1f} % once times are aligned and 50 % for features that know nothing of it.",
        "**The score is one within these rigs.** The same features and model reach "
        f"{way['transfer:Clamp->Seq']:.1f} % from Clamp to Seq and {way['transfer:Seq->Clamp']:.1f} % from Seq to Clamp.",
        "**Not every cell is classified equally well**: on the holdout LightGBM has a balanced accuracy of "
        f"{part['Clamp']:.1f} % in Clamp and {part['Seq']:.1f} % in Seq, and its expected calibration error is "
        f"{off['Clamp']:.1f} % and {off['Seq']:.1f} %.",
        f"**Donors matter little**: keeping them together changes balanced accuracy by at most {widest:.1f} points.",
        f"**Nothing leaks in training**: shuffled labels score {chance.min():.1f} to {chance.max():.1f} %, chance is 25 %.",
        "The paper reads its strongest Excitatory features as the shape of the first spike. The two that are times "
        "predict the rig among Excitatory cells as the table above shows, so with absolute times SHAP alone does not "
        "support that reading. It does not follow that spike shape is unimportant: in cross-validation the published "
        f"columns reach {inside['published']:.1f} %, the intended ones {inside['intended']:.1f} %, the same with aligned "
        f"times {inside['stimulus_aligned']:.1f} %, and `relative` {inside['relative']:.1f} %.",
        f"**Test cells**: {len(balanced)} scores above used test cells "
        f"({balanced.index.get_level_values('model').nunique()} models in "
        f"{balanced.index.get_level_values('split').nunique()} splits, each once), all of them transfers; no setting was "
        "chosen by them. Patch-clamp cells were held out once more, test cells among them, where earlier networks were tried. "
        "All else on the holdout uses the predictions that notebook 4 made.",
        *_settled(tables),
    ]
    return "\n".join(f"- {line}" for line in lines)


def _settled(tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """Claims that can be settled on these cells, and what a lab can trust, for the answers that there are."""
    if "two_sweeps" in tables:
        row = tables["two_sweeps"].set_index("features").loc["published"]
        ends = f"{100 * row['difference']:+.1f} points ({100 * row['low']:+.1f} to {100 * row['high']:+.1f})"
        lead = {"worse": "Features need more sweeps than two", "not decided": "Two sweeps may suffice for features"}
        settled = lead.get(row["verdict"], "Two sweeps nearly suffice for features too")
        yield (
            f"**{settled}**: without the f-I slope the published columns change by {ends}, "
            f"{row['verdict']} with a margin of {100 * MARGIN:.0f} points."
        )
    if "earlier" in tables:
        table = tables["earlier"].query("metric == 'weighted_f1'").set_index("model")
        parts = [
            f"{100 * r.value:.1f} % ({100 * r.low:.1f} to {100 * r.high:.1f}, `{name}`)" for name, r in table.iterrows()
        ]
        ophir, wang = (100 * paper_value(name, "cv", "weighted_f1")[0] for name in ("ophir", "wang"))  # type: ignore[index]
        yield (
            f"**On the ground of the earlier networks** (patch-clamp cells only, cross-validation) features have a weighted F1 "
            f"of {', '.join(parts)}; the paper quotes {ophir:.1f} % (Ophir) and {wang:.2f} % (Wang). Its own 90 % is over both "
            "data sets, so it cannot be set against these."
        )
    if "sets" in tables:
        table = tables["sets"].query("model == 'LightGBM' and level == 0.9").set_index(["thresholds", "rig"])
        kept = {key: f"{100 * value:.1f} %" for key, value in table["value"].items()}
        promised = ("{} of the Clamp and {} of the Seq test cells".format(*(kept[how, rig] for rig in ("Clamp", "Seq")))
                    for how in ("one for both", "each its own"))  # fmt: skip
        yield (
            f"**Sets of classes that promise 90 %** hold the true class for {next(promised)} with "
            f"one threshold, for {next(promised)} with each rig's own; then "
            f"{100 * table.loc[('each its own', 'Clamp'), 'single']:.0f} % of the Clamp cells get a single class."
        )
    if "outsiders" in tables:
        table = tables["outsiders"].set_index(["score", "cells"])
        human, unsure = (table.loc["both", cells] for cells in ("human", "no clear class"))
        yield (
            f"**A sure answer is no proof that a cell belongs**: the model is over 90 % sure of {100 * human['sure']:.0f} % of "
            f"the human cells; the check flags {100 * human['flagged']:.0f} % of them (ROC area {human['area']:.2f}) at "
            f"{100 * table.loc['both', 'test cells']['flagged']:.0f} % false alarms. Of mouse cells without a clear "
            f"class the area is {unsure['area']:.2f}, and 0.5 is a cell like the others: the label is unclear, not the cell."
        )
