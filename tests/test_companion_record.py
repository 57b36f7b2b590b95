"""Recorded runs of a small project: made by one command, resumed, refused, and known for what they are."""

import hashlib
import json
import os
import signal
import subprocess
import time

import companion_tree
import pytest
from companion_tree import companion, edit, executions, results

from devinterp_core.companion import follows, manifest, project, recorded_tables
from devinterp_core.companion.gather import table
from devinterp_core.companion.recordings import Source, declared, find

# A notebook that trains (a file in the cache, counted), draws tables and may read what is recorded.
CELLS = """
# %%
import json
from devinterp_core.companion.output import cache_folder, keep
from devinterp_core.companion.recorded_tables import recorded_path, recorded_tables

out = Path(os.environ["COMPANION_OUTPUT"])
training = cache_folder() / f"training_{seed}"
if not training.exists():
    training.mkdir()
    (training / "training.json").write_text(json.dumps({"seconds": 90.0}))
    with (root / "trainings.txt").open("a") as log:
        print(seed, file=log)
(training / "training.json").read_text()
(out / "fig-panels.csv").write_text(f"panel,step,llc,loss\\nllc,{seed}.0,0.10,\\nllc,7.0,1e-3,\\nloss,,,2.5\\n")
keep(plain=__import__("pandas").DataFrame({"seed": [seed], "value": [scale]}))
(out / "kept").mkdir()
(out / "kept" / "weights.bin").write_text("weights")
shown = recorded_tables("small", required=False)
if label == "second":
    (out / "last.csv").write_text(recorded_path("small", "kept").joinpath("weights.bin").read_text() + "\\n1\\n")
"""
DECLARATION = """\
small:
  what: A small example
  steps:
    - runs:
        - {notebook: 01_first, preset: recorded}
        - {notebook: 01_first, preset: recorded, with: {seed: 5}}
      files:
        llc.csv: {table: fig-panels, where: {panel: llc}, without: [panel]}
        plain.csv: {table: plain, run: 2}
        kept: {copy: kept, run: 1}
    - runs:
        - {notebook: 01_first, preset: recorded, with: {label: second}}
      files:
        last.csv: {copy: last.csv}
swept:
  what: A sweep
  steps:
    - sweep: grid
      files: {table.csv: sweep}
"""


def git(root, *arguments):
    subprocess.run(["git", "-C", root, *arguments], check=True, capture_output=True)


def commit(root):
    git(root, "add", "-A")
    git(root, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "state", "--allow-empty")


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """The small project under git, with two recordings declared and none made."""
    monkeypatch.setenv("COMPANION_ROOT", str(tmp_path))
    companion_tree.make(tmp_path)
    with (tmp_path / "notebooks/01_first.py").open("a") as notebook:
        notebook.write(CELLS)
    (tmp_path / "notebooks/params/01_first.recorded.yaml").write_text("scale: 0.25\n")
    (tmp_path / "notebooks/params/grid.yaml").write_text("notebook: 01_first\ngrid: {seed: [1, 2]}\n")
    (tmp_path / "data/recorded/recordings.yml").write_text(DECLARATION)
    (tmp_path / ".gitignore").write_text("_build/\ndata/cache/\n*.txt\n")
    git(tmp_path, "init", "-q")
    commit(tmp_path)
    return tmp_path


def states(name="small"):
    recording = find(name)
    return [follows.state(recording, step) for step in recording.steps]


def trainings(root):
    return (root / "trainings.txt").read_text().split()


def test_one_command_makes_the_files_and_the_whole_provenance(tree):
    assert states() == ["not recorded"] * 2
    status, output = companion(tree, "record", "small")
    assert status == 0, output
    folder = tree / "data/recorded/small"
    assert (folder / "llc.csv").read_text() == "step,llc\n0,0.10\n7,1e-3\n5,0.10\n7,1e-3\n"  # to the digit, both runs
    assert (folder / "plain.csv").read_text() == "seed,value\n5,0.25\n"
    assert (folder / "kept/weights.bin").read_text() == "weights" and (folder / "last.csv").exists()
    found = json.loads((folder / "provenance.json").read_text())
    assert found["command"] == "python -m devinterp_core.companion record small"
    first, second = found["steps"]
    weights = hashlib.sha256(b"weights").hexdigest()
    assert first["files"]["kept/weights.bin"] == weights and set(second["files"]) == {"last.csv"}
    assert first["commands"][1] == (
        "python -m devinterp_core.companion run 01_first -f notebooks/params/01_first.recorded.yaml -p seed 5"
    )
    head = subprocess.run(["git", "-C", tree, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True).stdout
    for run, seed in zip(first["runs"], (0, 5), strict=True):
        assert run["settings"] == {"seed": seed, "scale": 0.25, "widths": [1, 2], "label": "plain"}
        assert run["seeds"] == {"seed": seed} and run["torch"] and run["device"]["threads"]
        assert run["commit_training"] == run["commit_evaluation"] == head.strip()
        assert [each["name"] for each in run["trainings"]] == [f"training_{seed}"]
        assert run["trainings"][0]["seconds"] == 90.0 and run["wall_seconds"] > 0 and run["date"]
        assert run["read"] == {}  # what it is about to replace is no input
    assert set(second["runs"][0]["read"]) == {f"data/recorded/small/{name}" for name in first["files"]}
    assert states() == [follows.FOLLOWS] * 2
    count = len(executions(tree))
    status, output = companion(tree, "record", "small")
    assert status == 0 and output.count("nothing to do") == 2 and len(executions(tree)) == count == 3
    assert subprocess.run(["git", "-C", tree, "status", "--porcelain"], capture_output=True, text=True).stdout == (
        "?? data/recorded/small/\n"
    )


def test_a_sweep_is_recorded_as_its_table(tree):
    status, output = companion(tree, "record", "swept", "--cores", "1")
    assert status == 0, output
    rows = (tree / "data/recorded/swept/table.csv").read_text().splitlines()
    assert rows[0].startswith("run,seed,kind,quantity") and len(rows) == 3
    step = json.loads((tree / "data/recorded/swept/provenance.json").read_text())["steps"][0]
    assert [run["seeds"] for run in step["runs"]] == [{"seed": 1}, {"seed": 2}] and states("swept") == [follows.FOLLOWS]


@pytest.mark.parametrize("change", ["tracked", "untracked"])
def test_a_tree_that_differs_from_its_commit_is_refused_with_advice(tree, change):
    if change == "tracked":
        edit(tree / "requirements.lock", "1.0", "2.0")
    else:
        (tree / "notebooks/03_third.py").write_text("")
    status, output = companion(tree, "record", "small")
    name = "requirements.lock" if change == "tracked" else "notebooks/03_third.py"
    assert status == 1 and f"differs from its commit ({name})" in output and "git stash" in output
    assert not executions(tree) and not (tree / "data/recorded/small").exists()


def test_outside_git_and_by_an_unknown_name_nothing_is_recorded(tree):
    status, output = companion(tree, "record", "smal")
    assert status == 1 and "'smal' is no recording; the recordings are: small, swept" in output
    (tree / ".git").rename(tree / "not-git")
    status, output = companion(tree, "record", "small")
    assert status == 1 and "has no git commit" in output and not executions(tree)


def test_an_interrupted_recording_goes_on_and_knows_the_commit_of_its_training(tree):
    (tree / "fail").touch()  # untracked, and so is everything that stops it: see .gitignore
    (tree / ".gitignore").write_text((tree / ".gitignore").read_text() + "fail\nsleep\n")
    (tree / "fail").unlink()
    commit(tree)
    process = companion_tree.start(tree, "record", "small")
    deadline = time.monotonic() + 120
    while not results(tree) and time.monotonic() < deadline:
        time.sleep(0.05)
    (tree / "sleep").touch()  # in the second run, or in the third
    time.sleep(2)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    (tree / "sleep").unlink()
    done, before = len(results(tree)), trainings(tree)
    assert done in (1, 2) and "0" in before
    old = manifest.read(results(tree)[0])["commit"]
    (tree / "book/intro.md").write_text("# Another\n")  # no source of the run
    commit(tree)
    status, output = companion(tree, "record", "small")
    assert status == 0, output
    assert trainings(tree) == ["0", "5"]  # each once
    runs = json.loads((tree / "data/recorded/small/provenance.json").read_text())["steps"][0]["runs"]
    assert runs[0]["commit_training"] == runs[0]["commit_evaluation"] == old
    third = json.loads((tree / "data/recorded/small/provenance.json").read_text())["steps"][1]["runs"][0]
    assert third["commit_training"] == old != third["commit_evaluation"]  # its training was that of the first


def test_what_the_notebooks_will_not_leave_is_said_before_they_are_executed(tree):
    edit(tree / "data/recorded/recordings.yml", "{table: plain, run: 2}", "{table: pain}")
    edit(tree / "data/recorded/recordings.yml", "{copy: kept, run: 1}", "{copy: keep, run: 1}")
    commit(tree)
    status, output = companion(tree, "record", "small")
    assert status == 1 and "01_first leaves no keep, pain.csv (write keep(pain=...) in it)" in output
    assert not executions(tree)
    assert "cannot be made now: 01_first leaves no keep" in companion(tree, "record", "--list")[1]


def test_a_run_that_another_command_made_is_not_recorded(tree):
    companion(tree, "run", "01", "-f", "notebooks/params/01_first.recorded.yaml")
    status, output = companion(tree, "record", "small")
    assert status == 0, output
    assert len(executions(tree)) == 4  # executed again, with trainings whose commits are known
    found = json.loads((tree / "data/recorded/small/provenance.json").read_text())
    assert found["steps"][0]["runs"][0]["trainings"]


def test_the_list_says_what_no_longer_follows_and_why(tree):
    assert companion(tree, "record", "small")[0] == 0
    folder = tree / "data/recorded/small"
    (tree / "notebooks/params/01_first.recorded.yaml").write_text("scale: 0.5\n")
    assert states() == ["settings have changed: scale"] * 2
    (tree / "notebooks/params/01_first.recorded.yaml").write_text("scale: 0.25  # prose\n")
    assert states() == [follows.FOLLOWS] * 2
    edit(tree / "notebooks/01_first.py", "total = seed * scale", "total = scale * seed")
    assert all("since when have changed: code" in state for state in states())
    edit(tree / "notebooks/01_first.py", "total = scale * seed", "total = seed * scale")
    edit(tree / "data/recorded/recordings.yml", "with: {seed: 5}", "with: {seed: 6}")
    assert states() == ["its command has changed", follows.FOLLOWS]
    edit(tree / "data/recorded/recordings.yml", "with: {seed: 6}", "with: {seed: 5}")
    edit(tree / "data/recorded/recordings.yml", "without: [panel]", "without: [panel, loss]")
    assert states() == ["other rows or columns are taken now for llc.csv", follows.FOLLOWS]
    edit(tree / "data/recorded/recordings.yml", "without: [panel, loss]", "without: [panel]")
    content = (folder / "provenance.json").read_text()
    (folder / "provenance.json").write_text(content.replace(follows.BY_COMMAND, "by hand"))
    assert states() == ["not made by its command, but by hand"] * 2
    (folder / "provenance.json").write_text(content)
    (folder / "llc.csv").write_text("step,llc\n")
    (folder / "more.csv").write_text("step\n")
    other = "made from other data: data/recorded/small/llc.csv is not what was written"
    assert states() == ["damaged: llc.csv is not what was written", other]
    status, listing = companion(tree, "record", "--list")
    assert status == 0
    lines = listing.splitlines()[1:]
    assert "small (llc.csv, plain.csv, kept)" in lines[0] and "min" in lines[0] and " MB " in lines[0]
    assert "not as it was recorded: llc.csv" in lines[2] and lines[3].endswith("not recorded")
    git(tree, "checkout", "--", "notebooks")
    status, output = companion(tree, "record", "small")
    assert status == 1 and "data/recorded/small/more.csv is in no provenance: move it away" in output


def test_only_the_step_that_is_wrong_is_made_again(tree):
    assert companion(tree, "record", "small")[0] == 0
    commit(tree)
    (tree / "data/recorded/small/last.csv").unlink()
    status, output = companion(tree, "record", "small")
    assert status == 0 and output.count("as recorded, nothing to do") == 1
    assert states() == [follows.FOLLOWS] * 2 and len(executions(tree)) == 3  # its run was still there
    assert not recorded_tables.problem("small")


def test_one_step_can_be_made_alone(tree):
    assert companion(tree, "record", "small")[0] == 0
    commit(tree)
    edit(tree / "notebooks/params/01_first.recorded.yaml", "0.25", "0.5")
    commit(tree)
    status, output = companion(tree, "record", "small", "--only", "last.csv")
    assert status == 0, output
    assert states() == ["settings have changed: scale", follows.FOLLOWS] and not recorded_tables.problem("small")
    status, output = companion(tree, "record", "small", "--only", "first.csv")
    assert status == 1 and "no step of 'small' makes 'first.csv'; its files are: llc.csv, plain.csv" in output
    assert companion(tree, "record", "small", "swept", "--only", "last.csv")[0] == 1


def test_tables_of_runs_that_do_not_fit_are_refused(tmp_path):
    for name, text in {"a": "x,y\n1,2\n", "b": "x,z\n1,2\n"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "t.csv").write_text(text)
    folders = [tmp_path / "a", tmp_path / "b"]
    with pytest.raises(project.CompanionError, match="their rows cannot be joined"):
        table(Source("t"), folders)
    with pytest.raises(project.CompanionError, match=r"no column w: \['x', 'y'\]"):
        table(Source("t", where={"w": "1"}), folders)
    with pytest.raises(project.CompanionError, match="has no rows with"):
        table(Source("t", where={"x": "3"}), folders)
    with pytest.raises(project.CompanionError, match="left no table u.csv; it left: t"):
        table(Source("u"), folders)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("what: A small example", "why: none", "unknown \\['why'\\]"),
        ("{copy: kept, run: 1}", "{copy: kept}", "say of which `run` the copy is"),
        ("{copy: kept, run: 1}", "{copy: kept, run: 3}", "there is no run 3"),
        ("{copy: kept, run: 1}", "{}", "give either `table` or `copy`"),
        ("last.csv: {copy", "llc.csv: {copy", "llc.csv is made by two steps"),
        ("table.csv: sweep", "table.csv: rows", "a sweep leaves one file"),
        ("preset: recorded, with", "with", "\\['preset'\\] is missing"),
    ],
)
def test_a_declaration_that_means_nothing_is_refused(tree, old, new, message):
    edit(tree / "data/recorded/recordings.yml", old, new)
    with pytest.raises(project.CompanionError, match=message):
        declared()
