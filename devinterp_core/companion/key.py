"""The content key of a run: equal keys mean that executing again would compute the same thing.

The key is a hash of everything that a run depends on, and of nothing else:

- the sources of the code cells (markdown, captions and tags are laid over the outputs later, by `assemble`);
- the sources of those modules of `devinterp_core` that the notebook imports, directly or through others;
- the parameters that differ from their defaults;
- what `surroundings` lets the kernel see of the machine;
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

from devinterp_core.companion import project, surroundings
from devinterp_core.companion.parameters import read_notebook

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

    Imports are read from the syntax tree, wherever they stand. A cell that is not plain Python (a magic) or an import
    by a computed name cannot be followed: then every module of the package counts.
    """
    package = project.root() / PACKAGE
    if not package.is_dir():
        return []
    everything = sorted(package.rglob("*.py"))
    try:
        waiting = [name for cell in code for name in _imports(ast.parse(cell), "")]
    except (SyntaxError, LookupError):
        return everything
    found: set[Path] = set()
    while waiting:
        for path in _files(waiting.pop()):
            if path not in found:
                found.add(path)
                try:
                    waiting += _imports(ast.parse(path.read_bytes()), _package_of(path))
                except (SyntaxError, LookupError):
                    return everything
    return sorted(found)


def _imports(tree: ast.Module, package: str) -> list[str]:
    """Dotted names that `tree`, a module of `package`, may import: for `from a import b` both `a` and `a.b`."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
        elif getattr(node, "attr", getattr(node, "id", "")) in ("import_module", "__import__"):
            raise LookupError("an import by a computed name")
    return [name for name in names if name.split(".")[0] == PACKAGE]


def _files(module: str) -> list[Path]:
    """The files that importing `module` reads: its own and the `__init__` of every package above it."""
    parts = module.split(".")
    paths = []
    for depth in range(1, len(parts) + 1):
        path = project.root().joinpath(*parts[:depth])
        paths += [each for each in (path / "__init__.py", path.with_suffix(".py")) if each.is_file()]
    return paths


def _package_of(path: Path) -> str:
    return ".".join(path.relative_to(project.root()).parent.parts)


def _relative(path: Path) -> str:
    return path.relative_to(project.root()).as_posix()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
