"""Files that are never half-written and never read back damaged: failures, kills, truncation, single flipped bits."""

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray
from safetensors.torch import load_file, save_file

from devinterp_core.files import (
    load_dataset,
    load_json,
    load_tensors,
    remove_leftovers,
    save_dataset,
    save_json,
    save_tensors,
    write_atomically,
)


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


# ------------------------------------------------------------------------------------------------ checksums

W = torch.arange(6.0).reshape(2, 3)
TENSORS = {
    "w": W, "its transpose": W.T, "again": W, "count": torch.tensor(3), "none": torch.zeros(0, 3),
    "half": torch.ones(2, dtype=torch.bfloat16), "truth": torch.tensor([True]), "complex": torch.ones(2) * 1j,
}  # fmt: skip
RECORD = {"steps": [0, 10], "rate": 0.1, "text": "\u00e9", "nothing": None, "inner": {"a": 1e-8}}
DRAWS = xarray.Dataset(
    {
        "loss": (("chain", "draw"), np.arange(6.0).reshape(2, 3), {"description": "a loss"}),
        "diverged": ("chain", np.array([True, False])),
        "half": ("draw", np.ones(3, np.float16)),
    },
    coords={"chain": [0, 1], "name": ("chain", ["a", "b"])},
    attrs={"n_beta": 0.5, "mask": None, "single": True, "heads": ["0:1", 2], "text": "json:1", "inner": {"x": [None]}},
)


def saved(folder):
    """One file of each kind, with what reads it."""
    return {
        "tensors": (save_tensors(folder / "a.safetensors", TENSORS, {"format": "1", "about": "\u00e9"}), load_tensors),
        "record": (save_json(folder / "a.json", RECORD), load_json),
        "draws": (save_dataset(folder / "a.nc", DRAWS), load_dataset),
    }


def test_what_was_written_is_read(tmp_path):
    saved(tmp_path)
    tensors, metadata = load_tensors(tmp_path / "a.safetensors")
    assert metadata == {"format": "1", "about": "\u00e9"} and tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert torch.equal(tensors[name], tensor) and tensors[name].dtype == tensor.dtype
    assert load_json(tmp_path / "a.json") == RECORD
    draws = load_dataset(tmp_path / "a.nc")
    assert draws.identical(DRAWS) and all(draws[name].dtype == DRAWS[name].dtype for name in DRAWS.data_vars)
    # other programs read them as well
    assert torch.equal(load_file(tmp_path / "a.safetensors")["w"], W)
    assert xarray.load_dataset(tmp_path / "a.nc", engine="h5netcdf").n_beta == 0.5


def test_equal_content_gives_equal_bytes_in_every_process(tmp_path):
    source = """
from pathlib import Path
from test_files import saved
saved(Path.cwd())
"""
    for seed in ("1", "2"):
        (tmp_path / seed).mkdir()
        path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
        subprocess.run([sys.executable, "-c", source], cwd=tmp_path / seed, check=True, timeout=300,
                       env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": path})  # fmt: skip
    for name in ("a.safetensors", "a.json"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


@pytest.mark.parametrize("kind", ["tensors", "record", "draws"])
def test_a_flipped_bit_anywhere_is_refused_and_the_file_is_left(kind, tmp_path):
    """1,000 bits anywhere and the last 400; also by who takes files without a checksum."""
    path, load = saved(tmp_path)[kind]
    content = path.read_bytes()
    bits = np.random.default_rng(0).permutation(8 * len(content))[:1_000]
    for bit in [*bits, *range(8 * len(content) - 400, 8 * len(content))]:
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(damaged)
        for require in (True, False):
            with pytest.raises(ValueError, match=rf"{path.name} is .*; delete it, and all is well"):
                load(path, require=require, remedy="delete it, and all is well")
        assert path.read_bytes() == damaged


@pytest.mark.parametrize("kind", ["tensors", "record", "draws"])
def test_a_truncated_or_foreign_file_is_refused(kind, tmp_path):
    path, load = saved(tmp_path)[kind]
    content = path.read_bytes()
    for damaged in (*(content[:size] for size in range(0, len(content), max(1, len(content) // 100))), content + b"x"):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=f"{path.name} is .* make it anew"):
            load(path)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        load(path)


def test_files_of_others_are_read_by_who_takes_them(tmp_path):
    save_file({"w": W}, tmp_path / "a.safetensors")
    (tmp_path / "a.json").write_text('{"a": 1}')
    DRAWS[["loss"]].drop_attrs().to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    assert torch.equal(load_tensors(tmp_path / "a.safetensors", require=False)[0]["w"], W)
    assert load_json(tmp_path / "a.json", require=False) == {"a": 1}
    assert load_dataset(tmp_path / "a.nc", require=False).loss.equals(DRAWS.loss)
    for name, load in [("a.safetensors", load_tensors), ("a.json", load_json), ("a.nc", load_dataset)]:
        with pytest.raises(ValueError, match=f"{name} is truncated or damaged .it has no checksum"):
            load(tmp_path / name)


def test_what_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(ValueError, match="none named 'checksum'"):
        save_tensors(tmp_path / "a", {"w": W}, {"checksum": "mine"})
    with pytest.raises(ValueError, match="no entry 'checksum'"):
        save_json(tmp_path / "a", {"checksum": 1})
    with pytest.raises(ValueError, match="JSON"):
        save_json(tmp_path / "a", {"a": float("nan")})
    assert not names(tmp_path)
