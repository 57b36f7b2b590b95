"""What values a parameter takes, as the help behind its line says it: a range or a choice.

    in [0, 1)        0 <= value < 1; `inf` where there is no bound: in [1, inf)
    one of {1, 2}    one of these literals

The first of the two forms in the help counts. The rule holds for every entry of a list.
"""

import ast
import math
import re
from dataclasses import dataclass
from typing import Any

RANGE = re.compile(r"\bin (?P<open>[\[(])(?P<low>-?[\w.+-]+), *(?P<high>-?[\w.+-]+)(?P<close>[\])])")
CHOICE = re.compile(r"\bone of (?P<values>\{[^}]*\})")


@dataclass(frozen=True)
class Limits:
    """A range of numbers, or the values there are; `words` as they were written."""

    words: str
    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False
    values: tuple[Any, ...] | None = None

    def hold(self, value: Any) -> bool:
        """Whether the value is one that the parameter takes."""
        if self.values is not None:
            return value in self.values
        above = self.low < value if self.low_open else self.low <= value
        return above and (value < self.high if self.high_open else value <= self.high)

    def __str__(self) -> str:
        """The limits as they were written."""
        return self.words


def limits_in(text: str, kind: str) -> Limits | None:
    """The limits that the help of a parameter states; None if it states none.

    Args:
        text: the help.
        kind: the type of the parameter, or of the entries of its list: `int`, `float`, `str` or `bool`.

    Raises:
        ValueError: a range of something else than numbers, an empty one, or a choice of another type.
    """
    if found := CHOICE.search(text):
        return Limits(found[0], values=_choice(found["values"], kind))
    if not (found := RANGE.search(text)):
        return None
    if kind not in ("int", "float"):
        raise ValueError(f"are a range, of a {kind}: write one of {{...}}")
    try:
        low, high = float(found["low"]), float(found["high"])
    except ValueError:
        raise ValueError("are a range whose ends are no numbers") from None
    limits = Limits(found[0], low, high, found["open"] == "(", found["close"] == ")")
    if not low < high:
        raise ValueError("are an empty range")
    return limits


def _choice(text: str, kind: str) -> tuple[Any, ...]:
    try:
        values = tuple(ast.literal_eval(f"[{text[1:-1]}]"))
    except (ValueError, SyntaxError):
        raise ValueError("are a choice of something else than literals") from None
    if not values or any(type(each).__name__ not in (kind, "int" if kind == "float" else kind) for each in values):
        raise ValueError(f"are a choice of something else than {kind}")
    return values
