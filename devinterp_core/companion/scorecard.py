"""The scorecard page: every claim of every notebook in one place, misses as plain as hits.

Made from the `claims.json` that each run leaves and, for provenance, the `run.json` beside it; titles of chapters are
those of `book/chapters.yml`, and why a claim does not hold is said in `book/misses.yml` (`companion.misses`). The page,
and the sentence on all claims that the introduction includes, are generated at each build and kept out of git.

Fields read from `run.json`, all optional, a missing one shown as "not recorded": `key`, `parameters` (the ones
given beyond the defaults), `wall_seconds`, `cpu_seconds`, `started` (ISO 8601), `commit`, `machine` (mapping or
words), `torch`, `python`.
"""

import html
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from devinterp_core.companion import claim as claims
from devinterp_core.companion import misses
from devinterp_core.companion.claim_table import CLASS, as_html
from devinterp_core.companion.claims import load
from devinterp_core.files import write_atomically

__all__ = ["write", "write_headline"]

FRONT = "---\nhtml_theme.sidebar_secondary.remove: true\n---\n\n# Scorecard\n"
INTRODUCTION = """\
Every claim of every chapter: what the paper or a closed form says, what was measured here, and whether it holds. Code
decides that by a rule; where the interval reaches over the bound of that rule, the claim is undecided. A claim's number
leads to the place in its chapter where it is judged, and from there to the rule. Three kinds are counted apart: what
the papers claim, checks of our own code against closed forms, and what we measure beyond the papers. A claim that does
not hold says of which kind its miss is: *our scale* (models, data or trainings are smaller than the paper's), *our
sampler* (chains too short or too hot), *the paper's numbers* (they disagree with each other or with a closed form),
*noise*, or *refuted* (by what was measured here).
"""
MISSING = "not recorded"
BUDGET = 5  # CPU-minutes that a chapter may use
KINDS = {"paper": "Claims of the papers", "check": "Checks against closed forms", "own": "Our own extensions"}
WORDS = {"paper": "of the paper", "check": "check", "own": "own"}


@dataclass(frozen=True)
class Run:
    """The claims of one notebook, what is known of the run that measured them, and the title of the chapter."""

    notebook: str
    claims: list[claims.Claim]
    provenance: dict
    title: str

    @property
    def link(self) -> str:
        return f"[{_plain(self.title)}](../notebooks/{self.notebook}.ipynb)"


def write(records: Iterable[Path | str], destination: Path | str, titles: Mapping[str, str] | None = None) -> Path:
    """Write the scorecard page as MyST Markdown, atomically.

    Args:
        records: paths of the `claims.json` files; each may have a `run.json` beside it.
        destination: the page, usually `book/scorecard.md`; links point to `../notebooks/<notebook>.ipynb`.
        titles: of the chapters, by notebook; its name stands where there is none.

    Returns:
        The path of the page.

    Raises:
        ValueError: if there is no record, a record is not one of claims, or two are of the same notebook.
    """
    runs = _read_all(records, titles or {})
    reasons = misses.read()
    page = "\n".join([FRONT, INTRODUCTION, *_summary(runs), FILTER, *_tables(runs, reasons), *_runs(runs)])
    return write_atomically(Path(destination), lambda path: path.write_text(page.rstrip() + "\n", encoding="utf-8"))


def write_headline(records: Iterable[Path | str], destination: Path | str) -> Path:
    """Write how many claims hold, by kind, as the list that the introduction includes; arguments as of `write`."""
    page = "\n".join(_by_kind(_read_all(records, {})))
    return write_atomically(Path(destination), lambda path: path.write_text(page + "\n", encoding="utf-8"))


def _read_all(records: Iterable[Path | str], titles: Mapping[str, str]) -> list[Run]:
    runs = sorted((_read(Path(record), titles) for record in records), key=lambda run: run.notebook)
    if not runs:
        raise ValueError("no record of claims was given: run the notebooks first")
    names = [run.notebook for run in runs]
    if len(set(names)) < len(names):
        raise ValueError(f"two records are of the same notebook: {', '.join(names)}")
    return runs


def _read(path: Path, titles: Mapping[str, str]) -> Run:
    found = load(path)
    beside = path.with_name("run.json")
    try:
        provenance = json.loads(beside.read_bytes()) if beside.exists() else {}
    except ValueError as error:
        raise ValueError(f"{beside} is not a record of a run: {error}") from error
    if not found:
        raise ValueError(f"{path} holds no claim")
    notebook = found[0].notebook
    return Run(notebook, found, provenance, titles.get(notebook, notebook))


def _by_kind(runs: list[Run]) -> list[str]:
    every = {kind: [claim for run in runs for claim in run.claims if claim.kind == kind] for kind in KINDS}
    return [f"- **{KINDS[kind]}**: {claims.in_words(own)}." for kind, own in every.items() if own]


def _summary(runs: list[Run]) -> list[str]:
    rows = []
    for run in runs:
        held = [_short([claim for claim in run.claims if claim.kind == kind]) for kind in KINDS]
        rows.append([run.link, *held, _clock(run.provenance), _budget(run.provenance)])
    heads = ["Chapter", *KINDS.values(), "Wall time", "CPU-minutes"]
    note = (
        "In the table: how many hold, of how many; then how many are undecided, if any. The last column is what each "
        "notebook used when it was executed for this book, where trainings found in the cache cost nothing; its budget "
        f"is {BUDGET}."
    )
    return [*_by_kind(runs), "", note, "", *_table(heads, rows)]


def _short(own: list[claims.Claim]) -> str:
    held, _, undecided = claims.counts(own).values()
    return f"{held} of {len(own)}" + (f", {undecided} undecided" if undecided else "") if own else "none"


def _boxes(name: str, words: Mapping[str, str]) -> str:
    boxes = "".join(f'<label><input type="checkbox" data-{name}="{k}" checked> {w}</label>' for k, w in words.items())
    return f"<fieldset><legend>{name}</legend>{boxes}</fieldset>"


VERDICTS = {CLASS[holds]: word for holds, word in claims.VERDICT.items()}
FILTER = (
    '<form class="claim-filter" aria-label="Which claims are shown" hidden>'
    f"{_boxes('verdict', VERDICTS)}{_boxes('kind', WORDS)}</form>\n"
)


def _tables(runs: list[Run], reasons: Mapping[str, list[misses.Miss]]) -> list[str]:
    lines = []
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("", "Claim", "Expected", "Measured here", "Verdict"))
    for run in runs:
        rows = [_row(run, place, claim, reasons) for place, claim in enumerate(run.claims, start=1)]
        source = _plain(run.claims[0].reference)
        lines += [f"## {_plain(run.title)}", "", f"{source} · [the chapter](../notebooks/{run.notebook}.ipynb)", ""]
        lines += [f'<table class="claims scorecard"><thead><tr>{heads}</tr></thead><tbody>', *rows]
        lines += ["</tbody></table>", ""]
    return lines


def _row(run: Run, place: int, claim: claims.Claim, reasons: Mapping[str, list[misses.Miss]]) -> str:
    number, anchor = claims.number(run.notebook, place), claims.anchor(run.notebook, place)
    link = f'<a href="../notebooks/{run.notebook}.html#verdict-{anchor}">{number}</a>'
    kind = "" if claim.kind == "paper" else f' <span class="claim-kind">({WORDS[claim.kind]})</span>'
    here = as_html(f"{claims.show(claim.measured)} ({claims.show_interval(claim.interval)})")
    why = misses.reason(reasons, claim) if claim.holds is False else None
    miss = f'<span class="miss" title="{html.escape(why.why, quote=True)}">{why.kind}</span>' if why else ""
    return (
        f'<tr data-verdict="{CLASS[claim.holds]}" data-kind="{claim.kind}"><td>{link}</td>'
        f'<th scope="row">{as_html(claim.statement)}{kind}</th><td>{as_html(claims.show(claim.paper))}</td>'
        f'<td>{here}</td><td class="{CLASS[claim.holds]}">{claims.VERDICT[claim.holds]}{miss}</td></tr>'
    )


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
    lines = ["## The runs", "", *_table(["Chapter", "Key", "Parameters", "Started (UTC)", "Commit"], rows)]
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
