"""What lies in `data/recorded`: every file in a provenance and every provenance complete, as the declaration says."""

import re

import pytest
import yaml

from devinterp_core.companion import follows, project, recorded_tables
from devinterp_core.companion.recordings import declared

ROOT = project.REPOSITORY
RECORDINGS = declared()
OTHERS = {"reliability"}  # of the campaign, with a command of its own
RUN = {
    "notebook", "settings", "seeds", "commit_training", "commit_evaluation", "trainings", "date", "wall_seconds",
    "device", "torch",
}  # fmt: skip
TRAINING = {"name", "commit", "date"}
COMMIT = re.compile(r"[0-9a-f]{7,40}(\+changes)?")


def test_every_folder_is_declared_and_every_declared_run_is_there():
    folders = {path.name for path in (ROOT / "data/recorded").iterdir() if path.is_dir()}
    assert folders - OTHERS == set(RECORDINGS)


@pytest.mark.parametrize("name", RECORDINGS)
def test_files_and_provenance_agree(name):
    assert not recorded_tables.problem(name)
    provenance = recorded_tables.read_provenance(name)
    listed = [{file.split("/")[0] for file in step["files"]} for step in provenance["steps"]]
    assert listed == [set(step.files) for step in RECORDINGS[name].steps]
    assert provenance["command"] == RECORDINGS[name].command


@pytest.mark.parametrize("name", RECORDINGS)
def test_every_field_is_known_or_said_to_be_unknown_and_why(name):
    provenance = recorded_tables.read_provenance(name)
    assert provenance["what"]
    for step in provenance["steps"]:
        by_command = step["made"] == follows.BY_COMMAND
        assert step["commands"] and step["runs"] and (by_command or step["how"])
        for run in step["runs"]:
            assert set(run) >= RUN
            unknown = run.get("unknown", {})
            assert not by_command or not unknown
            empty = {field for field in RUN - {"trainings", "seeds"} if run[field] in (None, "", {})}
            assert empty <= set(unknown), "a field without a value has a reason in `unknown`"
            assert all(set(training) >= TRAINING for training in run["trainings"])
            for field in {"commit_training", "commit_evaluation"} - empty:
                parts = run[field].split(", ")
                assert run[field] == "nothing is trained" or all(COMMIT.fullmatch(part) for part in parts)
            if by_command:
                assert not any("+changes" in run[field] for field in ("commit_training", "commit_evaluation"))
                assert set(run) >= {"sources", "read", "python"}


@pytest.mark.parametrize("name", RECORDINGS)
def test_the_notebooks_have_the_parameters_and_leave_the_files_that_are_declared(name):
    for step in RECORDINGS[name].steps:
        assert step.jobs()  # parameters that the notebook does not have are refused here
        assert not follows.not_left(step)


def test_the_presets_of_recorded_runs_are_those_that_are_declared():
    used = {run.preset.name for recording in RECORDINGS.values() for step in recording.steps for run in step.runs}
    there = {path.name for path in (ROOT / "notebooks/params").glob("*.recorded*.yaml")}
    assert used == there
    assert all(yaml.safe_load((ROOT / "notebooks/params" / name).read_text()) for name in there)
