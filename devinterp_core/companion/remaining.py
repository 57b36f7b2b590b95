"""How far a build or a sweep is, and how long the rest will take, said while it runs.

A notebook of the book is expected to take what it took in the last published build (`book/seconds.json`), times the
pace of this build: the ratio of the two over the notebooks that are done. The runs of a sweep are expected to take what
those that are done took on average. The runs are then dealt out to the cores in their order.
"""

import heapq
import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from devinterp_core.companion import assemble, order
from devinterp_core.companion.jobs import Job

EVERY = 60.0  # seconds between two lines; one more whenever a run is done
LOOK = 2.0  # seconds between two looks


def seconds_left(
    waiting: Sequence[str], done: Mapping[str, float], known: Mapping[str, float], cores: int, elapsed: float
) -> float | None:
    """Seconds until the last run ends, at least zero; None as long as nothing is known.

    Args:
        waiting: the runs that were to be made when the build began, in the order in which they are started.
        done: seconds that those took which are done.
        known: seconds that runs took earlier, by the same names; those of the others are unknown.
        cores: runs at a time.
        elapsed: seconds since the build began.
    """
    both = [name for name in done if known.get(name)]
    pace = sum(done[name] for name in both) / sum(known[name] for name in both) if both else 1.0
    guesses = [*done.values()] or [known[name] for name in waiting if name in known]
    if not guesses:
        return None
    mean = sum(guesses) / len(guesses)
    ends = [0.0] * min(cores, len(waiting))  # when each core is free
    for name in waiting:
        takes = done[name] if name in done else known[name] * pace if name in known else mean
        heapq.heappush(ends, heapq.heappop(ends) + takes)
    return max(0.0, max(ends) - elapsed)


def in_words(seconds: float | None) -> str:
    """`about 5 min left`; for what is nearly done or unknown, that."""
    if seconds is None:
        return "how long the rest takes is not known yet"
    if seconds < 45:
        return "less than a minute left"
    return f"about {max(1, round(seconds / 60))} min left"


@contextmanager
def told(jobs: Sequence[Job], cores: int, what: str, options: Sequence[str] = ()) -> Iterator[None]:
    """While the block runs, say on standard error how many of the jobs are done and how long the rest takes.

    Args:
        jobs: of the build or sweep; those that are done already do not count.
        cores: runs at a time.
        what: is built, at the head of each line.
        options: of Snakemake; nothing is said of a dry run, or where it is asked to be quiet.
    """
    if {"--dry-run", "-n", "--quiet", "-q"} & {option.split("=")[0] for option in options}:
        yield
        return
    priorities = order.priorities(jobs)
    waiting = [each for each in jobs if not assemble.is_complete(each.folder)]
    waiting.sort(key=lambda each: -priorities[each.name])
    stop = threading.Event()
    thread = threading.Thread(target=_tell, args=(waiting, cores, what, stop), daemon=True)
    if waiting:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        if waiting:
            thread.join()


def _tell(waiting: Sequence[Job], cores: int, what: str, stop: threading.Event) -> None:
    seconds = order.read_seconds()
    known = {each.name: seconds.get(each.notebook.stem) for each in waiting if not each.overrides}
    known = {name: each for name, each in known.items() if each}
    began = last = time.monotonic()
    done: dict[str, float] = {}
    before = -1
    while True:
        for each in waiting:
            record = each.folder / assemble.PROVENANCE  # it gets its name when the run is whole
            if each.name not in done and record.is_file():
                done[each.name] = json.loads(record.read_bytes())["wall_seconds"]
        now = time.monotonic()
        if len(done) > before or now - last >= EVERY:
            left = seconds_left([each.name for each in waiting], done, known, cores, now - began)
            rest = f": {in_words(left)}" if len(done) < len(waiting) else ""
            print(f"[{what}] {len(done)} of {len(waiting)} notebooks done{rest}", file=sys.stderr, flush=True)
            before, last = len(done), now
        if len(done) == len(waiting) or stop.wait(LOOK):
            return
