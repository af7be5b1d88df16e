"""The Hub's benchmark at a tiny size: its set holds what it says, and what it counts is what travelled."""

import importlib
import sys

import pytest

from giqa_datasets.check import examine_dataset
from tests.paths import BENCHMARKS


pytestmark = pytest.mark.slow


sys.path.insert(0, str(BENCHMARKS))
bench = importlib.import_module("hub")


@pytest.fixture(scope="module")
def records():
    return list(bench.make_records(6, rows_per_image=2))


@pytest.fixture(scope="module")
def folder(records, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench") / "set"
    bench.build(folder, records)
    return folder


@pytest.fixture
def counting(tmp_path):
    hub = bench.CountingHub(tmp_path / "store")
    yield hub
    hub.stop()


def shard_bytes(hub, repo):
    return sum(len(raw) for path, raw in hub.files(f"datasets/{repo}").items() if path.endswith(".parquet"))


def test_the_set_is_of_different_photographs_and_holds_what_it_says(records, folder):
    assert examine_dataset(folder).findings == []
    assert len({record.photograph.image for record in records}) == 6
    assert [len(record.samples) for record in records] == [2] * 6
    assert next(bench.make_records(6, seed=1)).photograph.sha256 != records[0].photograph.sha256


def test_the_bytes_are_those_that_travelled(counting, folder, tmp_path):
    for repo, script in (("org/ours", bench.OURS), ("org/pushed", bench.PEER)):
        counting.requests.clear()
        seconds, cpu = counting.run(tmp_path / "home", script, folder, repo)
        assert seconds > 0 < cpu
        stored = shard_bytes(counting, repo)
        assert stored < counting.n_sent < 1.2 * stored
        assert counting.n_read == 0


def test_over_xet_what_is_stored_does_not_travel_again(counting, folder, tmp_path):
    counting.run(tmp_path / "home", bench.OURS, folder, "org/set")
    counting.is_xet = True
    stored = []
    for repo in ("org/first", "org/again"):
        before = counting.n_stored
        counting.run(tmp_path / "home", bench.OURS, folder, repo)
        stored.append(counting.n_stored - before)
    assert shard_bytes(counting, "org/set") * 0.9 < stored[0]
    assert stored[1] < stored[0] / 10


def test_a_client_that_fails_is_not_measured(counting, folder, tmp_path):
    counting.fail("whoami", 401)
    with pytest.raises(SystemExit, match="injected"):
        counting.run(tmp_path / "home", bench.OURS, folder, "org/set")


def test_the_command_prints_its_tables(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["hub.py", "--images", "20", "--part", "stream"])
    bench.main()
    told = capsys.readouterr().out
    assert "20 rows, 20 images" in told
    assert told.count("  target ") == 2
    first = next(line for line in told.splitlines() if line.startswith("first row   giqa publish "))
    stored, read, *_ = map(float, first.replace("%", "").split()[-4:])
    assert 0.5 < stored <= read  # so small a shard is read whole
    assert told.count("\nall texts ") == 3
