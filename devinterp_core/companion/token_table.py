"""The lens figure: what every layer predicts at every token of a sentence."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh

MARKS = str.maketrans({" ": "·", "\n": "⏎", "\t": "⇥", "$": r"\$"})


def draw_token_table(
    ax: Axes,
    words: Sequence[Sequence[str]],
    values: Float[np.ndarray, "layer position"],
    inputs: Sequence[str],
    layers: Sequence[int],
    *,
    largest: float,
    longest: int = 7,
) -> QuadMesh:
    """Draw the most probable token of each layer and position into cells coloured by a number.

    Layers go upwards, tokens to the right. Spaces and line ends are drawn as marks, long tokens are cut.

    Args:
        ax: where to draw.
        words: most probable token, by layer and position.
        values: what colours the cells, for example the divergence from the model in nats.
        inputs: tokens that were read.
        layers: numbers of the rows.
        largest: value of the darkest colour; the lightest is 0.
        longest: characters of a token that are drawn.

    Returns:
        The coloured mesh, for a colour bar.

    Raises:
        ValueError: words, values, inputs and layers that do not fit each other.
    """
    shape = (len(layers), len(inputs))
    if values.shape != shape or len(words) != shape[0] or any(len(row) != shape[1] for row in words):
        raise ValueError(f"{shape[0]} layers and {shape[1]} tokens do not fit values of shape {values.shape} and words")
    mesh = ax.pcolormesh(values, cmap=plt.get_cmap("Blues"), vmin=0, vmax=largest, edgecolors="white", linewidth=0.4)
    for row in range(shape[0]):
        for column in range(shape[1]):
            color = "white" if values[row, column] > 0.6 * largest else "black"
            ax.text(column + 0.5, row + 0.5, _shown(words[row][column], longest), ha="center", va="center",
                    fontsize=5.5, color=color)  # fmt: skip
    ax.set_xticks(np.arange(shape[1]) + 0.5, [_shown(word, longest) for word in inputs], rotation=60, fontsize=6)
    ax.set_yticks(np.arange(shape[0]) + 0.5, [str(layer) for layer in layers], fontsize=6)
    ax.tick_params(length=0)
    return mesh


def _shown(token: str, longest: int) -> str:
    """A token as it can be printed: bytes that are no character become a dot."""
    text = "".join(c if c.isprintable() and ord(c) < 0x2500 else "▫" for c in token.translate(MARKS))
    return text if len(text) <= longest else text[: longest - 1] + "…"
