"""Passages of texts that installed packages bring along, for a lens or model that was trained on others."""

from functools import lru_cache
from importlib.resources import files

import numpy as np
import torch
from jaxtyping import Int
from tokenizers import Tokenizer
from torch import Tensor

CHARACTERS = 8  # read for each token wanted
TRIES = 100


def package_passages(
    tokenizer: Tokenizer, package: str, suffix: str, num_sequences: int, length: int, *, seed: int = 0
) -> Int[Tensor, "sequence position"]:
    """Passages from random places of a package's files, each character as likely as any other.

    Args:
        tokenizer: byte-level, the model's own.
        package: an installed one, such as `sklearn.datasets.descr`; files in folders called `tests` are left out.
        suffix: of the files, such as `.rst`.
        num_sequences: how many.
        length: tokens of each.
        seed: of the places.

    Raises:
        ValueError: nothing asked; no file that is long enough, or none whose passages give so many tokens.
        ModuleNotFoundError: no such package.
    """
    if num_sequences < 1 or length < 2:
        raise ValueError(f"need num_sequences >= 1 and length >= 2, got {num_sequences} and {length}")
    size = CHARACTERS * length
    long = [text for text in _texts(package, suffix) if len(text) >= size]
    if not long:
        raise ValueError(f"{package} has no {suffix} file of {size} characters")
    places = np.cumsum([len(text) - size + 1 for text in long])
    rng, rows = np.random.default_rng(seed), []
    for _ in range(TRIES * num_sequences):
        place = int(rng.integers(places[-1]))
        which = int(np.searchsorted(places, place, side="right"))
        start = place - (int(places[which - 1]) if which else 0)
        ids = tokenizer.encode(long[which][start : start + size]).ids
        if len(ids) >= length:
            rows.append(ids[:length])
        if len(rows) == num_sequences:
            return torch.tensor(rows)
    raise ValueError(f"passages of {package} seldom have {length} tokens in {size} characters: ask for shorter ones")


@lru_cache(maxsize=4)
def _texts(package: str, suffix: str) -> tuple[str, ...]:
    found, folders = [], [files(package)]
    while folders:
        for entry in sorted(folders.pop().iterdir(), key=lambda one: one.name):
            if entry.is_dir() and entry.name != "tests":
                folders.append(entry)
            elif entry.name.endswith(suffix):
                found.append(entry.read_text(encoding="utf-8"))
    return tuple(found)
