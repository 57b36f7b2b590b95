"""Claims as a reader sees them: a table, or a line each under the figure that they judge."""

import html
import re
from dataclasses import dataclass

from devinterp_core.companion.claim import VERDICT, Claim, anchor, in_words, number, show, show_interval

CLASS = {True: "claim-holds", False: "claim-fails", None: "claim-undecided"}


@dataclass(frozen=True)
class ClaimTable:
    """The claims as a table: HTML in Jupyter and in the book, plain lines elsewhere."""

    claims: tuple[Claim, ...]

    def _repr_html_(self) -> str:
        heads = ("", "Claim", "Paper or closed form", "Measured here", "Interval", "Verdict", "What is asked, and how")
        rows = "".join(
            f'<tr id="claim-{anchor(c.notebook, i)}"><td>{number(c.notebook, i)}</td>'
            f'<th scope="row">{as_html(c.statement)}</th><td>{as_html(show(c.paper))}</td>'
            f"<td>{as_html(show(c.measured))}</td><td>{as_html(show_interval(c.interval))}</td>"
            f'<td class="{CLASS[c.holds]}">{VERDICT[c.holds]}</td>'
            f"<td>{as_html(c.detail)}</td></tr>"
            for i, c in enumerate(self.claims, start=1)
        )
        head = "".join(f'<th scope="col">{h}</th>' for h in heads)
        caption = as_html(f"{in_words(self.claims)}. Source: {self.claims[0].reference}")
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


@dataclass(frozen=True)
class Verdicts:
    """Claims in a line each: the verdict, the statement, what the paper says and what was measured.

    `first` is the place of the first of them on the sheet, for their numbers, to which the scorecard links.
    """

    claims: tuple[Claim, ...]
    first: int = 1

    def _repr_html_(self) -> str:
        lines = "".join(
            f'<li id="verdict-{anchor(c.notebook, i)}"><a href="#claim-{anchor(c.notebook, i)}">'
            f'{number(c.notebook, i)}</a> <b class="{CLASS[c.holds]}">{VERDICT[c.holds]}</b>: '
            f"{as_html(f'{c.statement}. {_numbers(c)}')}</li>"
            for i, c in enumerate(self.claims, start=self.first)
        )
        return f'<ul class="claims">{lines}</ul>'

    def __repr__(self) -> str:
        return "\n".join(f"{VERDICT[c.holds]}: {c.statement}. {_numbers(c)}" for c in self.claims)


def _numbers(claim: Claim) -> str:
    source = "Expected" if claim.kind == "check" else "Paper"
    return f"{source}: {show(claim.paper)}; here: {show(claim.measured)} ({show_interval(claim.interval)})."


def as_html(text: str) -> str:
    """Words for HTML, with `$...$` in the delimiters that MathJax reads in the book and in Jupyter."""
    return re.sub(r"\$([^$]+)\$", r'<span class="math">\\(\1\\)</span>', html.escape(text))
