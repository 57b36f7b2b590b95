"""The claims of a notebook: what the paper or a closed form says, what was measured here, and whether it holds.

A sheet refuses a claim with a missing field, a number that is not finite, or a verdict that no code computed, so that
what reaches the scorecard can be read as it stands. A claim that does not hold is recorded and shown like any other.

The criteria take a number or an interval (low, high). Of an interval they say True where all of it fulfils the
criterion, False where none of it does, and None, undecided, where it holds both.
"""

import html
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any

from devinterp_core.companion.output import output_folder
from devinterp_core.files import write_atomically

__all__ = [
    "Claim", "ClaimSheet", "ClaimTable", "all_hold", "at_least", "at_most", "covers", "within", "within_fraction",
]  # fmt: skip

VERDICT = {True: "holds", False: "does not hold", None: "undecided"}
CLASS = {True: "claim-holds", False: "claim-fails", None: "claim-undecided"}
# What is claimed: by the paper, by a closed form against which our code is checked, or by ourselves beyond the paper.
KINDS = ("paper", "check", "own")
Measured = Any  # a number, or an interval (low, high) of any library


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


@dataclass
class ClaimSheet:
    """Collects the claims of one notebook.

    Args:
        notebook: its name without suffix, such as `03_tms_kgons`.
        paper: the work whose claims these are, such as `Chen et al. (2023), arXiv:2310.06301`.

    Raises:
        ValueError: if either is empty.
    """

    notebook: str
    paper: str
    claims: list[Claim] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        _text("notebook", self.notebook)
        _text("paper", self.paper)

    def add(self, statement: str, *, paper, measured, interval, holds, detail: str, kind: str = "paper") -> Claim:
        """Record one claim.

        Args:
            statement: the claim in one sentence; `$...$` is set as mathematics.
            paper: what the paper or closed form says, a number or a few words.
            measured: what was measured here, a number or a few words.
            interval: (low, high) of the measurement, or a word such as `"exact"` where there is no interval.
            holds: the verdict, computed by code from the numbers; None where the interval holds the criterion.
            detail: n, seeds, how the interval and the tolerance are made.
            kind: `paper`, a claim of the paper; `check`, of our code against a closed form; `own`, beyond the paper.

        Raises:
            ValueError: for an empty text, a number that is not finite, an interval the wrong way round, or a statement
                already on the sheet, a kind that is none.
            TypeError: for a value of another type, a verdict that is neither a boolean nor None among them.
        """
        if any(claim.statement == statement for claim in self.claims):
            raise ValueError(f"the sheet already has the claim {statement!r}")
        if kind not in KINDS:
            raise ValueError(f"kind of a claim is {kind!r}; one of {', '.join(KINDS)} was expected")
        claim = Claim(
            statement=_text("statement", statement),
            paper=_value("paper", paper),
            measured=_value("measured", measured),
            interval=_interval(interval),
            holds=_verdict(holds),
            detail=_text("detail", detail),
            notebook=self.notebook,
            reference=self.paper,
            kind=kind,
        )
        self.claims.append(claim)
        return claim

    def finish(self) -> "ClaimTable":
        """Write `claims.json` to the run's output folder and return the table that Jupyter shows.

        Raises:
            ValueError: if the sheet is empty.
        """
        if not self.claims:
            raise ValueError(f"the claim sheet of {self.notebook} is empty: add() at least one claim before finish()")
        record = {"notebook": self.notebook, "reference": self.paper, "claims": [asdict(c) for c in self.claims]}
        text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        write_atomically(
            output_folder(self.notebook) / "claims.json", lambda path: path.write_text(text, encoding="utf-8")
        )
        return ClaimTable(tuple(self.claims))


@dataclass(frozen=True)
class ClaimTable:
    """The claims as a table: HTML in Jupyter and in the book, plain lines elsewhere."""

    claims: tuple[Claim, ...]

    def _repr_html_(self) -> str:
        heads = ("Claim", "Paper or closed form", "Measured here", "Interval", "Verdict", "How")
        rows = "".join(
            f'<tr><th scope="row">{_page(c.statement)}</th><td>{_page(show(c.paper))}</td>'
            f"<td>{_page(show(c.measured))}</td><td>{_page(show_interval(c.interval))}</td>"
            f'<td class="{CLASS[c.holds]}">{VERDICT[c.holds]}</td>'
            f"<td>{_page(c.detail)}</td></tr>"
            for c in self.claims
        )
        head = "".join(f'<th scope="col">{h}</th>' for h in heads)
        caption = _page(f"{in_words(self.claims)}. Source: {self.claims[0].reference}")
        return (
            f'<table class="claims"><caption>{caption}</caption><thead><tr>{head}</tr></thead>'
            f"<tbody>{rows}</tbody></table>"
        )

    def __repr__(self) -> str:
        return "\n".join(
            f"{VERDICT[c.holds]}: {c.statement} | paper {show(c.paper)} | measured {show(c.measured)} "
            f"{show_interval(c.interval)} | {c.detail}"
            for c in self.claims
        )


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


def within(measured: Measured, truth: float, tolerance: float) -> bool | None:
    """Whether `|measured - truth| <= tolerance`, of a number or of all of an interval."""
    low, high = _ends(measured)
    distances = abs(low - truth), abs(high - truth)
    if max(distances) <= tolerance:
        return True
    return None if low <= truth <= high and low < high or min(distances) <= tolerance else False


def within_fraction(measured: Measured, truth: float, fraction: float) -> bool | None:
    """Whether `|measured - truth| <= fraction * |truth|`, of a number or of all of an interval."""
    return within(measured, truth, fraction * abs(truth))


def at_least(measured: Measured, bound: float) -> bool | None:
    """Whether `measured >= bound`, of a number or of all of an interval."""
    low, high = _ends(measured)
    return True if low >= bound else (None if high >= bound else False)


def at_most(measured: Measured, bound: float) -> bool | None:
    """Whether `measured <= bound`, of a number or of all of an interval."""
    low, high = _ends(measured)
    return True if high <= bound else (None if low <= bound else False)


def all_hold(*verdicts: Any) -> bool | None:
    """The verdict of several criteria together: False if one fails, undecided if none does and one is undecided."""
    verdicts = [_scalar(verdict) for verdict in verdicts]
    if any(verdict is False for verdict in verdicts):
        return False
    return None if any(verdict is None for verdict in verdicts) else True


def covers(interval: tuple[float, float], truth: float) -> bool:
    """Whether the interval (low, high) contains `truth`."""
    low, high = interval
    return low <= truth <= high


def show(value: float | str) -> str:
    """A number to four significant digits (integers whole), words as they are."""
    if isinstance(value, str):
        return value
    if float(value).is_integer() and abs(value) < 1e9:
        return str(int(value))
    return f"{value:.4g}"


def show_interval(interval: tuple[float, float] | list[float] | str) -> str:
    """`low to high`, or the word that stands in its place."""
    return interval if isinstance(interval, str) else f"{show(interval[0])} to {show(interval[1])}"


def load(path: Path) -> list[Claim]:
    """Read the claims of a `claims.json`, with the same checks as when they were made.

    Raises:
        ValueError: if the file is not such a record; the message names it.
    """
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
        sheet = ClaimSheet(record["notebook"], paper=record["reference"])
        for entry in record["claims"]:
            own = {k: v for k, v in entry.items() if k not in ("notebook", "reference")}
            sheet.add(**own)
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise ValueError(f"{path} is not a record of claims: {error}") from error
    return sheet.claims


def _ends(measured: Measured) -> tuple[float, float]:
    single = isinstance(measured, Real) or getattr(measured, "ndim", 1) == 0
    low, high = (measured, measured) if single else measured
    low, high = float(low), float(high)
    if not low <= high:
        raise ValueError(f"{measured!r} can fulfil no criterion: a number or (low, high) was expected")
    return low, high


def _page(text: str) -> str:
    """Words for HTML, with `$...$` in the delimiters that MathJax reads in the book and in Jupyter."""
    return re.sub(r"\$([^$]+)\$", r'<span class="math">\\(\1\\)</span>', html.escape(text))


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} of a claim is a {type(value).__name__}; words were expected")
    if not value.strip():
        raise ValueError(f"{name} of a claim is empty")
    return value.strip()


def _value(name: str, value: object) -> float | str:
    if isinstance(value, str):
        return _text(name, value)
    value = _scalar(value)
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} of a claim is {value!r}; a number or a few words were expected")
    if not math.isfinite(value):
        raise ValueError(f"{name} of a claim is {value}; say in words what happened, such as 'all chains diverged'")
    return int(value) if isinstance(value, int) else float(value)


def _interval(value: object) -> tuple[float, float] | str:
    if isinstance(value, str):
        return _text("interval", value)
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
