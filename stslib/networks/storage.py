"""A model on disk: plain tensors (safetensors) beside a JSON file that says everything else. Nothing is ever unpickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import nn

from stslib.cohort import CLASSES
from stslib.networks.architectures import CLASSIFIERS, Ensemble, build, check_size, load_state
from stslib.networks.inputs import InputTransform
from stslib.support.errors import DamagedFile, MissingInput, one_of
from stslib.support.files import atomic, sha256_of

#: Of `model.json`: another number is another meaning of its fields, and is refused.
FORMAT = 2


def save(folder: str | Path, model: nn.Module, transform: InputTransform, card: Mapping[str, Any]) -> None:
    """Write `model.safetensors` (tensors) and `model.json` (the rest) into `folder`.

    `model` is from `build`, or an `Ensemble` of such; `card` is JSON and names its `architecture`.
    """
    one_of("architecture", card.get("architecture"), CLASSIFIERS)
    folder = Path(folder)
    members = len(model.members) if isinstance(model, Ensemble) else 1
    tensors = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    with atomic(folder / "model.safetensors") as path:
        save_file(tensors, path)
        digest = sha256_of(path)
    description = {"format": FORMAT, "classes": list(CLASSES), "tensors_sha256": digest, "members": members}
    description |= {"transform": transform.to_json(), "card": dict(card)}
    with atomic(folder / "model.json") as path:
        path.write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")


def load(folder: str | Path) -> tuple[nn.Module, InputTransform, dict[str, Any]]:
    """Read what `save` wrote: the network in evaluation mode, its input transform, and the card."""
    folder = Path(folder)
    tensors, description = folder / "model.safetensors", folder / "model.json"
    again = "make the model again (05_deep_models)"
    for path in (tensors, description):
        if not path.is_file():
            raise MissingInput(f"there is no model at {folder}: {path.name} is missing; 05_deep_models makes it")
    try:
        fields = json.loads(description.read_text(encoding="utf-8"))
        described = (fields["format"], fields["classes"], fields["card"]["architecture"], fields["tensors_sha256"])
        transform_fields, members = dict(fields["transform"]), int(fields.get("members", 1))
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedFile(f"{description} is damaged ({error!r}); {again}") from error
    if not 1 <= members <= 100:
        raise DamagedFile(f"{description} says that it holds {members} networks; {again}")
    if described[0] != FORMAT or described[1] != list(CLASSES) or described[2] not in CLASSIFIERS:
        wanted = f"use one of format {FORMAT} for {CLASSES}"
        raise DamagedFile(f"{description} is of another kind of model {described[:3]}; {wanted}")
    if sha256_of(tensors) != described[3]:
        raise DamagedFile(f"{tensors} is not the file that {description.name} describes; {again}")
    transform = InputTransform.from_json(transform_fields)
    check_size(described[2], transform.height, transform.width)
    if members == 1:
        model = build(described[2], weights=tensors)
    else:
        model = Ensemble(build(described[2]) for _ in range(members))
        load_state(model, load_file(tensors), str(tensors))
    return model.eval(), transform, dict(fields["card"])
