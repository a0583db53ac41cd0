"""What each choice is worth: the same network with one choice changed at a time, on the same folds of the training cells.

The groups: which sweeps it sees; the wavelet; the frequency band; signed coefficients or magnitudes; the image size; random
or pre-trained weights; and the corrections of the published code's quirks, one by one. The test cells take no part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from stslib import cohort, evaluation
from stslib.scalograms import Bank, Preprocessing
from stslib.support.errors import ParameterError, one_of
from stslib.training.cells import TrainingSet
from stslib.training.crossval import fit_fold
from stslib.training.recipes import Recipe
from stslib.training.recipes import recipe as recipe_of
from stslib.training.study import SearchSettings

GROUPS = ("sweeps", "wavelet", "band", "sign", "size", "weights", "corrections")
WAVELETS = ("mexh", "gaus1", "morl")
BANDS_HZ = ((20.0, 100.0), (100.0, 200.0), (10.0, 400.0))


@dataclass(frozen=True)
class Variant:
    """One choice: its group and name, the stored scalograms `(n, c, h, w)` and the recipe that it makes."""

    group: str
    name: str
    images: np.ndarray
    recipe: Recipe


def variants(
    groups: Sequence[str],
    sweeps_mv: np.ndarray,
    images: np.ndarray,
    preprocessing: Preprocessing,
    base: Recipe,
    pretrained: str = "",
) -> list[Variant]:
    """The variants of some groups; the first one of each group is the run's own choice.

    Parameters
    ----------
    groups : sequence of str
        Of `GROUPS`.
    sweeps_mv : (n, 2, n_samples) array
        Prepared sweeps in mV, from which scalograms of another wavelet or band are made.
    images : (n, 2, h, w) array
        The run's own scalograms.
    preprocessing : Preprocessing
        How the run made its scalograms.
    base : Recipe
        The run's own recipe.
    pretrained : str
        Weights for the group "weights" (see `networks.build`).

    Raises
    ------
    ParameterError
        An unknown group, or "weights" without any.
    """
    for group in groups:
        one_of("ablations", group, GROUPS)
    bank = preprocessing.bank

    def drawn(changed: Bank = bank, **other: Any) -> np.ndarray:
        own = replace(preprocessing, bank=changed, image=replace(preprocessing.image, **other))
        return own.draw(np.asarray(sweeps_mv))

    found: list[Variant] = []
    if "sweeps" in groups:
        found += [
            Variant("sweeps", "both", images, base),
            Variant("sweeps", "rheobase only", images[:, :1], base),
            Variant("sweeps", "+40 pA only", images[:, 1:], base),
        ]
    if "wavelet" in groups:
        names = [bank.wavelet, *(name for name in WAVELETS if name != bank.wavelet)]
        found += [Variant("wavelet", name, drawn(replace(bank, wavelet=name)), base) for name in names]
    if "band" in groups:
        own = (bank.frequency_min_hz, bank.frequency_max_hz)
        for low, high in (own, *(band for band in BANDS_HZ if band != own)):
            changed = replace(bank, frequency_min_hz=low, frequency_max_hz=high)
            found.append(Variant("band", f"{low:g} to {high:g} Hz", drawn(changed), base))
    if "sign" in groups:
        for name in ("coefficients", "magnitude"):
            found.append(Variant("sign", {"coefficients": "signed"}.get(name, name), drawn(output=name), base))
    if "size" in groups:
        for factor in (1.0, 0.75, 1.5):
            size = (round(base.height * factor), round(base.width * factor))
            if min(size) >= 32:
                changed_size = base.with_changes({"height": size[0], "width": size[1]})
                found.append(Variant("size", f"{size[0]} x {size[1]} px", images, changed_size))
    if "weights" in groups:
        if not pretrained or pretrained == "none":
            raise ParameterError('ablations holds "weights", and there are none to compare with; set ablation_weights')
        found += [
            Variant("weights", "random", images, base.with_changes({"weights": "none"})),
            Variant("weights", "pre-trained", images, base.with_changes({"weights": pretrained})),
        ]
    if "corrections" in groups:
        found += [Variant("corrections", name, images, recipe) for name, recipe in corrections(base).items()]
    return found


def corrections(base: Recipe) -> dict[str, Recipe]:
    """The published code's recipe at the size and length of `base`, each of its corrections alone, and all of them."""
    side, fit = base.height, base.fit
    same = {"max_epochs": fit.max_epochs, "batch_size": fit.batch_size, "threads": fit.threads, "patience": 0}
    corrected = recipe_of(base.architecture, "corrected", height=side, width=side, **same)
    wide = side if base.architecture == "inception_v3" else round(side * 244 / 224)  # the code's slip, to scale
    published = corrected.with_changes({"width": wide, "normalise": "none", "keep": "last"})
    return {
        "as published": published,
        "square input": published.with_changes({"width": side}),
        "normalisation": published.with_changes({"normalise": "pretrained"}),
        "best weights": published.with_changes({"keep": "best"}),
        "all three": corrected,
    }


def compare(
    chosen: Sequence[Variant],
    cells: TrainingSet,
    settings: SearchSettings,
    folder: str | Path,
    data: str,
    n_jobs: int = 1,
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Cross-validate each variant on the same folds with the same seeds.

    Parameters
    ----------
    chosen : sequence of Variant
        From `variants`.
    cells : TrainingSet
        The training cells; no other is read. Each variant has its own images of them.
    settings : SearchSettings
        Folds, and the seed of the folds, the weights and the order.
    folder : path
        Where finished folds are kept.
    data : str
        What the records say the cells are.
    n_jobs : int
        Variants at a time.

    Returns
    -------
    table : DataFrame
        `group`, `name`, `mean` and `sd` of the balanced accuracy over folds, `difference` to the group's first variant
        (mean over folds, paired) and `difference_sd`.
    records : list of dict
        Metric records; the model is `<architecture>:<group>=<name>`.
    """
    labels = cells.labels[cells.train]
    parts = cohort.folds(labels, settings.n_folds, settings.seed)
    done = Parallel(n_jobs=n_jobs)(
        delayed(_out_of_fold)(one, cells, parts, settings.seed, Path(folder) / f"{index:02d}")
        for index, one in enumerate(chosen)
    )
    rows: list[tuple[Any, ...]] = []
    records: list[dict[str, Any]] = []
    first: dict[str, np.ndarray] = {}
    for one, proba in zip(chosen, done, strict=True):
        values = np.array(evaluation.by_fold(labels, proba, parts)["balanced_accuracy"])
        gap = values - first.setdefault(one.group, values)
        rows.append((one.group, one.name, values.mean(), values.std(), gap.mean(), gap.std()))
        model = f"{one.recipe.architecture}:{one.group}={one.name}"
        records += evaluation.cv_scores(labels, proba, parts, model, data)
    columns = ["group", "name", "mean", "sd", "difference", "difference_sd"]
    return pd.DataFrame(rows, columns=columns), records


def _out_of_fold(
    one: Variant, cells: TrainingSet, parts: Sequence[tuple[np.ndarray, np.ndarray]], seed: int, folder: Path
) -> np.ndarray:
    own = TrainingSet(one.images, cells.labels, cells.train)
    proba = np.zeros((len(own.train), len(cohort.CLASSES)))
    for fold, (fit_part, held_out) in enumerate(parts):
        part, label = (own.train[fit_part], own.train[held_out]), f"{one.name}, fold {fold + 1}/{len(parts)}"
        proba[held_out] = fit_fold(one.recipe, own, part, seed + fold, folder / f"fold-{fold}.json", label).proba
    return proba
