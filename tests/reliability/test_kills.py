"""Killed at random points: what is called again continues, to the last bit, and nothing temporary is left."""

import os
import pickle
import random
import signal
import time
from pathlib import Path

import companion_tree
import pytest
import reliability_problems as problems
from reliability_children import kill_after, scaled, start

pytestmark = pytest.mark.area("kills")
MOST_KILLS = 3  # of one run


def leave(name: str, folder: str) -> None:
    """The run, its result in a file that appears whole."""
    result = problems.call(name, folder)
    path = Path(folder).with_suffix(".result")
    path.with_suffix(".part").write_bytes(pickle.dumps(result))
    os.replace(path.with_suffix(".part"), path)


def leave_but_die_at(name: str, folder: str, which: str, count: int) -> None:
    """The same; SIGKILL at the `count`-th call of a function of the file system, before or after it is carried out."""
    when, function = which.split()
    real, seen = getattr(os, function), [0]

    def deadly(*args, **kwargs):
        seen[0] += 1
        if seen[0] == count and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*args, **kwargs)
        if seen[0] == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(os, function, deadly)
    leave(name, folder)


def temporary_files(folder: Path) -> list[str]:
    return sorted(
        p.name for p in folder.rglob("*") if p.name.startswith(".") and "tmp" in p.name or ".tmp" in p.suffixes
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Result and duration of the run that nobody kills, by name."""
    known = {}

    def find(name: str):
        if name not in known:
            start(time.sleep, 0).join()  # the server of children is up
            folder = tmp_path_factory.mktemp("whole") / "run"
            folder.mkdir()
            began = time.monotonic()
            process = start(leave, name, str(folder))
            process.join(120)
            assert process.exitcode == 0, f"{name} does not run at all"
            known[name] = pickle.loads(folder.with_suffix(".result").read_bytes()), time.monotonic() - began
        return known[name]

    return find


@pytest.mark.parametrize("case", range(scaled(1, 8)))
@pytest.mark.parametrize("name", problems.RESUMABLE)
def test_killed_at_random_moments(name, case, whole, tmp_path):
    expected, seconds = whole(name)
    moments = random.Random(f"{name} {case}")
    folder = tmp_path / "run"
    folder.mkdir()
    for _ in range(MOST_KILLS):
        kill_after(start(leave, name, str(folder)), moments.uniform(0.2, 1.0) * seconds)
    finish(name, folder, expected)


@pytest.mark.parametrize("case", range(scaled(1, 4)))
@pytest.mark.parametrize("name", problems.RESUMABLE)
def test_killed_in_the_middle_of_saving(name, case, whole, tmp_path):
    expected, _ = whole(name)
    moments = random.Random(f"saving {name} {case}")
    folder = tmp_path / "run"
    folder.mkdir()
    for _ in range(2):
        which = moments.choice(["before replace", "after replace", "before fsync", "after fsync"])
        process = start(leave_but_die_at, name, str(folder), which, moments.randint(1, 6))
        process.join(120)
        assert process.exitcode in (0, -signal.SIGKILL)
    finish(name, folder, expected)


def finish(name: str, folder: Path, expected: dict) -> None:
    process = start(leave, name, str(folder))
    process.join(120)
    assert process.exitcode == 0, "the run cannot be taken up again"
    assert problems.same(pickle.loads(folder.with_suffix(".result").read_bytes()), expected)
    assert temporary_files(folder) == []


@pytest.mark.parametrize("case", range(scaled(1, 4)))
def test_a_killed_execution_of_a_notebook_is_made_anew(case, tmp_path):
    tree = companion_tree.make(tmp_path)
    moments = random.Random(f"companion {case}")
    process = companion_tree.start(tree, "run", "01")
    time.sleep(moments.uniform(1.0, 8.0))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    status, output = companion_tree.companion(tree, "run", "01")
    assert status == 0, output
    (folder,) = companion_tree.results(tree)
    assert {path.name for path in folder.iterdir()} >= {"notebook.ipynb", "run.json", "fig-first.svg"}
    assert (folder / "fig-first.svg").read_text() == "<svg>3.0</svg>"
    assert not list((tree / "_build" / "executed").glob(".tmp-*"))
