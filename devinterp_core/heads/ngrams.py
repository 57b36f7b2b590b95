"""n-gram statistics of a corpus, and how far a model's predictions are explained by them."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from devinterp_core.language.loss import check_tokens, next_token_losses


def bigram_counts(tokens: Int[Tensor, "sequence position"], num_tokens: int) -> Int[Tensor, "token next"]:
    """How often each token is followed by each other one, within sequences.

    Raises:
        ValueError: an empty corpus, sequences of one token, a token outside the vocabulary.
    """
    _check_corpus(tokens, num_tokens, 2)
    pairs = tokens[:, :-1].long() * num_tokens + tokens[:, 1:]
    return torch.bincount(pairs.flatten(), minlength=num_tokens**2).view(num_tokens, num_tokens)


def bigram_distribution(counts: Int[Tensor, "token next"]) -> Float[Tensor, "token next"]:
    """Empirical probability of the next token given a token; a row of zeros for tokens that nothing has followed."""
    return counts / counts.sum(1, keepdim=True).clamp_min(1)


def bigram_entropy(counts: Int[Tensor, "token next"]) -> float:
    r"""Entropy of the next token given the token before, $-\sum_{ab} p(a, b) \log p(b \mid a)$ in nats.

    It is the smallest `bigram_score` on the corpus, and the smallest loss of a model that sees one token.

    Raises:
        ValueError: if nothing was counted.
    """
    if not int(counts.sum()):
        raise ValueError("no bigrams were counted: the corpus is empty")
    conditional = torch.special.entr(bigram_distribution(counts).double()).sum(1)  # of each token
    return float((counts.sum(1) * conditional).sum() / counts.sum())


def bigram_score(
    logits: Float[Tensor, "batch position token"],
    tokens: Int[Tensor, "batch position"],
    bigrams: Float[Tensor, "token next"],
) -> float:
    r"""Cross-entropy of a model's predictions with the bigram distribution, mean over positions, in nats.

    $\mathbb E_i \bigl[ -\sum_b q(b \mid t_i) \log p(b \mid t_{\le i}) \bigr]$. It is smallest for a model that predicts
    bigrams, where it is the bigram entropy of the tokens.

    Args:
        logits: the model's, at every position of `tokens`.
        tokens: sequences.
        bigrams: $q$, a row for each token, from `bigram_distribution`.

    Raises:
        ValueError: no tokens, shapes that do not fit, a token outside the vocabulary or without a bigram distribution.

    Reference: Hoogland et al. (2024), behavioural indicators of the language model.
    """
    if logits.shape[:2] != tokens.shape or bigrams.shape != (logits.shape[2],) * 2:
        raise ValueError(
            f"logits {tuple(logits.shape)}, tokens {tuple(tokens.shape)} and bigrams {tuple(bigrams.shape)} do not fit"
        )
    check_tokens(tokens, len(bigrams))
    q = bigrams.to(logits)[tokens]  # [batch, position, token]
    total = q.sum(2)
    if bool(((total - 1).abs() > 1e-3).any()):
        lost = int(tokens[(total - 1).abs() > 1e-3][0])
        raise ValueError(
            f"token {lost} has no bigram distribution (its row sums to {float(bigrams[lost].sum()):.3g}): it never "
            "stood before another token in the corpus; count a larger one, or leave such tokens out"
        )
    # the normaliser minus the expected logit: the table of log-probabilities is never made
    return float((total * logits.logsumexp(2) - (q * logits).sum(2)).mean())


def common_ngrams(
    tokens: Int[Tensor, "sequence position"], length: int, count: int, num_tokens: int, *, exclude: tuple[int, ...] = ()
) -> Int[Tensor, "ngram length"]:
    """The most frequent n-grams within sequences, most frequent first; equally frequent ones in order of their tokens.

    Args:
        tokens: the corpus.
        length: n, tokens of an n-gram.
        count: how many of them; fewer are returned where the corpus has fewer.
        num_tokens: size of the vocabulary.
        exclude: tokens that no n-gram may hold, such as the one that begins sequences.

    Raises:
        ValueError: an empty corpus, sequences shorter than `length`, a token outside the vocabulary, no n-grams left,
            n-grams too long to be numbered.
    """
    if length < 1 or count < 1:
        raise ValueError(f"length and count must be at least 1, got {length} and {count}")
    if num_tokens**length >= 2**63:
        raise ValueError(f"{length}-grams of {num_tokens} tokens are too many to be numbered: take a smaller length")
    _check_corpus(tokens, num_tokens, length)
    place = num_tokens ** torch.arange(length - 1, -1, -1, device=tokens.device)
    windows = tokens.long().unfold(1, length, 1).flatten(0, 1)  # [window, length]
    allowed = torch.ones(len(windows), dtype=torch.bool, device=tokens.device)
    for token in exclude:
        allowed &= (windows != token).all(1)
    codes, frequency = torch.unique((windows[allowed] * place).sum(1), return_counts=True)
    if not len(codes):
        raise ValueError(f"every {length}-gram of the corpus holds one of the excluded tokens {exclude}")
    first = codes[frequency.argsort(descending=True, stable=True)[:count]]
    return first[:, None] // place % num_tokens


@torch.no_grad()
def ngram_losses(model: nn.Module, ngrams: Int[Tensor, "ngram length"], start_token: int) -> Float[Tensor, " ngram"]:
    """A model's loss on the last token of each n-gram, presented alone after the token that begins sequences, in nats.

    Raises:
        ValueError: no n-grams, or a token outside the vocabulary.
    """
    _check_corpus(ngrams, model.config.num_tokens, 1)
    start = torch.full_like(ngrams[:, :1], start_token)
    sequences = torch.cat((start, ngrams), dim=1)
    check_tokens(sequences, model.config.num_tokens)
    return next_token_losses(model(sequences), sequences)[:, -1]


def ngram_score(
    model: nn.Module,
    tokens: Int[Tensor, "sequence position"],
    ngrams: Int[Tensor, "ngram length"],
    start_token: int,
) -> float:
    r"""Loss on the last token of text cut after $n$ tokens, over that of common n-grams: above 1 once these are known.

    Args:
        model: read by `model(tokens)`.
        tokens: other text, whose first $n$ tokens after a start token (which is left out) are taken.
        ngrams: from `common_ngrams`.
        start_token: begins every sequence.

    Raises:
        ValueError: no sequences or n-grams, sequences shorter than $n$, tokens outside the vocabulary.

    Reference: Hoogland et al. (2024), behavioural indicators of the language model.
    """
    length = ngrams.shape[1]
    begins = bool((tokens[:, 0] == start_token).all()) if tokens.numel() else False
    text = tokens[:, 1:] if begins else tokens
    _check_corpus(text, model.config.num_tokens, length)
    known = ngram_losses(model, ngrams, start_token).mean()
    return float(ngram_losses(model, text[:, :length], start_token).mean() / known)


def _check_corpus(tokens: Tensor, num_tokens: int, length: int) -> None:
    check_tokens(tokens, num_tokens)
    if tokens.shape[1] < length:
        raise ValueError(f"sequences of {tokens.shape[1]} tokens are shorter than the {length} that are needed")
