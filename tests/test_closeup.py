"""The image that a network reads: the whole sweep, and a close-up of its first spike."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest

from stslib.scalograms import Bank, cwt_resized
from stslib.scalograms import closeup as images
from stslib.scalograms.closeup import CloseUp
from stslib.support.errors import ParameterError

RATE_HZ = 10_000.0
BANK = Bank("mexh", 2.0, 4000.0, 24, "log", RATE_HZ, "L1")
IMAGE = {"height": 24, "width": 40, "output": "magnitude", "padding": "edge", "backend": "fft", "antialias": True}
SWEEPS = {"before_s": 0.1, "step_s": 1.0, "baseline": "subtract"}


def sweep(*peaks_s: float, height_mv: float = 90.0, plateau_mv: float = 20.0) -> np.ndarray:
    """A step of 1 s from 0.1 s on, with a triangular spike of 0.6 ms to either side of each peak (s from its onset)."""
    t = np.arange(12_000) / RATE_HZ - 0.1
    v_mv = plateau_mv * ((t >= 0) & (t < 1))
    for peak_s in peaks_s:
        v_mv = np.maximum(v_mv, height_mv * (1 - np.abs(t - peak_s) / 0.0006))
    return v_mv.astype(np.float32)


@pytest.mark.parametrize("plateau_mv", [20.0, 45.0, 60.0])
def test_the_first_peak_is_found_from_any_threshold(plateau_mv):
    """A cell that fires from 60 mV above rest has its first spike found as one that fires from 20 mV."""
    v_mv = sweep(0.2, 0.5, 0.8, height_mv=110.0, plateau_mv=plateau_mv)
    assert images.first_peak(v_mv, RATE_HZ, SWEEPS) == round((0.1 + 0.2) * RATE_HZ)


def test_the_first_peak_counts_only_during_the_step_and_on_raw_voltage_as_well():
    early = sweep(-0.05, 0.3)  # a spike before the step
    assert images.first_peak(early, RATE_HZ, SWEEPS) == round(0.4 * RATE_HZ)
    kept = early - 70.0
    assert images.first_peak(kept, RATE_HZ, SWEEPS | {"baseline": "keep"}) == round(0.4 * RATE_HZ)


def test_without_a_spike_the_highest_value_is_shown():
    slow = 30 * np.exp(-(((np.arange(12_000) / RATE_HZ - 0.6) / 0.05) ** 2)).astype(np.float32)
    assert images.first_peak(slow, RATE_HZ, SWEEPS) == round(0.6 * RATE_HZ)


def test_a_close_up_holds_the_voltage_around_the_peak_and_the_end_value_beyond_the_sweep():
    close_up = CloseUp(before_s=0.005, after_s=0.01)
    both = np.stack([sweep(0.2), sweep(0.999)])[None]
    cut = close_up.cut(both, RATE_HZ, SWEEPS)
    assert cut.shape == (1, 2, 150)
    assert cut.argmax(-1).tolist() == [[50, 50]]
    assert np.array_equal(cut[0, 0], both[0, 0, 2950:3100])
    late = close_up.cut(both[..., :11_010], RATE_HZ, SWEEPS)
    assert np.array_equal(late[0, 1, 75:], np.full(75, both[0, 1, 11_009]))
    assert close_up.cut(both[:0], RATE_HZ, SWEEPS).shape == (0, 2, 150)


def test_an_image_is_the_whole_sweep_with_its_close_up_to_the_right():
    x = np.stack([sweep(0.2, 0.4), sweep(0.1, 0.15, 0.3)])[None]
    close_up = CloseUp()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = cwt_resized(x, BANK, **IMAGE)
        spike = cwt_resized(
            close_up.cut(x, RATE_HZ, SWEEPS), close_up.bank(BANK), **(IMAGE | {"output": "coefficients"})
        )
        drawn = images.draw(x, BANK, IMAGE | {"close_up": dataclasses.asdict(close_up)}, SWEEPS)
        assert np.array_equal(images.draw(x, BANK, IMAGE, SWEEPS), whole)
    assert drawn.shape == (1, 2, 24, 80)
    assert np.array_equal(drawn[..., :40], whole)
    assert np.array_equal(drawn[..., 40:], spike)
    assert (spike < 0).any()


def test_the_width_of_a_spike_shows_in_the_close_up_and_hardly_in_the_whole_sweep():
    """What the close-up is for: spikes of twice the width, at the same times."""
    narrow, t = sweep(0.2, 0.5, 0.8), np.arange(12_000) / RATE_HZ - 0.1
    wide = np.max([narrow, *(90 * (1 - np.abs(t - peak) / 0.0012) for peak in (0.2, 0.5, 0.8))], axis=0)
    pair = np.stack([narrow, wide.astype(np.float32)])[:, None]
    drawn = images.draw(pair, BANK, IMAGE | {"close_up": dataclasses.asdict(CloseUp())}, SWEEPS)
    change = np.abs(drawn[1, 0] - drawn[0, 0]).max(0)
    assert change[40:].max() > 5 * change[:40].max()


def test_settings_that_make_no_sense_are_one_line():
    with pytest.raises(ParameterError, match=r"close_up: after_s is 0\.0; give 0\.5 s or less, above 0"):
        CloseUp(after_s=0.0)
    with pytest.raises(ParameterError, match=r"frequency_max_hz is 9000\.0; a sweep at 10000 Hz"):
        CloseUp(frequency_max_hz=9000.0).bank(BANK)
    with pytest.raises(TypeError):
        images.close_up_of({"close_up": {"colour": 1}})
    assert images.close_up_of(IMAGE) is None
