"""Damaged results: a finished run of which a file is missing, empty or altered is made again, never delivered."""

import json
import shutil

import companion_tree
import pytest
from click.testing import CliRunner
from companion_tree import companion, executions, results

from devinterp_core.companion import assemble, jobs, manifest, project, scorecard, sweep
from devinterp_core.companion.__main__ import main


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """The small project."""
    monkeypatch.setenv("COMPANION_ROOT", str(tmp_path))
    return companion_tree.make(tmp_path)


@pytest.fixture
def finished(tree):
    """The folder of a finished run that no kernel made."""
    folder = jobs.job(project.find_notebook("01"), {}).folder
    folder.mkdir(parents=True)
    (folder / "notebook.ipynb").write_text('{"cells": []}')
    (folder / "fig-first.csv").write_text("n,loss\n1,0.25\n")
    (folder / "claims.json").write_text('{"claims": []}')
    manifest.seal(folder, {"notebook": "01_first", "wall_seconds": 1.0})
    return folder


def flip(path, bit):
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


FILES = ["notebook.ipynb", "fig-first.csv", "claims.json", "run.json"]


def test_a_finished_run_is_whole(finished):
    assert manifest.problem(finished) == ""
    assert assemble.is_complete(finished)
    assert set(manifest.read(finished)["files"]) == set(FILES[:3])
    (finished / ".DS_Store").write_text("what came to lie beside it does not matter")
    assert assemble.is_complete(finished)


@pytest.mark.parametrize("name", FILES)
def test_every_single_flipped_bit_is_seen(finished, name):
    size = 8 * (finished / name).stat().st_size
    for bit in range(0, size, max(1, size // 400)):
        flip(finished / name, bit)
        assert manifest.problem(finished), f"{name}: bit {bit}"
        flip(finished / name, bit)
    assert manifest.problem(finished) == ""


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "content", [None, b"", b"{", b"[]", b"3", b"null", b'{"files": 3, "checksum": 1}', b'{"files": {}}', b"\xff" * 9]
)
def test_a_file_that_is_missing_empty_or_another_is_seen_and_named(finished, name, content):
    path = finished / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert name in manifest.problem(finished)
    assert not assemble.is_complete(finished)
    with pytest.raises(project.CompanionError, match="damaged .*run it again"):
        manifest.read(finished)
    with pytest.raises(project.CompanionError, match="damaged"):
        assemble.downloads(finished, finished.parent / "downloads")


def test_a_file_that_became_a_folder_is_seen(finished):
    (finished / "claims.json").unlink()
    (finished / "claims.json").mkdir()
    assert "claims.json cannot be read" in manifest.problem(finished)


def test_the_list_says_that_a_damaged_run_is_not_executed(finished):
    assert "executed in 1 s" in CliRunner().invoke(main, ["list"]).output
    (finished / "run.json").write_text("{")
    result = CliRunner().invoke(main, ["list"])
    assert result.exit_code == 0
    assert "executed in" not in result.output


def test_a_damaged_run_is_no_row_of_a_sweep(tree, finished):
    (tree / "grid.yaml").write_text("notebook: 01\ngrid: {seed: [0]}\n")
    (finished / "notebook.ipynb").write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    assert len(sweep.collect(sweep.read(tree / "grid.yaml"))) == 0
    manifest.seal(finished, {"wall_seconds": 1.0})
    assert len(sweep.collect(sweep.read(tree / "grid.yaml"))) == 1


def test_only_what_the_run_wrote_is_delivered(finished, tmp_path):
    (finished / "fig-mine.csv").write_text("1")
    assemble.downloads(finished, tmp_path / "downloads")
    assert {path.name for path in (tmp_path / "downloads").iterdir()} == {"fig-first.csv", "claims.json", "run.json"}
    manifest.copy(finished, tmp_path / "copy")
    assert {path.name for path in (tmp_path / "copy").iterdir()} == set(FILES)
    assert manifest.problem(tmp_path / "copy") == ""


def test_the_scorecard_names_a_record_that_cannot_be_read(finished):
    (finished / "claims.json").write_text(json.dumps({"notebook": "a", "reference": "b", "claims": []}))
    (finished / "run.json").write_text("{")
    with pytest.raises(ValueError, match="run.json is not a record of a run"):
        scorecard.write([finished / "claims.json"], finished / "page.md")


def test_damaged_runs_and_pages_are_made_again_and_it_is_said(tree):
    """`run` and `book`, with real kernels: one line a damage, exit status 0, the results as before."""
    assert companion(tree, "book")[0] == 0
    first, second = results(tree)
    page = tree / "_build" / "html" / "notebooks" / "01_first.html"
    before, text = (first / "notebook.ipynb").read_bytes(), page.read_bytes()

    (first / "notebook.ipynb").write_bytes(b"")
    (tree / "out.ipynb").write_text("old")
    status, output = companion(tree, "run", "01", "--output", "out.ipynb")
    assert status == 0, output
    assert "01_first: the run in _build/executed/" in output
    assert "is damaged (notebook.ipynb is not what was written) and is made again" in output
    assert (tree / "out.ipynb").read_bytes() == before == (first / "notebook.ipynb").read_bytes()
    assert sorted(executions(tree)) == ["one 0 1.0", "one 0 1.0", "two 0 1.0"]

    (second / "run.json").write_text("{")
    page.write_bytes(text[:1000])
    status, output = companion(tree, "book")
    assert status == 0, output
    assert f"{second.relative_to(tree)} is damaged (run.json is not a record) and is made again" in output
    assert "the book in _build/html is damaged (notebooks/01_first.html is not what was written)" in output
    assert page.read_bytes() == text
    assert len(executions(tree)) == 4

    shutil.rmtree(tree / "_build" / "placed")  # and what only remembers, too
    (tree / "notebooks" / "01_first.ipynb").write_bytes(b"\xff\x00")
    (tree / "_build" / "html" / "index.html").unlink()
    assert companion(tree, "book")[0] == 0
    assert (tree / "_build" / "html" / "index.html").is_file()
    assert len(executions(tree)) == 4
