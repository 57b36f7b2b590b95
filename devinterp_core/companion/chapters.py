"""The chapters of the book, from one list: what `book/chapters.yml` says is written where a reader looks for it.

`companion chapters` writes the notebooks into `_toc.yml`, a table and the gallery into the README, and the cards into
the introduction, each between two marks. Nothing between the marks is edited by hand.
"""

import dataclasses
import html
import re
from collections.abc import Sequence
from pathlib import Path

import yaml

from devinterp_core.companion import project
from devinterp_core.companion.captions import captions_of
from devinterp_core.companion.parameters import read_notebook
from devinterp_core.files import write_atomically

LIST = "book/chapters.yml"
GALLERY = "book/gallery"
SHOWN = 6  # pictures in the README
HTML = ("<!-- {}: written from book/chapters.yml -->\n", "<!-- end of {} -->\n")
YAML = ("      # {}: written from book/chapters.yml\n", "      # end of {}\n")


@dataclasses.dataclass(frozen=True)
class Chapter:
    """What the list says of one chapter.

    Attributes:
        stem: its notebook, `NN_name`.
        title: of its card in the introduction.
        paper: what it reproduces, a key of `book/references.bib`.
        source: the paper in words, with its arXiv number.
        question: what it asks, in one sentence.
        picture: the figure that stands for it on its card and in the gallery; the alt text is the figure's own.
        card: the text of its card, in MyST Markdown.
        rests_on: the claims of the chapter, by statement, that the card's assertions rest on; a test holds it to them.
        needs: what to read before it: chapters by their stem, other pages of the book by theirs.
        after: a chapter whose trainings it uses, so that a build does not run both at once; left out if there is none.
    """

    stem: str
    title: str
    paper: str
    source: str
    question: str
    picture: str
    card: str
    rests_on: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    after: str = ""


def read() -> list[Chapter]:
    """The chapters in the order of the book; empty where there is no list.

    Raises:
        CompanionError: for a list that is not one, an unknown, missing or ill-typed field, a chapter named twice, one
            without a notebook, and one that comes `after` one that does not stand before it.
    """
    path = project.root() / LIST
    if not path.exists():
        return []
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise project.CompanionError(f"{LIST} is not YAML: {error}") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise project.CompanionError(f"{LIST} should be a list of chapters, each with `name: value` lines")
    found = [checked(entry) for entry in entries]
    for twice in {one.stem for one in found if sum(each.stem == one.stem for each in found) > 1}:
        raise project.CompanionError(f"{LIST}: {twice} is there twice")
    notebooks = [path.stem for path in project.notebooks()]
    for number, chapter in enumerate(found):
        if chapter.stem not in notebooks:
            raise project.CompanionError(f"{LIST}: there is no notebooks/{chapter.stem}.py")
        if chapter.after and chapter.after not in [each.stem for each in found[:number]]:
            raise project.CompanionError(f"{LIST}: {chapter.stem} comes after {chapter.after}, which is not before it")
    return found


def checked(entry: dict) -> Chapter:
    """The chapter that an entry of the list describes.

    Raises:
        CompanionError: for an unknown, missing or ill-typed field, and one of several lines that has to be one.
    """
    known = dataclasses.fields(Chapter)
    problems = [f"'{name}' is unknown" for name in entry if name not in [field.name for field in known]]
    needed = [field.name for field in known if field.default is dataclasses.MISSING]
    problems += [f"'{name}' is missing" for name in needed if name not in entry]
    for name, value in entry.items():
        if name in ("rests_on", "needs"):
            if not isinstance(value, list) or not all(isinstance(each, str) and each.strip() for each in value):
                problems.append(f"'{name}' should be a list of texts")
        elif not isinstance(value, str) or not value.strip():
            problems.append(f"'{name}' should be a text")
        elif name != "card" and ("\n" in value or "|" in value):
            problems.append(f"'{name}' should be one line without '|'")
    if problems:
        raise project.CompanionError(f"{LIST}, {entry.get('stem', 'a chapter without a stem')}: {'; '.join(problems)}")
    return Chapter(**entry | {name: tuple(entry.get(name, ())) for name in ("rests_on", "needs")})


def texts() -> dict[Path, str]:
    """The files that hold something of the list, as they should be.

    Raises:
        CompanionError: for a file without its marks, or a notebook without the picture that the list names.
    """
    found = read()
    toc, readme, intro = (project.root() / name for name in ("_toc.yml", "README.md", "book/intro.md"))
    return {
        toc: _between(toc, YAML, {"chapters": "".join(f"      - file: notebooks/{each.stem}\n" for each in found)}),
        readme: _between(readme, HTML, {"gallery": _gallery(found), "table": _table(found)}),
        intro: _between(intro, HTML, {"cards": _cards(found)}),
    }


def write() -> list[Path]:
    """Bring those files up to date; the ones that changed."""
    changed = {path: text for path, text in texts().items() if path.read_text(encoding="utf-8") != text}
    for path, text in changed.items():
        write_atomically(path, lambda temporary, text=text: temporary.write_text(text, encoding="utf-8"))
    return list(changed)


def picture_file(chapter: Chapter) -> Path:
    """The bitmap of a chapter in the gallery of the README, made by `book/make_gallery.py`."""
    return project.root() / GALLERY / f"{chapter.stem}.png"


def alt_text(chapter: Chapter) -> str:
    """The alt text of a chapter's picture, as its caption has it.

    Raises:
        CompanionError: if the notebook has no such figure.
    """
    path = project.root() / "notebooks" / f"{chapter.stem}.py"
    found = captions_of(read_notebook(path))
    if chapter.picture in found:
        return found[chapter.picture].alt
    raise project.CompanionError(f"{LIST}: {path.name} has no figure {chapter.picture}")


def _gallery(chapters: Sequence[Chapter]) -> str:
    """Small pictures that lead to their notebooks: of those that have been made, `SHOWN` that are spread over the book.

    One of a new chapter is missing until the book is built.
    """
    made = [each for each in chapters if picture_file(each).is_file()]
    last = len(made) - 1
    chosen = [made[round(i * last / (SHOWN - 1))] for i in range(SHOWN)] if len(made) > SHOWN else made
    pictures = [
        f'<a href="notebooks/{each.stem}.py" title="{html.escape(each.title)}">'
        f'<img src="{GALLERY}/{each.stem}.png" width="270" alt="{html.escape(alt_text(each))}"></a>\n'
        for each in chosen
    ]
    return "\n" + "".join(pictures) + "\n"


def _table(chapters: Sequence[Chapter]) -> str:
    rows = [f"| [`{each.stem}`](notebooks/{each.stem}.py) | {each.source} | {each.question} |\n" for each in chapters]
    return "\n| notebook | reproduces | the question |\n|---|---|---|\n" + "".join(rows) + "\n"


def _cards(chapters: Sequence[Chapter]) -> str:
    cards = [
        f":::{{grid-item-card}} {each.title}\n"
        f"```{{notebook-figure}} {each.stem} {each.picture}\n```\n"
        f"{each.card.strip()}\n\n"
        f"[Read the notebook](../notebooks/{each.stem}.ipynb)\n:::\n"
        for each in chapters
    ]
    return "\n::::{grid} 1 1 2 2\n:gutter: 3\n\n" + "\n".join(cards) + "::::\n\n"


def _between(path: Path, marks: tuple[str, str], parts: dict[str, str]) -> str:
    """The text of a file with each of `parts` between its two marks."""
    text = path.read_text(encoding="utf-8")
    for name, part in parts.items():
        begin, end = (mark.format(name) for mark in marks)
        text, count = re.subn(
            re.escape(begin) + ".*?" + re.escape(end), lambda _, new=begin + part + end: new, text, flags=re.DOTALL
        )
        if count != 1:
            raise project.CompanionError(
                f"{path.name} should hold the lines {begin.strip()!r} and {end.strip()!r} once, around the {name}"
            )
    return text
