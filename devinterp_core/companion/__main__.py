"""The command line: `python -m devinterp_core.companion --help`."""

import sys
from pathlib import Path

import click

from devinterp_core.companion import project

# jsonschema, which comes with nbformat, would compile a grammar of IRIs at import: two seconds that no notebook needs
sys.modules.setdefault("rfc3987_syntax", None)
PATH = click.Path(path_type=Path)
PASS_ON = {"ignore_unknown_options": True, "allow_interspersed_args": True}


class OneMessage(click.Group):
    """Shows a `CompanionError` as its message and exit status 1, without a traceback of this program."""

    def invoke(self, context: click.Context):
        """Run the command."""
        try:
            return super().invoke(context)
        except project.CompanionError as problem:
            click.echo(f"Error: {problem}", err=True)
            context.exit(1)


@click.group(cls=OneMessage, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Execute, parameterise and sweep the notebooks, and build the book."""


@main.command("list")
def list_notebooks() -> None:
    """The notebooks, whether each is executed at its defaults, and how long that took."""
    from devinterp_core.companion import assemble, key, manifest

    for path in project.notebooks():
        folder = project.executed_folder(path.stem, key.key_of(path, {}))
        state = "not executed"
        if assemble.is_complete(folder):
            state = f"executed in {manifest.read(folder)['wall_seconds']:.0f} s"
        presets = [each.name.split(".")[1] for each in sorted(path.parent.glob(f"params/{path.stem}.*.yaml"))]
        click.echo(f"{path.stem:32} {state:20} presets: {', '.join(presets) or 'none'}")


@main.command()
@click.argument("notebook")
def params(notebook: str) -> None:
    """The parameters of NOTEBOOK: name, type, default and help."""
    from devinterp_core.companion.parameters import read_notebook, read_parameters

    path = project.find_notebook(notebook)
    found = read_parameters(read_notebook(path), path.name)
    rows = [(each.name, each.type, repr(each.default), each.help) for each in found.values()]
    widths = [min(24, max((len(row[column]) for row in rows), default=0)) for column in range(3)]
    for row in rows:
        click.echo("  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[3]]))
    if not rows:
        click.echo(f"{path.stem} has no parameters")


@main.command()
@click.argument("notebook")
@click.option("-p", "pairs", nargs=2, multiple=True, metavar="NAME VALUE", help="Override one parameter.")
@click.option("-f", "files", multiple=True, type=PATH, metavar="PRESET", help="Override parameters from a YAML file.")
@click.option("--output", type=PATH, help="Copy the executed notebook (a name in .ipynb) or the whole run (a folder).")
@click.option("--force", is_flag=True, help="Execute even if this very run has been made before.")
@click.option("--timeout", type=float, help="Seconds that the whole notebook may take (default: one day).")
@click.option("--position", default="", hidden=True)
@click.option("--key", "expected", default="", hidden=True)
def run(notebook, pairs, files, output, force, timeout, position, expected) -> None:
    """Execute NOTEBOOK: a name such as 02_dln_scaling, its file, or a prefix such as 02.

    The values of -p are of the types that `params` lists: 3, 0.5, true, "[1, 2]", text. They override those of -f. The
    run is kept under _build/executed and is not repeated while its code, the library, the parameters, the pins and the
    data are the same.
    """
    from devinterp_core.companion import parameters
    from devinterp_core.companion import run as runs

    path = project.find_notebook(notebook)
    known = parameters.read_parameters(parameters.read_notebook(path), path.name)
    overrides: dict = {}
    for file in files:
        overrides |= parameters.read_yaml(file)
    overrides |= parameters.parse_values(known, pairs)
    folder = runs.run(
        path, overrides, force=force, timeout=timeout or runs.TIMEOUT, position=position, expected_key=expected
    )
    if output:
        runs.deliver(folder, output)
    if not expected:  # the build has its own progress lines
        click.echo(output or folder)


@main.command(context_settings=PASS_ON)
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def book(options) -> None:
    """Execute what changed and build _build/html. OPTIONS go to Snakemake, for example --cores 4."""
    from devinterp_core.companion import build

    build.book(options)


@main.command(context_settings=PASS_ON)
@click.argument("grid", type=PATH)
@click.option("--output", type=PATH, help="Where to put the table (default: _build/sweeps/<name of GRID>.csv).")
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def sweep(grid, output, options) -> None:
    """Run one notebook over the parameter grid in the YAML file GRID and collect its results in one table.

    OPTIONS go to Snakemake: --cores 8, or --executor slurm --jobs 50. Example: notebooks/params/example_sweep.yaml.
    """
    from devinterp_core.companion import sweep as sweeps

    table = sweeps.run(grid, options, output)
    if table:
        click.echo(f"{table}: {len(table.read_text(encoding='utf-8').splitlines()) - 1} rows")


@main.command()
@click.argument("names", nargs=-1)
@click.option("--list", "listing", is_flag=True, help="Minutes, size and state of each recording.")
@click.option("--only", metavar="FILE", help="Of one recording the step that makes this file.")
@click.option("--force", is_flag=True, help="Record again what follows from its command already.")
@click.option("--cores", type=int, help="Runs of a sweep at a time (default: all cores).")
def record(names, listing, only, force, cores) -> None:
    """Make the recorded runs NAMES, folders of data/recorded, with their provenance.

    What each consists of stands in data/recorded/recordings.yml. The tree must be committed; an interrupted recording
    is resumed by the same command.
    """
    from devinterp_core.companion import follows
    from devinterp_core.companion import record as recorder

    if listing == bool(names):
        raise project.CompanionError("give the names of recordings, or --list to see them")
    if only and len(names) != 1:
        raise project.CompanionError("--only goes with the name of one recording")
    for name in names:
        recorder.record(name, only=only, force=force, cores=cores)
    for line in follows.listing() if listing else ():
        click.echo(line)


@main.command()
@click.argument("name")
@click.option("--title", prompt=True, help="Of the page.")
@click.option("--paper", prompt=True, help="What it reproduces: a key of book/references.bib.")
@click.option("--question", prompt=True, help="What it asks, in one sentence.")
def new(name, title, paper, question) -> None:
    """Begin the chapter NAME, such as 10_influence: a notebook that runs, its presets, its place in the book."""
    from devinterp_core.companion import new as chapter

    for path in chapter.create(name, title=title, paper=paper, question=question):
        click.echo(f"{path.relative_to(project.root())} is written")


@main.command("chapters")
def write_chapters() -> None:
    """Write what book/chapters.yml says into _toc.yml, README.md and book/intro.md."""
    from devinterp_core.companion import chapters

    for path in chapters.write():
        click.echo(f"{path.relative_to(project.root())} is written")
    for each in chapters.read():
        if not chapters.picture_file(each).is_file():
            click.echo(f"{each.stem} is not in the gallery yet: make book, then python book/make_gallery.py")


@main.command()
def seconds() -> None:
    """Note how long the notebooks of the built book took: later builds begin with the longest."""
    from devinterp_core.companion import order

    click.echo(f"{order.write_seconds().relative_to(project.root())} is written")


@main.command(hidden=True)
def publish() -> None:
    """Make the pages from the executed notebooks (a step of the Snakefile)."""
    from devinterp_core.companion import pages

    pages.publish()


@main.command(hidden=True)
@click.argument("grid", type=PATH)
def collect(grid) -> None:
    """Write the table of a sweep whose runs are done (a step of the Snakefile)."""
    from devinterp_core.companion import sweep as sweeps

    sweeps.write_table(grid)


if __name__ == "__main__":
    main(prog_name="python -m devinterp_core.companion")
