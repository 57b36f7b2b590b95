"""The probes of a world: on what its models are measured, made of sequences that training has not seen."""

import numpy as np
import torch

from devinterp_core.heads.development import Probe, make_probe
from devinterp_core.language import AnnotatedTokens, SyntheticLanguage, TextCorpus, text_sequences


def synthetic_probe(language: SyntheticLanguage, held_out: AnnotatedTokens, *, num_counted: int, seed: int) -> Probe:
    """Of the synthetic language: prefix matching on its own sequences, from names alone.

    Nothing but a name is worth looking back for; random blocks, for the loss of a repetition, are made of words.

    Args:
        language: of the models.
        held_out: sequences on which they are measured.
        num_counted: further sequences, for the statistics of n-grams.
        seed: of these and of the blocks.
    """
    vocabulary, length = language.vocabulary, held_out.tokens.shape[1]
    return make_probe(
        held_out.tokens,
        language.draw(num_counted, length, seed=70_000 + seed).tokens,
        vocabulary.size,
        candidates=torch.arange(vocabulary.words, vocabulary.words + language.num_words),
        queries=torch.arange(vocabulary.names, vocabulary.openings),
        seed=seed,
    )


def text_probe(
    corpus: TextCorpus, *, num_sequences: int, length: int, num_counted: int, block_length: int, seed: int
) -> tuple[Probe, int]:
    """Of real text: held-out sequences of all its sources in equal parts; prefix matching on random blocks.

    Args:
        corpus: of the models.
        num_sequences: on which they are measured, about.
        length: tokens of a sequence.
        num_counted: tokens of the training documents of each source, about, for the statistics of n-grams.
        block_length: tokens of a random block.
        seed: of sequences and blocks.

    Returns:
        The probe, and how many tokens were counted in all.
    """
    each = max(1, num_sequences // len(corpus.sources))
    own = [text_sequences(corpus, s, each, length, seed=seed + 1, held_out=True) for s in corpus.sources]
    parts = [corpus.tokens(source, about=num_counted) for source in corpus.sources]
    shortest = min(map(len, parts))
    counted = torch.from_numpy(np.concatenate([tokens[:shortest] for tokens in parts]).astype(np.int64))[None]
    probe = make_probe(torch.cat(own), counted, corpus.num_tokens, seed=seed, block_length=block_length)
    return probe, counted.shape[1]
