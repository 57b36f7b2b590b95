"""The API pages: every public name once, every page in the contents, and the examples of the docstrings run."""

import doctest
import importlib
import importlib.util
import pkgutil
import re
import warnings
from pathlib import Path

import pytest
import yaml

import devinterp_core

ROOT = Path(__file__).resolve().parents[1]
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "book" / "api").glob("*.md")}
MODULES = [
    each.name
    for each in pkgutil.walk_packages(devinterp_core.__path__, "devinterp_core.")
    if ">>>" in Path(importlib.util.find_spec(each.name).origin).read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_the_docstrings_run(name):
    module = importlib.import_module(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert found.attempted and not found.failed


def test_the_main_entrances_have_an_example():
    wanted = {
        "sampler": ["sample", "sample_many"],
        "llc": ["estimate_llc", "local_learning_coefficient"],
        "train": ["train", "log_and_linear_steps"],
        "tms": ["kgon", "critical_levels", "population_loss", "classify"],
        "dln": ["learning_coefficient", "reduced_rank_learning_coefficient", "most_singular_network"],
    }
    packages = {name: importlib.import_module(f"devinterp_core.{name}") for name in wanted}
    without = [f"{p}.{n}" for p, names in wanted.items() for n in names if ">>>" not in getattr(packages[p], n).__doc__]
    assert not without


def test_every_page_is_in_the_contents_and_on_the_first_page():
    parts = yaml.safe_load((ROOT / "_toc.yml").read_text())["parts"]
    (api,) = [each for part in parts for each in part["chapters"] if each["file"] == "book/api"]
    listed = [each["file"].removeprefix("book/api/") for each in api["sections"]]
    assert sorted(listed) == sorted(PAGES)
    assert re.findall(r"\]\(api/(\w+)\.md\)", (ROOT / "book" / "api.md").read_text()) == listed


def test_a_package_on_two_pages_shows_each_name_once():
    (left_out,) = re.findall(r":exclude-members: (.*)", PAGES["lens"])
    elsewhere = re.findall(r"^\.\. auto(?:function|class|data):: (\w+)$", PAGES["lens_analysis"], re.MULTILINE)
    assert sorted(left_out.split(", ")) == sorted(elsewhere)
    assert set(elsewhere) < set(importlib.import_module("devinterp_core.lens").__all__)
