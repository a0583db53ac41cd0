"""What the audit concludes, in words."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd


def conclusions(tables: Mapping[str, pd.DataFrame]) -> str:
    """What the answers of the audit mean together, as a Markdown list.

    Parameters
    ----------
    tables : `rig`, `transfer` (as a table), `donors`, `by_part`, `calibration`, `shuffled`, from the methods of `Audit`

    Examples
    --------
    >>> import pandas as pd
    >>> from stslib import audit
    >>> rig = pd.DataFrame({"features": ["published", "intended", "stimulus_aligned", "relative"], "value": 0.9})
    >>> ways = ["transfer:Clamp->Seq", "transfer:Seq->Clamp"]
    >>> transfer = pd.DataFrame({"model": "lightgbm:published", "split": ways, "metric": "balanced_accuracy", "value": 0.6})
    >>> tables = {"rig": rig, "transfer": transfer, "donors": rig.assign(random=0.9, difference=0.001)}
    >>> model = pd.DataFrame({"model": "LightGBM", "part": ["Clamp", "Seq"], "metric": "balanced accuracy", "value": 0.88})
    >>> tables |= {"by_part": model, "calibration": model.assign(error=0.05).rename(columns={"part": "data set"})}
    >>> audit.conclusions(tables | {"shuffled": pd.DataFrame({"published": [0.24, 0.26]})}).splitlines()[3]
    '- **Donors matter little**: keeping them together changes balanced accuracy by at most 0.1 points.'
    """
    transfer = tables["transfer"]
    balanced = transfer[transfer["metric"] == "balanced_accuracy"].set_index(["model", "split"])["value"]
    rig = 100 * tables["rig"].set_index("features")["value"]
    way = 100 * balanced["lightgbm:published"]
    inside = 100 * tables["donors"].set_index("features")["random"]
    widest = 100 * tables["donors"]["difference"].abs().max()
    parts = tables["by_part"].query("metric == 'balanced accuracy' and model == 'LightGBM'")
    part = 100 * parts.set_index("part")["value"]
    off = 100 * tables["calibration"].query("model == 'LightGBM'").set_index("data set")["error"]
    chance = 100 * tables["shuffled"].to_numpy()
    return "\n".join(
        f"- {line}"
        for line in (
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
            "chosen by them. The holdout by data set and the calibration use the predictions that notebook 4 made.",
        )
    )
