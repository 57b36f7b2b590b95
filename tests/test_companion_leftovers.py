"""What killed processes leave is swept up by the next one, and what a living process works on is not."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import companion_tree
import pytest

from devinterp_core.companion import manifest, pages, project, sweep
from devinterp_core.companion import run as runs

ROOT = Path(__file__).resolve().parents[1]
HOLD = """\
import sys, time
from pathlib import Path
from devinterp_core.companion import project
with project.scratch_folder(Path(sys.argv[1]), "work") as folder:
    (folder / "part").write_text("half")
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that works in a scratch folder of `tmp_path`, and that folder."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], env=environment, stdout=subprocess.PIPE, text=True
    )
    yield process, Path(process.stdout.readline().strip())
    process.kill()
    process.stdout.close()
    process.wait()


def test_the_folder_of_a_killed_process_is_swept_and_that_of_a_living_one_is_not(tmp_path, holder):
    process, folder = holder
    with project.scratch_folder(tmp_path, "mine"):
        assert (folder / "part").exists()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (folder / "part").exists()
    with project.scratch_folder(tmp_path, "mine") as mine:
        assert list(tmp_path.iterdir()) == [mine]
    assert not list(tmp_path.iterdir())


def test_a_number_that_another_process_has_now_does_not_keep_a_folder(tmp_path, holder):
    """The lock tells, not the number; of a folder that has no lock yet the number alone."""
    process, folder = holder
    reused = folder.with_name(folder.name.replace(f"~{process.pid}~", f"~{os.getpid()}~"))
    process.send_signal(signal.SIGKILL)
    process.wait()
    folder.rename(reused)
    young = tmp_path / f".tmp-young~{socket.gethostname()}~{os.getpid()}~abc"
    elsewhere = tmp_path / ".tmp-far~another-machine~1~abc"
    dead = tmp_path / f".tmp-a~b~{socket.gethostname()}~99999999~abc"
    for each in (young, elsewhere, dead):
        each.mkdir()
    project.sweep_up(tmp_path)
    assert set(tmp_path.iterdir()) == {young, elsewhere}


def test_folders_put_aside_by_a_killed_process_are_swept(tmp_path, monkeypatch):
    done, new = tmp_path / "done", tmp_path / "new"
    for folder in (done, new):
        folder.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(project.shutil, "rmtree", lambda *_, **__: None)  # as if killed before it
        patch.setattr(project.os, "getpid", lambda: 99999999)
        project.swap_folder(new, done)
    assert len(list(tmp_path.iterdir())) == 2
    project.sweep_up(tmp_path)
    assert list(tmp_path.iterdir()) == [done]


def test_a_long_name_makes_no_folder_that_the_disk_refuses(tmp_path):
    with project.scratch_folder(tmp_path, "é" * 100) as folder:
        assert folder.is_dir()


def left_by_a_writer(path):
    """The name under which `write_atomically` was filling `path` when it was killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    left = path.with_name(f".{path.stem}.{'0f' * 16}.tmp{path.suffix}")
    left.write_text("half")
    return left


def test_files_of_killed_writers_are_swept_where_the_lock_is_held(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_ROOT", str(tmp_path))
    companion_tree.make(tmp_path)
    left = [
        left_by_a_writer(tmp_path / "notebooks" / "01_first.ipynb"),
        left_by_a_writer(tmp_path / "_build" / "placed" / "01_first.json"),
        left_by_a_writer(tmp_path / "book" / "scorecard.md"),
    ]
    mine = [tmp_path / "notebooks" / ".01_first.mine.tmp.ipynb", tmp_path / "notebooks" / ".notes.tmp"]
    for path in mine:
        path.write_text("of the user")
    with pytest.raises(project.CompanionError, match="run.json is missing"):  # nothing is executed
        pages.publish()
    assert not [path for path in left[2:] if path.exists()]
    for folder, stem in ((tmp_path / "notebooks", "01_first"), (tmp_path / "_build" / "placed", "01_first")):
        project.sweep_up_files(folder, stem)
    assert not [path for path in left if path.exists()]
    assert all(path.exists() for path in mine)

    (tmp_path / "grid.yaml").write_text("notebook: 01\ngrid: {seed: [1]}\n")
    table = left_by_a_writer(tmp_path / "_build" / "sweeps" / "grid.csv")
    monkeypatch.setattr(sweep.build, "snakemake", lambda *_, **__: 0)
    sweep.run(tmp_path / "grid.yaml", [])
    assert not table.exists()


def test_a_delivery_sweeps_up_after_one_that_was_killed(tmp_path):
    done, out = tmp_path / "done", tmp_path / "out"
    done.mkdir()
    (done / "notebook.ipynb").write_text("{}")
    manifest.seal(done, {})
    remains = out / f".tmp-mine.ipynb~{socket.gethostname()}~99999999~abc"
    remains.mkdir(parents=True)
    runs.deliver(done, out / "mine.ipynb")
    assert [path.name for path in out.iterdir()] == ["mine.ipynb"]
