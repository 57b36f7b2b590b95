"""The typed `parameters` cell of a notebook: reading it, and checking overrides against it before a kernel starts.

A parameter is one line of the cell tagged `parameters`:

    seed: int = 0  # random seed of every draw

name, type, default and help. What values it takes, the help may say, and is then held to it (`limits`):

    sparsity: float = 0.1  # share of features that are off, in [0, 1)
    method: str = "sgld"  # update rule, one of {"sgld", "mala"}

The types are `int`, `float`, `str`, `bool`, and `list[int]`, `list[float]`, `list[str]`.
papermill itself accepts any name and any value and exits 0; nothing is passed to it here that was not checked.
"""

import ast
import contextlib
import dataclasses
import difflib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import yaml

from devinterp_core.companion import values
from devinterp_core.companion.limits import Limits, limits_in
from devinterp_core.companion.project import CompanionError

TYPES = ("int", "float", "str", "bool", "list[int]", "list[float]", "list[str]")
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
EXAMPLES = {"int": "3", "float": "0.5", "str": "text", "bool": "true", "list[int]": "[1, 2]", "list[float]": "[0.1, 1]"}


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One line of the `parameters` cell."""

    name: str
    type: str
    default: Any
    help: str
    limits: Limits | None = None

    def coerce(self, value: Any) -> Any:
        """`value` as this parameter's type: an int is taken for a float, nothing else is converted.

        What was written without quotes in a file or on the command line (`values.Plain`) is read as that type.

        Raises:
            CompanionError: if `value` is not of the declared type, with how to write it, or outside its limits.
        """
        found = self._typed(value)
        if self.limits is not None:
            for each in found if isinstance(found, list) else [found]:
                if not self.limits.hold(each):
                    raise CompanionError(f"parameter '{self.name}' is {self.limits}, not {_shown(each)}")
        return found

    def _typed(self, value: Any) -> Any:
        element = self.type.removeprefix("list[").removesuffix("]")
        try:
            if not self.type.startswith("list["):
                return values.scalar(value, element)
            if not isinstance(value, list | tuple):
                raise ValueError("write a list in brackets")
            return [values.scalar(each, element) for each in value]
        except ValueError as problem:
            example = EXAMPLES.get(self.type, "[a, b]")
            wanted = f"of type {self.type} (for example {example})"
            raise CompanionError(f"parameter '{self.name}' is {wanted}, not {_shown(value)}: {problem}") from None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """The percent file as a notebook without outputs; one that names no kernel is for this Python's own.

    Raises:
        CompanionError: if it is a notebook in another language.
    """
    notebook = jupytext.read(path, fmt="py:percent")
    named = KERNEL | dict(notebook.metadata.get("kernelspec") or {})
    if named["language"] != KERNEL["language"]:
        raise CompanionError(f"{path.name} is a notebook in {named['language']}; one in Python was expected")
    notebook.metadata["kernelspec"] = nbformat.from_dict(named)
    return notebook


def read_parameters(notebook: nbformat.NotebookNode, name: str = "notebook") -> dict[str, Parameter]:
    """The parameters of `notebook` by name, in the order of its `parameters` cell; empty if it has no such cell.

    Raises:
        CompanionError: if there are two such cells, or a line is not of the form `name: type = literal`.
    """
    cells = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) > 1:
        raise CompanionError(f"{name}: {len(cells)} cells are tagged 'parameters'; there can be one")
    source = cells[0].source if cells else ""
    lines = source.splitlines()
    found = {}
    for statement in ast.parse(source).body:
        text = lines[statement.lineno - 1]
        if not (isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value):
            raise CompanionError(f"{name}: a parameter is written `name: type = default  # help`, not `{text}`")
        kind = ast.unparse(statement.annotation)
        if kind not in TYPES:
            raise CompanionError(f"{name}: the type of `{text}` is not one of {', '.join(TYPES)}")
        try:
            default = ast.literal_eval(statement.value)
        except ValueError:
            raise CompanionError(f"{name}: the default in `{text}` is not a literal") from None
        rest = lines[statement.end_lineno - 1].encode()[statement.end_col_offset :].decode()
        words = rest.strip().removeprefix("#").strip()
        try:
            allowed = limits_in(words, kind.removeprefix("list[").removesuffix("]"))
        except ValueError as problem:
            raise CompanionError(f"{name}: the limits in `{text}` {problem}") from None
        parameter = Parameter(statement.target.id, kind, default, words, allowed)
        found[parameter.name] = dataclasses.replace(parameter, default=parameter.coerce(default))
    return found


def check_overrides(parameters: Mapping[str, Parameter], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The overrides in their declared types, in order of name, without those that repeat the default.

    Two requests for the same run are thereby the same dictionary, and a request for the defaults is the empty one.

    Raises:
        CompanionError: naming every unknown parameter, its closest match and the valid names; or the first of a wrong
            type.
    """
    unknown = [name for name in overrides if name not in parameters]
    if unknown:
        valid = ", ".join(parameters) or "none: the notebook has no parameters cell"
        hints = [(name, difflib.get_close_matches(str(name), parameters, n=1)) for name in unknown]
        listed = ", ".join(f"'{name}'" + (f" (did you mean '{close[0]}'?)" if close else "") for name, close in hints)
        raise CompanionError(f"unknown parameter {listed}; the parameters are: {valid}")
    checked = {name: parameters[name].coerce(overrides[name]) for name in sorted(overrides)}
    return {name: value for name, value in checked.items() if value != parameters[name].default}


def parse_values(parameters: Mapping[str, Parameter], pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Overrides from the command line (`-p name value`): a `str` is taken as it stands, a list is read as YAML."""
    found: dict[str, Any] = {}
    for name, text in pairs:
        kind = parameters[name].type if name in parameters else "str"
        found[name] = text
        if kind.startswith("list["):
            with contextlib.suppress(yaml.YAMLError, RecursionError):  # else refused, by name, with its type
                found[name] = values.load(text)
            with contextlib.suppress(ValueError, RecursionError):  # what `as_arguments` wrote, any character in it
                found[name] = json.loads(text, parse_int=values.Plain, parse_float=values.Plain)
        elif kind != "str":
            found[name] = values.Plain(text)
    return found


def read_yaml(path: Path) -> dict[str, Any]:
    """A preset or grid file: a YAML mapping, whose values get their types from the parameters (see `values`).

    Raises:
        CompanionError: if the file is missing, is not YAML or is not a mapping.
    """
    try:
        content = values.load(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise CompanionError(f"cannot read {path}: {problem.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as problem:
        raise CompanionError(f"{path} is not YAML: {problem}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        kind = "list" if isinstance(content, list) else "text"
        raise CompanionError(f"{path} should hold `name: value` lines, not a {kind}")
    return content


def preset_file(notebook: Path, preset: str | Path) -> Path:
    """The preset file that is meant: a name such as `smoke`, of `params/NOTEBOOK.smoke.yaml`, or a path.

    Raises:
        CompanionError: if it is neither; the message lists the notebook's presets.
    """
    path = Path(preset)
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1 or path.is_file():
        return path
    folder = notebook.parent / "params"
    named = folder / f"{notebook.stem}.{preset}.yaml"
    if not named.is_file():
        known = ", ".join(presets(notebook)) or "none"
        raise CompanionError(
            f"{notebook.stem} has no preset '{preset}'; its presets: {known}. A file is named by its path"
        )
    return named


def presets(notebook: Path) -> list[str]:
    """The names of a notebook's presets."""
    found = (notebook.parent / "params").glob(f"{notebook.stem}.*.yaml")
    return sorted(path.name.removeprefix(f"{notebook.stem}.").removesuffix(".yaml") for path in found)


def as_arguments(overrides: Mapping[str, Any]) -> list[str]:
    """The command-line arguments that `parse_values` reads back as `overrides`."""
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in overrides.items()}
    return [part for name, text in texts.items() for part in ("-p", name, text)]
