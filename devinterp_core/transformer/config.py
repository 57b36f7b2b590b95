"""Architecture of `Transformer`: every choice that the papers make differently."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class TransformerConfig:
    r"""A pre-LayerNorm decoder.

    Attributes:
        num_layers: blocks.
        num_heads: attention heads of a block.
        d_model: width of the residual stream.
        num_positions: longest sequence.
        num_tokens: size of the vocabulary; None for a model that reads vectors.
        input_size: length of the input vectors; None for a model that reads tokens.
        output_size: length of the output; None means `num_tokens`.
        d_head: size of a head; None means `d_model / num_heads`.
        d_mlp: hidden units of the MLP; 0 means attention only.
        activation: of the MLP.
        positions: `learned` embeddings added to the stream; `shortformer`: learned embeddings added to the inputs of
            queries and keys only (Press et al., 2021); `rotary` turns of queries and keys (Su et al., 2021); `none`.
        attention_bias: whether queries, keys, values and the output projection have biases.
        attention_output: whether heads are projected by $W_O$; without it their concatenation is added to the stream.
        unembedding_bias: whether the unembedding has one.
        doubled_residual: $x \leftarrow x + \mathrm{block}(x)$ although the block already contains its residuals, so
            that the stream doubles at each block: the released code of Hoogland et al. (2024).
        initialization: `uniform`, $U(-1, 1)/\sqrt{\text{fan in}}$ for every matrix and bias, as in `torch.nn.Linear`,
            and standard normal token embeddings, as in `torch.nn.Embedding`; `normal`, standard deviation
            $0.8/\sqrt{d_{model}}$ and biases zero, as in TransformerLens.
        sinusoidal_positions: position embeddings begin as the sinusoids that the shortformer keeps fixed (Press et al.,
            2021; Vaswani et al., 2017), wavelengths up to $8\pi$ `num_positions`, and are trained from there: a shift
            by one token is then a rotation, which a head learns for all positions at once.

    Raises:
        ValueError: sizes below 1, both or neither of tokens and vectors, heads that do not fit the stream.
    """

    num_layers: int
    num_heads: int
    d_model: int
    num_positions: int
    num_tokens: int | None = None
    input_size: int | None = None
    output_size: int | None = None
    d_head: int | None = None
    d_mlp: int = 0
    activation: Literal["relu", "gelu"] = "relu"
    positions: Literal["learned", "shortformer", "rotary", "none"] = "learned"
    attention_bias: bool = False
    attention_output: bool = True
    unembedding_bias: bool = True
    doubled_residual: bool = False
    initialization: Literal["uniform", "normal"] = "uniform"
    sinusoidal_positions: bool = False

    def __post_init__(self) -> None:
        for name in ("num_layers", "num_heads", "d_model", "num_positions",
                     "num_tokens", "input_size", "output_size", "d_head"):  # fmt: skip
            size = getattr(self, name)
            if size is not None and size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        if (self.num_tokens is None) == (self.input_size is None):
            raise ValueError("give either num_tokens (a model that reads tokens) or input_size (that reads vectors)")
        if self.input_size is not None and self.output_size is None:
            raise ValueError("a model that reads vectors needs output_size")
        if self.d_head is None and self.d_model % self.num_heads:
            raise ValueError(f"d_model {self.d_model} is not divisible by {self.num_heads} heads: give d_head")
        if not self.attention_output and self.head_size * self.num_heads != self.d_model:
            raise ValueError("without an output projection the heads together must be as wide as d_model")
        if self.d_mlp < 0:
            raise ValueError(f"d_mlp must be 0 (attention only) or more, got {self.d_mlp}")
        for name, known in [("activation", ("relu", "gelu")), ("initialization", ("uniform", "normal")),
                            ("positions", ("learned", "shortformer", "rotary", "none"))]:  # fmt: skip
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {known}, got {getattr(self, name)!r}")
        if self.sinusoidal_positions and (self.positions not in ("learned", "shortformer") or self.d_model % 2):
            raise ValueError("sinusoidal_positions needs position embeddings (learned, shortformer) of an even d_model")
        if self.positions == "rotary" and self.head_size % 2:
            raise ValueError(f"rotary positions need an even head size, got {self.head_size}")

    @property
    def head_size(self) -> int:
        """Numbers in a query, key or value."""
        return self.d_head if self.d_head is not None else self.d_model // self.num_heads

    @property
    def outputs(self) -> int:
        """Length of the output vector, or number of logits."""
        return self.output_size if self.output_size is not None else self.num_tokens


def attention_only(
    num_tokens: int,
    d_model: int,
    num_heads: int,
    num_positions: int,
    *,
    num_layers: int = 2,
    d_head: int | None = None,
    sinusoidal_positions: bool = False,
) -> TransformerConfig:
    """The language models of the papers, in any size: LayerNorm, shortformer positions, biases, no MLP.

    Args:
        num_tokens: size of the vocabulary.
        d_model: width of the residual stream.
        num_heads: of each layer.
        num_positions: longest sequence.
        num_layers: two for the paper's model, one for the baseline that it is compared with.
        d_head: size of a head; None means `d_model / num_heads`.
        sinusoidal_positions: as in `TransformerConfig`.

    Raises:
        ValueError: as `TransformerConfig`.

    Reference: Hoogland et al. (2024); Wang et al. (2025).
    """
    return TransformerConfig(
        num_layers=num_layers,
        num_heads=num_heads,
        d_model=d_model,
        num_positions=num_positions,
        num_tokens=num_tokens,
        d_head=d_head,
        positions="shortformer",
        attention_bias=True,
        initialization="normal",
        sinusoidal_positions=sinusoidal_positions,
    )
