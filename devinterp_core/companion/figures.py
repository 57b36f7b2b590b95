"""One look for every figure, and one way to save it: SVG for the page, PDF for print, CSV of the numbers plotted.

The colours are those of Okabe and Ito, told apart by readers with any common colour-vision deficiency; the cycle varies
the line style too, so that no curve is known by its colour alone. The files are deterministic: the same figure saved
twice on one machine gives the same bytes.

References: Okabe & Ito (2008), *Color Universal Design*; Wong (2011), Nature Methods 8, 441.
"""

import re
from collections.abc import Callable, Mapping

import matplotlib
import numpy as np
import pandas as pd
from cycler import cycler
from matplotlib import pyplot
from matplotlib.figure import Figure

from devinterp_core.companion.output import output_folder
from devinterp_core.files import write_atomically

__all__ = ["COLORS", "CYCLE", "MARKERS", "output_folder", "save", "show", "size", "use_style"]

COLORS = {
    "black": "#000000",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "green": "#009E73",
    "yellow": "#F0E442",
    "blue": "#0072B2",
    "vermillion": "#D55E00",
    "purple": "#CC79A7",
    "grey": "#767676",
}
# Yellow is left out of the cycle: on white it has a contrast of 1.3, below the 3:1 that graphics need.
CYCLE = tuple(COLORS[name] for name in ("blue", "vermillion", "green", "purple", "orange", "sky", "black"))
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
WIDTHS = {"single": 4.5, "double": 7.5}  # inches on the page

STYLE = {
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "axes.grid": False,
    "axes.labelsize": 9,
    "axes.prop_cycle": cycler(color=CYCLE, linestyle=DASHES),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "errorbar.capsize": 2,
    "figure.constrained_layout.use": True,
    "figure.dpi": 150,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same page on every machine
    "font.size": 9,
    "image.cmap": "cividis",
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "pdf.fonttype": 42,
    "savefig.dpi": 300,
    "savefig.facecolor": "white",
    "svg.fonttype": "path",
    "svg.hashsalt": "devinterp-companion",
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_METADATA = {"svg": {"Date": None}, "pdf": {"CreationDate": None, "ModDate": None}}


def use_style() -> None:
    """Set the look of every figure that follows; inside Jupyter, show figures as SVG and numbers as numbers."""
    matplotlib.rcParams.update(STYLE)
    np.set_printoptions(legacy="1.25")  # `0.5`, not `np.float64(0.5)`, which the book could not format when glued
    try:
        from IPython import get_ipython
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:  # a plain Python without Jupyter
        return
    if get_ipython() is not None:
        set_matplotlib_formats("svg", metadata=_METADATA["svg"])


def size(width: str = "single", aspect: float = 0.62) -> tuple[float, float]:
    """Figure size in inches.

    Args:
        width: `single` for one panel, `double` for panels side by side across the page.
        aspect: height over width.

    Raises:
        ValueError: for an unknown width or an aspect that is not positive.
    """
    if width not in WIDTHS:
        raise ValueError(f"figure width {width!r} is unknown; the widths are {', '.join(WIDTHS)}")
    if not aspect > 0:
        raise ValueError(f"aspect is height over width and must be positive, not {aspect}")
    return WIDTHS[width], WIDTHS[width] * aspect


def save(figure: Figure, name: str, *, data: pd.DataFrame | Mapping[str, pd.DataFrame]) -> Figure:
    """Write `name.svg`, `name.pdf` and the plotted numbers, `name.csv`, to the run's output folder.

    The figure is closed for pyplot and returned, so that as the last line of a cell it is shown exactly once.

    Args:
        figure: what to save.
        name: lower-case letters, digits and hyphens, as in the cell's caption: `fig-kgon-levels`.
        data: the numbers plotted, tidy, one row an observation; or several such tables by panel, which are put under
            each other with the panel's name in a first column `panel`.

    Raises:
        ValueError: for a bad name, or tables that are missing or empty.
        TypeError: if `data` is neither a DataFrame nor a mapping to DataFrames.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"figure name {name!r}: use lower-case letters, digits and hyphens, as in 'fig-levels'")
    table = _one_table(name, data)
    folder = output_folder()
    for kind, metadata in _METADATA.items():
        write_atomically(
            folder / f"{name}.{kind}",
            lambda path, kind=kind, metadata=metadata: figure.savefig(path, format=kind, metadata=metadata),
        )
    write_atomically(folder / f"{name}.csv", lambda path: table.to_csv(path, index=False))
    pyplot.close(figure)
    return figure


def show(name: str, drawing: Callable[..., Figure], **tables: pd.DataFrame) -> None:
    """Draw a figure from its tables, save it with exactly these as its numbers, and show it under its name.

    In a notebook the figure appears under the cell, and `glue:figure` sets it with its caption on the page.

    Args:
        name: as of `save`.
        drawing: takes the tables by name and returns the figure; it sees nothing else, so that the CSV is all of it.
        tables: tidy, one row an observation; of several, the CSV has a first column `panel` with their names. Some of
            several may be empty.

    Raises:
        ValueError, TypeError: as `save`; a drawing that returns no figure.
    """
    _one_table(name, tables)  # refused before the drawing
    figure = drawing(**tables)
    if not isinstance(figure, Figure):
        raise TypeError(f"the drawing of {name!r} returned a {type(figure).__name__}; a matplotlib Figure was expected")
    save(figure, name, data=next(iter(tables.values())) if len(tables) == 1 else tables)
    from myst_nb import glue

    glue(name, figure)


def _one_table(name: str, data: object) -> pd.DataFrame:
    panels = dict(data) if isinstance(data, Mapping) else {"": data}
    for panel, table in panels.items():
        if not isinstance(table, pd.DataFrame):
            raise TypeError(f"data of figure {name!r} {panel} is a {type(table).__name__}; a DataFrame was expected")
    if not any(len(table) for table in panels.values()):
        raise ValueError(f"figure {name!r} came without the numbers that it plots")
    if isinstance(data, pd.DataFrame):
        return data
    return pd.concat(panels, names=["panel"]).reset_index(level=0).reset_index(drop=True)
