"""Packages that only a part of the library needs: which extra installs them, said where one is missing.

The core (samplers, learning coefficients, toy models, training) imports none of them.
"""

import contextlib
from collections.abc import Iterator

DISTRIBUTION = "devinterp-companion"
EXTRAS = {
    "text": "language models and their texts",
    "lens": "logit and tuned lenses of pretrained models",
    "book": "the notebooks, their runner and the book",
    "test": "the tests",
    "nuts": "chains of the paper's own sampler",
}


@contextlib.contextmanager
def needs(extra: str) -> Iterator[None]:
    """Around the imports of packages of `extra`: where one is missing, the error says what installs it.

    Args:
        extra: a name of `EXTRAS`.

    Raises:
        ModuleNotFoundError: one of the packages is not installed.
    """
    what = EXTRAS[extra]
    try:
        yield
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            f"{missing.name} is not installed, which {what} need: pip install '{DISTRIBUTION}[{extra}]', or in a clone "
            f"of the repository pip install '.[{extra}]'",
            name=missing.name,
        ) from missing
