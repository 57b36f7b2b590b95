"""What a key must cover: whatever changes the result changes the key, in any process, and nothing else does."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import companion_tree
import pytest
import reliability_keys as keys
import reliability_problems as problems
from reliability_children import HERE, REPOSITORY

KINDS = {"loss": keys.PAIRS, "model": keys.MODELS, "setting": keys.SETTINGS}
CHANGES = [(kind, name) for kind, table in KINDS.items() for name in table]


@pytest.mark.area("keys: changes")
@pytest.mark.parametrize(("kind", "name"), CHANGES)
def test_another_run_on_the_sampler_checkpoint(kind, name, child, tmp_path):
    outcome = child.call(keys.other_in_the_same_file, kind, name, str(tmp_path))
    assert not outcome.error, str(outcome)
    found = outcome.value
    assert found["differ"], "the case changes nothing"
    assert found["refused"] or found["own"], found["said"]
    assert found["again"], f"the first run is no longer taken up: {found['said again']}"


@pytest.mark.area("keys: changes")
@pytest.mark.parametrize(("kind", "name"), [each for each in CHANGES if each[0] != "setting"])
def test_another_training_in_the_cache(kind, name, child, tmp_path):
    outcome = child.call(keys.trainings_in_one_cache, kind, name, str(tmp_path))
    assert not outcome.error, str(outcome)
    assert outcome.value["differ"], "the case changes nothing"
    assert outcome.value["refused"] or outcome.value["own"], outcome.value["said"]


@pytest.mark.area("keys: changes")
@pytest.mark.parametrize(("kind", "name"), [each for each in CHANGES if each[0] != "setting"])
def test_the_content_key(kind, name, child):
    outcome = child.call(keys.content_keys, kind, name)
    assert not outcome.error, str(outcome)
    assert outcome.value["differ"] and outcome.value["same"], outcome.value["said"]


def lens_of(path: str | None, seed: int, first: int, every: int) -> dict:
    """A lens for one of several models with the same readout, on one of several series of batches."""
    model = problems.reader()
    problems.drawn(model.model.blocks[0], seed, 0.3)  # below the readout
    return problems.plain(
        problems.lens_training(
            path, model=model, batches=lambda step: problems.tokens(0 if step == 0 else step * every + first)
        )
    )


@pytest.mark.area("keys: changes")
@pytest.mark.parametrize("change", [(1, 0, 1), (0, 50, 1), (0, 0, 2)], ids=["model", "batches", "order of batches"])
def test_another_lens_on_the_state(change, child, tmp_path):
    path = str(tmp_path / "state.safetensors")
    child.call(lens_of, path, 0, 0, 1)
    own = child.call(lens_of, None, *change)
    assert not problems.same(own.value, child.call(lens_of, None, 0, 0, 1).value)
    found = child.call(lens_of, path, *change)
    assert found.refused or problems.same(found.value, own.value), str(found)


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """Every run that is the same, asked for again by an interpreter with other hashes; what went wrong, by name."""
    folder = tmp_path_factory.mktemp("runs")
    program = Path(shutil.copy(HERE / "reliability_keys.py", folder / "reliability_keys.py"))
    for number, what in enumerate(("make", "ask")):
        environment = os.environ | {
            "PYTHONHASHSEED": str(number + 1),
            "PYTHONWARNINGS": "ignore",
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(HERE)]),
        }
        done = subprocess.run(
            [sys.executable, HERE / program.name, what, folder],
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        )
        found = json.loads(done.stdout.splitlines()[-1])
        if what == "make":
            made = found
    return {name: made[name] or found[name] for name in found}


@pytest.mark.area("keys: no changes")
@pytest.mark.parametrize("name", keys.unchanged(False))
def test_the_same_run_in_another_process(name, elsewhere):
    assert elsewhere[name] == ""


# ------------------------------------------------------------------------------------------------ executed notebooks


def key_of(root: str, overrides: dict) -> str:
    os.environ["COMPANION_ROOT"] = root
    from devinterp_core.companion import key, project

    return key.key_of(project.find_notebook("01"), overrides)


EDITS = {
    "code": ("notebooks/01_first.py", "sum(widths)", "max(widths)", True),
    "default": ("notebooks/01_first.py", "seed: int = 0", "seed: int = 5", True),
    "lock": ("requirements.lock", "numpy==1.0", "numpy==1.1", True),
    "second lock": ("requirements-no-deps.lock", "data==1.0", "data==1.1", True),
    "prose": ("notebooks/01_first.py", "The first prose.", "Other prose.", False),
    "caption": ("notebooks/01_first.py", '"caption": "First."', '"caption": "Other."', False),
    "comment of the lock": ("requirements.lock", "# a comment", "# another", False),
    "another notebook": ("notebooks/02_second.py", "sum(widths)", "max(widths)", False),
}


@pytest.mark.area("keys: changes")
@pytest.mark.parametrize("edit", [name for name in EDITS if EDITS[name][3]])
def test_edits_of_a_notebook_that_change_its_key(edit, child, tmp_path):
    assert len(set(keys_around(edit, child, tmp_path))) == 2


@pytest.mark.area("keys: no changes")
@pytest.mark.parametrize("edit", [name for name in EDITS if not EDITS[name][3]])
def test_edits_of_a_notebook_that_do_not(edit, child, tmp_path):
    assert len(set(keys_around(edit, child, tmp_path))) == 1


def keys_around(edit: str, child, tmp_path) -> list[str]:
    root = companion_tree.make(tmp_path)
    before = child.call(key_of, str(root), {}).value
    file, old, new, _ = EDITS[edit]
    companion_tree.edit(root / file, old, new)
    after = child.call(key_of, str(root), {}).value
    assert before and after
    return [before, after]
