"""Functions run in processes of their own: killed, limited, timed, and without the type checker of the tests.

The children are forked from a server that has imported the library and nothing of pytest: a user's process, in a few
hundredths of a second.
"""

import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
LONG = os.environ.get("RELIABILITY_FORM") == "long"
SERVER = multiprocessing.get_context("forkserver")
# and what the first evaluation would import, a second of work in every child
SERVER.set_forkserver_preload(["reliability_problems", "torch._dynamo", "torch._inductor.config", "h5netcdf"])


def scaled(short: int, long: int) -> int:
    """A count of the campaign in its present form."""
    return long if LONG else short


@dataclass
class Outcome:
    """How a function ended.

    Attributes:
        value: what it returned, None where it did not.
        error: name of the type of the exception.
        message: its text.
        clear: whether it is a ValueError, TypeError or OSError that our library, not another, raised with a sentence.
        died: exit code of a child that ended without an answer.
        timed_out: whether it had to be ended.
    """

    value: Any = None
    error: str = ""
    message: str = ""
    clear: bool = False
    died: int | None = None
    timed_out: bool = False

    @property
    def refused(self) -> bool:
        """Whether it ended in a clear error."""
        return self.clear

    def __str__(self) -> str:
        if self.timed_out:
            return "no end within the time allowed"
        if self.died is not None:
            return f"the process died ({self.died})"
        return f"{self.error}: {self.message[:300]}" if self.error else f"returned {str(self.value)[:200]}"


def outcome_of(function: Callable, *args: Any, **kwargs: Any) -> Outcome:
    """Call `function` here."""
    try:
        return Outcome(value=function(*args, **kwargs))
    except BaseException as error:  # noqa: BLE001  whatever it is, it is the finding
        return Outcome(error=type(error).__name__, message=str(error), clear=is_clear(error))


USERS = ("<lambda>", "forward", "squared_error", "_zero_at_first", "_writing")  # functions that stand for the caller's


def is_clear(error: BaseException) -> bool:
    """A sentence of ours: the type says that the caller can mend it, and it was raised by our code or at our door.

    What the caller's own loss or model raises in its own lines may come out as it is.
    """
    last = traceback.extract_tb(error.__traceback__)[-1]
    path = Path(last.filename)
    if path.parent == HERE and last.name in USERS and not isinstance(error, AssertionError):
        return True
    if not isinstance(error, (ValueError, TypeError, OSError)) or len(str(error)) < 12:
        return False
    unknown_keyword = isinstance(error, TypeError) and path.parent == HERE and "argument" in str(error)
    named = isinstance(error, OSError) and error.filename is not None  # the system's own words name the path
    return "devinterp_core" in path.parts or unknown_keyword or named


def start(function: Callable, *args: Any) -> multiprocessing.Process:
    """A child that calls `function`, which leaves its results in files."""
    paths = [str(REPOSITORY), str(HERE), str(HERE.parent)]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([*paths, *os.environ.get("PYTHONPATH", "").split(":")]))
    os.environ["PYTHONWARNINGS"] = "ignore"
    process = SERVER.Process(target=_quiet, args=(function, args), daemon=True)
    process.start()
    return process


def _quiet(function: Callable, args: tuple) -> None:
    """What a dying child says is not for the test's output."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stderr.fileno())
    function(*args)


def run_alone(function: Callable, *args: Any, timeout: float = 120.0) -> Outcome:
    """Call `function` in a child of its own."""
    with Worker() as worker:
        return worker.call(function, *args, timeout=timeout)


def kill_after(process: multiprocessing.Process, seconds: float) -> bool:
    """SIGKILL after `seconds`, True if it came before the end."""
    process.join(seconds)
    alive = process.is_alive()
    if alive:
        process.kill()
    process.join()
    return alive


class Worker:
    """One child that answers calls in turn; a call that takes too long, or kills it, costs it its life."""

    def __init__(self):
        self.process = None

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def call(self, function: Callable, *args: Any, timeout: float = 60.0) -> Outcome:
        """The outcome of `function(*args)` there."""
        if self.process is None or not self.process.is_alive():
            self.pipe, other = SERVER.Pipe()
            self.process = start(_serve, other)
            other.close()
        self.pipe.send((function, args))
        deadline = time.monotonic() + timeout
        try:
            if self.pipe.poll(max(0.0, deadline - time.monotonic())):
                return self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            code = self.process.exitcode
            self._end()
            return Outcome(died=code)
        self._end()
        return Outcome(timed_out=True)

    def _end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.pipe.close()
            self.process = None


def _serve(pipe: Any) -> None:
    import warnings

    warnings.simplefilter("ignore")
    while True:
        try:
            function, args = pipe.recv()
        except EOFError:
            return
        answer = outcome_of(function, *args)
        try:
            pipe.send(answer)
        except Exception as error:  # noqa: BLE001  a value that cannot be sent
            pipe.send(Outcome(error=type(error).__name__, message=f"answer cannot be sent: {error}"))
