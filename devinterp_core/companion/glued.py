"""Measured numbers for the prose, in one call a cell."""

from numbers import Real
from typing import Any

__all__ = ["numbers"]


def numbers(**values: Any) -> None:
    """Hand numbers and words to the prose, which shows them by `{glue:text}` under the same names.

    Args:
        values: numbers, of NumPy and PyTorch too, or words; a format is given where they are shown,
            `{glue:text}`share:.2f``. Names with a hyphen or a dot go by `numbers(**{"error_1.5": ...})`.

    Raises:
        TypeError: something else than one number or words, which the page would show as Python writes it.
    """
    from myst_nb import glue

    for name, value in values.items():
        value = value.item() if hasattr(value, "item") else value
        if not isinstance(value, Real | str):
            raise TypeError(f"{name} is a {type(value).__name__}; a number or words were expected for the prose")
        glue(name, value, display=False)
