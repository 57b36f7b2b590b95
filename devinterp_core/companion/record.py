"""Making a recorded run: notebooks executed at a clean commit, their files and their provenance put in place at once.

An interrupted recording is resumed by the same command: a finished run of a notebook is taken from `_build/executed`, a
finished or unfinished training from `data/cache/recorded/<name>`. No other command uses that cache, so that the commits
of runs and trainings are known: that of the last attempt that had begun when the run, or the training, ended.
"""

import contextlib
import datetime
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from devinterp_core.companion import assemble, follows, gather, jobs, manifest, project, provenance
from devinterp_core.companion import run as runs
from devinterp_core.companion import sweep as sweeps
from devinterp_core.companion.recordings import Recording, Step, find
from devinterp_core.files import write_atomically

ATTEMPTS = "attempts.json"
TRAINING = "training.json"  # of `train`, written when it has ended


def record(name: str, *, only: str | None = None, force: bool = False, cores: int | None = None) -> None:
    """Make the steps of the recording `name` that do not follow from their commands, or all of them.

    Args:
        name: of the folder in `data/recorded`.
        only: a file that it leaves: only the step that makes it; the others stay as they are, whatever their state.
        force: make every step again; trainings are still taken from the cache, which may be deleted.
        cores: runs of a sweep at a time; None takes all cores.

    Raises:
        CompanionError: an unknown name or file, a tree that differs from its commit, or a run that failed.
    """
    recording = find(name)
    chosen = [step for step in recording.steps if only is None or only in step.files]
    if not chosen:
        known = ", ".join(file for step in recording.steps for file in step.files)
        raise project.CompanionError(f"no step of '{name}' makes '{only}'; its files are: {known}")
    with project.locked(recording.cache / ".lock", f"recording {name}"):
        for step in chosen:
            what, state = f"{name} ({', '.join(step.files)})", follows.state(recording, step)
            if state == follows.FOLLOWS and not force:
                _say(f"{what}: as recorded, nothing to do")
                continue
            _say(f"{what}: {state}")
            follows.refuse_what_is_not_left(step)
            _check_tree(recording)
            gather.withdraw_damaged(recording)
            with _attempt(recording.cache):
                made = _execute(recording, step, force, cores)
            entry = {"made": follows.BY_COMMAND, "commands": step.commands(), "taken": step.taken()}
            entry["runs"] = [_run_entry(recording, step, job) for job in made]
            gather.put_in_place(recording, step, [job.folder for job in made], entry)
            _say(f"{what}: recorded")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _check_tree(recording: Recording) -> None:
    """Refuse sources that no commit names; what this very recording has written is no source."""
    if provenance.commit() == "unknown":
        raise project.CompanionError(f"{project.root()} has no git commit, which a recording names: `git init`, commit")
    if changed := provenance.changes(recording.folder.relative_to(project.root()).as_posix()):
        listed = ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else "")
        raise project.CompanionError(
            f"the tree differs from its commit ({listed}), and a recording names the commit that it was made from: "
            "commit the changes, or put them aside with `git stash --include-untracked`, and give the command again"
        )


@contextlib.contextmanager
def _attempt(cache: Path) -> Iterator[None]:
    """Note when and from which commit an attempt begins; trainings inside it go to `cache`."""
    began = [*_attempts(cache), {"began": time.time(), "commit": provenance.commit()}]
    write_atomically(cache / ATTEMPTS, lambda path: path.write_text(json.dumps(began, indent=1)))
    before = os.environ.get("COMPANION_CACHE")
    os.environ["COMPANION_CACHE"] = str(cache)
    try:
        yield
    finally:
        del os.environ["COMPANION_CACHE"]
        if before is not None:
            os.environ["COMPANION_CACHE"] = before


def _attempts(cache: Path) -> list[dict[str, Any]]:
    path = cache / ATTEMPTS
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def _commit(cache: Path, ended: float) -> str:
    """The commit of the attempt that was under way at a time: what is edited meanwhile is not what was run."""
    commits = [each["commit"] for each in _attempts(cache) if each["began"] <= ended]
    return commits[-1] if commits else "unknown"


def _execute(recording: Recording, step: Step, force: bool, cores: int | None) -> tuple[jobs.Job, ...]:
    """The finished runs of a step, each made from a commit and with the trainings of this recording's own cache."""
    wanted = step.jobs()
    for job in wanted:
        if assemble.is_complete(job.folder) and (force or not _is_ours(recording, manifest.read(job.folder))):
            with project.run_lock(job.folder):
                project.remove_folder(job.folder)
    if step.sweep is not None:
        options = ["--cores", str(cores)] if cores else []
        sweeps.run(step.sweep, [*options, "--set-resources", "execute:runtime=1440"])
    else:
        for place, job in enumerate(wanted, start=1):
            runs.run(job.notebook, job.overrides, position=f"{place} of {len(wanted)}", expected_key=job.key)
    return wanted


def _is_ours(recording: Recording, record: dict[str, Any]) -> bool:
    return record.get("cache") == recording.cache.relative_to(project.root()).as_posix()


def _run_entry(recording: Recording, step: Step, job: jobs.Job) -> dict[str, Any]:
    """What the provenance says of one run."""
    record, settings = manifest.read(job.folder), follows.settings(job)
    began = datetime.datetime.fromisoformat(record["started"]).timestamp()
    trainings = _trainings(recording.cache, record, began)
    covered = record["inputs"]["data"]  # with the digests of that time
    read = {
        name: covered[name] for name in record["read"] if name in covered and follows.is_input(recording, step, name)
    }
    return {
        "notebook": job.notebook.stem,
        "settings": settings,
        "seeds": {name: value for name, value in settings.items() if "seed" in name},
        "commit_training": ", ".join(dict.fromkeys(each["commit"] for each in trainings)) or "nothing is trained",
        "commit_evaluation": _commit(recording.cache, began + record["wall_seconds"]),
        "trainings": trainings,
        "date": record["started"],
        "wall_seconds": record["wall_seconds"],
        "cpu_seconds": record["cpu_seconds"],
        "device": record["machine"],
        "python": record["python"],
        "torch": record["torch"],
        "sources": follows.sources(record["inputs"]),
        "read": read,
    }


def _trainings(cache: Path, record: dict[str, Any], began: float) -> list[dict[str, Any]]:
    """The trainings that a run used, read from `cache` or (a lens, which is not read again) left there while it ran."""
    found = []
    for place in sorted(path for path in cache.iterdir() if path.is_dir() or path.suffix == ".safetensors"):
        file = place / TRAINING if place.is_dir() else place
        ended = file.stat().st_mtime if file.exists() else 0
        left = place.is_file() and began <= ended <= began + record["wall_seconds"] + 1
        if left or (ended and place.name in record["read_from_cache"]):
            date = datetime.datetime.fromtimestamp(ended, datetime.UTC).isoformat(timespec="seconds")
            seconds = {"seconds": json.loads(file.read_bytes())["seconds"]} if place.is_dir() else {}
            found.append({"name": place.name, "commit": _commit(cache, ended), "date": date, **seconds})
    return found
