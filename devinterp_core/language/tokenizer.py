"""Byte-pair encoding of documents, and the tokens of several sources."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from devinterp_core.extras import needs
from devinterp_core.language.corpora import HELD_OUT_EVERY, documents, held_out_part

with needs("text"):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

BOS = "<bos>"
# A byte-level vocabulary begins with the 256 bytes.
SMALLEST = 257


def train_tokenizer(texts: Sequence[str], num_tokens: int) -> Tokenizer:
    """A byte-level byte-pair encoding; token 0 is `<bos>`. The same texts give the same tokenizer.

    Args:
        texts: documents to learn the merges from.
        num_tokens: size of the vocabulary, at least 257 (the bytes and `<bos>`).

    Raises:
        ValueError: an empty corpus, too small a vocabulary, or fewer different tokens in the texts than asked for.

    Reference: Sennrich et al. (2016); the papers use 5,000 tokens.
    """
    if not any(text.strip() for text in texts):
        raise ValueError("the corpus is empty: no text to train a tokenizer on")
    if num_tokens < SMALLEST:
        raise ValueError(f"num_tokens must be at least {SMALLEST} (256 bytes and {BOS}), got {num_tokens}")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=num_tokens,
        special_tokens=[BOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if tokenizer.get_vocab_size() < num_tokens:
        raise ValueError(
            f"the texts give only {tokenizer.get_vocab_size()} tokens, {num_tokens} were asked for: give more text"
        )
    return tokenizer


@dataclass(frozen=True)
class TextCorpus:
    """Sources of text with one tokenizer; made by `text_corpus`. Plain values, so that it can be part of a cache's key.

    Attributes:
        sources: names as `corpora.documents` takes them.
        num_tokens: size of the vocabulary.
        limit: largest number of documents of a source.
        content: SHA-256 of all documents.
    """

    sources: tuple[str, ...]
    num_tokens: int
    limit: int | None
    content: str

    def tokenizer(self) -> Tokenizer:
        """The tokenizer trained on equal parts of all sources."""
        return _tokenizer(self)

    def tokens(self, source: str, held_out: bool = False, about: int | None = None) -> np.ndarray:
        """Tokens of a source, one long array, `<bos>` between documents.

        Args:
            source: one of `sources`.
            held_out: every twentieth document, which training does not see, or all others.
            about: only evenly spaced documents, of about so many tokens at three characters each; None means all.

        Raises:
            ValueError: an unknown source, or too few documents to hold any out.
        """
        if source not in self.sources:
            raise ValueError(f"the corpus has the sources {self.sources}, not {source!r}")
        found = _tokens(self, source, held_out, about)
        if not len(found):
            raise ValueError(f"{source} has fewer than {HELD_OUT_EVERY} documents: none is held out")
        return found

    def bytes_per_token(self, source: str) -> float:
        """UTF-8 bytes of a held-out token, on average: nats a token over this and log 2 are bits a byte."""
        tokens = self.tokens(source, held_out=True)
        return len(self.tokenizer().decode(tokens.tolist()).encode()) / int((tokens != 0).sum())


def text_corpus(sources: Sequence[str], num_tokens: int = 5000, limit: int | None = None) -> TextCorpus:
    """Read the documents of some sources, so that their content is known.

    Args:
        sources: as in `corpora.documents`.
        num_tokens: size of the vocabulary.
        limit: largest number of documents of each source.

    Raises:
        ValueError: as `corpora.documents` and `train_tokenizer`; no sources, or one twice.
    """
    if not sources or len(set(sources)) < len(sources):
        raise ValueError(f"give at least one source, none of them twice; got {list(sources)}")
    if num_tokens < SMALLEST or num_tokens > np.iinfo(np.uint16).max:
        raise ValueError(f"num_tokens must lie in {SMALLEST}..{np.iinfo(np.uint16).max}, got {num_tokens}")
    digest = hashlib.sha256()
    for source in sources:
        digest.update(json.dumps([source.partition(":")[0], _documents(source, limit)]).encode())
    return TextCorpus(tuple(sources), num_tokens, limit, digest.hexdigest())


@lru_cache(maxsize=4)
def _documents(source: str, limit: int | None) -> tuple[str, ...]:
    return tuple(documents(source, limit))


def _part(corpus: TextCorpus, source: str, held_out: bool) -> list[str]:
    return held_out_part(_documents(source, corpus.limit), held_out)


@lru_cache(maxsize=4)
def _tokenizer(corpus: TextCorpus) -> Tokenizer:
    return train_tokenizer(_equal_parts([_part(corpus, s, False) for s in corpus.sources]), corpus.num_tokens)


@lru_cache(maxsize=16)
def _tokens(corpus: TextCorpus, source: str, held_out: bool, about: int | None) -> np.ndarray:
    texts = _part(corpus, source, held_out)
    if about is not None:
        texts = texts[:: max(1, sum(map(len, texts)) // (3 * about))]
    encoded = _tokenizer(corpus).encode_batch(texts)
    pieces = [np.array([0, *each.ids], dtype=np.uint16) for each in encoded]  # <bos> is token 0
    return np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.uint16)


def _equal_parts(sources: list[list[str]]) -> list[str]:
    """Documents of each source up to the characters of the shortest source."""
    least = min(sum(map(len, own)) for own in sources)
    chosen = []
    for own in sources:
        total = 0
        for text in own:
            chosen.append(text[: least - total])
            total += len(chosen[-1])
            if total >= least:
                break
    return chosen
