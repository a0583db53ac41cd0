"""Which sweeps are chosen, and that cropping and resampling do what theory says."""

import json
import pickle
from dataclasses import replace
from functools import partial
from unittest.mock import Mock

import numpy as np
import pytest

from stslib import figures, sweeps
from stslib.io import mirrored, open_source
from stslib.recordings import Recording, Sweep
from stslib.support.errors import ParameterError, StsError
from stslib.sweeps import SweepSettings, choose_pair, extract, prepare


def trace(rate_hz, onset_s, duration_s, spike_s, rest_mv=-70.0, total_s=None):
    """Rest, a plateau of 20 mV during the step, Gaussian spikes 100 mV high and 0.5 ms wide at `spike_s` after onset."""
    n = round((total_s or onset_s + duration_s + 0.3) * rate_hz)
    t = np.arange(n) / rate_hz - onset_s
    v = rest_mv + 20.0 * ((t >= 0) & (t < duration_s))
    for at in spike_s:
        v += 100 * np.exp(-(((t - at) / 0.0005) ** 2))
    return v, np.where((t >= 0) & (t < duration_s), 50.0, 0.0)


def sweep(number, stimulus_pa, n_spikes=None, rate_hz=50_000.0, onset_s=0.5, duration_s=1.0, spike_s=(), **more):
    spike_s = spike_s or tuple(0.1 + 0.05 * k for k in range(n_spikes or 0))
    reader = partial(trace, rate_hz, onset_s, duration_s, spike_s, **more)
    return Sweep(number, float(stimulus_pa), onset_s, duration_s, rate_hz, reader, n_spikes)


def cell(*steps):
    return Recording("cell", "Seq", "simulated", steps, "Sst")


def unreadable():
    raise StsError("not there")


def test_rheobase_is_the_lowest_current_with_a_spike_and_the_partner_lies_above_it():
    recording = cell(
        sweep(0, -70, 0), sweep(1, 50, 0), sweep(2, 100, 9), sweep(3, 60, 0), sweep(4, 70, 2), sweep(5, 110, 12),
        sweep(6, 90, 5),
    )  # fmt: skip
    pair = choose_pair(recording)
    assert (pair.rheobase.stimulus_pa, pair.rheobase.number) == (70, 4)
    assert (pair.partner.stimulus_pa, pair.partner.number) == (110, 5)
    assert choose_pair(recording, SweepSettings(offset_pa=20)).partner.number == 6


@pytest.mark.parametrize(
    ("currents", "tolerance_pa", "wanted"),
    [((112,), 5, 112), ((105, 116), 5, 105), ((108, 111), 5, 111), ((108, 112), 5, 108), ((110.0,), 0, 110)],
)
def test_the_nearest_partner_within_the_tolerance_and_of_two_equally_near_the_lower(currents, tolerance_pa, wanted):
    recording = cell(sweep(0, 70, 1), *(sweep(k, pa, 5) for k, pa in enumerate(currents, start=1)))
    assert choose_pair(recording, SweepSettings(tolerance_pa=tolerance_pa)).partner.stimulus_pa == wanted


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ((), "no_long_square"), ((sweep(0, -70, 0),), "no_long_square"),
        ((replace(sweep(0, 70, 1), stimulus_pa=float("nan")),), "no_long_square"),
        ((sweep(0, 70, 1, rate_hz=2000.0), sweep(1, 110, 5, rate_hz=2000.0)), "low_rate"),
        ((sweep(0, 70, 1, duration_s=0.5), sweep(1, 110, 5, duration_s=0.5)), "short_step"),
        ((sweep(0, 70, 0), sweep(1, 110, 0)), "no_spiking_sweep"), ((sweep(0, 70, 1),), "no_partner_sweep"),
        ((sweep(0, 70, 1), sweep(1, 104, 4), sweep(2, 116, 6)), "no_partner_sweep"),
        ((replace(sweep(0, 70), reader=unreadable), replace(sweep(1, 110), reader=unreadable)), "bad_trace"),
    ],
)  # fmt: skip
def test_reasons(steps, reason):
    with pytest.raises(sweeps.NoPair) as raised:
        choose_pair(cell(*steps))
    assert raised.value.reason == reason and "\n" not in str(raised.value) and "cell cell" in str(raised.value)
    again = pickle.loads(pickle.dumps(raised.value))
    assert (again.reason, str(again)) == (reason, str(raised.value))


def test_repeats_first_or_average():
    silent, first, second = sweep(0, 70, 0), sweep(1, 70, 1, spike_s=(0.2,)), sweep(2, 70, 1, spike_s=(0.7,))
    recording = cell(silent, first, second, sweep(3, 110, 4))
    assert choose_pair(recording).rheobase.number == 1
    averaged = choose_pair(recording, SweepSettings(repeats="average")).rheobase
    np.testing.assert_allclose(averaged.load()[0], (first.load()[0] + second.load()[0]) / 2)


@pytest.mark.parametrize(
    "options",
    [
        {"tolerance_pa": -1}, {"offset_pa": 0}, {"offset_pa": 3}, {"repeats": "last"}, {"rate_hz": 0.0},
        {"before_s": -0.1}, {"after_s": float("nan")}, {"baseline": "median"}, {"n_sweeps": 4}, {"step_s": 0.0},
    ],
)  # fmt: skip
def test_settings_come_back_from_a_dict_and_make_sense(options):
    fields = json.loads(json.dumps(SweepSettings(offset_pa=60, before_s=0.05).as_dict()))
    assert SweepSettings.from_dict(fields) == SweepSettings(offset_pa=60, before_s=0.05)
    for bad in ({"n_sweeps": 2.5}, {"rate_hz": "4000"}, {"offset_pa": True}, {"offset": 40.0}, options):
        with pytest.raises(ParameterError, match="n_sweeps is 2" if "step_s" in bad else next(iter(bad))):
            SweepSettings.from_dict(fields | bad)


@pytest.mark.parametrize("rate_hz", [200_000.0, 50_000.0, 10_000.0, 4000.0])
def test_spike_counting(rate_hz):
    times = (0.0125, 0.02, 0.3, 0.99)
    v, _ = trace(rate_hz, 0.5, 1.0, (*times, 1.2, -0.3))  # two outside the step
    np.testing.assert_allclose(sweeps.spike_times(v, rate_hz, 0.5, 1.0), times, atol=0.001)
    artefact = v.copy()  # overshoots of the current, too short or at its edges, and a jump that does not return
    artefact[round(0.5 * rate_hz)] += 90
    artefact[round(0.8 * rate_hz) :] += 30
    assert len(sweeps.spike_times(artefact, rate_hz, 0.5, 1.0)) == len(times)
    slow = -70 + 60 * np.sin(np.pi * np.arange(round(1.5 * rate_hz)) / (0.2 * rate_hz))
    assert len(sweeps.spike_times(slow, rate_hz, 0.1, 1.0)) == 0  # it crosses, too slowly for a spike


def cohort_of(*families):
    return [replace(cell(*steps), cell_id=str(k)) for k, steps in enumerate(families)]


def test_count_partners():
    families = [(1, 2, 5), (1, None, 5), (1,), (0,)]  # spikes at 70, 90 and 110 pA
    steps = [[sweep(k, 70 + 20 * k, n) for k, n in enumerate(family) if n is not None] for family in families]
    squares = sweeps.survey(cohort_of(*steps)).long_squares
    table = sweeps.count_partners(squares, (20.0, 40.0, 60.0)).set_index("offset_pa")
    assert list(table.n_cells) == [1, 2, 0] and set(table.n_rheobase) == {3}
    with pytest.raises(ParameterError, match="offsets_pa"):
        sweeps.count_partners(squares, ())


def test_a_survey_reads_each_trace_once_and_later_choices_need_no_trace():
    """What notebook 1 counted is enough for the same choice, and for the number of cells at other offsets."""

    def counting(one):
        return replace(one, n_spikes=None, reader=Mock(wraps=one.reader))

    recordings = cohort_of(
        [counting(sweep(n, pa, spikes)) for n, (pa, spikes) in enumerate([(50, 0), (70, 1), (90, 2), (110, 4)])],
        [counting(sweep(0, 50, 1)), replace(sweep(1, 90, 2), n_spikes=None, reader=unreadable)],
        [replace(sweep(0, 50), reader=unreadable)],
        [counting(sweep(0, -50, 0)), counting(sweep(1, 60, 1, rate_hz=2000.0))],
    )
    found = sweeps.survey(recordings)
    assert found.pairs.cell_id.tolist() == ["0"]
    assert found.pairs.loc[0, ["rheobase_pa", "partner_pa", "partner_spikes"]].tolist() == [70, 110, 4]
    assert found.reasons == {"1": "no_partner_sweep", "2": "bad_trace", "3": "low_rate"}
    assert all(found.details[c] for c in found.reasons)
    n_reads = [s.reader.call_count for recording in recordings for s in recording.sweeps if isinstance(s.reader, Mock)]
    assert n_reads == [1, 1, 1, 1, 1, 0, 1]  # a current below 0 is not read
    assert found.long_squares[found.long_squares.cell_id == "0"].n_spikes.tolist() == [0, 1, 2, 4]
    known = list(sweeps.with_counts(recordings, found.long_squares))
    assert [s.number for s in choose_pair(known[0])] == [1, 3]
    assert all(s.reader.call_count == 1 for s in known[0].sweeps)
    assert [len(recording.sweeps) for recording in known] == [4, 1, 0, 1]  # without those that were not counted


@pytest.mark.parametrize("rate_hz", [200_000.0, 50_000.0, 10_000.0, 44_100.0, 32_768.0, 5000.5, 4001.0])
def test_tones_below_the_new_nyquist_pass_those_above_are_gone_and_a_spike_stays_where_it_is(rate_hz):
    t, new_t = np.arange(round(1.5 * rate_hz)) / rate_hz, np.arange(6000) / 4000
    inside = slice(200, -200)
    for tone_hz in (50, 700, 1500):
        found = sweeps.resample(np.cos(2 * np.pi * tone_hz * t), rate_hz, 4000.0)
        assert abs(len(found) - 6000) <= 1
        np.testing.assert_allclose(found[:5990][inside], np.cos(2 * np.pi * tone_hz * new_t)[:5990][inside], atol=2e-3)
    for tone_hz in (2000, 2300, 3900, 7000, 21000):
        if tone_hz < rate_hz / 2:
            assert np.abs(sweeps.resample(np.cos(2 * np.pi * tone_hz * t), rate_hz, 4000.0)[inside]).max() < 1e-3
    np.testing.assert_allclose(sweeps.resample(np.full(round(0.4 * rate_hz), -70.0), rate_hz, 4000.0), -70, atol=1e-9)
    found = sweeps.resample(np.exp(-(((t - 0.2) / 0.002) ** 2)), rate_hz, 4000.0)
    np.testing.assert_allclose(found[700:900], np.exp(-(((new_t[700:900] - 0.2) / 0.002) ** 2)), atol=1e-3)


def test_resampling_up_or_to_nothing_is_refused():
    with pytest.raises(ParameterError, match=r"rate_hz is 60000.0; sweep 0 has 50000 Hz"):
        prepare(sweep(0, 50, 1), SweepSettings(rate_hz=60_000.0))
    for to_hz in (8000.0, 0.0, -1.0, float("nan")):
        with pytest.raises(ParameterError, match="cannot resample"):
            sweeps.resample(np.zeros(100), 4000.0, to_hz)


def test_round_trip():
    t = np.arange(60_000) / 50_000
    slow, fast = np.sin(2 * np.pi * 100 * t), np.sin(2 * np.pi * 3000 * t)
    np.testing.assert_allclose(sweeps.round_trip(slow, 50_000, 4000)[3000:-3000], slow[3000:-3000], atol=1e-3)
    assert sweeps.reconstruction_error(fast, 50_000, 4000)[0] == pytest.approx(1, abs=0.01)  # nothing of it is left
    np.testing.assert_allclose(sweeps.round_trip(np.full(60_000, -70.0), 50_000, 4000), -70, atol=1e-9)
    v, _ = trace(50_000.0, 0.5, 1.0, (0.2, 0.4))
    errors = [sweeps.reconstruction_error(v, 50_000, rate)[0] for rate in (1000, 2000, 4000, 8000)]
    assert (np.diff(errors) < 0).all()


@pytest.mark.parametrize(
    ("onset_s", "rate_hz"), [(1.02, 200_000.0), (0.5, 50_000.0), (0.2, 10_000.0), (0.205, 44_100.0)]
)
def test_cropped_on_the_own_onset_whatever_the_rig(onset_s, rate_hz):
    """A spike 0.25 s after the onset is at 0.35 s of the result, and rest is zero, on every rig."""
    one = sweep(0, 50, rate_hz=rate_hz, onset_s=onset_s, spike_s=(0.25, 0.5))
    found = prepare(one)
    assert found.shape == (4800,) and found.dtype == np.float32
    assert np.flatnonzero(found > 90)[0] / 4000 == pytest.approx(0.35, abs=0.0006)
    np.testing.assert_allclose(found[:380], 0, atol=0.05)
    np.testing.assert_allclose(found[500:1200], 20, atol=0.5)
    np.testing.assert_allclose(prepare(one, SweepSettings(baseline="keep")) - found, -70, atol=1e-3)


def test_a_test_pulse_before_the_step_is_no_rest():
    v, i = trace(50_000.0, 0.5, 1.0, (0.25,))
    pulse = slice(22_000, 23_000)  # from 60 to 40 ms before the step
    i[pulse], v[pulse] = -100.0, -100.0
    found = sweeps.resampling.prepare_with_metadata(replace(sweep(0, 50), reader=lambda: (v, i)))
    assert found.rest_mv == pytest.approx(-70)


def test_other_windows():
    s = sweep(0, 50, spike_s=(0.25,))
    assert prepare(s, SweepSettings(before_s=0.0, after_s=0.0)).shape == (4000,)
    assert prepare(s, SweepSettings(rate_hz=8000, before_s=0.2, after_s=0.05)).shape == (10000,)
    np.testing.assert_allclose(prepare(s, SweepSettings(before_s=0.05))[:4000], prepare(s)[200:4200], atol=0.01)


def test_a_recording_that_ends_early_is_held_and_reported():
    short = sweep(0, 110, 3, onset_s=0.06, total_s=1.09)
    assert np.ptp(prepare(short, SweepSettings(baseline="keep"))[:140]) < 0.1
    array, table = extract([cell(sweep(1, 70, 1), short)])
    assert table.padded_s[0] == pytest.approx(0.04 + 0.07, abs=1e-3)
    np.testing.assert_allclose(array[0, 1, -270:], array[0, 1, -1], atol=0.01)
    assert extract([cell(sweep(1, 70, 1), sweep(0, 110, 3))])[1].padded_s[0] == 0


def test_extract_gives_a_row_a_cell_and_an_array_of_those_kept():
    good = cell(sweep(0, 70, 1), sweep(1, 110, 5, rest_mv=-66.0))
    cut = (sweep(0, 70, 1), sweep(1, 110, 5, total_s=0.9))  # its voltage ends within the step
    holed = (sweep(0, 70, 1), sweep(1, 110, 5, rest_mv=np.nan))
    cells = cohort_of(good.sweeps, (sweep(0, 70, 0),), cut, good.sweeps, holed)
    array, table = extract(cells)
    assert array.shape == (2, 2, 4800) and list(table.cell_id) == ["0", "1", "2", "3", "4"]
    assert list(table.reason) == ["", "no_spiking_sweep", "bad_trace", "", "bad_trace"] and "NaN" in table.detail[4]
    assert table.loc[0, ["rheobase_pa", "partner_pa", "rheobase_spikes", "partner_spikes"]].tolist() == [70, 110, 1, 5]
    np.testing.assert_allclose(table.loc[0, ["rest_mv", "partner_rest_mv"]].astype(float), [-70, -66], atol=0.01)
    np.testing.assert_array_equal(array[0], [prepare(s) for s in good.sweeps])
    parallel, same = extract(cells, n_jobs=2)
    np.testing.assert_array_equal(parallel, array)
    assert same.equals(table)
    nothing, empty = extract([])
    assert nothing.shape == (0, 2, 4800) and len(empty) == 0
    with pytest.raises(StsError, match=r"3 of 5 cells have no such sweeps.*no spike in 1 sweeps up to 70 pA"):
        extract(cells, complete=True)


def test_power_and_shares_of_known_tones(monkeypatch):
    """Parseval: a tone of amplitude 2 has a power of 2 mV^2; the shares of two tones follow from their amplitudes."""
    t = np.arange(4800) / 4000
    frequencies_hz, density = sweeps.power_spectrum(2 * np.sin(2 * np.pi * 100 * t), 4000.0)
    assert density.sum() * frequencies_hz[1] == pytest.approx(2, rel=1e-3)
    both = np.stack([np.sin(2 * np.pi * 100 * t) + 3 * np.sin(2 * np.pi * 500 * t), 70 + np.sin(2 * np.pi * 10 * t)])
    each = {"two": both[:1], "one": both[1:]}
    np.testing.assert_allclose(sweeps.band_power(each, 20, 200, floors_hz=[0])["median"], [0.1, 0], atol=1e-3)
    np.testing.assert_allclose(sweeps.band_power(each, 5, 600, floors_hz=[5])["median"], [1, 1], atol=1e-3)
    monkeypatch.delenv("STS_DATA_MIRROR", raising=False)  # without a mirror there is nothing to compare with
    nothing = sweeps.band_power(mirrored(), 20, 200)
    assert nothing.empty and list(nothing.columns) == ["data", "n_sweeps", "above_hz", "median", "low", "high"]


def test_firing_and_typical_cells():
    """Whatever the resting potential."""
    three, keep = sweep(0, 50, spike_s=(0.1, 0.35, 0.6)), SweepSettings(baseline="keep")
    traces = [prepare(three), prepare(sweep(0, 50, spike_s=(0.9,))), np.zeros(4800), prepare(three, keep)]
    table = sweeps.firing(np.stack(traces))
    assert table.n_spikes.tolist() == [3, 1, 0, 3]
    np.testing.assert_allclose(table.first_s, [0.1, 0.9, np.nan, 0.1], atol=0.001)
    np.testing.assert_allclose(table.last_s, [0.6, 0.9, np.nan, 0.6], atol=0.001)
    assert sweeps.typical_cells(["Sst", "Pvalb", "Sst", "Sst"], [1, 9, 5, 4]) == {"Sst": 3, "Pvalb": 1}


def test_resampling_quality_finds_the_power_and_counts_what_is_lost():
    """Two sines of known power: Parseval's sum, and the error of reconstruction is the one that cannot be held."""
    rate_hz, t = 50_000.0, np.arange(60_000) / 50_000.0
    low, high = 3 * np.sin(2 * np.pi * 101 * t), 0.5 * np.sin(2 * np.pi * 3003 * t)
    one = cell(Sweep(0, 50.0, 0.1, 1.0, rate_hz, lambda: (low + high, np.zeros_like(t)), 1))
    stored = sweeps.sweep_quality(one.sweeps[0]).astype(np.float32)  # as fetched cells keep it
    quality = sweeps.resampling_quality([one, one], SweepSettings(n_sweeps=1), [stored, stored])
    power, by_hz = quality.spectra.density * quality.spectra.width_hz, quality.spectra.frequency_hz
    assert power[(by_hz > 80) & (by_hz < 130)].sum() == pytest.approx(4.5, rel=0.15)
    assert quality.share_above(2000.0)["Sst"] == pytest.approx(0.125 / (4.5 + 0.125), rel=0.2)
    at = quality.errors.groupby("rate_hz").relative.first()
    assert at[4000.0] == pytest.approx(0.5 / np.sqrt(9.25), rel=0.05)  # the 3 kHz sine is gone, the other is whole
    assert at[8000.0] < 0.01
    assert quality.spectra.frequency_hz.max() < rate_hz / 2
    assert f"Sst {100 * at[4000.0]:.1f} %" in quality.text(4000.0)


def test_a_resampled_spike_is_lower_the_lower_the_rate_and_is_that_of_the_narrowest_class():
    wide, narrow = cell(sweep(0, 50, 1, spike_s=(0.3,))), cell(sweep(0, 90, 1, rate_hz=3000.0, spike_s=(0.3,)))
    single = SweepSettings(n_sweeps=1, rate_hz=3000.0)
    quality = sweeps.resampling_quality([wide] * 9, single, n_each=2)
    spike = quality.spike
    assert list(spike.columns) == ["time_ms", "raw", "1000.0", "2000.0", "4000.0"]
    assert spike["1000.0"].max() < spike["4000.0"].max() <= spike.raw.max() + 3
    assert spike.time_ms[spike.raw.idxmax()] == 0
    assert len(quality.errors) == 2 * 4
    mixed = sweeps.resampling_quality([wide, replace(narrow, label="Pvalb")], single)
    assert list(mixed.spike.columns) == ["time_ms", "raw", "1000.0", "2000.0"]  # not above the sweep's own rate


def test_extracted_sweeps_in_numbers():
    array, table = extract([cell(sweep(0, 70, 1), sweep(1, 110, n)) for n in (3, 5, 4)])
    fired = sweeps.firing(array[:, -1])
    assert table.n_spikes.tolist() == fired.n_spikes.tolist() == [3, 5, 4]
    np.testing.assert_allclose(table.last_spike_s, fired.last_s)
    row = sweeps.summary(table.assign(label=["Sst", "Sst", "Pvalb"])).set_index("label")
    assert list(row.index) == ["Pvalb", "Sst"]
    assert row.loc["Sst", ["cells", "current_pa", "spikes"]].tolist() == [2, 110, 4]


@pytest.mark.mirror
def test_hybrid_counts_and_pairs(mirror):
    """The spike criterion finds the counts that the file states, and every cell has its +40 pA partner."""
    source = open_source("store", path=str(mirror / "hybrid" / "hybrid.h5"))
    recordings = list(source.recordings(source.cells().cell_id[::13]))
    chosen = [s for recording in recordings for s in choose_pair(recording)]
    recounted = [sweeps.counted(replace(s, n_spikes=None)).n_spikes for s in chosen]
    differences = np.array([s.n_spikes for s in chosen]) - recounted
    assert np.mean(differences == 0) >= 0.95 and np.abs(differences).max() <= 1
    array, table = extract(recordings)
    assert array.shape == (len(recordings), 2, 4800) and (table.padded_s == 0).all()
    assert (table.partner_pa - table.rheobase_pa).tolist() == pytest.approx([40] * len(recordings))
    assert np.abs(array[:, :, :380]).max() < 10  # rest is zero before the step, but for noise


@pytest.mark.mirror
def test_real_sweeps_through_preparation_and_figures(mirror):
    recordings = list(open_source("real_sweeps", path=str(mirror / "sweeps")).recordings())
    assert len(recordings) == 6
    traces = np.stack([prepare(r.sweeps[0]) for r in recordings])
    for recording, found in zip(recordings, traces, strict=True):
        s = recording.sweeps[0]
        raw = sweeps.counted(replace(s, n_spikes=None)).n_spikes
        assert raw >= 10
        assert len(sweeps.spike_times(found, 4000.0, 0.1, 1.0)) == raw  # resampling loses no spike
        error, peak_mv = sweeps.reconstruction_error(s.load()[0], s.rate_hz, 4000.0)
        assert error < 0.05 and abs(peak_mv) < 5
    single = SweepSettings(n_sweeps=1)
    _, table = extract(recordings, single)
    table["label"] = [r.label for r in recordings]
    drawn = [
        figures.raw_sweep(recordings[0], "real", single),
        figures.rheobase_search(recordings[0], "real", single),
        figures.spike_trains(traces[:, None], table, "real", single),
        figures.spectrum_and_share(traces, table.label.tolist(), "real"),
    ]
    assert [len(figure.axes) for figure in drawn[:3]] == [2, 2, 6]
    for figure in drawn:
        assert "real recordings" in figure.get_supxlabel()


HAND_COUNTS = {
    "509881736": 25, "518290966": 12, "526950199": 22, "532355382": 22, "534524026": 25, "566517779": 20
}  # fmt: skip


@pytest.mark.mirror
@pytest.mark.parametrize(("gain", "shift_mv"), [(1.0, 0), (1.0, 40), (1.0, -60), (0.6, 0)])
def test_spikes_of_real_sweeps_are_those_counted_by_hand_wherever_the_potential_lies(mirror, gain, shift_mv):
    for recording in open_source("real_sweeps", path=str(mirror / "sweeps")).recordings():
        one = recording.sweeps[0]
        v_mv, i_pa = one.load()
        v_mv = gain * v_mv + shift_mv + 0.15 * i_pa  # an electrode of 150 megohms that is not balanced
        assert len(sweeps.spike_times(v_mv, one.rate_hz, one.onset_s, one.duration_s)) == HAND_COUNTS[recording.cell_id]


@pytest.mark.mirror
def test_real_and_hybrid_sweeps_keep_about_half_of_their_power_in_the_band(mirror, monkeypatch):
    monkeypatch.setenv("STS_DATA_MIRROR", str(mirror))
    cells = mirrored(n_hybrid=20)
    table = sweeps.band_power(cells, 20, 200)
    assert dict(zip(table.data, table.n_sweeps, strict=True)) == {"real": 6, "hybrid": 20}
    assert ((table.low <= table["median"]) & (table["median"] <= table.high)).all()
    # What counts as power shrinks, so the share grows.
    assert table.groupby("data")["median"].apply(lambda shares: shares.is_monotonic_increasing).all()
    assert table["median"].between(0.3, 0.8).all()
    whole = sweeps.band_power({"real": cells["real"]}, 0, 2001, floors_hz=(0.0,))
    assert whole["median"].tolist() == pytest.approx([1])
