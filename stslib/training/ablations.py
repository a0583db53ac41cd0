"""What each choice is worth: a network with one choice changed at a time, on the same folds, without the test cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from stslib import cohort, evaluation
from stslib.scalograms import Preprocessing
from stslib.support.errors import ParameterError, one_of
from stslib.training.cells import TrainingSet
from stslib.training.crossval import fit_fold
from stslib.training.recipes import Recipe, recipe
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


def ablation_variants(
    groups: Sequence[str],
    cells: TrainingSet,
    sweeps_mv: np.ndarray,
    preprocessing: Preprocessing,
    base: Recipe,
    pretrained: str = "",
) -> list[Variant]:
    """The variants of some groups of choices; the first one of each group is the run's own choice.

    Parameters
    ----------
    groups, pretrained : of "sweeps", "wavelet", "band", "sign", "size", "weights", "corrections"; weights for "weights"
    cells, base : TrainingSet and Recipe of the run
    sweeps_mv, preprocessing : (n, 2, n_samples) array, mV, and how its scalograms, also of other bands, are made

    Examples
    --------
    >>> cells = TrainingSet(np.zeros((8, 2, 32, 32)), ["Sst", "Pvalb"] * 4)
    >>> from stslib import scalograms, sweeps
    >>> made = Preprocessing(sweeps.SweepSettings(), scalograms.Bank(), scalograms.ImageSettings(32, 32))
    >>> ablation_variants(["sweeps"], cells, np.zeros((8, 2, 4800)), made, recipe("compact"))[1].name
    'rheobase only'
    """
    for group in groups:
        one_of("ablations", group, GROUPS)
    if "weights" in groups and pretrained in ("", "none"):
        raise ParameterError('ablations holds "weights", and there are none to compare with; set ablation_weights')
    bank, images = preprocessing.bank, cells.images

    def drawn(**changes: Any) -> np.ndarray:
        image = replace(preprocessing.image, output=changes.pop("output", preprocessing.image.output))
        return replace(preprocessing, bank=replace(bank, **changes), image=image).draw(np.asarray(sweeps_mv))

    def choices(group: str) -> Iterator[tuple[str, np.ndarray, Recipe]]:
        if group == "sweeps":
            for name, part in (("both", images), ("rheobase only", images[:, :1]), ("+40 pA only", images[:, 1:])):
                yield name, part, base
        elif group == "wavelet":
            for name in dict.fromkeys((bank.wavelet, *WAVELETS)):
                yield name, drawn(wavelet=name), base
        elif group == "band":
            for low, high in dict.fromkeys(((bank.frequency_min_hz, bank.frequency_max_hz), *BANDS_HZ)):
                yield f"{low:g} to {high:g} Hz", drawn(frequency_min_hz=low, frequency_max_hz=high), base
        elif group == "sign":
            yield "signed", drawn(output="coefficients"), base
            yield "magnitude", drawn(output="magnitude"), base
        elif group == "size":
            for factor in (1.0, 0.75, 1.5):
                height, width = round(base.height * factor), round(base.width * factor)
                if min(height, width) >= 32:
                    changed = base.with_changes({"height": height, "width": width})
                    yield f"{height} x {width} px", images, changed
        elif group == "weights":
            yield "random", images, base.with_changes({"weights": "none"})
            yield "pre-trained", images, base.with_changes({"weights": pretrained})
        else:  # as the paper's code does it, by one resize of the whole scalogram
            made: dict[tuple[int, int], np.ndarray] = {}
            for name, changed in corrections(base).items():
                size = changed.height, changed.width
                if not preprocessing.ready_made and size not in made:
                    made[size] = preprocessing.at(*size).draw(np.asarray(sweeps_mv))
                yield name, made.get(size, images), changed

    return [Variant(group, *choice) for group in GROUPS if group in groups for choice in choices(group)]


def corrections(base: Recipe) -> dict[str, Recipe]:
    """The published code's recipe at the size and length of `base`, each of its corrections alone, and all of them."""
    side, fit = base.height, base.fit
    same = {"max_epochs": fit.max_epochs, "batch_size": fit.batch_size, "threads": fit.threads, "patience": 0}
    corrected = recipe(base.architecture, "corrected", height=side, width=side, **same)
    wide = side if base.architecture == "inception_v3" else round(side * 244 / 224)  # the code's slip, to scale
    published = corrected.with_changes({"width": wide, "normalise": "none", "keep": "last"})
    return {
        "as published": published,
        "square input": published.with_changes({"width": side}),
        "normalisation": published.with_changes({"normalise": "pretrained"}),
        "best weights": published.with_changes({"keep": "best"}),
        "all three": corrected,
    }


def compare_variants(
    variants: Sequence[Variant],
    cells: TrainingSet,
    settings: SearchSettings,
    folder: str | Path,
    data: str,
    n_jobs: int = 1,
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Cross-validate each variant on the same folds of the training cells, with the same seeds.

    Gives a table, `group`, `name`, balanced accuracy (`mean`, `sd`) and paired `difference` to the group's first variant
    with `difference_sd`, and metric records of `data`. `variants` are from `ablation_variants`, with its `cells`; finished
    folds stay in `folder`.

    Examples
    --------
    >>> import tempfile
    >>> cells = TrainingSet(np.random.default_rng(0).standard_normal((8, 2, 32, 32)), ["Sst", "Pvalb"] * 4)
    >>> variants = [Variant("size", "32 px", cells.images, recipe("compact", max_epochs=2, batch_size=2))]
    >>> compare_variants(variants, cells, SearchSettings(n_folds=2), tempfile.mkdtemp(), "made_up")[0]["difference"].tolist()
    [0.0]
    """
    labels = cells.labels[cells.train]
    parts = cohort.folds(labels, settings.n_folds, settings.seed)
    done = Parallel(n_jobs=n_jobs)(
        delayed(_out_of_fold)(variant, cells, parts, settings.seed, Path(folder) / f"{index:02d}")
        for index, variant in enumerate(variants)
    )
    rows: list[tuple[Any, ...]] = []
    records: list[dict[str, Any]] = []
    first: dict[str, np.ndarray] = {}
    for variant, proba in zip(variants, done, strict=True):
        values = np.array(evaluation.by_fold(labels, proba, parts)["balanced_accuracy"])
        gap = values - first.setdefault(variant.group, values)
        rows.append((variant.group, variant.name, values.mean(), values.std(), gap.mean(), gap.std()))
        model = f"{variant.recipe.architecture}:{variant.group}={variant.name}"
        records += evaluation.cv_scores(labels, proba, parts, model, data)
    columns = ["group", "name", "mean", "sd", "difference", "difference_sd"]
    return pd.DataFrame(rows, columns=columns), records


def _out_of_fold(
    variant: Variant, cells: TrainingSet, parts: Sequence[tuple[np.ndarray, np.ndarray]], seed: int, folder: Path
) -> np.ndarray:
    own, proba = TrainingSet(variant.images, cells.labels, cells.train), np.zeros((len(cells.train), 4))
    for k, part in enumerate(parts):
        label = f"{variant.name}, fold {k + 1}/{len(parts)}"
        proba[part[1]] = fit_fold(variant.recipe, own, part, seed + k, folder / f"fold-{k}.json", label).proba
    return proba
