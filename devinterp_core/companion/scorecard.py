"""The scorecard page: every claim of every notebook in one place, misses as plain as hits.

Made from the `claims.json` that each run leaves and, for provenance, the `run.json` beside it. The page is generated
at each build and kept out of git.

Fields read from `run.json`, all optional, a missing one shown as "not recorded": `key`, `parameters` (the ones
given beyond the defaults), `wall_seconds`, `cpu_seconds`, `started` (ISO 8601), `commit`, `machine` (mapping or
words), `torch`, `python`.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from devinterp_core.companion import claim as claims
from devinterp_core.companion.claims import load
from devinterp_core.files import write_atomically

__all__ = ["write"]

INTRODUCTION = """\
Each notebook ends with a table of claims: what the paper or a closed form says, what was measured here, with its
interval, and whether it holds. Code decides that, by the rule that the last column states; where the interval reaches
over the bound of that rule, the claim is undecided. This page gathers all claims from the records of the runs; one that
does not hold stands here like any other. Three kinds are counted apart: what the papers claim, checks of our own code
against closed forms, and what we measure beyond the papers.
"""
MISSING = "not recorded"
BUDGET = 5  # CPU-minutes that a chapter may use
KINDS = {"paper": "Claims of the papers", "check": "Checks against closed forms", "own": "Our own extensions"}


@dataclass(frozen=True)
class Run:
    """The claims of one notebook and what is known of the run that measured them."""

    notebook: str
    claims: list[claims.Claim]
    provenance: dict

    @property
    def link(self) -> str:
        return f"[](../notebooks/{self.notebook}.ipynb)"


def write(records: Iterable[Path | str], destination: Path | str) -> Path:
    """Write the scorecard page as MyST Markdown, atomically.

    Args:
        records: paths of the `claims.json` files; each may have a `run.json` beside it.
        destination: the page, usually `book/scorecard.md`; links point to `../notebooks/<notebook>.ipynb`.

    Returns:
        The path of the page.

    Raises:
        ValueError: if there is no record, a record is not one of claims, or two are of the same notebook.
    """
    runs = sorted((_read(Path(record)) for record in records), key=lambda run: run.notebook)
    if not runs:
        raise ValueError("no record of claims was given: run the notebooks first")
    names = [run.notebook for run in runs]
    if len(set(names)) < len(names):
        raise ValueError(f"two records are of the same notebook: {', '.join(names)}")
    page = "\n".join(["# Scorecard", "", INTRODUCTION, *_summary(runs), *_misses(runs), *_tables(runs), *_runs(runs)])
    return write_atomically(Path(destination), lambda path: path.write_text(page.rstrip() + "\n", encoding="utf-8"))


def _read(path: Path) -> Run:
    found = load(path)
    beside = path.with_name("run.json")
    try:
        provenance = json.loads(beside.read_bytes()) if beside.exists() else {}
    except ValueError as error:
        raise ValueError(f"{beside} is not a record of a run: {error}") from error
    return Run(found[0].notebook, found, provenance) if found else _refuse(path)


def _refuse(path: Path) -> Run:
    raise ValueError(f"{path} holds no claim")


def _summary(runs: list[Run]) -> list[str]:
    lines = []
    for kind, name in KINDS.items():
        own = [claim for run in runs for claim in run.claims if claim.kind == kind]
        if own:
            lines += [f"- **{name}**: {claims.in_words(own)}."]
    rows = []
    for run in runs:
        held = [_short([claim for claim in run.claims if claim.kind == kind]) for kind in KINDS]
        rows.append([run.link, *held, _clock(run.provenance), _budget(run.provenance)])
    heads = ["Notebook", *KINDS.values(), "Wall time", "CPU-minutes"]
    note = (
        "In the table: how many hold, of how many; then how many are undecided, if any. The last column is what each "
        "notebook used when it was executed for this book, where trainings found in the cache cost nothing; its budget "
        f"is {BUDGET}."
    )
    return [*lines, "", note, "", *_table(heads, rows)]


def _short(own: list[claims.Claim]) -> str:
    held, _, undecided = claims.counts(own).values()
    return f"{held} of {len(own)}" + (f", {undecided} undecided" if undecided else "") if own else "none"


def _misses(runs: list[Run]) -> list[str]:
    lines = []
    for verdict, head in ((False, "Claims that do not hold"), (None, "Undecided claims")):
        lines += [f"## {head}", ""]
        found = [
            (run, place, claim) for run in runs for place, claim in enumerate(run.claims, 1) if claim.holds is verdict
        ]
        for run, place, claim in found:
            lines.append(
                f"- {claims.number(run.notebook, place)}, {run.link}: {_plain(claim.statement)}. "
                f"{_plain(claims.show(claim.measured))} ({_plain(claims.show_interval(claim.interval))}); "
                f"expected: {_plain(claims.show(claim.paper))}."
            )
        lines += [""] if found else ["None.", ""]
    return lines


def _tables(runs: list[Run]) -> list[str]:
    heads = ["", "Claim", "Paper or closed form", "Measured here", "Interval", "Verdict", "What is asked, and how"]
    lines = []
    for run in runs:
        rows = [
            [
                claims.number(run.notebook, place),
                _plain(claim.statement),
                _plain(claims.show(claim.paper)),
                _plain(claims.show(claim.measured)),
                _plain(claims.show_interval(claim.interval)),
                claims.VERDICT[claim.holds] if claim.holds else f"**{claims.VERDICT[claim.holds]}**",
                _plain(claim.detail),
            ]
            for place, claim in enumerate(run.claims, start=1)
        ]
        lines += [f"## {run.notebook}", "", f"{run.link}: {_plain(run.claims[0].reference)}.", ""]
        lines += _table(heads, rows)
    return lines


def _runs(runs: list[Run]) -> list[str]:
    rows, machines = [], {}
    for run in runs:
        known = run.provenance
        given = known.get("parameters")
        started = str(known.get("started") or MISSING).replace("T", " ").removesuffix("+00:00")
        parameters = "defaults" if given in ({}, None) else _code(_words(given))
        rows.append([run.link, _code(known.get("key")), parameters, started, _code(known.get("commit"))])
        machine = _words({k: known[k] for k in ("machine", "python", "torch") if k in known}) or MISSING
        machines.setdefault(machine, []).append(run.link)
    lines = ["## The runs", "", *_table(["Notebook", "Key", "Parameters", "Started (UTC)", "Commit"], rows)]
    lines += [f"- {_plain(machine)}: {', '.join(links)}" for machine, links in machines.items()]
    return lines


def _table(heads: list[str], rows: list[list[str]]) -> list[str]:
    lines = [heads, ["---"] * len(heads), *rows]
    return [*("| " + " | ".join(line) + " |" for line in lines), ""]


def _clock(provenance: dict) -> str:
    seconds = provenance.get("wall_seconds")
    if seconds is None:
        return MISSING
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _budget(provenance: dict) -> str:
    seconds = provenance.get("cpu_seconds")
    if seconds is None:
        return MISSING
    minutes = round(seconds / 60, 1)
    return f"[{minutes}, over budget]{{.over-budget}}" if minutes > BUDGET else f"{minutes}"


def _words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k}: {_words(v)}" if isinstance(v, dict) else f"{k} {v}" for k, v in value.items())
    return str(value)


def _code(value: object) -> str:
    return MISSING if value in (None, "") else "`" + str(value).replace("`", "'").replace("|", "\\|") + "`"


def _plain(text: str) -> str:
    """Words as they are, mathematics between dollar signs kept, everything that Markdown would read escaped."""
    parts = re.split(r"(\$[^$]+\$)", " ".join(text.split()))
    kept = [part if i % 2 else re.sub(r"([\\`*_\[\]<>{}#$~])", r"\\\1", part) for i, part in enumerate(parts)]
    return "".join(kept).replace("|", "\\|")
