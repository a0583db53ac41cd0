"""Is it the cell or the rig? Spikes of files of two sampling rates, which differ in classes, bandwidth and noise.

A classifier can name a class by the rate where a class is mostly of one rate. So: scores within each rate, a classifier of
one rate on the other, and both again after all spikes were brought to one bandwidth and one level of noise.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy import signal
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.svm import SVC

from stslib import cohort, evaluation
from stslib.baseline import traces
from stslib.support.errors import StsError
from stslib.sweeps import SweepSettings

BAND_HZ, BAND_SHARE = 5000.0, 0.35  # a band that files of both rates hold, and no higher than this share of the rate
NOISE_SHARE = 0.9  # the level of noise that this share of cells does not exceed
QUIET_S = 4e-4  # before it has begun to rise, a spike's voltage is noise on a slope
_FOLDS = 5


def equalised(spikes_mv: np.ndarray, settings: SweepSettings, seed: int = 2026) -> np.ndarray:
    """Spikes `(n, c, n_samples)` in one band, by a zero-phase Butterworth filter, with noise added up to one level."""
    sos = signal.butter(4, min(BAND_HZ, BAND_SHARE * settings.rate_hz), fs=settings.rate_hz, output="sos")
    low = signal.sosfiltfilt(sos, spikes_mv, axis=-1)
    level = noise_mv(low, settings.rate_hz)
    missing = np.sqrt(np.maximum(np.quantile(level, NOISE_SHARE) ** 2 - level**2, 0))
    added = signal.sosfiltfilt(sos, np.random.default_rng(seed).standard_normal(low.shape), axis=-1)
    unit = noise_mv(added, settings.rate_hz).mean()
    return np.asarray(low + added * (missing / unit)[..., None])


def noise_mv(spikes_mv: np.ndarray, rate_hz: float) -> np.ndarray:
    """SD of the quiet start of each spike about a straight line, `(n, c)` in mV."""
    start = signal.detrend(spikes_mv[..., : max(8, round(QUIET_S * rate_hz))], axis=-1)
    return np.asarray(start.std(axis=-1))


def rate_auc(spikes_mv: np.ndarray, fast: np.ndarray, labels: np.ndarray) -> tuple[float, int]:
    """How well the rate is told from spikes of the same class: mean area under the ROC curve over classes, and cells."""
    found, n = [], 0
    for label in sorted(set(labels)):
        own = labels == label
        if min(np.bincount(fast[own], minlength=2)) >= _FOLDS:
            flat = spikes_mv[own].reshape(own.sum(), -1)
            scores = cross_val_predict(SVC(C=100), flat, fast[own], cv=_FOLDS, method="decision_function")
            found.append(roc_auc_score(fast[own], scores))
            n += int(own.sum())
    return (float(np.mean(found)) if found else float("nan")), n


def compare_rates(
    spikes_mv: np.ndarray, settings: SweepSettings, source_hz: np.ndarray, labels: np.ndarray, data: str, seed: int = 2026
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:  # fmt: skip
    """A table of scores of `svm_first_spike` by sampling rate, as recorded and equalised, and the same as metric records.

    `spikes_mv` `(n, c, n_samples)` at one rate, `source_hz` `(n,)` the rate that each was recorded at: two of them. The
    settings are chosen inside the training cells. Splits: `nested_cv` over all cells, scored for each rate (models
    `svm_first_spike:50kHz`, ...), and `transfer:50kHz->200kHz` and back; `:equalised` after the model.
    """
    if len(found := np.unique(source_hz)) != 2:
        raise StsError(f"the spikes are of {len(found)} sampling rates; give those of two")
    names, is_fast = [f"{rate / 1000:g}kHz" for rate in found], (source_hz == found[1]).astype(int)
    cut = replace(settings, step_s=0.0, n_sweeps=1)  # the spikes are cut already: each is read whole
    folds, records = cohort.folds(labels, _FOLDS, seed), []
    for variant, spikes in (("", spikes_mv), (":equalised", equalised(spikes_mv, settings, seed))):
        read = partial(traces.held_out, "svm_first_spike", spikes, cut, labels, seed=seed)
        everything = read(folds).proba
        for k, name in enumerate(names):
            cells, others = np.flatnonzero(is_fast == k), np.flatnonzero(is_fast != k)
            across = read([(others, cells)]).proba
            ways = {"nested_cv": (f":{name}", everything), f"transfer:{names[1 - k]}->{name}": ("", across)}
            for split, (suffix, proba) in ways.items():
                model = f"svm_first_spike{suffix}{variant}"
                records += evaluation.scores(labels[cells], proba[cells], model, data, split, seed=seed)
        auc, n = rate_auc(spikes, is_fast, labels)
        about = {"model": f"svm_first_spike:rate{variant}", "data": data, "split": "cv", "metric": "two_sample_auc"}
        records.append({**about, "value": auc, "low": None, "high": None, "n": n})
    shown = [r for r in records if r["metric"] in ("balanced_accuracy", "weighted_f1", "two_sample_auc")]
    return pd.DataFrame(shown).drop(columns="data"), records
