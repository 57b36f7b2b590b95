"""How long a build takes from here: against schedules worked out by hand."""

import time

import companion_tree
import pytest

from devinterp_core.companion import build, jobs, remaining

KNOWN = {"a": 40.0, "b": 30.0, "c": 20.0}


@pytest.mark.parametrize(
    ("done", "known", "cores", "elapsed", "left"),
    [
        ({}, KNOWN, 1, 0.0, 90.0),
        ({}, KNOWN, 2, 0.0, 50.0),  # a; b, then c beside it
        ({}, KNOWN, 9, 0.0, 40.0),
        ({"a": 40.0}, KNOWN, 1, 40.0, 50.0),
        ({"a": 80.0}, KNOWN, 1, 80.0, 100.0),  # half the pace: b and c take 60 and 40
        ({"b": 15.0}, KNOWN, 2, 15.0, 10.0),  # twice the pace: a takes 20, c 10 after b's 15
        ({"a": 12.0}, {}, 1, 12.0, 24.0),  # nothing known: as those that are done
        ({"a": 12.0, "b": 18.0}, {}, 1, 30.0, 15.0),
        ({}, KNOWN, 1, 500.0, 0.0),  # later than ever: no negative time
        ({}, {}, 1, 3.0, None),
    ],
)
def test_seconds_left(done, known, cores, elapsed, left):
    assert remaining.seconds_left("abc", done, known, cores, elapsed) == pytest.approx(left)


@pytest.mark.parametrize(("seconds", "words"), [(0, "less than a minute"), (61, "about 1 min"), (400, "about 7 min")])
def test_in_words(seconds, words):
    assert remaining.in_words(seconds).startswith(words)
    assert "not known" in remaining.in_words(None)


@pytest.mark.parametrize(
    ("options", "cores"),
    [(["--cores", "3"], 3), (["-j4"], None), (["--jobs=5"], 5), (["--cores", "all"], None), ([], None)],
)
def test_cores_are_read_from_the_options(options, cores, monkeypatch):
    monkeypatch.setattr(build.os, "sched_getaffinity", lambda _: range(7))
    assert build.at_a_time(options) == (cores or 7)


def test_a_build_says_how_many_are_done(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COMPANION_ROOT", str(tmp_path))
    companion_tree.make(tmp_path)
    (tmp_path / "book" / "seconds.json").write_text('{"01_first": 120, "02_second": 60}')
    monkeypatch.setattr(remaining, "LOOK", 0.01)
    found = [jobs.job(path, {}) for path in sorted((tmp_path / "notebooks").glob("*.py"))]
    with remaining.told(found, 1, "book"):
        time.sleep(0.1)
        found[0].folder.mkdir(parents=True)
        (found[0].folder / "run.json").write_text('{"wall_seconds": 240}')
        time.sleep(0.1)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["[book] 0 of 2 notebooks done: about 3 min left", "[book] 1 of 2 notebooks done: about 6 min left"]
    with remaining.told(found, 1, "book", ["--dry-run"]):
        pass
    assert not capsys.readouterr().err
