"""The page "Model card": what `model.json` says of each network of a run, in tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stslib.evaluation import METRIC_NAMES
from stslib.figures.style import MODEL_NAMES
from stslib.press.pages import signals
from stslib.press.pages.claims import NOT_MEASURED
from stslib.press.pages.evidence import DATA_WORDS, open_or_none, percent
from stslib.press.pages.markup import code, plain, table
from stslib.support.errors import DamagedFile

NOTEBOOK = "05_deep_models"


def cards_page(run: str) -> str:
    """A section for each network of the run and of notebook 08's runs, or how to make one.

    Raises
    ------
    DamagedFile
        A `model.json` or `joint.json` that cannot be read.
    """
    found = _models(run, NOTEBOOK)
    parts = [] if found else [_missing(run)]
    for aim in signals.AIMS:
        found += _models(aim.run, signals.NOTEBOOK)
    for path in found:
        notebook, folder = path.parts[-4], "/".join(path.parts[-5:-1])
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            parts.append(_section(fields, f"results/{folder}", notebook))
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedFile(f"{path} is damaged ({error!r}); make the model again ({notebook})") from error
    return "\n".join(parts)


def _models(run: str, notebook: str) -> list[Path]:
    """The card of each model that a notebook of a run saved; models that answer together come last, in one card."""
    stage = open_or_none(run, notebook)
    if stage is None:
        return []
    return [path for name in ("model.json", "joint.json") for path in sorted(stage.path.glob(f"models/*/{name}"))]


def _missing(run: str) -> str:
    return (
        f"The run {code(run)} has no network: {NOT_MEASURED}. Make one: "
        f"{code(f'sts run {NOTEBOOK} --run {run}')}, then build the book again.\n"
    )


def _section(fields: Mapping[str, Any], folder: str, notebook: str) -> str:
    card = fields["card"]
    words = DATA_WORDS.get(card["data"], plain(card["data"]))
    members = fields["members"] if "architecture" not in card else None  # a joint model's, by name
    name = "mean" if members else str(card["architecture"])
    title = plain(MODEL_NAMES.get(name, name)) + (f", {words}" if notebook == signals.NOTEBOOK else "")
    about = [("Folder", code(folder)), *(_joint(members) if members else _one(card, fields, words))]
    tested = f"{card['test_cells']:,} cells that it had not seen" if card["test_cells"] else "the folds only"
    about += [("Classes, in this order", plain(", ".join(fields["classes"]))), ("Tested on", tested)]
    parts = [
        f"## {title}\n",
        table(about, ("What", "This model"), widths="30 70"),
        _scores(card),
        _calibration(card),
        _dropdown("Preprocessing, with all numbers", _preprocessing(fields)),
        _dropdown("Range of the training cells", _range(card)),
    ]
    versions = [(plain(key), plain(value)) for key, value in sorted(card["versions"].items())]
    parts.append(_dropdown("Versions", table(versions, ("Library", "Version"))))
    return "\n".join(parts)


def _joint(members: Mapping[str, str]) -> list[tuple[str, str]]:
    return [
        ("Networks that answer together", ", ".join(map(code, members))),
        ("Its probabilities", "the mean of theirs"),
        ("Trained on", "what each of them was"),
    ]


def _one(card: Mapping[str, Any], fields: Mapping[str, Any], words: str) -> list[tuple[str, str]]:
    made, counts = card["made_with"], card["n_cells"]
    recipe, fit, name = made["recipe"], made["recipe"]["fit"], str(card["architecture"])
    how = (
        f"{fit['max_epochs']} epochs, batches of {fit['batch_size']}, learning rate {fit['learning_rate']:.2g}, "
        f"dropout {recipe['dropout']}, seed {made['seed']}"
    )
    if recipe.get("n_seeds", 1) > 1:
        how += f" and {recipe['n_seeds'] - 1} more; their mean answers"
    trained = ", ".join(f"{label} {n:,}" for label, n in counts.items())
    return [
        ("Architecture", f"{plain(MODEL_NAMES.get(name, name))}, started from {_weights(recipe['weights'])}"),
        ("Trained on", f"{sum(counts.values()):,} {words}: {plain(trained)}"),
        ("SHA-256 of these cells", code(made["cells_sha256"][:16])),
        ("SHA-256 of the weights", code(fields["tensors_sha256"][:16])),
        ("Training", plain(how)),
    ]


def _weights(weights: str) -> str:
    return {"none": "random weights", "imagenet": "ImageNet weights"}.get(weights, "weights of a file")


def _scores(card: Mapping[str, Any]) -> str:
    rows = []
    for record in card["metrics"]:
        if record["metric"] not in ("balanced_accuracy", "weighted_f1"):
            continue
        split = {"cv": "cross-validation, mean ± SD of the folds", "holdout": "holdout, 95 % interval"}
        half = 50 * (record["high"] - record["low"])
        value = percent(record["value"])
        value += (
            f" ± {half:.1f}" if record["split"] == "cv" else f" [{100 * record['low']:.1f}, {100 * record['high']:.1f}]"
        )
        rows.append(
            (plain(METRIC_NAMES[record["metric"]]), plain(split.get(record["split"], record["split"])), plain(value))
        )
    return table(rows, ("Score", "On", "Value"), classes="numbers")


def _calibration(card: Mapping[str, Any]) -> str:
    known = card["calibration"]
    rows = [
        ("cross-validation (out of fold)", percent(known["ece_before"]), percent(known["ece_after"]), f"{known['n']:,}")
    ]
    if "holdout" in known:
        held = known["holdout"]
        rows.append(("holdout", percent(held["ece_before"]), percent(held["ece_after"]), f"{held['n']:,}"))
    return (
        f"Its probabilities are calibrated by a temperature of {known['temperature']:.2f}, fitted on the out-of-fold "
        "predictions of the training cells. The expected calibration error is the mean gap between how sure the model is "
        "and how often it is right:\n\n" + table(rows, ("Measured on", "Before", "After", "Cells"), classes="numbers")
    )


def _preprocessing(fields: Mapping[str, Any]) -> str:
    rows = []
    for part, words in (("sweeps", "Sweeps"), ("bank", "Wavelet transform"), ("image", "Stored image")):
        rows += [(words, code(key), code(value)) for key, value in fields["card"]["preprocessing"][part].items()]
    rows += [
        ("Input of the network", code(key), code(_short(value))) for key, value in fields.get("transform", {}).items()
    ]
    return table(rows, ("Step", "Name", "Value"))


def _range(card: Mapping[str, Any]) -> str:
    known = card["training_range"]
    rows = [(plain(name), plain(f"{low:.3g}"), plain(f"{high:.3g}")) for name, (low, high) in known["ranges"].items()]
    text = (
        f"A cell outside of one of these is marked. Each is the range of the central {percent(known['central'], 0)} of the "
        f"training cells, wider by {percent(known['margin'], 0)} to either side. Of {known['n_test_cells']:,} test cells "
        f"{known['flagged_test_cells']:,} are marked.\n\n"
    )
    return text + table(rows, ("Number", "From", "To"), classes="numbers")


def _short(value: object) -> object:
    if isinstance(value, list):
        return "[" + ", ".join(str(_short(one)) for one in value) + "]"
    return f"{value:.5g}" if isinstance(value, float) else value


def _dropdown(title: str, body: str) -> str:
    return f":::::{{dropdown}} {title}\n{body}\n:::::\n"
