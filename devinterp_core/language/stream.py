"""Batches of language: text cut at random places, the same for every run that asks with the same seed."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from devinterp_core.language.synthetic import SyntheticLanguage
from devinterp_core.language.tokenizer import TextCorpus

SHORTEST_PASSAGE = 16  # tokens of a repeated passage


def text_sequences(
    corpus: TextCorpus, source: str, num_sequences: int, length: int, *, seed: int, held_out: bool = False
) -> Int[Tensor, "sequence position"]:
    """Sequences of `<bos>` and `length - 1` consecutive tokens, each from a random place of a source.

    Raises:
        ValueError: no sequences, lengths below 2, or a source shorter than a sequence.
    """
    if num_sequences < 1 or length < 2:
        raise ValueError(f"need num_sequences >= 1 and length >= 2, got {num_sequences} and {length}")
    tokens = corpus.tokens(source, held_out)
    if len(tokens) < length - 1:
        raise ValueError(f"{source} has {len(tokens)} tokens, too few for sequences of {length}")
    starts = np.random.default_rng(seed).integers(len(tokens) - length + 2, size=num_sequences)
    rows = np.zeros((num_sequences, length), dtype=np.int64)  # <bos> is token 0
    rows[:, 1:] = tokens[starts[:, None] + np.arange(length - 1)]
    return torch.from_numpy(rows)


@dataclass(frozen=True)
class TextStream:
    """Training batches of mixed sources; `train` calls it with the step.

    Attributes:
        corpus: the texts, all sources in equal shares.
        batch_size: sequences of a step, for each model its own.
        length: tokens of a sequence.
        seeds: one for each model.
        repeat_share: of the sequences that repeat a passage: 16 to half of `length` tokens, written once more over a
            later place. In windows this short text repeats itself seldom; the papers' windows are eight times as long.

    Raises:
        ValueError: if there are fewer sequences than sources, no models, a share outside 0 to 1, or sequences too short
            to repeat a passage.
    """

    corpus: TextCorpus
    batch_size: int
    length: int
    seeds: tuple[int, ...] = (0,)
    repeat_share: float = 0.0

    def __post_init__(self) -> None:
        if self.batch_size < len(self.corpus.sources) or not self.seeds:
            raise ValueError(
                f"need at least one sequence of each of the {len(self.corpus.sources)} sources and one seed, "
                f"got batch_size {self.batch_size} and {len(self.seeds)} seeds"
            )

        if not 0 <= self.repeat_share <= 1 or (self.repeat_share and self.length < 2 * SHORTEST_PASSAGE + 4):
            raise ValueError(
                f"repeat_share lies in 0..1 and needs sequences of {2 * SHORTEST_PASSAGE + 4} tokens or more, "
                f"got {self.repeat_share} and length {self.length}"
            )

    def __call__(self, step: int) -> tuple[Int[Tensor, "model sequence position"]]:
        """Tokens of one step."""
        return (torch.stack([self._batch(step, seed) for seed in self.seeds]),)

    def _batch(self, step: int, seed: int) -> Tensor:
        count = len(self.corpus.sources)
        sizes = [(self.batch_size + i) // count for i in range(count)]
        draws = np.random.SeedSequence([seed, step]).generate_state(count)
        parts = [
            text_sequences(self.corpus, source, size, self.length, seed=int(own))
            for source, size, own in zip(self.corpus.sources, sizes, draws, strict=True)
        ]
        tokens = torch.cat(parts)
        if self.repeat_share:
            random = np.random.default_rng([seed, step, 1])
            for row in (tokens[i] for i in np.flatnonzero(random.random(len(tokens)) < self.repeat_share)):
                size = int(random.integers(SHORTEST_PASSAGE, self.length // 2))
                first = int(random.integers(1, self.length - 2 * size + 1))
                later = int(random.integers(first + size, self.length - size + 1))
                row[later : later + size] = row[first : first + size].clone()
        return tokens


@dataclass(frozen=True)
class LanguageStream:
    """Training batches of synthetic languages, one for each model; `train` calls it with the step.

    Attributes:
        languages: of each model; the numbers of rules may differ, the vocabularies must be of one size.
        batch_size: sequences of each model a step.
        length: tokens of a sequence.
        seeds: one for each model.

    Raises:
        ValueError: no languages, another number of seeds, vocabularies of different sizes, an empty batch.
    """

    languages: tuple[SyntheticLanguage, ...]
    batch_size: int
    length: int
    seeds: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        if not self.languages or len(self.languages) != len(self.seeds) or self.batch_size < 1:
            raise ValueError(
                f"need one seed for each language and batch_size >= 1, got {len(self.languages)} languages, "
                f"{len(self.seeds)} seeds and batch_size {self.batch_size}"
            )
        sizes = [language.vocabulary.size for language in self.languages]
        if len(set(sizes)) > 1:
            raise ValueError(f"models side by side need vocabularies of one size, got {sizes}")

    def __call__(self, step: int) -> tuple[Int[Tensor, "model sequence position"]]:
        """Tokens of one step."""
        rows = []
        for language, seed in zip(self.languages, self.seeds, strict=True):
            own = int(np.random.SeedSequence([seed, step]).generate_state(1)[0])
            rows.append(language.draw(self.batch_size, self.length, own).tokens)
        return (torch.stack(rows),)
