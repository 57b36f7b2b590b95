"""Tables for readers: words as column heads, mathematics set, no row numbers, blanks where there is no value."""

from collections.abc import Mapping

import pandas as pd
from pandas.io.formats.style import Styler

from devinterp_core.companion import intervals
from devinterp_core.companion.claim_table import as_html

__all__ = ["means_by_tasks", "table"]


def table(frame: pd.DataFrame, heads: Mapping[str, str], digits: Mapping[str, int] | None = None) -> Styler:
    """The columns of a frame that a reader should see, in order.

    Args:
        frame: one row an observation.
        heads: what each column is called on the page, `$...$` set as mathematics as in the cells; columns not named are
            left out.
        digits: after the decimal point, by column; other numbers are shown to four significant digits, whole numbers
            with separators.

    Raises:
        ValueError: a column that the frame does not have, digits of one that is not shown, no column at all.
    """
    digits = dict(digits or {})
    unknown = [name for name in [*heads, *digits] if name not in frame or name not in heads]
    if unknown or not heads:
        known = ", ".join(map(str, frame))
        raise ValueError(f"columns {unknown} are not both in the table ({known}) and among the heads")
    numeric = {name for name in heads if pd.api.types.is_numeric_dtype(frame[name]) and frame[name].dtype != bool}
    formats = {name: _formatter(digits.get(name)) if name in numeric else _words for name in heads}
    names = list(heads.values())
    shown = frame[[*heads]].reset_index(drop=True)
    style = shown.style.hide(axis="index").format(formats, na_rep="")
    return style.format_index(lambda name: as_html(names[list(heads).index(name)]), axis=1)


def _words(value) -> str:
    return as_html(str(value))


def means_by_tasks(frame: pd.DataFrame, heads: Mapping[str, str]) -> Styler:
    """Means over the models of each run and number of tasks, with the intervals of `intervals.over_seeds`.

    Args:
        frame: a row a model, with `source`, the run; `num_tasks`, 0 standing for infinity; and the columns of `heads`,
            NaN where a quantity does not exist.
        heads: what each column is called on the page.

    Raises:
        ValueError: as `table`.
    """
    rows = []
    for (source, count), own in frame.groupby(["source", frame["num_tasks"].replace(0, float("inf"))], sort=False):
        label = {"run": source, "M": "infinity" if count == float("inf") else f"{count:.0f}", "seeds": len(own)}
        rows.append(label | {name: _with_interval(own[name]) for name in heads})
    shown = pd.DataFrame(rows).sort_values("run", kind="stable")
    return table(shown, {"run": "run", "M": "$M$", "seeds": "seeds"} | dict(heads))


def _with_interval(values: pd.Series) -> str:
    if values.isna().any():
        return ""
    ends = values.mean(), *intervals.over_seeds(values)
    digits = 2 if abs(ends[0]) >= 0.1 else 3
    return "{:.{d}f} ({:.{d}f} to {:.{d}f})".format(*ends, d=digits)


def _formatter(places: int | None):
    def write(value) -> str:
        if abs(value) == float("inf"):
            return "∞" if value > 0 else "-∞"
        if places is not None:
            return f"{value:,.{places}f}"
        return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"

    return write
