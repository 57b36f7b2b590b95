"""Recorded runs as a notebook opens them: tables and other files, refused unless they are what was recorded."""

import hashlib
import json

import pytest

from devinterp_core.companion.project import CompanionError
from devinterp_core.companion.recorded_tables import problem, recorded_path, recorded_tables


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A recorded run of two tables and a folder of weights, made in two steps."""
    monkeypatch.setenv("COMPANION_ROOT", str(tmp_path))
    place = tmp_path / "data/recorded/run"
    (place / "weights").mkdir(parents=True)
    contents = {"curves.csv": "step,loss\n0,1.5\n", "llc.csv": "step,llc\n3,2\n", "weights/a.bin": "a"}
    for name, text in contents.items():
        (place / name).write_text(text)
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in contents.items()}
    steps = [{"files": {name: digests[name]}} for name in contents]
    (place / "provenance.json").write_text(json.dumps({"steps": steps}))
    return place


def test_tables_and_paths_of_what_was_recorded(folder):
    tables = recorded_tables("run")
    assert list(tables) == ["curves", "llc"] and tables["curves"].loss.tolist() == [1.5]
    assert recorded_path("run", "weights") == folder / "weights"
    assert recorded_path("run", "weights/a.bin").read_text() == "a"
    assert not problem("run")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("llc.csv", "step,llc\n3,3\n", "llc.csv is not what was written"),
        ("llc.csv", None, "llc.csv is missing"),
        ("more.csv", "x\n", "more.csv is not in its provenance"),
        ("provenance.json", None, "provenance.json is missing"),
        ("provenance.json", "{}", "lists no files with their checksums"),
        ("provenance.json", '{"steps": [{"commit": "1"}]}', "lists no files with their checksums"),
        ("provenance.json", "[", "lists no files with their checksums"),
    ],
)
def test_tables_that_are_not_as_recorded_are_refused_with_what_mends_them(folder, name, text, message):
    if text is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(text)
    for required in (True, False):
        with pytest.raises(CompanionError, match=f"'run' is not as it was recorded: .*{message}.*record run --force"):
            recorded_tables("run", required=required)
    assert message in problem("run")


def test_a_path_is_compared_with_all_that_lies_in_it_and_with_nothing_else(folder):
    (folder / "llc.csv").write_text("other\n")
    assert recorded_path("run", "weights").is_dir()  # the tables are not its matter
    (folder / "weights/b.bin").write_text("b")
    with pytest.raises(CompanionError, match="weights/b.bin is not in its provenance"):
        recorded_path("run", "weights")
    (folder / "weights/b.bin").unlink()
    (folder / "weights/a.bin").write_text("b")
    with pytest.raises(CompanionError, match="weights/a.bin is not what was written"):
        recorded_path("run", "weights")


def test_what_was_never_recorded_is_refused_or_empty_where_that_is_asked_for(folder):
    with pytest.raises(CompanionError, match="there is no recorded run 'walk'; there are: run"):
        recorded_tables("walk")
    assert recorded_tables("walk", required=False) == {}
    with pytest.raises(CompanionError, match="has no 'biases'; it has: curves.csv, llc.csv, weights"):
        recorded_path("run", "biases")
