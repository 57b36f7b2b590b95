"""Make `.venv` hold exactly what the two lock files say, and the library of this repository; a no-op when it does.

`requirements.lock` is the environment; `requirements-no-deps.lock` names packages wanted for the data in them, without
their own dependencies. Run by the Makefile with any Python of at least 3.11, before anything is installed: standard
library only. The content of the locks is copied into `.venv` as the very last step, so an installation that was
interrupted is known for what it is and made again from nothing (downloads come from pip's cache).
"""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOCK, NO_DEPS = ROOT / "requirements.lock", ROOT / "requirements-no-deps.lock"
INSTALLED = VENV / "installed.lock"  # the locks that were installed, written last
PURELIB = "import sysconfig; print(sysconfig.get_path('purelib'))"
COMMAND = VENV / "bin" / "companion"
INCOMPLETE = VENV / "incomplete"  # there from before the first package until after the last


def locked() -> bytes:
    """What is to be installed: both locks, one after the other."""
    return LOCK.read_bytes() + NO_DEPS.read_bytes()


def up_to_date() -> bool:
    """Whether the locks as they stand have been installed to the end."""
    return INSTALLED.is_file() and COMMAND.is_file() and not INCOMPLETE.exists() and INSTALLED.read_bytes() == locked()


def pip(*arguments: str) -> None:
    """Run the environment's own pip; its messages are shown only when something is wrong."""
    command = [PYTHON, "-m", "pip", "install", "-qq", "--no-input", "--disable-pip-version-check", *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


def install() -> None:
    """Create the environment if it is missing or was left incomplete, and install."""
    if INCOMPLETE.exists():
        print("The last installation into .venv was interrupted: starting again.", flush=True)
        shutil.rmtree(VENV)
    if not PYTHON.exists():
        shutil.rmtree(VENV, ignore_errors=True)
        VENV.mkdir()
        INCOMPLETE.touch()
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
    INCOMPLETE.touch()
    wanted = locked()
    print("Installing requirements.lock into .venv (some minutes the first time).", flush=True)
    pip("-r", str(LOCK))
    pip("--no-deps", "-r", str(NO_DEPS))
    # what an editable installation amounts to, without a build
    where = subprocess.run([PYTHON, "-c", PURELIB], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    Path(where, "devinterp-companion.pth").write_text(f"{ROOT}\n")
    COMMAND.write_text(f"#!{PYTHON}\nfrom devinterp_core.companion.command import main\n\nmain()\n")
    COMMAND.chmod(0o755)
    INSTALLED.write_bytes(wanted)
    INCOMPLETE.unlink()


def main() -> int:
    """Exit status 0 when `.venv` is ready."""
    if sys.version_info < (3, 11):  # noqa: UP036 (nobody has checked before this line)
        print(f"Python 3.11 or newer is needed; {sys.executable} is {sys.version.split()[0]}.", file=sys.stderr)
        return 1
    (ROOT / "_build").mkdir(exist_ok=True)
    with (ROOT / "_build" / ".venv.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)  # two builds started at once: the second waits, then finds it done
        if up_to_date():
            return 0
        try:
            install()
        except subprocess.CalledProcessError as problem:
            hint = " On Debian and Ubuntu: apt-get install python3-venv." if "venv" in problem.cmd else ""
            print(f"Setting up .venv failed: {problem}.{hint} Mend it and run make again.", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
