"""Damaged files: whatever the library reads back is right, or refused untouched with a remedy, or made again."""

import json
import os
import random
import re
import shutil
from functools import cache, partial
from pathlib import Path

import companion_tree
import numpy as np
import pytest
import reliability_problems as problems
import xarray
from reliability_children import Worker, scaled

REMEDY = re.compile(
    r"delete|remove|move (it|them|this)? ?away|again|anew|another (path|name|file)|name another|give", re.I
)


class Stopped(BaseException):
    """In the place of a kill: the run ends here and leaves what it has saved."""


def stopped_after(saves: int, call, *args) -> None:
    """`call` ended after so many files have been moved to their names."""
    real, seen = os.replace, [0]

    def counting(*names, **kwargs):
        real(*names, **kwargs)
        seen[0] += 1
        if seen[0] == saves:
            raise Stopped

    os.replace = counting
    try:
        call(*args)
    except Stopped:
        return
    finally:
        os.replace = real
    raise AssertionError(f"the run saved itself {seen[0]} times only")


# ------------------------------------------------------------------------------------------------ what is read back
# Each maker leaves files in a folder; each reader gives all that the library reads from there.


def saved_lens(folder: Path) -> None:
    from devinterp_core.lens import TunedLens

    problems.drawn(TunedLens(problems.reader()), 5).save(folder / "lens.safetensors")


def lens_of(folder: Path) -> dict:
    from devinterp_core.lens import TunedLens

    lens = TunedLens.load(folder / "lens.safetensors", problems.reader())
    return problems.plain({"weight": lens.weight.detach(), "bias": lens.bias.detach()})


def saved_draws(folder: Path) -> None:
    from devinterp_core.files import save_dataset

    generator = np.random.default_rng(0)
    values = {"loss_difference": (("chain", "draw"), generator.normal(size=(4, 50)))}
    save_dataset(folder / "draws.nc", xarray.Dataset(values, attrs={"n_beta": 3.5, "method": "sgld"}))


def draws_in(folder: Path) -> dict:
    from devinterp_core.files import load_dataset

    return problems.plain(load_dataset(folder / "draws.nc"))


def checkpoints_in(folder: Path) -> dict:
    """By the class that readers of a finished training use."""
    from devinterp_core.train import Checkpoints

    (run,) = (path for path in (folder / "cache").iterdir() if path.is_dir())
    return problems.plain(Checkpoints(run, problems.network()))


def training_in(folder: Path) -> dict:
    return problems.plain(problems.training(folder / "cache"))


KINDS = {  # name: (maker, reader, pattern of the file that is damaged)
    "sampler checkpoint": (
        lambda f: problems.draws_of_sample(f / "run.pt"),
        partial(problems.call, "sample, sgld"),
        "run.pt",
    ),
    "unfinished sampler checkpoint": (
        lambda f: stopped_after(9, problems.draws_of_sample, f / "run.pt"),
        partial(problems.call, "sample, sgld"),
        "run.pt",
    ),
    "checkpoint of many": (
        lambda f: problems.draws_of_many(f / "run.pt"),
        partial(problems.call, "sample_many"),
        "run.pt",
    ),
    "refined checkpoint": (
        lambda f: problems.draws_of_refined(f / "run.pt"),
        partial(problems.call, "refined_llc"),
        "run.pt",
    ),
    "training step": (lambda f: problems.training(f / "cache"), training_in, "cache/*/step_00000020.safetensors"),
    "training losses": (lambda f: problems.training(f / "cache"), training_in, "cache/*/losses.safetensors"),
    "training record": (lambda f: problems.training(f / "cache"), training_in, "cache/*/training.json"),
    "step, by Checkpoints": (
        lambda f: problems.training(f / "cache"),
        checkpoints_in,
        "cache/*/step_00000010.safetensors",
    ),
    "losses, by Checkpoints": (lambda f: problems.training(f / "cache"), checkpoints_in, "cache/*/losses.safetensors"),
    "training state": (
        lambda f: stopped_after(24, problems.training, f / "cache"),
        training_in,
        "cache/*/state.safetensors",
    ),
    "step of an unfinished training": (
        lambda f: stopped_after(24, problems.training, f / "cache"),
        training_in,
        "cache/*/step_00000010.safetensors",
    ),
    "lens state": (
        lambda f: stopped_after(7, problems.lens_training, f / "state.safetensors"),
        partial(problems.call, "train_lens, muon"),
        "state.safetensors",
    ),
    "finished lens state": (
        lambda f: problems.lens_training(f / "state.safetensors"),
        partial(problems.call, "train_lens, muon"),
        "state.safetensors",
    ),
    "tuned lens": (saved_lens, lens_of, "lens.safetensors"),
    "draws": (saved_draws, draws_in, "draws.nc"),
}


@cache
def made(kind: str, folder: Path) -> None:
    folder.mkdir()
    KINDS[kind][0](folder)


def make(kind: str, folder: str) -> str:
    made(kind, Path(folder))
    (path,) = Path(folder).glob(KINDS[kind][2])
    return str(path.relative_to(folder))


def read(kind: str, folder: str) -> dict:
    return KINDS[kind][1](Path(folder))


@pytest.fixture(scope="module")
def worker():
    with Worker() as own:
        yield own


@pytest.fixture(scope="module")
def original(tmp_path_factory, worker):
    """Folder, name of the file and right content of a kind, made once."""
    known = {}

    def find(kind: str):
        if kind not in known:
            folder = tmp_path_factory.mktemp("original") / "files"
            outcome = worker.call(make, kind, str(folder))
            assert not outcome.error, f"the file cannot be made: {outcome}"
            copy = folder.with_name("copy")
            shutil.copytree(folder, copy)
            found = worker.call(read, kind, str(copy))
            assert not found.error, f"the file cannot be read: {found}"
            known[kind] = folder, outcome.value, found.value
        return known[kind]

    return find


def check(kind: str, damage, original, worker, tmp_path) -> None:
    folder, name, expected = original(kind)
    copy = tmp_path / "files"
    shutil.copytree(folder, copy)
    path = copy / name
    damaged = damage(path.read_bytes())
    assert damaged != (folder / name).read_bytes()
    path.write_bytes(damaged)
    outcome = worker.call(read, kind, str(copy))
    if outcome.error:
        assert outcome.error == "ValueError" and outcome.clear, str(outcome)
        assert REMEDY.search(outcome.message), f"no remedy: {outcome.message}"
        assert path.read_bytes() == damaged, "it was not left untouched"
    else:
        assert outcome.value is not None, str(outcome)
        assert problems.same(outcome.value, expected), "other numbers, without a word"


def flip(position: float, bit: int, content: bytes) -> bytes:
    index = min(int(position * len(content)), len(content) - 1)
    return content[:index] + bytes([content[index] ^ (1 << bit)]) + content[index + 1 :]


def flips(kind: str) -> list[partial]:
    chosen = random.Random(f"flips of {kind}")
    return [partial(flip, chosen.random(), chosen.randrange(8)) for _ in range(scaled(5, 20))]


@pytest.mark.area("bit flips")
@pytest.mark.parametrize("number", range(scaled(5, 20)))
@pytest.mark.parametrize("kind", KINDS)
def test_one_flipped_bit(kind, number, original, worker, tmp_path):
    check(kind, flips(kind)[number], original, worker, tmp_path)


HARMS = {
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "last byte missing": lambda content: content[:-1],
    "a byte more": lambda content: content + b"\0",
    "beginning only": lambda content: content[:10],
    "zeros in the middle": lambda content: content[: len(content) // 3] + bytes(64) + content[len(content) // 3 + 64 :],
    "all zeros": lambda content: bytes(len(content)),
    "text": lambda content: b"this is a text file\n",
    "noise": lambda content: random.Random(len(content)).randbytes(len(content)),
    "its beginning twice": lambda content: content[:200] + content,
}


@pytest.mark.area("damaged files")
@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_harmed_file(kind, harm, original, worker, tmp_path):
    check(kind, HARMS[harm], original, worker, tmp_path)


@pytest.mark.area("damaged files")
@pytest.mark.parametrize(
    ("kind", "donor"),
    [
        ("sampler checkpoint", "checkpoint of many"),
        ("checkpoint of many", "sampler checkpoint"),
        ("sampler checkpoint", "draws"),
        ("training step", "training losses"),
        ("training state", "training step"),
        ("training losses", "training step"),
        ("lens state", "tuned lens"),
        ("tuned lens", "lens state"),
        ("training state", "lens state"),
        ("draws", "sampler checkpoint"),
        ("refined checkpoint", "sampler checkpoint"),
        ("step, by Checkpoints", "training step"),
        ("training step", "step, by Checkpoints"),
    ],
)
def test_the_content_of_another_file(kind, donor, original, worker, tmp_path):
    folder, name, _ = original(donor)
    check(kind, lambda _: (folder / name).read_bytes(), original, worker, tmp_path)


# ------------------------------------------------------------------------------------------------ executed notebooks


def executed_again(root: str) -> int:
    """Ask for the run, delivered to a file; how often a kernel was asked for, and whether what came is whole."""
    import nbformat

    os.environ["COMPANION_ROOT"] = root
    from devinterp_core.companion import project
    from devinterp_core.companion import run as runs

    calls = []

    def execute(source, *_, **__):
        calls.append(source)
        notebook = nbformat.read(source, as_version=4)
        figure = os.environ["COMPANION_OUTPUT"]
        (Path(figure) / "fig-first.svg").write_text("<svg>3.0</svg>")
        return notebook

    real = runs.execute_notebook
    runs.execute_notebook = execute
    try:
        folder = runs.run(project.find_notebook("01"), {})
        runs.deliver(folder, Path(root) / "out.ipynb")
    finally:
        runs.execute_notebook = real
    nbformat.validate(nbformat.read(Path(root) / "out.ipynb", as_version=4))
    json.loads((folder / "run.json").read_text())["key"]
    return len(calls)


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory, worker):
    root = companion_tree.make(tmp_path_factory.mktemp("tree"))
    outcome = worker.call(executed_again, str(root))
    assert outcome.value == 1, str(outcome)
    outcome = worker.call(executed_again, str(root))
    assert outcome.value == 0, str(outcome)
    return root


@pytest.mark.area("damaged files")
@pytest.mark.parametrize("harm", [*HARMS, "missing", "a flipped bit"])
@pytest.mark.parametrize("name", ["notebook.ipynb", "run.json", "fig-first.svg"])
def test_a_damaged_execution_is_made_again(name, harm, finished_run, worker, tmp_path):
    root = tmp_path / "tree"
    shutil.copytree(finished_run, root)
    (path,) = (root / "_build" / "executed").glob(f"01_first-*/{name}")
    if harm == "missing":
        path.unlink()
    elif harm == "a flipped bit":
        path.write_bytes(flip(0.6, 1, path.read_bytes()))
    else:
        before = path.read_bytes()
        path.write_bytes(HARMS[harm](before))
        if path.read_bytes() == before:
            pytest.skip("this harm changes nothing here")
    outcome = worker.call(executed_again, str(root))
    assert outcome.value == 1, str(outcome)
