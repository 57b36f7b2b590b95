"""The training of a small language model on real text, as the recorded run has it."""

from collections.abc import Sequence

from devinterp_core.companion.output import cache_folder, output_folder
from devinterp_core.companion.recorded import TextRun
from devinterp_core.language import TextStream, next_token_loss, text_corpus
from devinterp_core.train import TrainingSettings, log_and_linear_steps, train
from devinterp_core.transformer import Transformer, attention_only


def train_on_text(
    *,
    num_steps: int,
    sources: Sequence[str],
    vocabulary: int,
    width: int,
    num_heads: int,
    head_size: int,
    length: int,
    batch_size: int,
    repeat_share: float,
    learning_rate: float,
    weight_decay: float,
    kept: int,
    seed: int,
    compile: bool,
) -> TextRun:
    """Train a two-layer, attention-only transformer on text, and leave some of its checkpoints with the run's output.

    AdamW at a constant rate after at most 200 steps of warm-up, gradients clipped to norm 1, shortformer positions that
    begin as sinusoids.

    Args:
        num_steps: of training.
        sources: of text, see `devinterp_core.language.corpora`.
        vocabulary: byte-pair tokens.
        width: of the residual stream.
        num_heads: of each layer.
        head_size: numbers in a query, key or value.
        length: tokens of a sequence.
        batch_size: sequences of a step.
        repeat_share: of the sequences, that repeat a passage.
        learning_rate: of AdamW.
        weight_decay: of AdamW.
        kept: checkpoints that are exported to the folder `checkpoints` of the run's output, in half precision.
        seed: of initial parameters and data.
        compile: whether the step goes through torch.compile.

    Raises:
        ValueError, TypeError: as `text_corpus`, `TextStream` and `TrainingSettings`.
    """
    corpus = text_corpus(sources, vocabulary)
    config = attention_only(vocabulary, width, num_heads, length, d_head=head_size, sinusoidal_positions=True)
    checkpoints = train(
        [Transformer(config, seed=seed)],
        TextStream(corpus, batch_size, length, seeds=(seed,), repeat_share=repeat_share),
        next_token_loss,
        TrainingSettings(
            num_steps=num_steps,
            learning_rate=learning_rate,
            num_warmup=min(200, num_steps),
            weight_decay=weight_decay,
            max_gradient_norm=1.0,
        ),
        checkpoint_steps=log_and_linear_steps(num_steps, 30, 40),
        folder=cache_folder(),
        compile=compile,
    )
    checkpoints.export(
        output_folder() / "checkpoints", [0, *checkpoints.spaced(kept - 1, first=max(1, num_steps / 2000))]
    )
    return TextRun(checkpoints, corpus, length, batch_size)
