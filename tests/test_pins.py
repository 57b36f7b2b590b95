"""pyproject.toml, requirements.lock and environment.yml agree, and what runs is what they say."""

import re
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


def lock_lines():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def lock():
    return {canonicalize_name(name): Version(version) for name, version in (line.split("==") for line in lock_lines())}


def test_every_line_of_the_lock_is_one_exact_pin():
    bad = [line for line in lock_lines() if not PIN.fullmatch(line)]
    assert not bad, f"not exact pins by name: {bad}"
    assert len(lock()) == len(lock_lines())


def test_conda_users_get_the_same_pins():
    parts = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (pip,) = [part["pip"] for part in parts if isinstance(part, dict)]
    assert pip == lock_lines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (python,) = [part.removeprefix("python=") for part in parts if str(part).startswith("python=")]
    assert Requirement(f"x{project['requires-python']}").specifier.contains(python)


def test_the_lock_satisfies_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirement in map(Requirement, project["dependencies"]):
        pinned = lock().get(canonicalize_name(requirement.name))
        assert pinned is not None, f"{requirement.name} is not in requirements.lock"
        assert requirement.specifier.contains(pinned), f"{requirement} against {pinned}"


def test_the_book_stays_on_the_versions_that_work():
    wanted = {"jupyter-book": "1.0.4.post1", "sphinx-book-theme": "1.2.0", "myst-nb": "1.4.0", "torch": "2.13.0"}
    assert {name: str(lock()[name]) for name in wanted} == wanted


def test_the_environment_that_runs_is_the_locked_one():
    wrong = {}
    for name, version in lock().items():
        try:
            installed = Version(metadata.version(name))
        except metadata.PackageNotFoundError:
            wrong[name] = "not installed"
            continue
        if Version(installed.public) != version:
            wrong[name] = f"{installed} instead of {version}"
    assert not wrong, f"install requirements.lock again: {wrong}"


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


@pytest.mark.parametrize("file", ["requirements.lock", "environment.yml", "pyproject.toml"])
def test_no_path_and_no_host_is_written_down(file):
    text = (ROOT / file).read_text()
    assert not re.search(r"file://|https?://|(?m:^)\s*-?\s*(-e|--(extra-)?index-url|--find-links)\b", text)
