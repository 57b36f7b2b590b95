"""Passages of documents for a model that has its own tokenizer, cut at random places and tokenised one by one."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from devinterp_core.extras import needs
from devinterp_core.language.corpora import documents, held_out_part

with needs("text"):
    from tokenizers import Tokenizer

# Characters read for each token wanted: enough in prose and code, and a passage that runs short is drawn again.
CHARACTERS = 8
_TRIES = 100


@dataclass(frozen=True)
class PassageStream:
    """Batches of passages; a step gives the same tokens whenever it is asked.

    Attributes:
        tokenizer: byte-level, the model's own.
        sources: names as `corpora.documents` takes them, in equal shares, each sequence from one of them in turn.
        batch_size: sequences of a step.
        length: tokens of a sequence.
        seed: of the places.
        held_out: whether to read every twentieth document, or all the others.
        prefix: token in front of every passage, counted in `length`, for models that were trained with one; None puts
            nothing there.

    Raises:
        ValueError: no sources, no sequences, or sequences without a token of text.
    """

    tokenizer: Tokenizer
    sources: tuple[str, ...]
    batch_size: int
    length: int
    seed: int = 0
    held_out: bool = False
    prefix: int | None = None

    def __post_init__(self) -> None:
        if not self.sources or self.batch_size < 1 or self.length < 1 + len(self._front):
            raise ValueError(
                f"need a source, batch_size >= 1 and a length of {1 + len(self._front)} or more, got {self.sources}, "
                f"{self.batch_size} and {self.length}"
            )

    def __call__(self, step: int) -> Int[Tensor, "batch position"]:
        """Tokens of one step.

        Raises:
            ValueError: a source without a document that is long enough.
        """
        rng = np.random.default_rng([self.seed, step])
        rows = []
        for index in range(self.batch_size):
            number = step * self.batch_size + index
            rows.append(self._front + self._passage(self.sources[number % len(self.sources)], rng))
        return torch.tensor(rows)

    @property
    def _front(self) -> list[int]:
        return [] if self.prefix is None else [self.prefix]

    def _passage(self, source: str, rng: np.random.Generator) -> list[int]:
        wanted = self.length - len(self._front)
        texts = _long_documents(source, self.held_out, CHARACTERS * self.length)
        places = np.cumsum([len(text) - CHARACTERS * self.length + 1 for text in texts])
        for _ in range(_TRIES):
            place = int(rng.integers(places[-1]))
            which = int(np.searchsorted(places, place, side="right"))
            start = place - (int(places[which - 1]) if which else 0)
            ids = self.tokenizer.encode(texts[which][start : start + CHARACTERS * self.length]).ids
            if len(ids) >= wanted:
                return ids[:wanted]
        raise ValueError(f"the documents of {source!r} have fewer than {self.length} tokens in {CHARACTERS} times as "
                         "many characters: ask for shorter sequences")  # fmt: skip


def token_bytes(tokenizer: Tokenizer, tokens: Int[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """UTF-8 bytes that each token of a byte-level vocabulary stands for."""
    sizes = [len(tokenizer.id_to_token(token)) for token in tokens.flatten().tolist()]
    return torch.tensor(sizes).view(tokens.shape)


@lru_cache(maxsize=8)
def _long_documents(source: str, held_out: bool, characters: int) -> tuple[str, ...]:
    long = tuple(text for text in held_out_part(documents(source), held_out) if len(text) >= characters)
    if not long:
        raise ValueError(f"{source!r} has no {'held-out ' if held_out else ''}document of {characters} characters")
    return long
