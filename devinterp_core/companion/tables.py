"""Tables for readers: words as column heads, mathematics set, no row numbers, blanks where there is no value."""

from collections.abc import Mapping

import pandas as pd
from pandas.io.formats.style import Styler

from devinterp_core.companion.claim_table import as_html

__all__ = ["table"]


def table(frame: pd.DataFrame, heads: Mapping[str, str], digits: Mapping[str, int] | None = None) -> Styler:
    """The columns of a frame that a reader should see, in order.

    Args:
        frame: one row an observation.
        heads: what each column is called on the page, `$...$` set as mathematics; columns not named are left out.
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
    formats = {name: _formatter(digits.get(name)) for name in heads if pd.api.types.is_numeric_dtype(frame[name])}
    names = list(heads.values())
    shown = frame[[*heads]].reset_index(drop=True)
    style = shown.style.hide(axis="index").format(formats, na_rep="")
    return style.format_index(lambda name: as_html(names[list(heads).index(name)]), axis=1)


def _formatter(places: int | None):
    def write(value) -> str:
        if places is not None:
            return f"{value:,.{places}f}"
        return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"

    return write
