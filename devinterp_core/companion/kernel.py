"""papermill's execution of a notebook, telling which cell it is at."""

import os
import sys
import time

from papermill.engines import NBClientEngine, papermill_engines


class Progress:
    """Says which cell of which notebook is running: a line for the first cell, then at most one every two seconds."""

    def __init__(self, name: str, position: str = "") -> None:
        self.head = f"[notebook {position}] {name}" if position else name
        self.started = self.last = time.monotonic()
        self.cells = 0

    def say(self, text: str) -> None:
        try:
            print(f"{self.head}: {text}", file=sys.stderr, flush=True)
        except BrokenPipeError:  # the build that listened was killed: the run goes on, and nobody hears what it says
            sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115

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
