"""What a sweep holds at which frequency, and what resampling takes away (paper, section III-B)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.signal import periodogram, upfirdn

from stslib.recordings import Sweep
from stslib.sweeps.choice import spike_times
from stslib.sweeps.resampling import low_pass, ratio_of, resample
from stslib.sweeps.settings import STEP_S


def power_spectrum(v_mv: np.ndarray, rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """Power spectral density of sweeps: mean taken away, one Hann window over the whole sweep.

    Parameters
    ----------
    v_mv : ndarray, shape (..., n_samples)
        Sweeps in mV.
    rate_hz : float
        Their sampling rate.

    Returns
    -------
    frequencies_hz : ndarray, shape (n_bins,)
    density : ndarray, shape (..., n_bins)
        In mV^2/Hz.
    """
    frequencies_hz, density = periodogram(np.asarray(v_mv, float), rate_hz, window="hann", detrend="constant")
    return frequencies_hz, density


def band_share(
    frequencies_hz: np.ndarray, density: np.ndarray, low_hz: float, high_hz: float, above_hz: float = 0.0
) -> np.ndarray:
    """Share of the power above `above_hz` that lies in `[low_hz, high_hz)`: `(...,)`, between 0 and 1."""
    inside = (frequencies_hz >= low_hz) & (frequencies_hz < high_hz)
    counted = frequencies_hz >= above_hz
    total = density[..., counted].sum(axis=-1)
    share: np.ndarray = density[..., inside & counted].sum(axis=-1) / np.where(total > 0, total, np.nan)
    return share


def there_and_back(v_mv: np.ndarray, from_hz: float, to_hz: float) -> np.ndarray:
    """What is left of a sweep after resampling to `to_hz`: brought back to `from_hz`, shape and time as `v_mv`."""
    up, down = ratio_of(from_hz, to_hz)
    low = resample(v_mv, from_hz, to_hz)
    if up == down:
        return low
    kernel = low_pass(up, down).copy()
    for phase in range(down):  # each must sum to one, or a constant would come back with a ripple
        kernel[phase::down] /= kernel[phase::down].sum()
    half = len(kernel) // 2
    reach = -(-half // down)
    reach += -reach % up
    held = np.concatenate([np.full(reach, low[0]), low, np.full(reach + up, low[-1])])
    shift = -half % up
    back = upfirdn(np.concatenate([np.zeros(shift), kernel]), held, down, up)
    first = (half + shift) // up + reach * down // up
    result: np.ndarray = back[first : first + len(v_mv)]
    return result


def reconstruction_error(v_mv: np.ndarray, from_hz: float, to_hz: float) -> tuple[float, float]:
    """What a sweep loses at `to_hz`.

    Parameters
    ----------
    v_mv : ndarray, shape (n_samples,)
        Raw sweep in mV.
    from_hz, to_hz : float
        Raw and new sampling rate.

    Returns
    -------
    relative : float
        Root mean square of the difference over that of the sweep about its mean.
    peak_mv : float
        How much lower its highest point is, in mV.
    """
    v = np.asarray(v_mv, float)
    back = there_and_back(v, from_hz, to_hz)
    relative = float(np.sqrt(np.mean((v - back) ** 2)) / max(v.std(), np.finfo(float).tiny))
    return relative, float(v.max() - back.max())


def resampled_spike(
    sweep: Sweep, rates_hz: Sequence[float], before_s: float = 0.002, after_s: float = 0.004
) -> pd.DataFrame:
    """The highest spike of a sweep as recorded and after resampling and back: time_ms, raw, and a column a rate, in mV."""
    v_mv, _ = sweep.load()
    peak = int(np.argmax(v_mv))
    part = slice(max(peak - round(before_s * sweep.rate_hz), 0), peak + round(after_s * sweep.rate_hz))
    time_ms = (np.arange(len(v_mv))[part] - peak) / sweep.rate_hz * 1000
    columns = {str(float(hz)): there_and_back(v_mv, sweep.rate_hz, hz)[part] for hz in rates_hz if hz < sweep.rate_hz}
    return pd.DataFrame({"time_ms": time_ms, "raw": v_mv[part], **columns})


def firing(traces_mv: np.ndarray, rate_hz: float = 4000.0, before_s: float = 0.1) -> pd.DataFrame:
    """When prepared sweeps fire: one row a sweep (n_spikes, first_s, last_s from the onset; NaN where it does not).

    Parameters
    ----------
    traces_mv : ndarray, shape (n, n_samples)
        Prepared sweeps; a spike goes up through 40 mV above the mean of the time before the step.
    """
    rows = []
    for trace in traces_mv:
        rest_mv = float(np.mean(trace[: max(round(before_s * rate_hz), 1)]))
        times = spike_times(trace, rate_hz, before_s, STEP_S, crossing_mv=rest_mv + 40.0)
        rows.append((len(times), times[0] if len(times) else np.nan, times[-1] if len(times) else np.nan))
    return pd.DataFrame(rows, columns=["n_spikes", "first_s", "last_s"])


def typical_cells(labels: Sequence[str], values: Sequence[float]) -> dict[str, int]:
    """For each class the place of the cell whose value is nearest to the class's median (the first of equally near ones)."""
    series = pd.Series(np.asarray(values, float))
    groups = series.groupby(np.asarray(labels))
    return {str(label): int((group - group.median()).abs().idxmin()) for label, group in groups}
