"""pyproject.toml, both lock files and environment.yml agree, and what runs is what they say."""

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PIN = re.compile(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.]+)")


LOCKS = ["requirements.lock", "requirements-no-deps.lock"]


def lock_lines(file="requirements.lock"):
    lines = (ROOT / file).read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def lock(*files):
    lines = [line for file in files or LOCKS[:1] for line in lock_lines(file)]
    return {canonicalize_name(name): Version(version) for name, version in (line.split("==") for line in lines)}


@pytest.mark.parametrize("file", LOCKS)
def test_every_line_of_a_lock_is_one_exact_pin(file):
    bad = [line for line in lock_lines(file) if not PIN.fullmatch(line)]
    assert not bad, f"not exact pins by name: {bad}"
    assert len(lock(file)) == len(lock_lines(file))


def test_no_package_stands_in_both_locks():
    assert len(lock(*LOCKS)) == sum(len(lock_lines(file)) for file in LOCKS)


@pytest.fixture
def venv(tmp_path, monkeypatch):
    """The installer, with lock files of its own, and with pip's calls written down instead of made."""
    spec = importlib.util.spec_from_file_location("ci_venv", ROOT / ".ci" / "venv.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, value in {
        "ROOT": tmp_path, "VENV": tmp_path, "COMMAND": tmp_path / "companion", "PYTHON": Path(sys.executable),
        "INSTALLED": tmp_path / "installed.lock",
        "INCOMPLETE": tmp_path / "incomplete", "LOCK": tmp_path / "a.lock", "NO_DEPS": tmp_path / "b.lock",
        "PURELIB": f"print({str(tmp_path)!r})",
    }.items():  # fmt: skip
        monkeypatch.setattr(module, name, value)
    module.LOCK.write_text("one==1\n")
    module.NO_DEPS.write_text("two==2\n")
    module.calls = []
    monkeypatch.setattr(module, "pip", lambda *arguments: module.calls.append(arguments))
    return module


def test_both_locks_are_installed_the_second_without_dependencies(venv):
    assert not venv.up_to_date()
    venv.install()
    assert venv.calls == [("-r", str(venv.LOCK)), ("--no-deps", "-r", str(venv.NO_DEPS))]
    assert venv.up_to_date()


@pytest.mark.parametrize("file", ["LOCK", "NO_DEPS"])
def test_a_change_of_either_lock_makes_the_environment_out_of_date(venv, file):
    venv.install()
    with getattr(venv, file).open("a") as lines:
        lines.write("three==3\n")
    assert not venv.up_to_date()


def test_the_environment_has_the_command(venv):
    venv.install()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}  # of `venv`, this is not the library's folder
    shown = subprocess.run([venv.COMMAND, "--help"], env=environment, stdout=subprocess.PIPE, text=True, check=True)
    assert "Usage: companion" in shown.stdout


def test_conda_users_get_the_same_pins():
    parts = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (pip,) = [part["pip"] for part in parts if isinstance(part, dict)]
    assert pip == lock_lines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (python,) = [part.removeprefix("python=") for part in parts if str(part).startswith("python=")]
    assert Requirement(f"x{project['requires-python']}").specifier.contains(python)


def test_the_lock_satisfies_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {name: lines for name, lines in project["optional-dependencies"].items() if name != "nuts"}
    brought = [line for lines in extras.values() for line in lines if project["name"] not in line]
    wanted = [*project["dependencies"], *brought]  # `nuts` is installed by hand, to record one run again
    for requirement in map(Requirement, wanted):
        pinned = lock().get(canonicalize_name(requirement.name))
        assert pinned is not None, f"{requirement.name} is not in requirements.lock"
        assert requirement.specifier.contains(pinned), f"{requirement} against {pinned}"


def test_the_book_stays_on_the_versions_that_work():
    wanted = {"jupyter-book": "1.0.4.post1", "sphinx-book-theme": "1.2.0", "myst-nb": "1.4.0", "torch": "2.13.0"}
    assert {name: str(lock()[name]) for name in wanted} == wanted


def test_the_environment_that_runs_is_the_locked_one():
    wrong = {}
    for name, version in lock(*LOCKS).items():
        try:
            installed = Version(metadata.version(name))
        except metadata.PackageNotFoundError:
            wrong[name] = "not installed"
            continue
        if Version(installed.public) != version:
            wrong[name] = f"{installed} instead of {version}"
    assert not wrong, f"install both locks again: {wrong}"


def test_the_lock_is_closed_under_requirements():
    pinned, missing = lock(), set()
    for name in pinned.keys() - {"torch"}:  # the builds of torch differ in the GPU libraries they ask for
        for line in metadata.requires(name) or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                needed = canonicalize_name(requirement.name)
                if needed not in pinned and needed not in {"pip", "setuptools", "wheel"}:
                    missing.add(f"{name} needs {requirement}")
    assert not missing


@pytest.mark.parametrize("file", [*LOCKS, "environment.yml", "pyproject.toml"])
def test_no_path_and_no_host_is_written_down(file):
    text = (ROOT / file).read_text()
    assert not re.search(r"file://|https?://|(?m:^)\s*-?\s*(-e|--(extra-)?index-url|--find-links)\b", text)
