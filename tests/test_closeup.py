"""The image that a network reads: the whole sweep, and a close-up of its first spike."""

import json
import warnings
from dataclasses import replace
from functools import reduce

import numpy as np
import pytest

from stslib.scalograms import Bank, CloseUp, ImageSettings, Preprocessing, cwt_resized
from stslib.scalograms.settings import first_peak
from stslib.support.errors import ParameterError
from stslib.sweeps import SweepSettings

RATE_HZ = 10_000.0
BANK = Bank("mexh", 2.0, 4000.0, 24, "log", RATE_HZ, "L1")
IMAGE = ImageSettings(24, 40, "magnitude", "edge", antialias=True, dtype="float32")
SWEEPS = SweepSettings(rate_hz=RATE_HZ)
WHOLE = Preprocessing(SWEEPS, BANK, IMAGE)
BOTH = replace(WHOLE, image=replace(IMAGE, close_up=CloseUp()))


def sweep(*peaks_s: float, height_mv: float = 90.0, plateau_mv: float = 20.0) -> np.ndarray:
    """A step of 1 s from 0.1 s on, with a triangular spike of 0.6 ms to either side of each peak (s from its onset)."""
    t = np.arange(12_000) / RATE_HZ - 0.1
    v_mv = plateau_mv * ((t >= 0) & (t < 1))
    for peak_s in peaks_s:
        v_mv = np.maximum(v_mv, height_mv * (1 - np.abs(t - peak_s) / 0.0006))
    return v_mv.astype(np.float32)


def test_the_first_peak_is_found_from_any_threshold_and_only_during_the_step():
    for plateau_mv in (20.0, 45.0, 60.0):  # above rest, from which cells fire
        v_mv = sweep(0.2, 0.5, 0.8, height_mv=110.0, plateau_mv=plateau_mv)
        assert first_peak(v_mv, SWEEPS) == round((0.1 + 0.2) * RATE_HZ)
    early = sweep(-0.05, 0.3)  # a spike before the step
    assert first_peak(early, SWEEPS) == round(0.4 * RATE_HZ)
    assert first_peak(early - 70.0, replace(SWEEPS, baseline="keep")) == round(0.4 * RATE_HZ)
    slow = 30 * np.exp(-(((np.arange(12_000) / RATE_HZ - 0.6) / 0.05) ** 2)).astype(np.float32)  # its highest value
    assert first_peak(slow, SWEEPS) == round(0.6 * RATE_HZ)


def test_a_close_up_holds_the_voltage_around_the_peak_and_the_end_value_beyond_the_sweep():
    close_up, both = CloseUp(before_s=0.005, after_s=0.01), np.stack([sweep(0.2), sweep(0.999)])[None]
    cut = close_up.cut(both, SWEEPS)
    assert cut.shape == (1, 2, 150) and cut.argmax(-1).tolist() == [[50, 50]]
    assert np.array_equal(cut[0, 0], both[0, 0, 2950:3100])
    late = close_up.cut(both[..., :11_010], SWEEPS)
    assert np.array_equal(late[0, 1, 75:], np.full(75, both[0, 1, 11_009]))
    assert close_up.cut(both[:0], SWEEPS).shape == (0, 2, 150)


def test_an_image_is_the_whole_sweep_with_its_close_up_to_the_right():
    x, close_up = np.stack([sweep(0.2, 0.4), sweep(0.1, 0.15, 0.3)])[None], CloseUp()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole, drawn = WHOLE.draw(x), BOTH.draw(x)
        spike = cwt_resized(close_up.cut(x, SWEEPS), close_up.bank(BANK), replace(IMAGE, output="coefficients"))
        assert np.array_equal(whole, cwt_resized(x, BANK, IMAGE))
    assert drawn.shape == (1, 2, 24, 80) and (spike < 0).any()
    assert np.array_equal(drawn, np.concatenate([whole, spike], axis=-1))


def test_the_width_of_a_spike_shows_in_the_close_up_and_hardly_in_the_whole_sweep():
    """What the close-up is for: spikes of twice the width, at the same times."""
    narrow, t = sweep(0.2, 0.5, 0.8), np.arange(12_000) / RATE_HZ - 0.1
    wide = np.max([narrow, *(90 * (1 - np.abs(t - peak) / 0.0012) for peak in (0.2, 0.5, 0.8))], axis=0)
    pair = np.stack([narrow, wide.astype(np.float32)])[:, None]
    change = np.abs(np.diff(BOTH.draw(pair), axis=0)[0, 0]).max(0)
    assert change[40:].max() > 5 * change[:40].max()


def test_settings_that_make_no_sense_are_one_line():
    """Beside those of a stranger's file, below."""
    with pytest.raises(ParameterError, match=r"frequency_max_hz is 9000\.0; a sweep at 10000 Hz"):
        CloseUp(frequency_max_hz=9000.0).bank(BANK)
    for complex_image in (replace(IMAGE, output="coefficients"), BOTH.image):
        with pytest.raises(ParameterError, match=r"output is 'coefficients' and cmor2-1\.0 is complex; set output to"):
            Preprocessing(SWEEPS, replace(BANK, wavelet="cmor2-1.0"), complex_image)


def changed(*keys, value):
    """`BOTH` as plain values with one of them replaced, or removed (...)."""
    values = json.loads(json.dumps(BOTH.as_dict()))
    inner = reduce(dict.get, keys[:-1], values)
    inner[keys[-1]] = value
    if value is ...:
        del inner[keys[-1]]
    return values


def test_preprocessing_survives_json():
    for way in (WHOLE, BOTH, replace(BOTH, ready_made=True)):
        values = json.loads(json.dumps(way.as_dict()))
        assert list(values) == ["sweeps", "bank", "image", "ready_made"]
        assert Preprocessing.from_dict(values) == way
    assert Preprocessing.from_dict(changed("image", "close_up", value=...)) == WHOLE  # as older files are
    assert Preprocessing.from_dict(changed("bank", "frequency_min_hz", value=2)) == BOTH  # 2 is 2.0 in JSON


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("sweeps",), ..., "preprocessing lacks sweeps"),
        (("bank", "colour"), 1, "preprocessing: bank has no setting 'colour'; it has: wavelet"),
        (("image",), [1, 2], r"preprocessing: image is \[1, 2\]; give its settings by name"),
        (("image", "height"), 24.0, "preprocessing: image: height is 24.0; give a whole number"),
        (("image", "width"), 10**9, "preprocessing: image: width is 1000000000; give a whole number of pixels"),
        (("image", "antialias"), 1, "preprocessing: image: antialias is 1; give true or false"),
        (("image", "dtype"), "object", "preprocessing: image: dtype is 'object'; use one of: float16, float32"),
        (("image", "close_up", "after_s"), 0, r"image: close_up: after_s is 0\.0; give 0\.5 s or less, above 0"),
        (("image", "close_up", "after_s"), 3, "preprocessing: image: close_up: after_s is 3.0; give 0.5 s or less"),
        (("image", "close_up", "output"), "power", "preprocessing: image: close_up: output is 'power'"),
        (("image", "close_up", "colour"), 1, "preprocessing: image: close_up has no setting 'colour'"),
        (("bank", "rate_hz"), "4000", "preprocessing: bank: rate_hz is '4000'; give a finite number"),
        (("bank", "n_frequencies"), True, "preprocessing: bank: n_frequencies is True; give a whole number"),
        (("bank", "frequency_max_hz"), 1e9, "preprocessing: bank: frequency_max_hz is .*Nyquist"),
        (("sweeps", "repeats"), "last", "preprocessing: sweeps: repeats is 'last'"),
        (("sweeps", "rate_hz"), 4000.0, "rate_hz of the sweeps is 4000 and of the bank 10000"),
        (("ready_made",), "no", "preprocessing: ready_made is 'no'; give true or false"),
    ],
)
def test_preprocessing_from_a_strangers_file_is_checked(keys, value, message):
    with pytest.raises(ParameterError, match=message) as caught:
        Preprocessing.from_dict(changed(*keys, value=value))
    assert "\n" not in str(caught.value)
