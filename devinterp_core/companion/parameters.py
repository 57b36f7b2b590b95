"""The typed `parameters` cell of a notebook: reading it, and checking overrides against it before a kernel starts.

A parameter is one line of the cell tagged `parameters`:

    seed: int = 0  # random seed of every draw

name, type, default and help. The types are `int`, `float`, `str`, `bool`, and `list[int]`, `list[float]`, `list[str]`.
papermill itself accepts any name and any value and exits 0; nothing is passed to it here that was not checked.
"""

import ast
import dataclasses
import difflib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import yaml

from devinterp_core.companion.project import CompanionError

SCALARS = {"int": int, "float": float, "str": str, "bool": bool}
TYPES = (*SCALARS, "list[int]", "list[float]", "list[str]")
EXAMPLES = {"int": "3", "float": "0.5", "str": "text", "bool": "true", "list[int]": "[1, 2]", "list[float]": "[0.1, 1]"}


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One line of the `parameters` cell."""

    name: str
    type: str
    default: Any
    help: str

    def coerce(self, value: Any) -> Any:
        """`value` as this parameter's type: an int is taken for a float, nothing else is converted.

        A string is taken for a number only where a float is wanted and it spells one: YAML reads `1e-4` as a string.

        Raises:
            CompanionError: if `value` is not of the declared type.
        """
        element = self.type.removeprefix("list[").removesuffix("]")
        try:
            if self.type.startswith("list["):
                if not isinstance(value, list | tuple):
                    raise ValueError
                return [_scalar(each, element) for each in value]
            return _scalar(value, element)
        except ValueError:
            example = EXAMPLES.get(self.type, "[a, b]")
            raise CompanionError(
                f"parameter '{self.name}' is of type {self.type} (for example {example}), not {value!r}"
            ) from None


def _scalar(value: Any, kind: str) -> Any:
    if kind == "float":
        if isinstance(value, str) and re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", value):
            return float(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        raise ValueError
    if type(value) is not SCALARS[kind]:  # bool is an int to isinstance
        raise ValueError
    return value


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """The percent file as a notebook without outputs."""
    return jupytext.read(path, fmt="py:percent")


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
        parameter = Parameter(statement.target.id, kind, default, rest.strip().removeprefix("#").strip())
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
    """Overrides from the command line (`-p name value`): a `str` is taken as it stands, all else is read as YAML."""
    values = {}
    for name, text in pairs:
        if name in parameters and parameters[name].type == "str":
            values[name] = text
            continue
        try:
            values[name] = yaml.safe_load(text)
        except yaml.YAMLError:
            values[name] = text  # refused, by name, when the type is checked
    return values


def read_yaml(path: Path) -> dict[str, Any]:
    """A preset or grid file: a YAML mapping.

    Raises:
        CompanionError: if the file is missing, is not YAML or is not a mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise CompanionError(f"cannot read {path}: {problem.strerror}") from None
    except yaml.YAMLError as problem:
        raise CompanionError(f"{path} is not YAML: {problem}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise CompanionError(f"{path} should hold `name: value` lines, not a {type(content).__name__}")
    return content


def as_arguments(overrides: Mapping[str, Any]) -> list[str]:
    """The command-line arguments that `parse_values` reads back as `overrides`."""
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in overrides.items()}
    return [part for name, text in texts.items() for part in ("-p", name, text)]
