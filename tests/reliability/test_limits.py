"""A full disk, a memory limit, read-only folders: a clear error, nothing half-written, the same numbers afterwards."""

import errno
import os
import resource
import shutil
import signal
import tempfile
from pathlib import Path

import numpy as np
import pytest
import reliability_problems as problems
import torch
import xarray
from reliability_children import outcome_of, run_alone, scaled

NO_SPACE = [n for n in problems.RESUMABLE if "groups" not in n]


def left(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).rglob("*") if ".tmp" in path.name)


def with_full_disk(name: str, folder: str, limit: int) -> tuple:
    """The run while no file may be longer than `limit` bytes, then without the limit."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    first = outcome_of(problems.call, name, folder)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    return first, left(folder), outcome_of(problems.call, name, folder), problems.call(name, folder + "-whole")


def with_errors(name: str, folder: str, function: str, number: int, code: int) -> tuple:
    """The run when a call of the file system fails from its `number`-th on, then when it works again."""
    real, seen = getattr(os, function), [0]

    def failing(*args, **kwargs):
        seen[0] += 1
        if seen[0] >= number:
            raise OSError(code, os.strerror(code), str(args[0]))
        return real(*args, **kwargs)

    setattr(os, function, failing)
    first = outcome_of(problems.call, name, folder)
    setattr(os, function, real)
    return first, left(folder), outcome_of(problems.call, name, folder), problems.call(name, folder + "-whole")


def judge(outcome) -> None:
    assert not outcome.error, str(outcome)
    first, remains, second, whole = outcome.value
    if first.error:
        assert first.error in ("OSError", "ValueError", "PermissionError"), str(first)
        assert len(first.message) > 12
    else:
        assert problems.same(first.value, whole)
    assert remains == [], f"left behind: {remains}"
    assert not second.error, f"afterwards: {second}"
    assert problems.same(second.value, whole)


@pytest.mark.area("full disk")
@pytest.mark.parametrize("limit", [0, 1000, 4000][: scaled(2, 3)])
@pytest.mark.parametrize("name", NO_SPACE)
def test_files_that_may_not_grow(name, limit, tmp_path):
    judge(run_alone(with_full_disk, name, str(tmp_path / "run"), limit))


@pytest.mark.area("full disk")
@pytest.mark.parametrize(
    ("function", "number"), [("fsync", 3), ("replace", 2), ("replace", 4), ("fsync", 1)][: scaled(1, 4)]
)
@pytest.mark.parametrize("name", NO_SPACE)
def test_a_disk_that_becomes_full(name, function, number, tmp_path):
    judge(run_alone(with_errors, name, str(tmp_path / "run"), function, number, errno.ENOSPC))


def draws_on_a_full_disk(path: str) -> tuple:
    from devinterp_core.files import load_dataset, save_dataset

    dataset = xarray.Dataset({"x": ("i", np.arange(9.0))})
    save_dataset(path, dataset)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    first = outcome_of(save_dataset, path, xarray.Dataset({"x": ("i", np.arange(10_000.0))}))
    return first.error, left(str(Path(path).parent)), load_dataset(path).equals(dataset)


@pytest.mark.area("full disk")
def test_draws_on_a_full_disk_keep_the_old_file(tmp_path):
    outcome = run_alone(draws_on_a_full_disk, str(tmp_path / "draws.nc"))
    assert not outcome.error, str(outcome)
    error, remains, kept = outcome.value
    assert error and remains == [] and kept


# ------------------------------------------------------------------------------------------------ memory


class Wide(torch.nn.Module):
    """A loss whose evaluation needs 32 MB for each chain."""

    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.full((4,), 0.1, dtype=torch.float64))


def wide_loss(model, batch):
    return torch.tanh(batch[:, None] * model.w.repeat(100_000)).square().mean(1)


def with_little_memory(folder: str, megabytes: int) -> tuple:
    def draws(path):
        data = torch.linspace(-1, 1, 10, dtype=torch.float64)
        return problems.plain(
            problems.sample(
                Wide(),
                data,
                wide_loss,
                step_size=1e-3,
                num_draws=20,
                num_steps_between_draws=6,
                checkpoint=path,
                checkpoint_every=10,
                progress=False,
            )
        )

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + megabytes * 2**20, hard))
    first = outcome_of(draws, f"{folder}/run.pt")
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    return first, left(folder), outcome_of(draws, f"{folder}/run.pt"), draws(f"{folder}/whole.pt")


@pytest.mark.area("memory limit")
@pytest.mark.parametrize("megabytes", [20, 150, 300, 600, 1000, 1500][: scaled(3, 6)])
def test_a_memory_limit(megabytes, tmp_path):
    """Too little ends in an error, enough gives the numbers; a run taken up again differs in no bit."""
    outcome = run_alone(with_little_memory, str(tmp_path), megabytes, timeout=300)
    assert not outcome.error and outcome.died is None and not outcome.timed_out, str(outcome)
    first, remains, second, whole = outcome.value
    if first.error:
        assert first.error in ("MemoryError", "OutOfMemoryError", "RuntimeError", "ValueError"), str(first)
        assert "memory" in first.message, str(first)
    else:
        assert problems.same(first.value, whole)
    assert remains == []
    assert not second.error and problems.same(second.value, whole)


def short_of_memory(name: str, folder: str, number: int) -> tuple:
    """A run whose loss finds no memory at its `number`-th call, then called again."""
    real, seen = problems.squared_error, [0]

    def hungry(model, batch):
        seen[0] += 1
        if seen[0] == number:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 TB")
        return real(model, batch)

    target = problems.network()
    arguments = {**problems.SAMPLING, "num_draws": 100}

    def draws(loss, path):
        return problems.plain(problems.sample(target, problems.regression_data(), loss, **arguments, checkpoint=path))

    first = outcome_of(draws, hungry, f"{folder}/{name}.pt")
    again = outcome_of(draws, hungry, f"{folder}/{name}.pt")
    return first, left(folder), again, draws(real, None)


@pytest.mark.area("memory limit")
@pytest.mark.parametrize("number", range(1, scaled(9, 21)))
def test_a_shortage_of_memory_changes_no_bit(number, tmp_path):
    """Wherever memory is short for a moment, while checking, tracing or later: an error, or the very same draws."""
    outcome = run_alone(short_of_memory, "run", str(tmp_path), number)
    assert not outcome.error, str(outcome)
    first, remains, _, whole = outcome.value
    assert remains == []
    assert first.error or problems.same(first.value, whole), "other draws, without a word"


# ------------------------------------------------------------------------------------------------ read-only


@pytest.fixture
def public():
    """A folder that any user can reach."""
    folder = Path(tempfile.mkdtemp(prefix="reliability-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def as_somebody(function, *args):
    """Root may write everywhere: become nobody first."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    return function(*args)


def read_only(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)


def kept_by_repeated_runs(number: int) -> float:
    """MiB that stay in the process after each of `number` equal runs, each traced anew."""
    import ctypes
    import gc

    from devinterp_core.sampler import sample

    def resident() -> float:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def run(times: int) -> None:
        for seed in range(times):
            sample(problems.network(), problems.regression_data(), problems.squared_error, step_size=1e-4,
                   num_draws=110, batch_size=8, seed=seed, progress=False)  # fmt: skip

    run(10)
    before = resident()
    run(number)
    return (resident() - before) / number


@pytest.mark.area("memory limit")
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's account of the process")
def test_runs_one_after_the_other_keep_no_memory():
    """A graph in TorchScript's table of types would stay: .8 MiB a call."""
    outcome = run_alone(kept_by_repeated_runs, 40)
    assert not outcome.error, str(outcome)
    assert outcome.value < 0.4


@pytest.mark.area("read-only folders")
@pytest.mark.parametrize("name", problems.RESUMABLE)
def test_a_finished_run_is_read_from_a_read_only_folder(name, public):
    folder = public / "run"
    whole = run_alone(problems.call, name, str(folder)).value
    read_only(folder)
    outcome = run_alone(as_somebody, problems.call, name, str(folder))
    assert not outcome.error, str(outcome)
    assert problems.same(outcome.value, whole)


COUNTED = [0]


def counting_error(model, batch):
    COUNTED[0] += 1
    return problems.squared_error(model, batch)


def steps_before_refusal(name: str, path: str) -> tuple:
    """A run that would not end: what it says, and how often it asked for the loss or for a batch before."""
    COUNTED[0] = 0
    settings = {**problems.SAMPLING, "num_burnin": 0, "num_draws": 2, "num_steps_between_draws": 2 * 10**6}
    settings["checkpoint_every"] = 1000

    def batches(step):
        COUNTED[0] += 1
        return problems.tokens(step)

    model, data = problems.network(), problems.regression_data()
    calls = {
        "sample": lambda: problems.sample(model, data, counting_error, **settings, checkpoint=path),
        "sample_many": lambda: problems.sample_many([model], data, counting_error, **settings, checkpoint=path),
        "refined_llc": lambda: problems.refined_llc(
            model, data, counting_error, problems.component_masks(model), **settings, checkpoint=path
        ),
        "train": lambda: problems.training(
            path,
            loss=counting_error,
            save_seconds=60.0,
            settings=problems.TrainingSettings(num_steps=10**6, learning_rate=0.1),
        ),
        "train_lens": lambda: problems.train_lens(
            problems.TunedLens(problems.reader()),
            batches,
            problems.LensTraining(num_steps=10**5),
            state_file=path,
            progress=False,
        ),
    }
    outcome = outcome_of(calls[name])
    return outcome, COUNTED[0]


PLACES = {
    "a file in the place of the folder": lambda p: (
        (p / "file").write_text("") and None or p / "file" / "below" / "run.pt"
    ),
    "a folder that may not be written": lambda p: (p / "closed").mkdir(mode=0o555) or p / "closed" / "run.pt",
    "a folder of a read-only folder": lambda p: (p / "closed").mkdir(mode=0o555) or p / "closed" / "new" / "run.pt",
}


@pytest.mark.area("read-only folders")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", ["sample", "sample_many", "refined_llc", "train", "train_lens"])
def test_an_unwritable_place_is_refused_before_any_step(name, place, public):
    outcome = run_alone(as_somebody, steps_before_refusal, name, str(PLACES[place](public)), timeout=8)
    assert not outcome.timed_out, "it began to work"
    assert not outcome.error, str(outcome)
    refusal, evaluations = outcome.value
    assert refusal.refused, str(refusal)
    assert evaluations < 100  # of what is looked at before the first step; the run itself would take millions
