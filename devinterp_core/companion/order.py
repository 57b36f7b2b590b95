"""In which order the notebooks of the book are executed: the longest first, and none beside one that trains for it.

With one core for each notebook that runs, what starts last should be short: else the other cores wait for it. So the
seconds of the last published build are kept in git (`companion seconds` writes them), and a notebook's priority is what
it took, with what has to wait for it. A notebook that uses the trainings of another one, named in the list of chapters,
starts after it: beside it, it would wait on the lock of the training and keep a core from those that could use it.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from devinterp_core.companion import assemble, chapters, project
from devinterp_core.companion.jobs import Job
from devinterp_core.files import write_atomically

SECONDS = "book/seconds.json"


def read_seconds() -> dict[str, float]:
    """Seconds that each notebook took in the last published build, by stem; empty where nobody has noted them.

    Raises:
        CompanionError: if the file holds something else.
    """
    path = project.root() / SECONDS
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_bytes())
        if all(type(each) in (int, float) and 0 <= each < float("inf") for each in found.values()):
            return found
    except (ValueError, AttributeError):
        pass
    raise project.CompanionError(f"{SECONDS} should give seconds by notebook: delete it, or write it by the command")


def write_seconds() -> Path:
    """Note how long the notebooks took whose pages are in `_build/html`.

    Raises:
        CompanionError: if there is no book, or one without some notebook.
    """
    found = {}
    for path in project.notebooks():
        record = project.build_folder() / "html" / "downloads" / path.stem / assemble.PROVENANCE
        try:
            found[path.stem] = round(json.loads(record.read_bytes())["wall_seconds"])
        except FileNotFoundError:
            raise project.CompanionError(f"{path.stem} is not in the book in _build/html: make book") from None
    text = json.dumps(found, indent=1) + "\n"
    return write_atomically(project.root() / SECONDS, lambda path: path.write_text(text, encoding="utf-8"))


def priorities(jobs: Sequence[Job]) -> dict[str, float]:
    """For each job, by name: its seconds and those of the longest chain of jobs that have to wait for it.

    A notebook whose seconds nobody has noted counts as the longest; where none are known, all are equal.
    """
    known = read_seconds()
    own = {each.notebook.stem: known.get(each.notebook.stem, max(known.values(), default=0)) for each in jobs}
    total = dict(own)
    for chapter in reversed(chapters.read()):  # who waits stands behind whom it waits for
        if chapter.after in own and chapter.stem in own:
            total[chapter.after] = max(total[chapter.after], own[chapter.after] + total[chapter.stem])
    return {each.name: total[each.notebook.stem] for each in jobs}


def predecessors(jobs: Sequence[Job]) -> dict[str, str]:
    """For each job that waits for another one, by name, the target of the other one; both are yet to be done."""
    waiting = {each.notebook.stem: each for each in jobs if not assemble.is_complete(each.folder)}
    return {
        waiting[chapter.stem].name: waiting[chapter.after].target
        for chapter in chapters.read()
        if chapter.stem in waiting and chapter.after in waiting
    }
