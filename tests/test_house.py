"""What is written for contributors agrees with the house: the map, the commands, make help, the issue template."""

import re
import subprocess
from pathlib import Path

import yaml
from test_floors import FLOORS

from devinterp_core.companion.__main__ import main

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()


def test_the_map_names_every_room_on_its_floor():
    (floors,) = re.findall(r"```text\n(.*?)```", TEXT, re.DOTALL)
    rooms = dict.fromkeys(range(1, 6), "")
    names = ""
    for line in floors.splitlines():
        found = re.match(r"  (\w[\w, /]*?)?\s*floor (\d)", line)
        if found:
            rooms[int(found[2])] = found[1] or names
        names = line
    for number, floor in enumerate(FLOORS, start=1):
        assert set(re.findall(r"\w+", rooms[number])) == floor


def test_every_path_that_is_named_is_there():
    paths = re.findall(r"`((?:devinterp_core|book|tests|data|notebooks|benchmarks|\.ci)/[\w./]*)`", TEXT)
    assert len(paths) >= 8
    made = {"data/recorded/NAME", "notebooks/params/NAME.recorded.yaml"}
    assert not [each for each in paths if each not in made and not (ROOT / each).exists()]


def test_every_command_of_the_companion_is_there():
    named = set(re.findall(r"\.venv/bin/companion (\w+)", TEXT))
    assert {"new", "run", "chapters", "record"} <= named <= set(main.commands)


def test_make_help_tells_every_target_but_the_environment():
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"^  make ([a-z-]+) +\S", shown, re.MULTILINE)) == set(targets) - {"venv"}
    assert set(re.findall(r"`make ([a-z-]+)`", TEXT)) <= set(targets)


def test_continuous_integration_lints_builds_and_tests():
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert [line for line in lines if line.startswith("make ")] == ["make lint", "make book", "make test"]


def test_the_template_for_a_wrong_number_asks_for_what_decides():
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / "wrong_number.yml").read_text())
    required = {each["id"] for each in form["body"] if each.get("validations", {}).get("required")}
    assert required == {"where", "number", "why"}
