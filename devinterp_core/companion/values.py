"""What a value written in a preset, a grid or on the command line means: what the declared type of its parameter says.

YAML 1.1 guesses a type from the look of a value: `010` is eight, `1:30` is ninety, `on` is true, `1e-4` is a string.
Here nothing is guessed. A value that stands in no quotes stays the text that was written (`Plain`) until the type is
known, and is then exactly that type's or is refused, with how to write it. In quotes it is text.
"""

import math
import re
from typing import Any

import yaml

INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]*)?(\.[0-9]*)?([eE][-+]?[0-9]+)?")
BOOLEANS = {"true": True, "True": True, "false": False, "False": False}
HOW = {
    "int": "decimal digits without leading zeros, underscores or an exponent",
    "float": "a finite decimal number without leading zeros or underscores",
    "bool": "true or false",
    "str": "text, in quotes where it is empty or begins with a special character",
}
LONGEST = 400  # digits of a number: far beyond what any type of a notebook holds


class Plain(str):
    """A value as it was written, without quotes: its type is not known yet."""

    def __repr__(self) -> str:
        """The text itself: messages show what was written."""
        return str(self)


class Loader(yaml.SafeLoader):
    """YAML whose plain scalars are not interpreted, and which refuses tags and names that occur twice."""

    yaml_implicit_resolvers: dict = {}


def _scalar(loader: Loader, node: yaml.ScalarNode) -> str:
    return Plain(node.value) if node.style is None else node.value


def _mapping(loader: Loader, node: yaml.MappingNode) -> dict:
    names = [name.value for name, _ in node.value]
    for (name, _), text in zip(node.value, names, strict=True):
        if names.count(text) > 1:
            raise yaml.constructor.ConstructorError(None, None, f"'{text}' is there twice", name.start_mark)
    return {str(key): value for key, value in loader.construct_pairs(node, deep=True)}


def _sequence(loader: Loader, node: yaml.SequenceNode) -> list:
    return loader.construct_sequence(node, deep=True)


Loader.yaml_constructors = {
    "tag:yaml.org,2002:str": _scalar,
    "tag:yaml.org,2002:map": _mapping,
    "tag:yaml.org,2002:seq": _sequence,
    None: yaml.SafeLoader.yaml_constructors[None],  # which refuses
}


def load(text: str) -> Any:
    """The YAML document `text`: mappings, lists, `str` for what stands in quotes and `Plain` for what does not.

    Raises:
        yaml.YAMLError: if it is not such a document.
    """
    return yaml.load(text, Loader)  # noqa: S506 (a SafeLoader)


def scalar(value: Any, kind: str) -> Any:
    """`value` as an `int`, `float`, `str` or `bool`: an int is taken for a float, nothing else is converted.

    A string is taken for a number only where a float is wanted and it spells one.

    Raises:
        ValueError: if it is no value of that type; the message says how to write one, with a proposal where the value
            can be guessed.
    """
    if kind == "str":
        return str(value) if isinstance(value, Plain) and value else _of_type(value, str, "")
    if kind == "bool":
        guess = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(str(value).lower(), str(value).lower())
        return BOOLEANS[value] if isinstance(value, Plain) and value in BOOLEANS else _of_type(value, bool, guess)
    if kind == "int":
        if isinstance(value, Plain) and INTEGER.fullmatch(value) and len(value) <= LONGEST:
            return int(value)
        return _of_type(value, int, _proposal(value, kind))
    if isinstance(value, str) and DECIMAL.fullmatch(value) and re.match(r"[-+]?\.?[0-9]", value):
        number = float(value)
        if math.isfinite(number) and (number != 0 or not re.match(r"[^eE]*[1-9]", value)):
            return number
    if isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value):
        return float(value)
    raise ValueError(_how(kind, _proposal(value, kind)))


def _of_type(value: Any, kind: type, guess: str) -> Any:
    if type(value) is not kind:  # bool is an int to isinstance, and what stands without quotes is a str
        raise ValueError(_how(kind.__name__, guess if isinstance(value, Plain) else ""))
    return value


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # an int that no float can hold
        return False


def _proposal(value: Any, kind: str) -> str:
    """A number that `value` may have meant, as it can be written; empty if there is none."""
    if not isinstance(value, Plain) or len(value) > LONGEST:
        return ""
    for read in (lambda text: int(text, 10), lambda text: int(text, 0), float):
        try:
            number = read(value)
        except ValueError:
            continue
        if not _is_finite(number) or (number == 0 and re.search("[1-9]", value)):
            return ""
        if kind == "int":
            return str(int(number)) if number == int(number) and abs(number) < 1e15 else ""
        return repr(number)
    return ""


def _how(kind: str, guess: str) -> str:
    meant = f"; if you mean {guess}, write {guess}" if guess and (kind != "bool" or guess in BOOLEANS) else ""
    return f"write {HOW[kind]}{meant}"
