"""`REPRODUCE.md`: what to run, how long it takes on what, and what to expect, in the form of an artifact evaluation.

Written from the records of the built book (`claims.json` and `run.json` of each chapter) and from the provenance of the
recorded runs, so that no number in it is typed by hand.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from devinterp_core.companion import assemble, chapters, follows, project
from devinterp_core.companion.recordings import declared
from devinterp_core.files import write_atomically

FILE = "REPRODUCE.md"
VERDICTS = {True: "holds", False: "does not hold", None: "undecided"}
HEAD = """\
# Reproduce

<!-- written by `.venv/bin/companion reproduce` from the records of the built book: do not edit -->

Every claim of the book, with the command that checks it, the minutes that it takes and the value to expect. A claim
that does not hold is a result as well: it should not hold on your machine either.

## Functional, in minutes

```bash
make venv                                   # the pinned environment
.venv/bin/companion run 03_tms_kgons -f smoke --html smoke.html   # one notebook from end to end, reduced
```

## Reproduced

```bash
make book                                   # everything below but the recorded runs
.venv/bin/companion run 03_tms_kgons        # or one chapter: its claims.json lies in the folder that it names
.venv/bin/companion reproduce               # this page from your numbers: git diff shows what differs
```

"""


def write() -> Path:
    """Write the page from the book in `_build/html`.

    Raises:
        CompanionError: if the book, or the record of a chapter, is not there.
    """
    records = []
    for chapter in chapters.read():
        folder = project.build_folder() / "html" / "downloads" / chapter.stem
        try:
            claims = json.loads((folder / assemble.CLAIMS).read_bytes())["claims"]
            records.append((chapter, claims, json.loads((folder / assemble.PROVENANCE).read_bytes())))
        except FileNotFoundError:
            raise project.CompanionError(f"{chapter.stem} is not in the book in _build/html: make book") from None
    text = page(records, recordings())
    return write_atomically(project.root() / FILE, lambda path: path.write_text(text, encoding="utf-8"))


def page(
    records: Sequence[tuple[chapters.Chapter, Sequence[Mapping[str, Any]], Mapping[str, Any]]],
    recorded: Iterable[Sequence[str]] = (),
) -> str:
    """The page.

    Args:
        records: each chapter with its claims and what its `run.json` says.
        recorded: rows of the table of recorded runs: name, what it is, minutes.
    """
    machines = sorted({_machine(run) for _, _, run in records})
    total = sum(run["cpu_seconds"] for _, _, run in records) / 60
    lines = [
        HEAD,
        f"Hardware of the values below: {'; '.join(machines)}. All chapters: {total:.0f} CPU-minutes. Software: "
        "`requirements.lock`.\n\n",
        *_table(
            ["chapter", "command", "CPU-minutes", "claims", "hold", "do not", "undecided"],
            [
                [
                    f"[{number}. {chapter.title}](#{number}-{_anchor(chapter.title)})",
                    f"`.venv/bin/companion run {chapter.stem}`",
                    f"{run['cpu_seconds'] / 60:.1f}{' +' if run.get('read_from_cache') else ''}",
                    str(len(claims)),
                    *(str(sum(claim["holds"] is each for claim in claims)) for each in (True, False, None)),
                ]
                for number, (chapter, claims, run) in enumerate(records, start=1)
            ],
        ),
        "\n`+`: and trainings that another run had left in the cache, which took longer the first time.\n",
        "\n*Expect* is what was measured here, *tolerance* its interval; where there is none, it says why. One value "
        "in twenty may lie outside a 95 % interval of its own; one far outside is worth an issue. *Criterion* is what "
        "the verdict was decided by.\n",
    ]
    for number, (chapter, claims, _) in enumerate(records, start=1):
        lines.append(f"\n### {number}. {chapter.title}\n\n{chapter.source}; `notebooks/{chapter.stem}.py`.\n\n")
        rows = [
            [
                f"C{number}.{place}",
                claim["statement"],
                _shown(claim["paper"]),
                _shown(claim["measured"]),
                _interval(claim["interval"]),
                claim["detail"].split(";")[0],
                VERDICTS[claim["holds"]],
            ]
            for place, claim in enumerate(claims, start=1)
        ]
        lines += _table(["", "claim", "paper", "expect", "tolerance", "criterion", "verdict"], rows)
    lines.append(
        "\n## Recorded runs\n\nToo long for a build; each is made again by `.venv/bin/companion record NAME`.\n\n"
    )
    lines += _table(["name", "files", "minutes on two cores"], recorded)
    return "".join(lines)


def recordings() -> list[list[str]]:
    """A row for each step of each recorded run: its name, its files, the minutes that it took."""
    rows = []
    for recording in declared().values():
        for step in recording.steps:
            entry = follows.step_entry(recording, step)
            took = f"{follows.minutes(step, entry):.0f}" if entry else "not recorded"
            rows.append([f"`{recording.name}`", ", ".join(step.files), took])
    return rows


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    cells = [heads, ["---"] * len(heads), *rows]
    return ["| " + " | ".join(each.replace("|", "\\|").replace("\n", " ") for each in row) + " |\n" for row in cells]


def _machine(run: Mapping[str, Any]) -> str:
    machine = run["machine"]
    return f"{machine['cpu']}, {machine['cores']} cores, {machine['threads']} thread a notebook"


def _anchor(title: str) -> str:
    return "".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c in "-_")


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _interval(value: Any) -> str:
    return value if isinstance(value, str) else f"{_shown(value[0])} to {_shown(value[1])}"
