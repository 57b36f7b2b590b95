"""What is measured of a language model at each checkpoint of its training."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from devinterp_core.language.loss import check_tokens, next_token_losses

from .ablation import positional_ablation_gap
from .ngrams import bigram_counts, bigram_distribution, bigram_entropy, bigram_score, common_ngrams, ngram_losses
from .scores import (
    current_token_score,
    in_context_score,
    prefix_matching_score,
    previous_token_score,
    repeated_random_tokens,
)

START_TOKEN = 0
NGRAM_LENGTHS = (3, 4)


@dataclass(frozen=True)
class Probe:
    """Sequences and statistics on which every checkpoint is measured; made by `make_probe`.

    Attributes:
        tokens: sequences that training has not seen.
        repeated: random tokens, each sequence twice the same block.
        bigrams: distribution of the next token in a corpus.
        bigram_entropy: of the corpus, in nats: the lowest bigram score on it.
        ngrams: the most common n-grams of the corpus, by their length.
        recurring: sequences on which prefix matching is measured.
        queries: tokens of them from which it is measured; None means all.
        early: first position of the window with which the in-context score compares.
        late: first position of the window that it compares.
        window: positions of either.
    """

    tokens: Int[Tensor, "sequence position"]
    repeated: Int[Tensor, "repeated_sequence repeated_position"]
    bigrams: Float[Tensor, "token next"]
    bigram_entropy: float
    ngrams: dict[int, Int[Tensor, "ngram length"]]
    recurring: Int[Tensor, "recurring_sequence recurring_position"]
    queries: Int[Tensor, " query"] | None
    early: int
    late: int
    window: int


def make_probe(
    tokens: Int[Tensor, "sequence position"],
    corpus: Int[Tensor, "corpus_sequence corpus_position"],
    num_tokens: int,
    *,
    candidates: Int[Tensor, " candidate"] | None = None,
    queries: Int[Tensor, " token"] | None = None,
    num_repeated: int = 32,
    block_length: int = 16,
    num_ngrams: int = 200,
    seed: int = 0,
) -> Probe:
    """Prepare what checkpoints are measured on.

    The in-context score compares the sixteenth of a sequence from seven eighths on with that from one sixteenth on (the
    paper takes tokens 500 and 50 of 1024; windows are less noisy where sequences are few).

    Args:
        tokens: sequences, beginning with token 0, that training has not seen.
        corpus: many more, for the statistics; or all tokens in one long sequence.
        num_tokens: size of the vocabulary.
        candidates: tokens that repeated random sequences are made of; None means all but token 0.
        queries: measure prefix matching on `tokens` and from these; None: on the repeated random sequences, from all.
        num_repeated: sequences with a repeated random block.
        block_length: tokens of a block.
        num_ngrams: n-grams of each length.
        seed: of the random blocks.

    Raises:
        ValueError: an empty corpus, tokens outside the vocabulary, too few candidates for a block.
    """
    check_tokens(tokens, num_tokens)
    counts = bigram_counts(corpus, num_tokens) + bigram_counts(tokens, num_tokens)
    length = tokens.shape[1]
    candidates = torch.arange(1, num_tokens) if candidates is None else candidates
    repeated = repeated_random_tokens(candidates, num_repeated, block_length, start_token=START_TOKEN, seed=seed)
    return Probe(
        tokens=tokens,
        repeated=repeated,
        bigrams=bigram_distribution(counts),
        bigram_entropy=bigram_entropy(counts),
        ngrams={n: common_ngrams(corpus, n, num_ngrams, num_tokens, exclude=(START_TOKEN,)) for n in NGRAM_LENGTHS},
        recurring=repeated if queries is None else tokens,
        queries=queries,
        early=max(1, length // 16),
        late=7 * length // 8,
        window=max(1, length // 16),
    )


@torch.no_grad()
def model_scores(model: nn.Module, probe: Probe) -> dict[str, float]:
    """Behaviour of a model, in nats: `loss`, `bigram_score`, `ngram_3` and `ngram_4` (loss on the last token of common
    n-grams presented alone), `repeated_loss` (on the second copy of random blocks), `in_context_score`, and
    `positional_gap` where the model embeds positions.

    Reference: Hoogland et al. (2024), behavioural indicators of the language model.
    """
    logits = model(probe.tokens)
    losses = next_token_losses(logits, probe.tokens)
    block = (probe.repeated.shape[1] - 1) // 2
    scores = {
        "loss": float(losses.mean()),
        "bigram_score": bigram_score(logits[:, :-1], probe.tokens[:, :-1], probe.bigrams),
        "in_context_score": in_context_score(losses, probe.early, probe.late, probe.window),
        # the first token of the second copy is as unpredictable as those of the first
        "repeated_loss": float(next_token_losses(model(probe.repeated), probe.repeated)[:, block + 1 :].mean()),
    }
    scores |= {f"ngram_{n}": float(ngram_losses(model, found, START_TOKEN).mean()) for n, found in probe.ngrams.items()}
    if model.config.positions in ("learned", "shortformer"):
        scores["positional_gap"] = positional_ablation_gap(model, probe.tokens)
    return scores


@torch.no_grad()
def head_scores(model: nn.Module, probe: Probe) -> dict[str, dict[str, float]]:
    """Attention of each head, written `layer:head`: `previous_token` and `current_token` on the probe's sequences,
    `prefix_matching` on the probe's recurring sequences.

    Reference: Olsson et al. (2022); Hoogland et al. (2024).
    """
    names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(model.config.num_layers)]
    on_text = model.run_with_cache(probe.tokens, names)[1]
    on_recurring = model.run_with_cache(probe.recurring, names)[1]
    scores = {}
    for layer, name in enumerate(names):
        columns = zip(
            previous_token_score(on_text[name]).tolist(),
            current_token_score(on_text[name]).tolist(),
            prefix_matching_score(on_recurring[name], probe.recurring, probe.queries).tolist(),
            strict=True,
        )
        for head, values in enumerate(columns):
            scores[f"{layer}:{head}"] = dict(
                zip(("previous_token", "current_token", "prefix_matching"), values, strict=True)
            )
    return scores
