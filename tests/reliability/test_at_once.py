"""Two and three processes at once on one file or one cache: each gets the right numbers, or is refused."""

import pickle
from pathlib import Path

import companion_tree
import numpy as np
import pytest
import reliability_problems as problems
import xarray
from reliability_children import Outcome, outcome_of, scaled, start

pytestmark = pytest.mark.area("at once")


def answer(number: int, folder: str, function, *args) -> None:
    """The outcome of a call in a file of its own."""
    (Path(folder).parent / f"{number}.outcome").write_bytes(pickle.dumps(outcome_of(function, *args)))


def together(folder: Path, calls: list) -> list[Outcome]:
    """Outcomes of calls that are made at the same time, each in a process of its own."""
    folder.mkdir(exist_ok=True)
    processes = [start(answer, number, str(folder), *call) for number, call in enumerate(calls)]
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    return [pickle.loads((folder.parent / f"{number}.outcome").read_bytes()) for number in range(len(calls))]


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("name", problems.RESUMABLE)
def test_one_run_by_several_processes(name, count, tmp_path):
    outcomes = together(tmp_path / "run", [(problems.call, name, str(tmp_path / "run"))] * count)
    again = problems.call(name, str(tmp_path / "run"))
    assert [str(o) for o in outcomes if o.error and not o.refused] == []
    finished = [o.value for o in outcomes if not o.error]
    assert finished and all(problems.same(problems.plain(value), again) for value in finished)
    left = [path.name for path in (tmp_path / "run").rglob("*") if ".tmp" in path.name]
    assert left == []


def seeded(path: str, seed: int) -> dict:
    return problems.plain(problems.draws_of_sample(path, seed=seed))


@pytest.mark.parametrize("count", [2, 3])
def test_different_runs_on_one_file(count, tmp_path):
    """Each is refused or gets its own draws, never the other's."""
    path = str(tmp_path / "run" / "run.pt")
    outcomes = together(tmp_path / "run", [(seeded, path, seed) for seed in range(count)])
    for seed, outcome in enumerate(outcomes):
        assert outcome.refused or problems.same(outcome.value, seeded(None, seed)), str(outcome)
    assert not all(outcome.refused for outcome in outcomes)


def write_and_read(path: str, number: int, times: int) -> int:
    """Save numbers of one's own and read whatever is there; how often what was read was whole and of one writer."""
    from devinterp_core.files import load_dataset, save_dataset

    good = 0
    for _ in range(times):
        save_dataset(path, xarray.Dataset({"x": ("i", np.full(2000, float(number)))}))
        values = load_dataset(path).x.values
        good += values.shape == (2000,) and len(set(values.tolist())) == 1
    return good


@pytest.mark.parametrize("count", [2, 3])
def test_draws_saved_and_read_by_several(count, tmp_path):
    times = scaled(5, 40)
    path = str(tmp_path / "run" / "draws.nc")
    outcomes = together(tmp_path / "run", [(write_and_read, path, number, times) for number in range(count)])
    assert [str(o) for o in outcomes if o.value != times] == []


def write_numbers(path: str, number: int, times: int) -> int:
    from devinterp_core.files import write_atomically

    good = 0
    for _ in range(times):
        write_atomically(path, lambda temporary: temporary.write_bytes(bytes([number]) * 5000))
        content = Path(path).read_bytes()
        good += len(content) == 5000 and len(set(content)) == 1
    return good


def test_one_small_file_written_by_three(tmp_path):
    path = str(tmp_path / "run" / "file.bin")
    outcomes = together(tmp_path / "run", [(write_numbers, path, number, 50) for number in range(3)])
    assert [o.value for o in outcomes] == [50, 50, 50]


@pytest.mark.parametrize("count", scaled(0, 1) * [2, 3] or [2])
def test_one_notebook_executed_by_several(count, tmp_path):
    tree = companion_tree.make(tmp_path)
    processes = [companion_tree.start(tree, "run", "01", "--output", f"out{k}.ipynb") for k in range(count)]
    for process in processes:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
    assert companion_tree.executions(tree) == ["one 0 1.0"]
    assert len({(tree / f"out{k}.ipynb").read_bytes() for k in range(count)}) == 1
