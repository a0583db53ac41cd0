"""Signals of one file of cells, long squares or action potentials, as images: their kind decides what a network reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from stslib import cohort, networks, sweeps, training
from stslib.models.card import read
from stslib.recordings import Recording, Sweep
from stslib.scalograms import Bank, CloseUp, ImageSettings, Preprocessing
from stslib.support.errors import ParameterError, StsError, one_of
from stslib.support.files import mirror_path
from stslib.sweeps import SweepSettings

#: How each kind of signal becomes an image. Long squares: a band that ends at 4 kHz, magnitudes (over many spikes signed
#: coefficients would cancel), a close-up of the first spike. Action potentials: 3 ms of them, with their sign.
SIGNALS = {
    "sweeps": Preprocessing(
        SweepSettings(rate_hz=10000.0),
        Bank("mexh", 2.0, 4000.0, 48, "log", 10000.0, "L1"),
        ImageSettings(48, 96, "magnitude", "edge", antialias=True, close_up=CloseUp()),
    ),
    "action_potentials": Preprocessing(
        SweepSettings(rate_hz=50000.0, before_s=0.001, after_s=0.002, baseline="keep", n_sweeps=1, step_s=0.0),
        Bank("mexh", 300.0, 12000.0, 48, "log", 50000.0, "L1"),
        ImageSettings(48, 48, "coefficients", "edge", antialias=True),
    ),
}


def preprocessing_of(signal: str, settings: Mapping[str, Any]) -> Preprocessing:
    """That of a kind of signal, with single numbers changed: `frequency_max_hz`, `n_sweeps`, `close_up` (true or false), ..."""
    one_of("signal", signal, SIGNALS)
    values = SIGNALS[signal].as_dict()
    parts = [values["sweeps"], values["bank"], values["image"]]
    known = sorted({name for part in parts for name in part})
    for name, value in settings.items():
        if name not in known:
            raise ParameterError(f"settings have no {name!r}; they take: {', '.join(known)}")
        for part in parts:
            part.update({name: value} if name in part else {})
    values["bank"]["n_frequencies"] = settings.get("n_frequencies", values["image"]["height"])
    if "close_up" in settings:
        values["image"]["close_up"] = asdict(CloseUp()) if settings["close_up"] else None
    if close_up := values["image"]["close_up"]:
        close_up["frequency_max_hz"] = min(close_up["frequency_max_hz"], values["sweeps"]["rate_hz"] / 2)
    return Preprocessing.from_dict(values)


@dataclass(frozen=True)
class Signals:
    """The cells of a file that have a class and the wanted sweeps, prepared."""

    cells: pd.DataFrame  # one row a cell, as the file describes it
    table: pd.DataFrame  # the same cells, as `sweeps.extract` describes them
    excluded: pd.DataFrame  # the others, with the reason
    traces: np.ndarray  # (n, c, n_samples), mV
    images: np.ndarray  # (n, c, height, width), close-ups to the right
    preprocessing: Preprocessing
    inside: np.ndarray  # positions to cross-validate
    outside: np.ndarray  # positions of the holdout
    data: str  # the word for metric records
    kind: str

    @property
    def labels(self) -> np.ndarray:
        """Class of each cell: `(n,)` of str."""
        return np.asarray(self.cells["label"])

    @property
    def cell_ids(self) -> list[str]:
        """Ids of the cells to cross-validate."""
        return list(self.cells["cell_id"].iloc[self.inside])

    def read(self, what: str) -> np.ndarray:
        """What a classifier reads of all cells, one of `networks.READS`: `(n, c, h, w)` (see `models.card.read`)."""
        return read(what, self.images, self.traces, self.preprocessing)

    def counts(self) -> pd.DataFrame:
        """Cells of each class that are cross-validated, and those of the holdout."""
        part = np.where(np.isin(np.arange(len(self.cells)), self.inside), "cross-validated", "holdout")
        return pd.crosstab(self.labels, part).reindex(list(cohort.CLASSES))

    def recipes(
        self, models: Sequence[str], weights: str, regularisation: str, **changes: Any
    ) -> dict[str, training.Recipe]:
        """The recipe of each classifier: "compact", "mobilenet_v2:imagenet", which starts from `weights`, "rocket:close_ups".

        `regularisation` is one of `training.REGULARISATIONS`, `changes` are those of `training.recipe`.
        """
        found, factor = {}, 2 if self.preprocessing.image.close_up else 1  # a close-up makes the images twice as wide
        for name in models:
            architecture, pretrained, reads = _split_name(name)
            start = str(mirror_path(weights)) if pretrained else "none"
            variant = name.partition(":")[2]
            chosen = training.REGULARISATIONS[variant if variant in training.REGULARISATIONS else regularisation]
            own = {**changes, **chosen, "weights": start, "reads": reads}
            if architecture not in networks.ARCHITECTURES:
                own["n_seeds"] = 1
            if reads not in ("scalograms", "close_ups"):  # voltage, or coefficients that are read as they are
                own["compress"] = "none"
            recipe = training.recipe(architecture, "signals", **own)
            found[name] = recipe.with_changes({"width": recipe.width * (factor if reads == "scalograms" else 1)})
        return found


def _split_name(name: str) -> tuple[str, bool, str]:
    """Architecture, whether it starts from ImageNet weights, and what it reads (one of `networks.READS`)."""
    architecture, colon, variant = name.partition(":")
    variants = ("imagenet", *training.REGULARISATIONS, *networks.READS)
    if architecture not in networks.CLASSIFIERS or (colon and variant not in variants):
        known = f"{', '.join(networks.CLASSIFIERS)}, as they are or with :{', :'.join(variants)}"
        raise ParameterError(f"architectures hold {name!r}; name {known}")
    own = "sweeps" if architecture == "cnn_1d" else "scalograms"
    return architecture, variant == "imagenet", variant if variant in networks.READS else own


def check_parameters(parameters: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse parameters of notebook 08 before it runs: settings that a signal has not, networks that there are not."""
    preprocessing_of(parameters["signal"], parameters["settings"])
    for name in parameters["architectures"]:
        _split_name(name)


def example() -> Signals:
    """Eight made-up action potentials of two classes, prepared: for the examples of this room."""
    times_ms, rng = np.arange(600) / 200 - 1, np.random.default_rng(0)

    def recording(k: int) -> Recording:
        v_mv = 80 * np.exp(-((times_ms / (0.2 if k < 4 else 0.4)) ** 2)) - 60 + rng.normal(size=600)
        sweep = Sweep(0, float("nan"), 0.001, 0.0, 200e3, lambda: (v_mv, np.full(600, np.nan)), 1)
        return Recording(str(k), "Clamp", "real", (sweep,))

    cells = pd.DataFrame({"cell_id": list("01234567"), "label": ["Pvalb"] * 4 + ["Sst"] * 4, "dataset": "Clamp"})
    settings = {"height": 32, "width": 32, "frequency_min_hz": 2000.0}
    return prepare_signals(cells.assign(donor="", split=""), map(recording, range(8)), "action_potentials", settings)


def prepare_signals(
    cells: pd.DataFrame,
    recordings: Iterable[Recording],
    signal: str = "sweeps",
    settings: Mapping[str, Any] | None = None,
    cv_split: str = "",
    n_jobs: int = 1,
) -> Signals:
    """Sweeps and scalograms of all cells of a file that have a class; `StsError` where no cell can be used.

    Parameters
    ----------
    cells : DataFrame, one row a cell: cell_id, label, published_split (the attribute `split` of the file), ...
    recordings, n_jobs : iterable of Recording, of these cells, and processes that read and prepare them
    signal, settings : "sweeps" or "action_potentials", which decides sweeps, band and image (`SIGNALS`), and numbers of
        these that differ: fields of `SweepSettings`, `Bank` and `ImageSettings`
    cv_split : only cells of this split are cross-validated, the others are the holdout; "" takes all cells

    Examples
    --------
    >>> sweep = Sweep(0, float("nan"), 0.001, 0.0, 200e3, lambda: (np.hanning(600), np.full(600, np.nan)), 1)
    >>> cells = pd.DataFrame({"cell_id": ["a"], "label": "Pvalb", "dataset": "Clamp", "donor": "", "split": ""})
    >>> prepare_signals(cells, [Recording("a", "Clamp", "real", (sweep,))], "action_potentials").images.shape
    (1, 1, 48, 48)
    """
    preprocessing = preprocessing_of(signal, settings or {})
    accounted = cohort.account(cells, {})
    known = accounted[accounted["reason"] == ""]
    kinds: set[str] = set()

    def wanted() -> Iterable[Recording]:
        names = set(known["cell_id"])
        for recording in recordings:
            if recording.cell_id in names:
                kinds.add(recording.kind)
                yield recording

    traces, table = sweeps.extract(wanted(), preprocessing.sweeps, n_jobs=n_jobs, total=len(known))
    known = known.set_index("cell_id").loc[table["cell_id"]].reset_index()
    usable = (table["reason"] == "").to_numpy()
    unlabelled = accounted.loc[accounted["reason"] != "", ["cell_id", "reason"]]
    excluded = pd.concat([unlabelled, table.loc[~usable, ["cell_id", "reason", "detail"]]], ignore_index=True)
    if not usable.any():
        reason = f", first: {excluded['reason'].iloc[0]}" if len(excluded) else ""
        raise StsError(f"no cell of the file can be used with signal {signal!r}{reason}")
    images = preprocessing.draw(traces, "Scalograms")
    used, table = known[usable].reset_index(drop=True), table[usable].reset_index(drop=True)
    split = used.get("published_split", pd.Series("", index=used.index))
    inside = np.flatnonzero((split == cv_split) | (cv_split == ""))
    if not len(inside):
        names = ", ".join(repr(name) for name in sorted(set(split)))
        raise ParameterError(f"cv_split is {cv_split!r}, and no cell has that split; the file has: {names}")
    outside, kind = np.setdiff1d(np.arange(len(used)), inside), min(kinds)
    data = signal if signal == "action_potentials" else kind
    return Signals(used, table, excluded, traces, images, preprocessing, inside, outside, data, kind)
