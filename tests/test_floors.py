"""The house: an upper floor imports lower floors, never the reverse, and siblings do not import each other."""

import ast
import re
from importlib.util import resolve_name
from pathlib import Path

import devinterp_core

HOUSE = Path(devinterp_core.__file__).parent
# Rooms by floor, the lowest first: tools; worlds and methods; what is estimated with them; its plots; the book.
FLOORS = [
    {"content", "draws", "extras", "files", "locks", "next_token", "numbers", "potentials", "vectorized"},
    {"tms", "dln", "regression", "language", "transformer", "sampler", "smc", "train"},
    {"llc", "heads", "lens", "trajectory", "calibration"},
    {"diagnostics"},
    {"companion"},
]


def _imports(path: Path) -> set[str]:
    """Rooms of `devinterp_core` that a file imports, wherever the import stands."""
    package = ".".join(path.relative_to(HOUSE.parent).parts[:-1])
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package)
            names += [f"{source}.{alias.name}" for alias in node.names]
    return {name.split(".")[1] for name in names if name.startswith(f"{HOUSE.name}.")}


def test_every_room_is_on_a_floor():
    rooms = {path.stem for path in HOUSE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms - {"__init__"} == set().union(*FLOORS)


def test_no_room_imports_a_sibling_or_an_upper_floor():
    for height, floor in enumerate(FLOORS):
        for room in floor:
            files = [HOUSE / f"{room}.py"] if (HOUSE / f"{room}.py").exists() else sorted((HOUSE / room).rglob("*.py"))
            for file in files:
                wrong = _imports(file) - {room} - set().union(*FLOORS[:height])
                assert not wrong, f"{file.relative_to(HOUSE)} on floor {height} imports {sorted(wrong)}"


def test_arviz_is_imported_in_one_place_which_keeps_its_daily_announcement_quiet():
    importing = re.compile(r"^\s*(import arviz|from arviz)\b", re.MULTILINE)
    found = [path.name for path in HOUSE.rglob("*.py") if importing.search(path.read_text())]
    assert found == ["arviz_import.py"]
