"""Shares of power in the band, of the cells of a data mirror."""

from __future__ import annotations

import pytest

from stslib.sweeps.band_power import elsewhere


@pytest.mark.mirror
def test_real_and_hybrid_sweeps_keep_about_half(mirror, monkeypatch):
    monkeypatch.setenv("STS_DATA_MIRROR", str(mirror))
    table = elsewhere(20, 200, n_hybrid=20)
    assert dict(zip(table.data, table.n_sweeps, strict=True)) == {"real": 6, "hybrid": 20}
    assert (table.low <= table["median"]).all()
    assert (table["median"] <= table.high).all()
    # What counts as power shrinks, so the share grows.
    assert table.groupby("data")["median"].apply(lambda shares: shares.is_monotonic_increasing).all()
    assert table["median"].between(0.3, 0.8).all()
    everything = elsewhere(0, 2001, floors_hz=(0.0,), n_hybrid=3)
    assert everything["median"].tolist() == pytest.approx([1, 1])


def test_without_a_mirror_the_table_is_empty(tmp_path, monkeypatch):
    monkeypatch.delenv("STS_DATA_MIRROR", raising=False)
    assert elsewhere(20, 200).empty
    monkeypatch.setenv("STS_DATA_MIRROR", str(tmp_path))
    assert list(elsewhere(20, 200).columns) == ["data", "n_sweeps", "above_hz", "median", "low", "high"]
    assert elsewhere(20, 200).empty
