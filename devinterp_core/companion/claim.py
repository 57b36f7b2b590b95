"""One claim: what the paper or a closed form says, what was measured here, and whether it holds.

A claim with a missing field, a number that is not finite, or a verdict that no code computed is refused.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real

VERDICT = {True: "holds", False: "does not hold", None: "undecided"}
# What is claimed: by the paper, by a closed form against which our code is checked, or by ourselves beyond the paper.
KINDS = ("paper", "check", "own")


@dataclass(frozen=True)
class Claim:
    """One line of the scorecard.

    `interval` is (low, high), or a word such as `exact` where none exists; `holds` is None where the interval leaves
    the criterion undecided; `kind` is one of `KINDS`.
    """

    statement: str
    paper: float | str
    measured: float | str
    interval: tuple[float, float] | str
    holds: bool | None
    detail: str
    notebook: str
    reference: str
    kind: str = "paper"

    @classmethod
    def checked(cls, *, notebook, reference, statement, paper, measured, interval, holds, detail, kind="paper"):
        """A claim of fields that are as they should be, numbers of NumPy and PyTorch made Python's own.

        Raises:
            ValueError: for an empty text, a number that is not finite, an interval the wrong way round, a kind that is
                none.
            TypeError: for a value of another type, a verdict that is neither a boolean nor None among them.
        """
        if kind not in KINDS:
            raise ValueError(f"kind of a claim is {kind!r}; one of {', '.join(KINDS)} was expected")
        return cls(
            statement=text("statement", statement),
            paper=_value("paper", paper),
            measured=_value("measured", measured),
            interval=_interval(interval),
            holds=_verdict(holds),
            detail=text("detail", detail),
            notebook=text("notebook", notebook),
            reference=text("paper", reference),
            kind=kind,
        )


def number(notebook: str, position: int) -> str:
    """The number of a claim in the book, of the chapter and its place there: `05.3`."""
    return f"{notebook.split('_')[0]}.{position}"


def anchor(notebook: str, position: int) -> str:
    """What the number of a claim is called in addresses, where a dot would mean something else: `05-3`."""
    return number(notebook, position).replace(".", "-")


def counts(claims: Iterable[Claim]) -> dict[str, int]:
    """How many claims hold, do not hold and are undecided, by the verdict's words."""
    found = [claim.holds for claim in claims]
    return {word: found.count(holds) for holds, word in VERDICT.items()}


def in_words(claims: Sequence[Claim]) -> str:
    """`3 of 5 claims hold, 1 does not, 1 is undecided`."""
    held, failed, undecided = counts(claims).values()
    words = [f"{held} of {len(claims)} claims hold"]
    if failed:
        words.append(f"{failed} {'does' if failed == 1 else 'do'} not")
    if undecided:
        words.append(f"{undecided} {'is' if undecided == 1 else 'are'} undecided")
    return ", ".join(words)


def show(value: float | str) -> str:
    """A number to four significant digits (integers whole), words as they are."""
    if isinstance(value, str):
        return value
    if float(value).is_integer() and abs(value) < 1e9:
        return str(int(value))
    return f"{value:.4g}"


def show_interval(interval: tuple[float, float] | list[float] | str) -> str:
    """`low to high`, `low at both ends` where they are the same, or the word that stands in its place."""
    if isinstance(interval, str):
        return interval
    low, high = map(show, interval)
    return f"{low} at both ends" if interval[0] == interval[1] else f"{low} to {high}"


def text(name: str, value: object) -> str:
    """Words, without blanks around them.

    Raises:
        TypeError, ValueError: something else, or nothing.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} of a claim is a {type(value).__name__}; words were expected")
    if not value.strip():
        raise ValueError(f"{name} of a claim is empty")
    return value.strip()


def _value(name: str, value: object) -> float | str:
    if isinstance(value, str):
        return text(name, value)
    value = _scalar(value)
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} of a claim is {value!r}; a number or a few words were expected")
    if not math.isfinite(value):
        raise ValueError(f"{name} of a claim is {value}; say in words what happened, such as 'all chains diverged'")
    return int(value) if isinstance(value, int) else float(value)


def _interval(value: object) -> tuple[float, float] | str:
    if isinstance(value, str):
        return text("interval", value)
    try:
        low, high = (_value("interval", _scalar(end)) for end in value)
    except (TypeError, ValueError) as error:
        expected = "(low, high) or a word such as 'exact' was expected"
        raise type(error)(f"interval is {value!r}; {expected}: {error}") from None
    if isinstance(low, str) or isinstance(high, str) or low > high:
        raise ValueError(f"interval is {value!r}; two numbers, low then high, were expected")
    return low, high


def _verdict(value: object) -> bool | None:
    value = _scalar(value)
    if value is not None and not isinstance(value, bool):
        raise TypeError(f"holds is {value!r}; a boolean computed from the numbers, or None, was expected")
    return value


def _scalar(value: object) -> object:
    """Python's own number for one of numpy, torch or xarray."""
    return value.item() if hasattr(value, "item") else value
