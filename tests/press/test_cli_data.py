"""`sts data`: what a user types, and one line for whatever is wrong."""

from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result

from stslib.io import SOURCES
from stslib.press import cli
from tests.io import standin
from tests.io.standin import family
from tests.io.standin_server import Archives


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Cell Types Database of three cells, one of them human."""
    root = tmp_path_factory.mktemp("database")
    held = standin.write_nwb1(root / "cell.nwb", family(50, top_pa=90, description="Long Square", rate_hz=10_000.0))
    archives = Archives()
    for n, species in ((1, "Mus musculus"), (2, "Mus musculus"), (3, "Homo Sapiens")):
        archives.add_cell(n, held, donor__species=species)
    yield archives.start()
    archives.stop()


def sts(*arguments: object, mirror: object = "nowhere") -> Result:
    """`sts data ...` as the shell runs it; the published tables are an extra, most tests do without and ask no network."""
    return CliRunner(env={"STS_DATA_MIRROR": str(mirror)}).invoke(cli.main, ["data", *map(str, arguments)])


def test_fetch_says_what_it_will_do_does_it_and_says_what_it_did(database, tmp_path):
    folder = tmp_path / "store"
    arguments = ("fetch", "--source", "allen", "--output", folder, "--base-uri", database, "--workers", 2)
    estimate = sts(*arguments, "--estimate")
    assert estimate.exit_code == 0 and "2 to fetch, about 40 MB" in estimate.output and not (folder / "cells").exists()
    done = sts(*arguments)
    assert done.exit_code == 0, done.output
    assert "3 cells: 1 excluded by their table, 0 already there, 2 to fetch" in done.output
    assert "3 cells: 2 kept, 1 excluded (1 not_mouse)" in done.output
    again = sts(*arguments).output
    assert "2 already there, 0 to fetch" in again and "2 kept" in again
    checked = sts("check", folder)
    assert checked.exit_code == 0 and "allen: 3 cells: 2 kept" in checked.output
    cell = folder / "cells" / "2.npz"
    for harm, words in ((lambda: cell.write_bytes(b"PK\x03\x04"), "2.npz is damaged"), (cell.unlink, "lacks cell 2")):
        harm()
        broken = sts("check", folder)
        assert broken.exit_code == 1 and words in broken.output
    assert sts(*arguments).exit_code == 0 and sts("check", folder).exit_code == 0


def test_the_store_has_a_place_when_none_is_named(database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = sts("fetch", "--source", "allen", "--cells", 1, "--base-uri", database)
    assert done.exit_code == 0, done.output
    assert "1 kept" in sts("check", "recordings/allen").output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--cells", -1), "cells is -1"), (("--workers", 0), "workers is 0"), (("--offset-pa", 0), "offset_pa is 0.0"),
        (("--tolerance-pa", -1), "tolerance_pa is -1.0"), (("--per-second", 0), "per-second is 0.0"),
        (("--scheduler", "nonsense"), "scheduler is 'nonsense'"), (("--seed", -1), "Invalid value for '--seed'"),
        (("--base-uri", "ftp://archive"), "base-uri is 'ftp://archive'"),
    ],
)  # fmt: skip
def test_parameters_that_make_no_sense_are_one_line(database, tmp_path, arguments, said):
    result = sts("fetch", "--source", "allen", "--output", tmp_path, "--base-uri", database, *arguments)
    assert result.exit_code == 2 and said in result.output and "Traceback" not in result.output
    assert not list(tmp_path.glob("cells/*"))


def test_a_folder_that_cannot_be_made_is_said_before_anything_travels(database, tmp_path):
    (tmp_path / "file").write_text("in the way")
    into = ("--output", tmp_path / "file" / "store", "--base-uri", "http://127.0.0.1:9")
    result = sts("fetch", "--source", "allen", *into)
    assert result.exit_code == 1 and str(tmp_path / "file") in result.output and "failed" not in result.output


@pytest.mark.mirror
def test_tables_are_fetched_into_a_mirror_and_checked(mirror, tmp_path):
    fetch = ("fetch", "--source", "published", "--output", tmp_path)
    done = sts(*fetch, mirror=mirror)
    assert done.exit_code == sts("check", tmp_path).exit_code == 0, done.output
    table = tmp_path / "published" / "Test_split.csv"
    table.write_bytes(table.read_bytes()[:-1] + b"!")
    broken = sts("check", tmp_path)
    assert broken.exit_code == 1 and "Test_split.csv is not the published file" in broken.output
    assert sts(*fetch, mirror=mirror).exit_code == sts("check", tmp_path).exit_code == 0


def test_check_of_no_store_is_one_line(tmp_path):
    for folder, said in ((tmp_path / "nowhere", "there is no folder"), (tmp_path, "holds neither fetched cells")):
        result = sts("check", folder)
        assert result.exit_code == 1 and said in result.output


def test_list_names_every_source():
    assert [line.split()[0] for line in sts("list").output.splitlines()] == list(SOURCES)
