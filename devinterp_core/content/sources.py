"""The files of `devinterp_core` that a module depends on, read from its import statements.

A module depends on its own file and on what it imports from the package, wherever the import stands, and in turn on
what that imports. `from devinterp_core.language import TextStream` leads to the module that defines `TextStream`, not
to everything that `language/__init__.py` gathers: an edit of a neighbour does not count.
"""

import ast
import functools
import sys
from collections.abc import Iterable
from importlib.util import resolve_name
from pathlib import Path

PACKAGE = "devinterp_core"

# A module, and the name taken from it; None: the module as a whole.
Import = tuple[str, str | None]


def source_files(modules: Iterable[str | Import], folder: Path | None = None) -> set[Path]:
    """Paths of the files on which `modules`, dotted names inside `devinterp_core`, depend.

    Args:
        modules: modules, or names taken from modules.
        folder: of the package; None means the one that is running.
    """
    waiting: list[Import] = [(module, None) if isinstance(module, str) else module for module in modules]
    folder = Path(sys.modules[PACKAGE].__file__).parent if folder is None else folder
    seen: set[Import] = set()
    files: set[Path] = set()
    while waiting:
        request = waiting.pop()
        if request in seen:
            continue
        seen.add(request)
        module, name = request
        path = _file(folder, module)
        if path is None:  # `from package.module import name` asks for `package.module.name` as well
            continue
        is_package = path.name == "__init__.py"
        bound, everything = imports_of(path.read_bytes(), module if is_package else module.rpartition(".")[0])
        if is_package and name is not None:
            if _file(folder, f"{module}.{name}") is not None:
                waiting.append((f"{module}.{name}", None))
                continue
            if name in bound:
                waiting.append(bound[name])
                continue
        files.add(path)
        waiting += everything
    return files


def _file(folder: Path, module: str) -> Path | None:
    """The file of a module of the package in `folder`, or None if there is none."""
    parts = module.split(".")
    path = folder.joinpath(*parts[1:])
    for candidate in (path / "__init__.py", path.with_suffix(".py")) if len(parts) > 1 else (path / "__init__.py",):
        if candidate.is_file():
            return candidate
    return None


@functools.lru_cache(maxsize=512)
def imports_of(source: bytes, package: str) -> tuple[dict[str, Import], list[Import]]:
    """Names that a module of `package` binds by imports from `devinterp_core`, and all such imports."""
    bound: dict[str, Import] = {}
    everything: list[Import] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            everything += [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module
            for alias in node.names:
                taken = (module, None if alias.name == "*" else alias.name)
                bound[alias.asname or alias.name] = taken
                everything.append(taken)
    inside = lambda taken: f"{taken[0]}.".startswith(f"{PACKAGE}.")
    return {k: v for k, v in bound.items() if inside(v)}, [taken for taken in everything if inside(taken)]
