"""The kernel that a notebook runs in: its progress, its environment, and the watch over the data files it opens."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from papermill.engines import NBClientEngine, papermill_engines

from devinterp_core.companion import project

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")

# Run by the kernel before the first cell: notes which files under data/ are opened for reading.
WATCH_DATA = """\
def _watch(data=__import__("os").environ["COMPANION_DATA"], log=__import__("os").environ["COMPANION_READS"]):
    import os, sys
    note = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    def hook(event, arguments):
        if event == "open" and isinstance(arguments[0], str) and not set(str(arguments[1])) & set("wax+"):
            path = os.path.abspath(arguments[0])
            if path.startswith(data):
                os.write(note, (path + chr(10)).encode())
    sys.addaudithook(hook)
_watch()
del _watch
"""


class Progress:
    """Says which cell of which notebook is running: a line for the first cell, then at most one every two seconds."""

    def __init__(self, name: str, position: str = "") -> None:
        self.head = f"[notebook {position}] {name}" if position else name
        self.started = self.last = time.monotonic()
        self.cells = 0

    def say(self, text: str) -> None:
        print(f"{self.head}: {text}", file=sys.stderr, flush=True)

    def cell(self, number: int, total: int) -> None:
        self.cells += 1
        now = time.monotonic()
        if number == 1 or now - self.last >= 2:
            self.say(f"cell {number} of {total} ({now - self.started:.0f} s)")
            self.last = now


class ProgressEngine(NBClientEngine):
    """papermill's own engine, telling `progress` about every code cell as it starts."""

    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, *, progress: Progress, **options):
        """Execute as papermill does; `options` are passed on."""
        code = [number for number, cell in enumerate(nb_man.nb.cells) if cell.cell_type == "code"]
        cell_start = nb_man.cell_start

        def start_and_tell(cell, cell_index=None, **more):
            if cell_index in code:
                progress.cell(code.index(cell_index) + 1, len(code))
            cell_start(cell, cell_index, **more)

        nb_man.cell_start = start_and_tell
        return super().execute_managed_notebook(nb_man, kernel_name, **options)


papermill_engines.register("companion", ProgressEngine)


@contextlib.contextmanager
def environment(scratch: Path, result: Path) -> Iterator[None]:
    """What the kernel inherits: where to write, one thread, this tree's library, and no IPython profile of the user."""
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    startup = scratch / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00-watch-data.py").write_text(WATCH_DATA)
    # its warning that the connection, which stays on this machine, is not encrypted would repeat at every run
    (startup.parent / "ipython_kernel_config.py").write_text("get_config().IPKernelApp.log_level = 40\n")
    changes = {
        **{name: threads for name in THREAD_VARIABLES},
        "COMPANION_OUTPUT": str(result),
        "COMPANION_DATA": str(project.root() / "data") + os.sep,
        "COMPANION_READS": str(scratch / "reads.txt"),
        "IPYTHONDIR": str(scratch / "ipython"),
        "PYTHONPATH": project.python_path(),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def reads(scratch: Path) -> set[Path]:
    """The files under `data/` that the kernel of `scratch` opened for reading."""
    log = scratch / "reads.txt"
    return {Path(line) for line in log.read_text().splitlines()} if log.exists() else set()
