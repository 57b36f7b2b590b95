"""The build graph: the book, killed builds, two builds at once, and sweeps, on a small project with real kernels."""

import os
import signal
import time

import companion_tree
import pandas as pd
import pytest
from companion_tree import companion, edit, executions, results, start


@pytest.fixture
def tree(tmp_path):
    """The small project."""
    return companion_tree.make(tmp_path)


def wait_for(condition, seconds=120):
    """Wait until `condition()` is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def page(tree, name="01_first"):
    return (tree / "_build" / "html" / "notebooks" / f"{name}.html").read_text()


def test_the_book_is_built_and_only_what_changed_is_made_again(tree):
    status, output = companion(tree, "book")
    assert status == 0, output
    assert sorted(executions(tree)) == ["one 0 1.0", "two 0 1.0"]
    assert "[notebook 1 of 2] 01_first: cell 1 of 3" in output
    assert f"The book: {tree}/_build/html/index.html" in output
    assert (tree / "_build" / "html" / "downloads" / "01_first" / "fig-first.svg").exists()

    # nothing changed, even if every file looks new and Snakemake has lost its memory
    for path in tree.glob("notebooks/*.py"):
        os.utime(path)
    made = (tree / "_build" / "html" / "index.html").stat().st_ino
    began = time.monotonic()
    assert companion(tree, "book")[0] == 0
    assert time.monotonic() - began < 20
    assert (tree / "_build" / "html" / "index.html").stat().st_ino == made

    edit(tree / "notebooks" / "01_first.py", "The first prose.", "Edited prose.")
    assert companion(tree, "book")[0] == 0
    assert "Edited prose." in page(tree)
    assert len(executions(tree)) == 2

    # an edit older than its output; the other notebook stays
    edit(tree / "notebooks" / "02_second.py", "sum(widths)", "sum(widths) + 1")
    os.utime(tree / "notebooks" / "02_second.py", (0, 0))
    assert companion(tree, "book")[0] == 0
    assert executions(tree)[2:] == ["two 0 1.0"]

    # a failure: says so, ends non-zero, and the last good pages stay
    (tree / "fail").touch()
    edit(tree / "notebooks" / "02_second.py", "sum(widths) + 1", "sum(widths) + 2")
    before = page(tree)
    status, output = companion(tree, "book")
    assert status != 0
    assert "ValueError: asked to fail" in output
    assert page(tree) == before
    (tree / "fail").unlink()

    # a page that Sphinx warns about is not published either
    (tree / "book" / "intro.md").write_text("# Introduction\n\n{numref}`nowhere`\n")
    status, output = companion(tree, "book")
    assert status != 0
    assert "nowhere" in output
    assert page(tree) == before


def kill(process, whole_group=True):
    """kill -9, of the command and all it started or of the command alone."""
    if whole_group:
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.stdout.close()
    process.wait()


@pytest.mark.parametrize("whole_group", [True, False], ids=["everything", "the command alone"])
def test_a_killed_build_is_finished_by_the_next(tree, whole_group):
    (tree / "sleep").touch()
    build = start(tree, "book")
    wait_for(lambda: executions(tree))
    kill(build, whole_group)
    assert not list((tree / "_build").glob("executed/[!.]*/*"))
    assert not (tree / "_build" / "html").exists()
    (tree / "sleep").unlink()  # what was not killed goes on now, beside the next build
    status, output = companion(tree, "book")
    assert status == 0, output
    assert {path.name for path in results(tree)[0].iterdir()} == {"notebook.ipynb", "run.json", "fig-first.svg"}
    assert "The first prose." in page(tree)
    wait_for(lambda: not list((tree / "_build").rglob(".tmp-*")))
    if not whole_group:
        assert sorted(executions(tree)) == ["one 0 1.0", "two 0 1.0"]  # the work of the orphans was used


def test_a_build_killed_while_it_publishes_leaves_the_old_pages(tree):
    assert companion(tree, "book")[0] == 0
    edit(tree / "notebooks" / "01_first.py", "The first prose.", "Edited prose.")
    build = start(tree, "book")
    wait_for(lambda: list((tree / "_build").glob(".tmp-book~*/_build")))
    kill(build)
    assert "The first prose." in page(tree)
    status, output = companion(tree, "book")
    assert status == 0, output
    assert "Edited prose." in page(tree)
    assert not list((tree / "_build").rglob(".tmp-*"))


def test_two_builds_at_once_do_the_work_once(tree):
    builds = [start(tree, "book"), start(tree, "book")]
    outputs = [build.communicate(timeout=300)[0] for build in builds]
    assert [build.returncode for build in builds] == [0, 0], outputs
    assert sorted(executions(tree)) == ["one 0 1.0", "two 0 1.0"]
    assert sum("Another process is building this book" in output for output in outputs) == 1


def test_a_sweep_gives_one_tidy_table(tree):
    grid = tree / "grid.yaml"
    grid.write_text("notebook: '01'\nfixed: {widths: [5]}\ngrid:\n  seed: [1, 2]\n  scale: [1, 0.5]\n")
    status, output = companion(tree, "sweep", "grid.yaml", "--output", "table.csv")
    assert status == 0, output
    table = pd.read_csv(tree / "table.csv")
    assert list(table.columns[:4]) == ["run", "widths", "seed", "scale"]
    assert set(table.kind) == {"number"} and table.text.isna().all()
    assert "[sweep grid] 4 of 4 notebooks done" in output
    assert "Select jobs" not in output and "DAG" not in output
    assert sorted(zip(table.seed, table.scale, table.measured, strict=True)) == [
        (1, 0.5, 5.5), (1, 1.0, 6.0), (2, 0.5, 6.0), (2, 1.0, 7.0)
    ]  # fmt: skip
    assert len(executions(tree)) == 4

    # a larger grid executes only what is new; a failing point is reported and the others are kept
    grid.write_text("notebook: '01'\nfixed: {widths: [5], scale: 1}\ngrid:\n  seed: [1]\n  label: [plain, fail]\n")
    status, output = companion(tree, "sweep", "grid.yaml", "--output", "second.csv")
    assert status == 1
    assert "ValueError: asked to fail" in output
    assert "1 of 2 runs are done" in output
    assert len(executions(tree)) == 5
    assert not (tree / "second.csv").exists()
    assert list(pd.read_csv(tree / "second.partial.csv").label) == ["plain"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("notebook: '01'\ngrid: {sed: [1]}", "did you mean 'seed'"),
        ("notebook: '01'\ngrid: {seed: [1, x]}", "parameter 'seed' is of type int"),
        ("notebook: '01'\ngrid: {seed: 1}", "should be a list"),
        ("notebook: '01'\ngrid: [seed]", "should hold `name: value` lines"),
        ("notebook: '01'\nparameters: {}", "unknown field"),
        ("grid: {seed: [1]}", "'notebook' is missing"),
        ("notebook: '01'\npreset: huge", "has no preset 'huge'; its presets: smoke"),
    ],
)
def test_a_grid_that_does_not_fit_is_refused_at_once(tree, text, problem):
    (tree / "grid.yaml").write_text(text)
    status, output = companion(tree, "sweep", "grid.yaml")
    assert status == 1
    assert problem in output
    assert executions(tree) == []


def test_a_notebook_that_cannot_be_read_stops_the_build_before_anything_starts(tree):
    edit(tree / "notebooks" / "02_second.py", "seed: int = 0", "seed = 0")
    status, output = companion(tree, "book")
    assert status == 1
    assert "02_second.py: a parameter is written `name: type = default  # help`, not `seed = 0" in output
    assert executions(tree) == []
