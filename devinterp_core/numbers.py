"""Arguments that are numbers, of whatever library."""

import operator


def number(name: str, value: object) -> float:
    """A float for whatever is one number.

    Raises:
        TypeError: no number.
        ValueError: a number that no float holds.
    """
    try:
        if isinstance(value, (str, bytes, bool)):
            raise TypeError
        return float(value)
    except OverflowError:
        raise ValueError(f"{name} is too large: {str(value)[:20]}...") from None
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name} must be a number, got {value!r}") from None


def integer(value: object) -> int | None:
    """A Python integer for whatever is one (of NumPy too, and an integer tensor of one element); else None."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None
