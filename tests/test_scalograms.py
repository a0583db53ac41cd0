"""The transform against theory, against direct evaluation of the sampled wavelet, against PyWavelets and against torch."""

import subprocess
import sys
import textwrap
import warnings

import numpy as np
import pandas as pd
import pytest
import pywt
import torch
from matplotlib.collections import QuadMesh
from matplotlib.text import Text
from torch.nn.functional import interpolate

from stslib import figures
from stslib.io import open_source
from stslib.press.runner import plan
from stslib.scalograms import Bank, ImageSettings, Preprocessing, ScalogramWarning, cwt, cwt_resized, pixels, transform
from stslib.scalograms.accuracy import conclusion, direct_evaluation, errors_by_frequency
from stslib.scalograms.wavelets import NAMES, wavelet
from stslib.support.errors import ParameterError
from stslib.sweeps import SweepSettings, prepare

RATE_HZ = 4000.0
WITH_NUMBERS = ["cmor1.5-1.0", "cmor20-0.5", "shan1.5-1.0", "fbsp2-1.5-1.0", "fbsp3-1.0-0.5"]
WAVELETS = [name for name in NAMES if "-" not in name] + WITH_NUMBERS


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(7).standard_normal((2, 4800))


def relative(found, wanted):
    return np.linalg.norm(np.asarray(found) - wanted) / np.linalg.norm(wanted)


def resized(full, height, width):
    """torch's own bilinear resize of a full scalogram (real and imaginary part apart)."""
    if np.iscomplexobj(full):
        return resized(full.real, height, width) + 1j * resized(full.imag, height, width)
    images = torch.from_numpy(np.ascontiguousarray(full)).reshape(-1, 1, *full.shape[-2:])
    small = interpolate(images, (height, width), mode="bilinear", align_corners=False, antialias=False)
    return small.numpy().reshape(*full.shape[:-2], height, width)


@pytest.mark.parametrize("name", WAVELETS)
def test_wavelets_are_those_of_pywavelets_and_their_spectra_the_fourier_transforms(name):
    drawn, mother = pywt.ContinuousWavelet(name), wavelet(name)
    drawn.lower_bound, drawn.upper_bound = -4.0, 4.0
    psi, times = drawn.wavefun(length=1025)
    np.testing.assert_allclose(mother.psi(times), psi, atol=1e-12)
    assert mother.central_frequency == pywt.central_frequency(name)
    assert mother.is_complex == np.iscomplexobj(psi)
    if mother.spectrum is None:
        assert name[:4] in ("shan", "fbsp")
        return
    times = np.linspace(-40, 40, 40001)
    for rad in (-mother.peak_rad, 0.3, 1.0, mother.peak_rad, 1.7 * mother.peak_rad):
        numeric = (mother.psi(times) * np.exp(-1j * rad * times)).sum() * (times[1] - times[0])
        assert mother.spectrum(np.array([rad]))[0] == pytest.approx(numeric, abs=1e-10)
    assert np.abs(mother.spectrum(mother.peak_rad * np.array([0.98, 1.0, 1.02]))).argmax() == 1


def test_rows_are_named_as_by_pywt_and_peak_elsewhere():
    bank = Bank()
    np.testing.assert_array_equal(bank.frequencies_hz, np.arange(20, 200))
    scales = np.array([pywt.frequency2scale("mexh", f / RATE_HZ) for f in bank.frequencies_hz])
    np.testing.assert_allclose(bank.scales, scales)
    by_rad = bank.frequencies_hz / (2 * np.pi) / 0.25
    np.testing.assert_allclose(bank.peak_frequencies_hz / by_rad, np.sqrt(2))
    np.testing.assert_allclose(bank.ridge_frequencies_hz / by_rad, np.sqrt(2.5), rtol=1e-4)
    np.testing.assert_allclose(Bank("mexh", 10, 160, 8, "log").frequencies_hz, 10 * 2 ** (np.arange(8) / 2))


@pytest.mark.parametrize("name", WAVELETS)
@pytest.mark.parametrize("band", ["paper", "wide"])
def test_exact_against_direct_evaluation(noise, name, band):
    """Rows from wavelets longer than the sweep to Nyquist, where the analytic spectrum has to be aliased."""
    x = noise[0, :1500]
    bank = Bank(name, n_frequencies=9) if band == "paper" else Bank(name, 2, 2000, 8, "log")
    wanted = direct_evaluation(x, bank)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScalogramWarning)
        double, single = cwt(x, bank), cwt(x.astype(np.float32), bank)
    assert double.dtype.itemsize == 2 * single.dtype.itemsize
    for row in range(bank.n_frequencies):
        assert relative(double[row], wanted[row]) <= 1e-10
        assert relative(single[row], wanted[row]) <= 1e-5


def test_pywt_differs_by_its_own_error(noise, monkeypatch):
    """12 % as PyWavelets stands (a drawn wavelet of 1,024 points); on a fine drawing, no more than half a sample's shift."""
    bank = Bank(n_frequencies=60)
    exact = cwt(noise[0], bank)
    as_published = cwt(noise[0], bank, backend="pywt")
    np.testing.assert_allclose(as_published, pywt.cwt(noise[0], bank.scales, "mexh", **transform._PYWT)[0])
    small = cwt_resized(noise[0], bank, ImageSettings(16, 24, backend="pywt"))
    assert relative(small, resized(as_published, 16, 24)) <= 1e-6
    assert 0.08 < relative(as_published, exact) < 0.16
    drawn = pywt._cwt.integrate_wavelet
    monkeypatch.setattr(pywt._cwt, "integrate_wavelet", lambda w, precision: drawn(w, precision=16))
    finer = cwt(noise[0], bank, backend="pywt")
    # White noise in a row of scale a has a mean square angular frequency of 2.5 / a**2, so half a sample moves it by this:
    half_a_sample = np.sqrt(2.5) / bank.scales / 2
    errors = np.array([relative(f, e) for f, e in zip(finer, exact, strict=True)])
    assert (errors <= 1.1 * half_a_sample).all()


@pytest.mark.parametrize("name", ["mexh", "gaus4", "morl", "cmor1.5-1.0"])
@pytest.mark.parametrize("normalisation", ["L2", "L1"])
@pytest.mark.parametrize("sine_hz", [40.0, 75.0, 140.0])
def test_ridge_of_a_sinusoid(name, normalisation, sine_hz):
    bank = Bank(name, normalisation=normalisation)
    x = np.sin(2 * np.pi * sine_hz * np.arange(4800) / RATE_HZ)
    strength = (np.abs(cwt(x, bank))[:, 1200:3600] ** 2).mean(axis=1)
    step_hz = np.diff(bank.ridge_frequencies_hz)[0]
    assert bank.ridge_frequencies_hz[strength.argmax()] == pytest.approx(sine_hz, abs=step_hz)


@pytest.mark.parametrize("name", ["mexh", "gaus1", "gaus3", "cgau2", "cmor1.5-1.0"])
def test_impulse_gives_the_conjugate_wavelet_backwards(name):
    bank = Bank(name, 30, 900, 5)
    x = np.zeros(2000)
    x[900] = 1
    found = cwt(x, bank)
    for row, scale in enumerate(bank.scales):
        wanted = np.conj(wavelet(name).psi((900 - np.arange(2000)) / scale)) / np.sqrt(scale)
        np.testing.assert_allclose(found[row], wanted, atol=1e-12)


@pytest.mark.parametrize("name", ["mexh", *(f"gaus{order}" for order in range(1, 9)), "cgau3"])
@pytest.mark.parametrize("padding", ["edge", "reflect", "symmetric"])
def test_constant_gives_nothing_where_it_goes_on(name, padding):
    bank = Bank(name, n_frequencies=12)
    np.testing.assert_allclose(cwt(np.full(4800, -70.0), bank, padding=padding), 0, atol=1e-9)
    assert np.abs(cwt(np.full(4800, -70, np.float32), bank, padding=padding)).max() < 1e-2


def test_l1_gives_a_sinusoid_one_height_and_l2_the_root_of_its_period():
    sines_hz = np.array([40, 80, 160])
    sines = np.cos(2 * np.pi * sines_hz[:, None] * np.arange(8000) / RATE_HZ)
    banks = [Bank("cmor1.5-1.0", 20, 300, 280, normalisation=name) for name in ("L1", "L2")]
    l1, l2 = (np.abs(cwt(sines, bank))[:, :, 4000].max(axis=1) for bank in banks)
    np.testing.assert_allclose(l1, 0.5, rtol=1e-3)  # half of the cosine is at the positive frequency
    # The rows are 1 Hz apart, so the top may be missed by a little.
    np.testing.assert_allclose(l2 * np.sqrt(sines_hz), (l2 * np.sqrt(sines_hz)).mean(), rtol=3e-3)


def test_outputs_and_padding_follow_their_definitions(noise):
    bank = Bank("cmor1.5-1.0", n_frequencies=6)
    coefficients = cwt(noise, bank)
    np.testing.assert_allclose(cwt(noise, bank, "magnitude"), np.abs(coefficients))
    np.testing.assert_allclose(cwt(noise, bank, "energy"), np.abs(coefficients) ** 2)
    for padding in ("edge", "reflect", "symmetric"):
        by_hand = cwt(np.pad(noise, ((0, 0), (2400, 2400)), mode=padding), bank)[..., 2400:-2400]
        np.testing.assert_allclose(cwt(noise, bank, padding=padding), by_hand, atol=1e-10)


def test_cone_of_influence():
    bank = Bank(n_frequencies=18)
    times_s = np.arange(4800) / RATE_HZ
    inside = np.minimum(times_s, times_s[::-1]) < bank.edge_reach_s[:, None]
    # For the Mexican hat a step leaves u exp(-u**2 / 2), largest at u = 1.
    u = np.linspace(1, 5, 100001)
    reach = u[np.flatnonzero(u**2 * np.exp(-(u**2)) > np.exp(-2) * np.exp(-1)).max()]
    np.testing.assert_allclose(bank.edge_reach_s, reach * bank.scales / RATE_HZ, rtol=2e-3)
    trace = cwt(np.ones(4800), bank) ** 2  # its ends are steps in the zeros around it
    for row, cone in zip(trace, inside, strict=True):
        assert row[~cone].max() <= np.exp(-2) * row.max() * 1.01


# --- model resolution -----------------------------------------------------------------------------------------------

SIZES = [(224, 224), (224, 244), (299, 299), (96, 96), (180, 4800), (40, 1500), (400, 6000), (1, 1), (7, 3)]
BEYOND_NYQUIST = Bank("gaus2", 20, 2000, 120, "log")  # up there the sampled wavelet is not the analytic one
SOME_WAVELETS = ("mexh", "gaus5", "morl", "cgau2", "cmor1.5-1.0", "shan1.5-1.0")


def agrees(x, bank, image, dtypes=(np.float32, np.float64)):
    """`cwt_resized` equals torch's resize of the whole scalogram, in either precision."""
    for dtype in dtypes:
        x = x.astype(dtype)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ScalogramWarning)
            found, whole = cwt_resized(x, bank, image), cwt(x, bank, image.output, image.padding)
        assert found.dtype == whole.dtype and found.shape == (len(x), image.height, image.width)
        assert relative(found, resized(whole, image.height, image.width)) <= {4: 1e-5, 8: 1e-10}[dtype().itemsize]


@pytest.mark.parametrize(("bank", "size"), [*((Bank(), size) for size in SIZES), (BEYOND_NYQUIST, (96, 150))])
def test_resized_equals_torchs_resize_of_the_full_one(noise, bank, size):
    agrees(noise, bank, ImageSettings(*size))


@pytest.mark.parametrize("name", WAVELETS)
@pytest.mark.parametrize("output", ["coefficients", "magnitude", "energy"])
def test_resized_equals_it_for_every_wavelet_and_output(noise, name, output):
    """The paper's band and image, where the sweep is decimated; a narrow image, where columns lie far apart."""
    for height, width in ((30, 112), (24, 13)) if output != "energy" else ():
        agrees(noise[:, :2400], Bank(name, n_frequencies=24), ImageSettings(height, width, output))
    for padding in ("zero", "reflect") if name in SOME_WAVELETS else ():
        bank = Bank(name, 25, 1900, 37, "log", normalisation="L1")
        agrees(noise[:, :3000], bank, ImageSettings(50, 61, output, padding), [np.float32])


def test_few_multiplications_a_pixel():
    """Some tens, as a wavelet has some twenty degrees of freedom; the matrix over all bins had more than a thousand."""
    bank, plan = Bank(), transform.Plan(4800, 0, "zero")
    rows, columns = (pixels.Resize(n, 224, "float32") for n in (180, 4800))
    design = pixels.design(bank, plan, rows, columns, True, "cpu")
    assert sum(group.kernel.numel() for group in design.groups) / 224**2 < 50


@pytest.mark.parametrize(("height", "width"), [(96, 96), (224, 224), (40, 700), (200, 5000), (1, 1)])
@pytest.mark.parametrize("output", ["coefficients", "magnitude"])
def test_resized_with_antialias_equals_torchs(noise, height, width, output):
    full = torch.from_numpy(cwt(noise[:1], Bank(), output))[None]
    wanted = interpolate(full, (height, width), mode="bilinear", align_corners=False, antialias=True)[0].numpy()
    for dtype, tolerance in ((np.float32, 1e-5), (np.float64, 1e-10)):
        x = noise[:1].astype(dtype)
        found = cwt_resized(x, Bank(), ImageSettings(height, width, output, antialias=True))
        # A single pixel of coefficients is an average that all but cancels: measured against what goes into it.
        size = max(np.linalg.norm(wanted), np.sqrt(wanted.size) * full.std())
        assert np.linalg.norm(found - wanted) <= tolerance * size


def test_types_shapes_and_arrays_to_write_to(noise, monkeypatch):
    bank, image = Bank(n_frequencies=7), ImageSettings(6, 10)
    x = noise[:, :1200].astype(np.float32)
    wanted = cwt_resized(x, bank, image)
    tensor = cwt_resized(torch.from_numpy(x), bank, image)
    assert isinstance(tensor, torch.Tensor)
    np.testing.assert_array_equal(tensor.numpy(), wanted)
    np.testing.assert_array_equal(cwt(torch.from_numpy(x), bank).numpy(), cwt(x, bank))
    assert cwt(x[0], bank).shape == (7, 1200)
    assert cwt(x.reshape(2, 1, 1, 1200), bank).shape == (2, 1, 1, 7, 1200)
    half = np.empty((2, 6, 10), np.float16)
    Preprocessing(SweepSettings(), bank, image).fill(half, x)
    np.testing.assert_allclose(half, wanted, rtol=1e-3, atol=1e-3)
    monkeypatch.setattr(pixels, "CHUNK_MB", 1e-6)  # a sweep at a time
    np.testing.assert_allclose(cwt_resized(x, bank, image), wanted, rtol=1e-4, atol=1e-4)
    whole = np.random.default_rng(0).integers(-3000, 3000, (2, 1200)).astype(np.int16)
    np.testing.assert_array_equal(cwt(whole, bank), cwt(whole.astype(np.float32), bank))


def test_memory_does_not_grow_with_the_number_of_sweeps():
    """Peak of a fresh process, over that after a small batch; the full scalograms would be 690 MB."""
    script = """
        import resource, numpy as np, torch
        from stslib.scalograms import Bank, ImageSettings, cwt_resized
        torch.set_num_threads(1)
        x, out = np.ones((200, 4800), np.float32), np.zeros((200, 224, 224), np.float16)
        peaks_kb = []
        for n in (40, 200):
            cwt_resized(x[:n], Bank(), ImageSettings(224, 224), out=out[:n])
            peaks_kb.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        print((peaks_kb[1] - peaks_kb[0]) / 1024)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    assert float(subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout) < 30


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"frequency_max_hz": 2500}, "Nyquist"), ({"frequency_min_hz": 0}, "above 0"),
        ({"frequency_min_hz": float("nan")}, "above 0"), ({"frequency_min_hz": 300}, "minimum must be the lower"),
        ({"n_frequencies": 0}, "at least 1"), ({"n_frequencies": 2.5}, "whole number"),
        ({"n_frequencies": 10**9}, "at most 16384"), ({"rate_hz": 0}, "above 0 Hz"), ({"spacing": "cubic"}, "linear, log"),
        ({"normalisation": "L3"}, "L2, L1"), ({"wavelet": "haar"}, "mexh, morl, gaus1"), ({"wavelet": "gaus9"}, "gaus8"),
        ({"wavelet": "cmor0-1"}, "cmorB-C"), ({"wavelet": "cmor1e6-1"}, "cmorB-C"),
        ({"wavelet": "cmor1.5-0.1"}, "hardly oscillates"), ({"wavelet": "shan1.5-0.5"}, "hardly oscillates"),
        ({"wavelet": "cmor1.5-20"}, "at most 8"), ({"wavelet": "fbsp1.5-1-1"}, "whole number"),
    ],
)  # fmt: skip
def test_bad_bank(options, part):
    with pytest.raises(ParameterError, match=part) as raised:
        Bank(**options)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("x", "part"),
    [
        (np.zeros((0, 4800)), "there are none"), (np.zeros((3, 0)), "at least 2 samples"), (np.float64(1), "NumPy array"),
        ([1.0, 2.0], "NumPy array"), (np.zeros((2, 4800), complex), "real numbers"),
        (np.array(["a", "b"]), "real numbers"), (np.zeros(4800, bool), "real numbers"),
    ],
)  # fmt: skip
def test_bad_sweeps(x, part):
    for transformed in (cwt, lambda x, bank: cwt_resized(x, bank, ImageSettings(8, 8))):
        with pytest.raises(ParameterError, match=part):
            transformed(x, Bank())


def test_bad_numbers_and_options(noise, monkeypatch):
    monkeypatch.setattr(pixels, "CHUNK_MB", 1e-6)  # in a later chunk
    x = np.repeat(noise, 3, axis=0)
    x[4, 17] = np.nan
    with pytest.raises(ParameterError, match="sweep 4 holds NaN"):
        cwt_resized(x, Bank(), ImageSettings(8, 8))
    options = [{"output": "power"}, {"padding": "wrap"}, {"backend": "gpu"}]
    for wrong in options:
        with pytest.raises(ParameterError, match=next(iter(wrong))):
            cwt(noise, Bank(n_frequencies=2), **wrong)
    for wrong in (*options, *({"height": height} for height in (0, -3, 2.5, True))):
        with pytest.raises(ParameterError, match=next(iter(wrong))):
            ImageSettings(**wrong)
    for out, part in ((np.empty((2, 2, 8, 9)), "has shape"), (np.empty((2, 2, 8, 8)).swapaxes(0, 1), "not contiguous")):
        with pytest.raises(ParameterError, match=part):
            cwt_resized(np.stack([noise, noise]), Bank(n_frequencies=2), ImageSettings(8, 8), out=out)


def test_short_sweep_warns_with_the_frequencies(noise):
    t = np.linspace(4, 6, 20001)  # the Mexican hat is above 1e-4 of its largest value up to here, on either side
    width = 2 * t[np.flatnonzero((t**2 - 1) * np.exp(-(t**2) / 2) > 1e-4).max()]
    too_long = int(np.floor(1000 * width / 300))  # scale of the row of f Hz: 1000 / f samples
    with pytest.warns(ScalogramWarning, match=rf"20 to {too_long} Hz \({too_long - 19} of 180 rows\)"):
        cwt(noise[:, :300], Bank())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cwt(noise, Bank())


def test_what_cannot_be_transformed_is_refused_before_anything_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("STS_RESULTS", str(tmp_path))
    for given, part in {
        "wavelet=cmor10-1.0": "cmor10-1.0 is complex; set output to magnitude or energy",
        "wavelet=cmor0-1.0": "numbers above 0, for example cmor1.5-1.0",
        "wavelet=cmorB-C": "for example cmor1.5-1.0",
        "wavelet=mexican_hat": "use one of: mexh",
        "frequency_min_hz=300": "the minimum must be the lower",
        "image_options={'dtype': 'float32'}": "no setting 'dtype'; it has: padding, backend, antialias",
        "image_options={'padding': 'wrap'}": "padding is 'wrap'; use one of: zero, edge",
        "frequency_max_hz=600": "up to 500 Hz",
    }.items():
        with pytest.raises(ParameterError, match="03_scalograms") as raised:
            plan("default", "default", ["02_sweeps.rate_hz=1000", f"03_scalograms.{given}"])
        assert part in str(raised.value)
    given = ["03_scalograms.wavelet=cmor3-1.25", "03_scalograms.output=magnitude"]
    tasks = {task.name: task for task in plan("default", "default", given)}
    assert tasks["03_scalograms"].parameters["wavelet"] == "cmor3-1.25"


def words(figure):
    """All that is written on a figure."""
    return " | ".join(text.get_text() for text in figure.findobj(Text))


def test_figures_say_their_data_and_their_units(noise):
    bank = Bank(n_frequencies=30)
    pair = {"Pvalb cell, rheobase": noise[0], "Pvalb cell, rheobase + 40 pA": noise[1]}
    drawn = {name: cwt(x, bank) for name, x in pair.items()}
    side_by_side = figures.scalograms(pair, drawn, bank, "hybrid", 0.1, scale=list(pair)[1], cone=True)
    small = {"whole": drawn["Pvalb cell, rheobase"], "24 x 24": cwt_resized(noise[0], bank, ImageSettings(24, 24))}
    stacked = figures.scalograms({"one": noise[0]}, small, bank, "real", 0.1, scale="whole")
    for figure, kind in ((side_by_side, "hybrid cells"), (stacked, "real recordings")):
        assert kind in words(figure)
        assert "Time from step onset (s)" in words(figure) and "(Hz)" in words(figure) and "(mV)" in words(figure)
        assert len({mesh.get_clim() for ax in figure.axes for mesh in ax.findobj(QuadMesh)}) == 1  # one scale for all
    for figure in (
        figures.compare_wavelets([bank, Bank("morl")]),
        figures.bank_response(Bank("shan1.5-1.0", n_frequencies=30)),
        figures.pywt_error(errors_by_frequency(Bank(n_frequencies=5), 1000), "mexh"),
    ):
        assert any(unit in words(figure) for unit in ("(s)", "(Hz)")), words(figure)
        assert "cells" not in figure.get_supxlabel()  # these show formulas


@pytest.mark.parametrize("spacing", ["linear", "log"])
def test_a_sine_is_drawn_at_its_frequency_at_any_size(spacing):
    bank = Bank("cmor10-1.0", 20, 200, 90, spacing)
    x = np.sin(2 * np.pi * 80 * np.arange(4800) / RATE_HZ)
    for image in (cwt(x, bank), cwt_resized(x, bank, ImageSettings(30, 40, "magnitude"))):
        mesh = figures.scalograms({"sine": x}, {"sine": image}, bank, "a formula").axes[1].collections[0]
        edges_hz = mesh.get_coordinates()[:, 0, 1]
        row = mesh.get_array().mean(axis=1).argmax()
        assert edges_hz[row] <= 80 <= edges_hz[row + 1]


def test_errors_are_those_of_pywt_and_of_rounding_and_the_conclusion_follows_the_numbers():
    table = errors_by_frequency(Bank(n_frequencies=20))
    assert 0.08 < table.attrs["total"]["pywt"] < 0.16
    assert (table.float32 < 1e-5).all() and (table.float64 < 1e-10).all()
    table.attrs["total"] = {"pywt": 0.117, "float32": 2e-7, "float64": 5e-16}
    for above_20, part in ((0.7, "holds most of what is faster"), (0.4, "in the shape of the spikes")):
        text = conclusion(Bank(), table, pd.DataFrame({"above_hz": [0.0, 20.0], "median": [0.3, above_20]}))
        assert part in text and "180 rows of `mexh` from 20 to 199 Hz" in text and "PyWavelets is off by 12 %" in text


@pytest.mark.mirror
def test_real_and_hybrid_sweeps_go_through(mirror):
    """All six real sweeps and some hybrid cells, at model resolution, agree with the resized full scalogram."""
    real = open_source("real_sweeps", path=str(mirror / "sweeps"))
    hybrid = open_source("store", path=str(mirror / "hybrid" / "hybrid.h5"))
    recordings = [*real.recordings(), *hybrid.recordings(hybrid.cells().cell_id[:6])]
    x = np.stack([prepare(recording.sweeps[-1]) for recording in recordings])
    assert x.shape == (12, 4800)
    for sweep in (x[0], x[-1]):  # float32, as they are prepared
        exact = direct_evaluation(sweep.astype(np.float64), Bank())
        assert relative(cwt(sweep, Bank()), exact) <= 1e-5
        assert relative(cwt(sweep.astype(np.float64), Bank()), exact) <= 1e-10
    found = cwt_resized(x, Bank(), ImageSettings(96, 96))
    assert relative(found, resized(cwt(x, Bank()), 96, 96)) <= 1e-5
    # Spikes come during the step, so that is where the power lies.
    power = (found**2).mean(axis=1)
    assert (power[:, 8:88].mean(axis=1) > 3 * power[:, -4:].mean(axis=1)).all()
