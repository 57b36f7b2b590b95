"""Where the repository is, and the ways into it: buttons, Binder, the citation."""

import importlib.util
import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from devinterp_core.companion import project, repository

ROOT = Path(__file__).resolve().parents[1]
specification = importlib.util.spec_from_file_location("entrances", ROOT / "book" / "_ext" / "entrances.py")
entrances = importlib.util.module_from_spec(specification)
specification.loader.exec_module(entrances)


@pytest.fixture(autouse=True)
def bare(tmp_path, monkeypatch):
    """A clone without a remote, in a building service that tells nothing."""
    for name in (repository.VARIABLE, "GITHUB_REPOSITORY", "GITHUB_SERVER_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COMPANION_ROOT", str(tmp_path))
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    return tmp_path


def remote(folder, url):
    subprocess.run(["git", "-C", folder, "remote", "add", "origin", url], check=True)


def test_without_an_address_there_is_none(bare):
    assert repository.address() == ""
    assert entrances.buttons("", "notebooks/01_a", "A") == []


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://github.com/owner/name.git", "https://github.com/owner/name"),
        ("git@github.com:owner/name.git", "https://github.com/owner/name"),
        ("ssh://git@gitlab.example.org:22/group/sub/name", "https://gitlab.example.org/group/sub/name"),
        ("https://user:secret@github.com/owner/name", "https://github.com/owner/name"),  # no secret on a page
        ("/srv/git/name", ""),
        ("../name.git", ""),
        ("owner/name", ""),  # a folder
        ("file:///srv/git/name", ""),
    ],
)
def test_the_remote_tells_it_where_it_is_an_address(bare, url, address):
    remote(bare, url)
    assert repository.address() == address


def test_what_is_given_comes_first_then_the_building_service(bare, monkeypatch):
    remote(bare, "https://github.com/a/remote")
    monkeypatch.setenv("GITHUB_REPOSITORY", "a/service")
    assert repository.address() == "https://github.com/a/service"
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://git.example.org")
    assert repository.address() == "https://git.example.org/a/service"
    monkeypatch.setenv(repository.VARIABLE, "a/given")
    assert repository.address() == "https://github.com/a/given"
    monkeypatch.setenv(repository.VARIABLE, "what is this")
    with pytest.raises(project.CompanionError, match="neither owner/name nor an address"):
        repository.address()


def links(address, page):
    (group,) = entrances.buttons(address, page, "A title & more")
    return {each["label"]: each["url"] for each in group["buttons"]}


def test_buttons_lead_to_files_that_are_in_git():
    found = links("https://github.com/owner/name", "notebooks/03_tms_kgons")
    assert found["source-file-button"] == "https://github.com/owner/name/blob/main/notebooks/03_tms_kgons.py"
    assert found["source-edit-button"].endswith("/edit/main/notebooks/03_tms_kgons.py")
    assert "title=Wrong%20number%3A%20A%20title%20%26%20more" in found["source-issues-button"]
    path = "lab%2Ftree%2Fnotebooks%2F03_tms_kgons.ipynb"
    assert found["launch-binder-button"] == f"https://mybinder.org/v2/gh/owner/name/main?urlpath={path}"
    template = re.search(r"template=([\w.]+)", found["source-issues-button"])[1]
    assert (ROOT / ".github" / "ISSUE_TEMPLATE" / template).is_file()
    for page in ("book/llc", "notebooks/05_icl_stages"):
        assert (ROOT / entrances.source(page)).is_file()


def test_pages_without_a_source_and_other_hosts_have_fewer():
    assert set(links("https://github.com/owner/name", "genindex")) == {
        "source-repository-button", "source-issues-button", "launch-binder-button"
    }  # fmt: skip
    assert entrances.source("book/scorecard") == ""  # made by a program
    assert "launch-binder-button" not in links("https://git.example.org/owner/name", "book/llc")


def test_binder_installs_the_locks_and_makes_notebooks():
    folder = ROOT / ".binder"
    assert (folder / "requirements.txt").read_text() == "-r ../requirements.lock\n"
    commands = (folder / "postBuild").read_text()
    assert "--no-deps -r requirements-no-deps.lock" in commands and "jupytext --to ipynb notebooks/*.py" in commands
    assert (folder / "postBuild").stat().st_mode & 0o100
    python = (folder / "runtime.txt").read_text().strip().removeprefix("python-")
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert f"python={python}" in environment["dependencies"]
    assert f"FROM python:{python}-" in (ROOT / ".devcontainer" / "Dockerfile").read_text()
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert container["postCreateCommand"] == "make venv"
    installed = set((folder / "apt.txt").read_text().split())
    assert installed <= set((ROOT / ".devcontainer" / "Dockerfile").read_text().split())


def test_the_citation_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert citation["version"] == version
    for page in ("README.md", "book/user_guide.md"):
        (entry,) = re.findall(r"```bibtex\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
        assert f"{{{citation['title']}}}" in entry and f"{{{version}}}" in entry
        assert f"{{{citation['authors'][0]['name']}}}" in entry
        assert f"{{{citation['date-released'][:4]}}}" in entry
    text = (ROOT / "CITATION.cff").read_text()
    assert {"abstract", "keywords", "license", "type", "message"} <= set(citation)
    assert re.search(r"^(# )?doi: ", text, re.MULTILINE) and re.search(r"^(# )?repository-code: ", text, re.MULTILINE)
