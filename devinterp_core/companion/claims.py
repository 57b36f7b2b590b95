"""The claims of a notebook: what the paper or a closed form says, what was measured here, and whether it holds.

A sheet refuses a claim with a missing field, a number that is not finite, or a verdict that no code computed, so that
what reaches the scorecard can be read as it stands. A claim that does not hold is recorded and shown like any other.

What is asked of a measurement is a criterion (`companion.criteria`), which decides and says itself what it asks.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from devinterp_core.companion.claim import Claim, text
from devinterp_core.companion.claim_table import ClaimTable, Verdicts
from devinterp_core.companion.criteria import Criterion, Measured
from devinterp_core.companion.output import output_folder
from devinterp_core.files import write_atomically

__all__ = ["Claim", "ClaimSheet", "load"]


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
    _shown: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        text("notebook", self.notebook)
        text("paper", self.paper)

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
        claim = Claim.checked(
            notebook=self.notebook, reference=self.paper, statement=statement, paper=paper, measured=measured,
            interval=interval, holds=holds, detail=detail, kind=kind,
        )  # fmt: skip
        self.claims.append(claim)
        return claim

    def claim(
        self, statement: str, *, paper, found, asks: Criterion | str, how: str = "", kind: str = "paper", **verdict
    ) -> Claim:
        """Record one claim whose criterion decides it and states itself.

        Args:
            statement, paper, kind: as of `add`.
            found: a `Measured`, or a number that has no interval.
            asks: the criterion; where several numbers decide together, what is asked of them in words, with `holds`.
            how: what else the reader should know: n, the deviation from the paper's setting.
            holds: the verdict, only where `asks` is words.

        Raises:
            ValueError, TypeError: as `add`; a criterion with a verdict beside it, words without one.
        """
        if isinstance(asks, str) != ("holds" in verdict) or set(verdict) - {"holds"}:
            raise TypeError(f"of {statement!r}: `holds` goes with a criterion in words, and with nothing else")
        found = found if isinstance(found, Measured) else Measured(found, "exact")
        return self.add(
            statement,
            paper=paper,
            measured=found.value,
            interval=found.interval,
            holds=verdict["holds"] if isinstance(asks, str) else asks(found),
            detail="; ".join(filter(None, (str(asks), found.over, how))),
            kind=kind,
        )

    def verdicts(self) -> Verdicts:
        """The claims added since the last call, a line each: for the figure or table that they judge."""
        first, self._shown = self._shown, len(self.claims)
        return Verdicts(tuple(self.claims[first:]), first + 1)

    def finish(self) -> ClaimTable:
        """Write `claims.json` to the run's output folder and return the table that Jupyter shows.

        Raises:
            ValueError: if the sheet is empty.
        """
        if not self.claims:
            raise ValueError(f"the claim sheet of {self.notebook} is empty: add() at least one claim before finish()")
        record = {"notebook": self.notebook, "reference": self.paper, "claims": [asdict(c) for c in self.claims]}
        content = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        write_atomically(
            output_folder(self.notebook) / "claims.json", lambda path: path.write_text(content, encoding="utf-8")
        )
        return ClaimTable(tuple(self.claims))


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
