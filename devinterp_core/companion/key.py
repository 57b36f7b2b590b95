"""The content key of a run: equal keys mean that executing again would compute the same thing.

The key is a hash of everything that a run depends on, and of nothing else:

- the sources of the code cells (markdown, captions and tags are laid over the outputs later, by `assemble`);
- the sources of those modules of `devinterp_core` that the notebook imports, directly or through others;
- the parameters that differ from their defaults;
- what `surroundings` lets the kernel see of the machine, and how `cleaning` tidies the outputs;
- `requirements.lock` and `requirements-no-deps.lock`, without their comments;
- the files under `data/reference` and `data/recorded` that the code names. A file counts as named when its own name, or
  the name of a folder below those two that holds it, appears in the code. `run` watches what is really opened and
  refuses a run that read a file which its key does not cover.
"""

import ast
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devinterp_core.companion import cleaning, project, surroundings
from devinterp_core.companion.parameters import read_notebook
from devinterp_core.content.sources import Import, imports_of, source_files

VERSION = 2  # raise it when the meaning of a key changes: everything is then executed again
PACKAGE = "devinterp_core"
DATA_FOLDERS = ("reference", "recorded")
LOCKS = ("requirements.lock", "requirements-no-deps.lock")


def inputs(notebook: Path, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that the run of `notebook` with the checked `overrides` depends on, as hashes and plain values.

    Args:
        notebook: path of the percent file.
        overrides: as returned by `parameters.check_overrides`.
    """
    code = [cell.source for cell in read_notebook(notebook).cells if cell.cell_type == "code"]
    library = imported_modules(code)
    text = "\n".join([*code, *(path.read_text(encoding="utf-8") for path in library), json.dumps(dict(overrides))])
    locks = [project.root() / name for name in LOCKS]
    pins = [line for lock in locks if lock.exists() for line in lock.read_text(encoding="utf-8").splitlines()]
    return {
        "version": VERSION,
        "code": _digest("\0".join(code).encode()),
        "library": {_relative(path): _digest(path.read_bytes()) for path in library},
        "parameters": dict(sorted(overrides.items())),
        "cleaning": _digest(Path(cleaning.__file__).read_bytes()),
        "surroundings": _digest(json.dumps(surroundings.as_seen_by_runs()).encode()),
        "lock": _digest("\n".join(line for line in pins if line.strip() and not line.startswith("#")).encode()),
        "data": {_relative(path): _digest(path.read_bytes()) for path in data_files(text)},
    }


def content_key(inputs_of_run: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits that stand for the inputs of a run."""
    return _digest(json.dumps(inputs_of_run, sort_keys=True).encode())[:12]


def key_of(notebook: Path, overrides: Mapping[str, Any]) -> str:
    """The content key of `notebook` with the checked `overrides`."""
    return content_key(inputs(notebook, overrides))


def data_files(code: str) -> list[Path]:
    """The files under `data/reference` and `data/recorded` that `code` names, by file or by folder."""
    found = []
    for kind in DATA_FOLDERS:
        folder = project.root() / "data" / kind
        for path in sorted(each for each in folder.rglob("*") if each.is_file()):
            names = {path.name, *path.relative_to(folder).parts[:-1]}
            if any(name in code for name in names):
                found.append(path)
    return found


def imported_modules(code: list[str]) -> list[Path]:
    """The files of `devinterp_core` that the code cells import, with everything that those import in turn.

    Imports are read from the syntax tree, wherever they stand, name by name (`content.sources`): what a package gathers
    beside the names that are taken from it does not count. A cell that is not plain Python (a magic) or an import by a
    computed name cannot be followed: then every module of the package counts.
    """
    package = project.root() / PACKAGE
    if not package.is_dir():
        return []
    everything = sorted(package.rglob("*.py"))
    try:
        taken = [name for cell in code for name in _imports(cell)]
        found = source_files(taken, package)
        for path in found:
            _refuse_computed(ast.parse(path.read_bytes()))
    except (SyntaxError, LookupError):
        return everything
    top = package / "__init__.py"
    return sorted(found | ({top} if found and top.is_file() else set()))


def _imports(cell: str) -> list[Import]:
    """What a code cell takes from the package."""
    _refuse_computed(ast.parse(cell))
    return imports_of(cell.encode(), "")[1]


def _refuse_computed(tree: ast.Module) -> None:
    for node in ast.walk(tree):
        if getattr(node, "attr", getattr(node, "id", "")) in ("import_module", "__import__"):
            raise LookupError("an import by a computed name")


def _relative(path: Path) -> str:
    return path.relative_to(project.root()).as_posix()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
