"""Whether a recorded run still follows from its command, and the list of all of them.

A step follows if its files are those of its provenance, the command made them, and the command would do the same now:
the settings of every run (defaults of the notebook under the preset), the code of notebook and library, the pins, and
the data that it read are what they were.
"""

import ast
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from devinterp_core.companion import jobs, key, manifest, project, recorded_tables
from devinterp_core.companion.output import keep
from devinterp_core.companion.parameters import read_notebook, read_parameters
from devinterp_core.companion.recordings import Recording, Step, declared

FOLLOWS = "follows from its command"
BY_COMMAND = "by its command"  # the field `made` of a step that `record` has made; any other text is shown as it stands
SOURCES = ("code", "library", "lock")  # of `key.inputs`


def state(recording: Recording, step: Step) -> str:
    """`FOLLOWS`, or what speaks against it in a few words."""
    entry = step_entry(recording, step)
    if entry is None:
        return "not recorded"
    if damage := manifest.changed(recording.folder, entry["files"]):
        return f"damaged: {damage}"
    if entry["made"] != BY_COMMAND:
        return f"not made by its command, but {entry['made']}"
    wanted = step.jobs()
    if entry["commands"] != step.commands() or len(entry["runs"]) != len(wanted):
        return "its command has changed"
    if changed := different(entry.get("taken", {}), step.taken()):
        return f"other rows or columns are taken now for {', '.join(changed)}"
    for job, run in zip(wanted, entry["runs"], strict=True):
        if changed := different(run["settings"], settings(job)):
            return f"settings have changed: {', '.join(changed)}"
        now = sources(key.inputs(job.notebook, job.overrides))
        if changed := different(run["sources"], now):
            return f"made at {run['commit_evaluation']}, since when have changed: {', '.join(changed)}"
        if changed := manifest.changed(project.root(), run["read"]):
            return f"made from other data: {changed}"
    return FOLLOWS


def is_input(recording: Recording, step: Step, name: str) -> bool:
    """Whether `step` is made from the file `name` (relative to the root), which a run of it read.

    Of the recording's own folder only the files of earlier steps are: a chapter also shows what it is about to replace.
    """
    folder = f"{recording.folder.relative_to(project.root()).as_posix()}/"
    if not name.startswith(folder):
        return not name.endswith(f"/{recorded_tables.PROVENANCE}.json")
    earlier = recording.steps[: recording.steps.index(step)]
    return any(name.removeprefix(folder).split("/")[0] in each.files for each in earlier)


def step_entry(recording: Recording, step: Step) -> dict[str, Any] | None:
    """The provenance of a step, known by its files; None if there is none."""
    try:
        steps = recorded_tables.read_provenance(recording.name)["steps"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return next((each for each in steps if {name.split("/")[0] for name in each["files"]} == set(step.files)), None)


def settings(job: jobs.Job) -> dict[str, Any]:
    """Every parameter of a run: the defaults of its notebook under its overrides."""
    known = read_parameters(read_notebook(job.notebook), job.notebook.name)
    return {name: each.default for name, each in known.items()} | dict(job.overrides)


def sources(inputs: Mapping[str, Any]) -> dict[str, str]:
    """Of the inputs of a run (see `key.inputs`): a digest of the notebook's code, of the library's, and of the pins."""
    texts = {name: json.dumps(inputs[name], sort_keys=True) for name in SOURCES}
    return {name: hashlib.sha256(text.encode()).hexdigest()[:16] for name, text in texts.items()}


def different(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The names whose values differ, or that only one of the two has."""
    return sorted(name for name in {*one, *other} if name not in one or name not in other or one[name] != other[name])


def not_left(step: Step) -> list[str]:
    """Files that a step takes from its runs and that no code of theirs names: a look that spares an hour in vain.

    A table of a figure is named by the figure, any other by `keep` or as a file.
    """
    cells = [cell for run in step.runs for cell in read_notebook(run.notebook).cells if cell.cell_type == "code"]
    code = [cell.source for cell in cells]
    code += [path.read_text(encoding="utf-8") for path in key.imported_modules(code)]
    nodes = [node for text in code for node in ast.walk(ast.parse(text))]
    named = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    for node in nodes:
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == keep.__name__:
            named |= {f"{word.arg}.csv" for word in node.keywords}
    named |= {f"{name}.csv" for name in named if name.startswith("fig-")}
    return sorted({source.file for source in step.files.values() if step.runs} - named)


def minutes(step: Step, entry: Mapping[str, Any]) -> float:
    """Minutes that a step takes on two quiet cores: one of them for a notebook, both for a sweep.

    CPU time where it was measured, wall time where it was not.
    """
    seconds = sum(run.get("cpu_seconds") or run["wall_seconds"] or 0 for run in entry["runs"])
    for run in entry["runs"]:  # trainings that an earlier attempt had finished
        seconds += sum(each.get("seconds", 0) for each in run["trainings"] if each["date"] <= run["date"])
    return seconds / 60 / (2 if step.sweep is not None and len(entry["runs"]) > 1 else 1)


def refuse_what_is_not_left(step: Step) -> None:
    """Stop before anything is executed where the runs would not leave what the files are made from.

    Raises:
        CompanionError: naming what is not there, and how a notebook leaves it.
    """
    if lacking := not_left(step):
        raise project.CompanionError(_lacking(step, lacking))


def _lacking(step: Step, lacking: list[str]) -> str:
    names = " and ".join(dict.fromkeys(run.notebook.stem for run in step.runs))
    tables = ", ".join(f"{name.removesuffix('.csv')}=..." for name in lacking if name.endswith(".csv"))
    return f"{names} leaves no {', '.join(lacking)}" + (f" (write keep({tables}) in it)" if tables else "")


def listing() -> list[str]:
    """A line for each step of each recording: minutes on two cores, size, `state`, and what prevents making it now."""
    lines = [f"{'recording (files)':50} {'2 cores':>7} {'size':>9}  state"]
    for recording in declared().values():
        for step in recording.steps:
            entry = step_entry(recording, step)
            paths = [recording.folder / name for name in entry["files"]] if entry else []
            size = sum(path.stat().st_size for path in paths if path.is_file())
            took = f"{minutes(step, entry):.0f} min" if entry else "? min"
            what = f"{recording.name} ({', '.join(step.files)})"
            lines.append(f"{what:50} {took:>7} {size / 1e6:6.2f} MB  {state(recording, step)}")
            if lacking := not_left(step):
                lines.append(f"{'':50} cannot be made now: {_lacking(step, lacking)}")
        if recording.folder.is_dir() and (damage := recorded_tables.problem(recording.name)):
            lines.append(damage)
    return lines
