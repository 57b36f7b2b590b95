"""Files that are never half-written: failures and kills in the middle of a write, and what they leave."""

import multiprocessing
import os
import signal

import pytest

from devinterp_core.files import remove_leftovers, write_atomically


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_content_arrives_under_its_name_and_nothing_else_is_left(tmp_path):
    target = tmp_path / "new" / "folder" / "claims.json"
    seen = []

    def write(path):
        seen.append(path)
        assert path.parent == target.parent and path.suffix == ".json" and path.name != target.name
        assert not path.exists() and not target.exists()
        path.write_text("all of it")

    assert write_atomically(str(target), write) == target
    assert len(seen) == 1 and names(target.parent) == ["claims.json"] and target.read_text() == "all of it"
    write_atomically(target, lambda path: path.write_text("again"))
    assert target.read_text() == "again"


def test_rights_are_those_of_a_file_that_is_simply_opened(tmp_path):
    (tmp_path / "plain").write_text("")
    write_atomically(tmp_path / "moved", lambda path: path.write_text(""))
    assert (tmp_path / "moved").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("begun", [True, False])
def test_a_failed_write_keeps_the_old_file(tmp_path, begun):
    target = tmp_path / "claims.json"
    target.write_text("old")

    def fail(path):
        if begun:
            path.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(target, fail)
    assert names(tmp_path) == ["claims.json"] and target.read_text() == "old"


def test_readers_see_the_old_file_until_the_new_one_is_whole(tmp_path):
    target = tmp_path / "x.txt"
    target.write_text("old")

    def write(path):
        path.write_text("ne")
        assert target.read_text() == "old"
        with path.open("a") as file:
            file.write("w")

    write_atomically(target, write)
    assert target.read_text() == "new"


def killed(target):
    def write(path):
        path.write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)

    write_atomically(target, write)


@pytest.mark.parametrize("name", ["state.safetensors", "no_suffix"])
def test_what_a_kill_leaves_is_removed_and_nothing_else(tmp_path, name):
    target = tmp_path / name
    target.write_text("old")
    process = multiprocessing.get_context("fork").Process(target=killed, args=(target,))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert target.read_text() == "old" and len(names(tmp_path)) == 2
    for other in (".hidden", "my.tmp", "x.tmp.json"):
        (tmp_path / other).write_text("")
    remove_leftovers(tmp_path)
    assert names(tmp_path) == sorted([name, ".hidden", "my.tmp", "x.tmp.json"])
