"""What each folder of `data/recorded` consists of, as `data/recorded/recordings.yml` declares it.

    name_of_the_folder:
      what: one sentence for the provenance
      steps:                                     # in this order; a later one may read what an earlier one left
        - runs:                                  # notebooks, each with a preset and perhaps further parameters
            - {notebook: 06_transient_ridge, preset: recorded_d8}
            - {notebook: 06_transient_ridge, preset: recorded_d8, with: {seed: 3}}
          files:                                 # what this step leaves in the folder
            curves.csv: {table: curves}          # kept by `output.keep`; the rows of all runs beneath each other
            llc.csv: {table: fig-stages, where: {panel: llc}, without: [note], run: 1}  # or the CSV of a figure
            checkpoints: {copy: checkpoints}     # a file or a folder that the notebook wrote, of the only run
        - sweep: rllc_rules_sweep                # or notebooks/params/<name>.yaml, for one file
          files: {table.csv: sweep}              # its table

`where` keeps the rows with these values and drops the columns that are empty in all of them; `without` drops columns;
`run` takes the table of one run, counted from 1.
"""

import dataclasses
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devinterp_core.companion import jobs, project, sweep
from devinterp_core.companion.parameters import as_arguments, read_notebook, read_parameters, read_yaml

PROGRAM = "python -m devinterp_core.companion"
FIELDS = {
    "recording": {"what", "steps"},
    "step": {"runs", "sweep", "files"},
    "run": {"notebook", "preset", "with"},
    "file": {"table", "copy", "where", "without", "run"},
}


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a recorded file comes from: a table that was kept or drawn, or (`copy`) a file or folder as it is."""

    name: str
    copy: bool = False
    where: Mapping[str, str] = dataclasses.field(default_factory=dict)
    without: tuple[str, ...] = ()
    run: int | None = None  # counted from 1; None takes all

    @property
    def file(self) -> str:
        """Its name in the folder of a run."""
        return self.name if self.copy else f"{self.name}.csv"


@dataclasses.dataclass(frozen=True)
class Run:
    """One notebook with a preset and further parameters."""

    notebook: Path
    preset: Path
    further: Mapping[str, Any]

    @property
    def job(self) -> jobs.Job:
        """The run as it would be made now, with its key."""
        return jobs.job(self.notebook, read_yaml(self.preset) | dict(self.further))

    @property
    def command(self) -> str:
        """What makes this run alone."""
        known = read_parameters(read_notebook(self.notebook), self.notebook.name)
        further = as_arguments({name: known[name].coerce(value) for name, value in self.further.items()})
        preset = self.preset.relative_to(project.root()).as_posix()
        return shlex.join([*PROGRAM.split(), "run", self.notebook.stem, "-f", preset, *further])


@dataclasses.dataclass(frozen=True)
class Step:
    """Runs, or one sweep, and the files that they leave."""

    runs: tuple[Run, ...]
    sweep: Path | None
    files: Mapping[str, Source]  # empty sources for the table of a sweep

    def taken(self) -> dict[str, Any]:
        """Where each file comes from, in plain values, for the provenance."""
        plain = {name: dataclasses.asdict(source) for name, source in self.files.items()}
        return json.loads(json.dumps(plain))

    def jobs(self) -> tuple[jobs.Job, ...]:
        """The runs with their keys as of now."""
        return sweep.read(self.sweep).jobs if self.sweep else tuple(run.job for run in self.runs)

    def commands(self) -> list[str]:
        """What makes the runs, without copying their files anywhere."""
        if self.sweep is None:
            return [run.command for run in self.runs]
        grid = self.sweep.relative_to(project.root()).as_posix()
        return [shlex.join([*PROGRAM.split(), "sweep", grid])]


@dataclasses.dataclass(frozen=True)
class Recording:
    """One folder of `data/recorded`."""

    name: str
    what: str
    steps: tuple[Step, ...]

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return project.root() / "data" / "recorded" / self.name

    @property
    def command(self) -> str:
        """What makes it."""
        return f"{PROGRAM} record {self.name}"

    @property
    def cache(self) -> Path:
        """Where its trainings are kept, apart from those of other commands, so that their commits are known."""
        return project.root() / "data" / "cache" / "recorded" / self.name


def declared() -> dict[str, Recording]:
    """All recordings by name.

    Raises:
        CompanionError: a declaration that cannot be read, with the place.
    """
    path = project.root() / "data" / "recorded" / "recordings.yml"
    return {name: _recording(name, content) for name, content in read_yaml(path).items()}


def find(name: str) -> Recording:
    """The recording `name`.

    Raises:
        CompanionError: if there is none; the message lists what there is.
    """
    known = declared()
    if name not in known:
        raise project.CompanionError(f"'{name}' is no recording; the recordings are: {', '.join(known)}")
    return known[name]


def _recording(name: str, content: Any) -> Recording:
    _check(name, "recording", content, {"what", "steps"})
    steps = tuple(_step(f"{name}, step {number}", each) for number, each in enumerate(content["steps"], start=1))
    names = [file for step in steps for file in step.files]
    if twice := sorted({file for file in names if names.count(file) > 1}):
        raise project.CompanionError(f"recordings.yml, {name}: {twice[0]} is made by two steps")
    return Recording(name, str(content["what"]), steps)


def _step(place: str, content: Any) -> Step:
    _check(place, "step", content, {"files"})
    params = project.root() / "notebooks" / "params"
    if ("runs" in content) == ("sweep" in content):
        raise project.CompanionError(f"recordings.yml, {place}: give either `runs` or `sweep`")
    if "sweep" in content:
        if list(content["files"].values()) != ["sweep"]:
            raise project.CompanionError(f"recordings.yml, {place}: a sweep leaves one file, `table.csv: sweep`")
        return Step((), params / f"{content['sweep']}.yaml", {name: Source("") for name in content["files"]})
    runs = []
    for each in content["runs"]:
        _check(place, "run", each, {"notebook", "preset"})
        notebook = project.find_notebook(str(each["notebook"]))
        preset = params / f"{notebook.stem}.{each['preset']}.yaml"
        runs.append(Run(notebook, preset, each.get("with") or {}))
    files = {name: _source(f"{place}, {name}", each, len(runs)) for name, each in content["files"].items()}
    return Step(tuple(runs), None, files)


def _source(place: str, content: Any, num_runs: int) -> Source:
    _check(place, "file", content, set())
    if ("table" in content) == ("copy" in content):
        raise project.CompanionError(f"recordings.yml, {place}: give either `table` or `copy`")
    run = int(content["run"]) if "run" in content else None
    if run is not None and not 1 <= run <= num_runs:
        raise project.CompanionError(f"recordings.yml, {place}: there is no run {run} in this step")
    if "copy" in content:
        if num_runs > 1 and run is None:
            raise project.CompanionError(f"recordings.yml, {place}: say of which `run` the copy is")
        return Source(str(content["copy"]), copy=True, run=run or 1)
    where = {name: str(value) for name, value in (content.get("where") or {}).items()}
    return Source(str(content["table"]), False, where, tuple(map(str, content.get("without") or ())), run)


def _check(place: str, kind: str, content: Any, needed: set[str]) -> None:
    if not isinstance(content, dict):
        raise project.CompanionError(f"recordings.yml, {place}: `name: value` lines were expected, not {content!r}")
    if unknown := set(content) - FIELDS[kind]:
        known = sorted(FIELDS[kind])
        raise project.CompanionError(f"recordings.yml, {place}: unknown {sorted(unknown)}; the fields are {known}")
    if missing := needed - set(content):
        raise project.CompanionError(f"recordings.yml, {place}: {sorted(missing)} is missing")
