"""Calling Snakemake on the one build graph, for the book and for sweeps."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from devinterp_core.companion import jobs, order, pages, project, remaining, surroundings


def snakemake(target: str, options: Sequence[str], *, sweep: Path | None = None) -> int:
    """Run the Snakefile for `target`; its exit status.

    Args:
        target: name of a rule.
        options: options of Snakemake, which go before ours: `--executor slurm --jobs 20`, `--cores 4`, `--dry-run`.
        sweep: the grid file of a sweep.
    """
    given = {option.split("=")[0] for option in options}
    loud = given & {"--quiet", "-q", "--verbose", "--dry-run", "-n"}
    cores = [] if given & {"--cores", "-c", "--jobs", "-j"} else ["--cores", str(len(os.sched_getaffinity(0)))]
    quiet = ["all"]  # the notebooks and `remaining` say what is going on, a notebook that fails why
    if "--executor" in given or "-e" in given:
        quiet = ["rules", "host"]  # a notebook talks to a file on another machine: say more here
        cores = [] if given & {"--jobs", "-j"} else ["--jobs", "20"]
    command = [
        *(sys.executable, "-m", "snakemake", target),
        *("--snakefile", str(project.REPOSITORY / "Snakefile"), "--directory", str(project.root())),
        # a target exists whole or not at all, whatever happened to the build that made it
        *("--nolock", "--ignore-incomplete", "--rerun-triggers", "mtime", "--keep-going"),
        *("--scheduler", "greedy", "--latency-wait", "20", *cores),
        *([] if "--resources" in given else ["--resources", "gpu=1"]),
        *([] if loud else ["--quiet", *quiet]),
        *options,
        # in hexadecimal digits: Snakemake guesses the type of a text, here and again on each machine of a cluster
        *(["--config", f"sweep={os.fsencode(sweep).hex()}"] if sweep else []),
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": project.python_path(),
        "XDG_CACHE_HOME": str(surroundings.cache_folder()),  # the user's own may not be writable
    }
    status = subprocess.run(command, env=environment, check=False).returncode
    if status != 0 and quiet == ["all"] and not loud:
        print("Where nothing above says why it failed: the same with --verbose.", file=sys.stderr, flush=True)
    return status


def at_a_time(options: Sequence[str]) -> int:
    """How many runs the options of Snakemake allow at a time; left out, one for each core of this process."""
    for number, option in enumerate(options):
        name, _, value = option.partition("=")
        if name in ("--cores", "-c", "--jobs", "-j"):
            value = value or next(iter(options[number + 1 :]), "")
            return int(value) if value.isdecimal() and int(value) else len(os.sched_getaffinity(0))
    return len(os.sched_getaffinity(0))


def book(options: Sequence[str]) -> None:
    """Bring `_build/html` up to date, one build at a time.

    Raises:
        CompanionError: if a notebook or the book failed; the reason has been printed.
    """
    order.priorities(jobs.book_jobs())  # what cannot be read is refused before anything is started
    with project.locked(project.build_folder() / ".lock", "building this book"):
        project.sweep_up(project.build_folder(), project.build_folder() / "executed")
        jobs.withdraw_damaged(jobs.book_jobs())
        pages.withdraw_damaged()
        with remaining.told(jobs.book_jobs(), at_a_time(options), "book", options):
            status = snakemake("book", options)
        if status != 0:
            raise project.CompanionError("the book was not built: the reason stands above")
    print(f"The book: {project.build_folder() / 'html' / 'index.html'}")
