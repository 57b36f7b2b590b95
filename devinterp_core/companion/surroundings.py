"""What a kernel, and the renderer of the pages, can see of the machine: the same on every machine and at every hour.

A run's key covers code, library, parameters, pins and data; so nothing else may reach a result. Settings of the user
(`matplotlibrc`, IPython profiles, user kernels), caches that tell the first run of a day from the second, locale, time
zone and the order of sets are therefore shut out: a run gets an empty home of its own that is deleted with its scratch
folder, fixed values for what must have one, and of the caller's variables only those that say where programs and
devices are.
"""

import contextlib
import fnmatch
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from devinterp_core.companion import project

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
# Of the caller's environment: where programs, compilers, devices, certificates and this project's folders are.
PASSED = (
    "PATH", "USER", "LOGNAME", "TMPDIR", "LD_*", "DYLD_*", "CC", "CXX", "*CPATH", "*INCLUDE_PATH", "LIBRARY_PATH",
    "CONDA_PREFIX", "VIRTUAL_ENV", "CUDA_*", "NVIDIA_*", "HIP_*", "ROC*", "SLURM*", "COMPANION_*",
    "SSL_CERT_*", "*_proxy", "*_PROXY",
)  # fmt: skip
FIXED = {
    "COLUMNS": "80",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONNOUSERSITE": "1",
    "PYTHONUTF8": "1",
    "TZ": "UTC",
}

# Run by the kernel before the first cell. Notes which files under data/ are opened for reading; silences what others
# say once a day or when a cache is empty, and never because of what a notebook does.
STARTUP = """\
def _watch(data=__import__("os").environ["COMPANION_DATA"], log=__import__("os").environ["COMPANION_READS"]):
    import os, sys
    note = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    def hook(event, arguments):
        if event == "open" and isinstance(arguments[0], str) and not set(str(arguments[1])) & set("wax+"):
            path = os.path.abspath(arguments[0])
            if path.startswith(data):
                os.write(note, (path + chr(10)).encode())
    sys.addaudithook(hook)
def _quiet():
    import logging, warnings
    warnings.filterwarnings("ignore", "\\\\s*ArviZ is undergoing a major refactor", FutureWarning)
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
_watch()
_quiet()
del _watch, _quiet
"""


def variables(home: Path) -> dict[str, str]:
    """The environment of a process of a build, whole: nothing is inherited beside it.

    Args:
        home: an empty folder, made here, for all that programs keep of one run for the next.
    """
    for name in ("", "cache", "config", "data", "ipython", "matplotlib"):
        (home / name).mkdir(parents=True, exist_ok=True)
    passed = {
        name: value
        for name, value in os.environ.items()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in PASSED)
    }
    folders = {
        "HOME": home,
        "IPYTHONDIR": home / "ipython",
        "MPLCONFIGDIR": home / "matplotlib",
        "XDG_CACHE_HOME": home / "cache",
        "XDG_CONFIG_HOME": home / "config",
        "XDG_DATA_HOME": home / "data",
        # compiled code, named by its content: half a minute a training that need not be spent in every run
        "TORCHINDUCTOR_CACHE_DIR": cache_folder() / "torchinductor",
        "PYTHONPATH": os.pathsep.join(dict.fromkeys([str(project.root()), str(project.REPOSITORY)])),
    }
    threads = dict.fromkeys(THREAD_VARIABLES, os.environ.get("OMP_NUM_THREADS", "1"))
    return passed | FIXED | threads | {name: str(path) for name, path in folders.items()}


def cache_folder() -> Path:
    """Where programs of the build keep what they would otherwise keep in the user's home."""
    return project.build_folder() / ".cache"


@contextlib.contextmanager
def of_kernel(scratch: Path, result: Path) -> Iterator[None]:
    """Make the environment of this process what a kernel shall inherit; the old one comes back on leaving.

    Args:
        scratch: the run's own folder, for its home and the log of the data files that it opens.
        result: where the notebook writes.
    """
    home = scratch / "home"
    kernel = variables(home) | {
        "COMPANION_OUTPUT": str(result),
        "COMPANION_DATA": str(project.root() / "data") + os.sep,
        "COMPANION_READS": str(scratch / "reads.txt"),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    }
    profile = home / "ipython" / "profile_default"
    (profile / "startup").mkdir(parents=True)
    (profile / "startup" / "00-companion.py").write_text(STARTUP)
    # its warning that the connection, which stays on this machine, is not encrypted would repeat at every run
    (profile / "ipython_kernel_config.py").write_text("get_config().IPKernelApp.log_level = 40\n")
    before = dict(os.environ)
    _become(kernel)
    try:
        yield
    finally:
        _become(before)


def _become(environment: Mapping[str, str]) -> None:
    for name in set(os.environ) - set(environment):
        del os.environ[name]
    os.environ.update(environment)


def reads(scratch: Path) -> set[Path]:
    """The files under `data/` that the kernel of `scratch` opened for reading."""
    log = scratch / "reads.txt"
    return {Path(line) for line in log.read_text(encoding="utf-8").splitlines()} if log.exists() else set()


def as_seen_by_runs() -> dict[str, str]:
    """What of the surroundings is chosen here, for the key of a run: a change of it executes everything again."""
    return FIXED | {"startup": STARTUP, "python": ".".join(map(str, sys.version_info[:2]))}
