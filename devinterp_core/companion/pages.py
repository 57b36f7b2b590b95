"""From the executed notebooks to the pages of the book in `_build/html`."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

from devinterp_core.companion import assemble, chapters, manifest, project, repository, scorecard, surroundings
from devinterp_core.companion.jobs import book_jobs
from devinterp_core.files import write_atomically

SOURCES = ("book/**/*", "notebooks/*.py", "devinterp_core/**/*.py", "data/reference/**/*", "data/recorded/**/*")
SETTINGS = ("_config.yml", "_toc.yml", "requirements*.lock", "README.md", "CITATION.cff")
GENERATED = ("book/scorecard.md", "book/headline.md")
JUPYTER_BOOK = "import sys; from jupyter_book.cli.main import main; sys.exit(main())"  # it has no `python -m`


def target() -> str:
    """The marker inside `_build/html` that exists when those pages were made from the sources as they are now."""
    root = project.root()
    paths = {path for pattern in (*SOURCES, *SETTINGS) for path in root.glob(pattern) if path.is_file()}
    digest = hashlib.sha256(" ".join([repository.address(), *(each.key for each in book_jobs())]).encode())
    for path in sorted(paths):
        name = path.relative_to(root).as_posix()
        if name not in GENERATED and "__pycache__" not in name:
            digest.update(f"\0{name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return f"_build/html/.made-from-{digest.hexdigest()[:12]}"


def publish() -> None:
    """Make the pages from the executed notebooks and put them in the place of `_build/html` in one step.

    Raises:
        CompanionError: if the book does not build without a warning; its output is printed, and the old pages stay.
    """
    with project.locked(project.build_folder() / ".pages.lock", "making the pages"):
        if not (project.root() / target()).exists():  # a build whose parent was killed may have come first
            _publish(Path(target()).name)


def withdraw_damaged() -> None:
    """Take the marker from pages that are not as they were written, so that they are made again; says why."""
    marker = project.root() / target()
    if marker.is_file():
        try:
            damage = manifest.changed(marker.parent, dict(json.loads(marker.read_bytes())))
        except (ValueError, TypeError):
            damage = "the list of its files is not what was written"
        if damage:
            print(f"the book in _build/html is damaged ({damage}) and is made again", file=sys.stderr, flush=True)
            marker.unlink()


def _publish(marker: str) -> None:
    jobs = book_jobs()
    for name in GENERATED:
        project.sweep_up_files(project.root() / "book", Path(name).stem)
    for each in jobs:
        manifest.read(each.folder)  # raises where it is damaged
        for folder in (each.notebook.parent, assemble.marks_folder()):
            project.sweep_up_files(folder, each.notebook.stem)
        assemble.place(each.notebook, each.folder)
    records = [each.folder / assemble.CLAIMS for each in jobs if (each.folder / assemble.CLAIMS).is_file()]
    if records:
        page, headline = (project.root() / name for name in GENERATED)
        scorecard.write(records, page, {each.stem: each.title for each in chapters.read()})
        scorecard.write_headline(records, headline)
    with project.scratch_folder(project.build_folder(), "book") as scratch:
        command = [sys.executable, "-c", JUPYTER_BOOK, "build", ".", "--path-output", str(scratch)]
        done = subprocess.run(
            [*command, "-W", "-n", "--keep-going"],
            cwd=project.root(),
            env=surroundings.variables(scratch / "home") | {repository.VARIABLE: repository.address()},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        pages = scratch / "_build" / "html"
        if done.returncode != 0 or not (pages / "index.html").is_file():
            raise project.CompanionError(f"{done.stdout}\njupyter-book ended with exit status {done.returncode}")
        for each in jobs:
            # what the button of a chapter downloads
            assemble.readable(
                each.notebook, each.folder, pages / "_sources" / "notebooks" / f"{each.notebook.stem}.ipynb"
            )
            assemble.downloads(each.folder, pages / "downloads" / each.notebook.stem)
        write_atomically(pages / marker, lambda path: path.write_text(json.dumps(manifest.digests(pages))))
        project.swap_folder(pages, project.build_folder() / "html")
