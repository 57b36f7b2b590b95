r"""One small, hookable decoder.

    x = embedding (+ positions)
    x = x + attention(LN(x));  x = x + MLP(LN(x))      in each block
    outputs = unembedding(LN(x))

Parameters and hook points carry TransformerLens' names, and attention is plain matrix products, so that the model can
be vectorised over parameters by `torch.func.vmap`.
"""

import math
from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from .config import TransformerConfig

Hooks = Mapping[str, Callable[[Tensor], Tensor | None]]
Points = Callable[[str, Tensor], Tensor]


class Transformer(nn.Module):
    """The decoder described by `config`, initialised from `seed`.

    Args:
        config: the architecture.
        seed: of the initial parameters.
    """

    def __init__(self, config: TransformerConfig, seed: int = 0):
        super().__init__()
        self.config = config
        width = config.d_model
        if config.num_tokens is not None:
            self.embed = _weights(W_E=(config.num_tokens, width))
        else:
            self.embed = _weights(W_E=(config.input_size, width))
        if config.positions in ("learned", "shortformer"):
            self.pos_embed = _weights(W_pos=(config.num_positions, width))
        self.blocks = nn.ModuleList([Block(config, layer) for layer in range(config.num_layers)])
        self.ln_final = LayerNorm(width, "ln_final")
        bias = {"b_U": (config.outputs,)} if config.unembedding_bias else {}
        self.unembed = _weights(W_U=(width, config.outputs), **bias)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        """Draw the parameters anew, as `config.initialization` says."""
        generator = torch.Generator().manual_seed(seed)
        head, width = self.config.head_size * self.config.num_heads, self.config.d_model
        fan_in = {"W_E": self.config.input_size or width, "W_pos": self.config.num_positions, "W_O": head, "b_O": head,
                  "W_out": self.config.d_mlp, "b_out": self.config.d_mlp}  # fmt: skip
        with torch.no_grad():
            for path, parameter in self.named_parameters():
                name = path.rsplit(".", 1)[-1]
                if name == "W_pos" and self.config.sinusoidal_positions:
                    parameter.copy_(_sinusoids(*parameter.shape))
                elif name in ("w", "b"):  # LayerNorm
                    parameter.fill_(1.0 if name == "w" else 0.0)
                elif self.config.initialization == "normal":
                    std = 0.0 if name.startswith("b_") else 0.8 / math.sqrt(width)
                    parameter.copy_(std * torch.randn(parameter.shape, generator=generator))
                elif name == "W_E" and self.config.num_tokens is not None:
                    parameter.copy_(torch.randn(parameter.shape, generator=generator))  # as torch.nn.Embedding
                else:
                    bound = 1 / math.sqrt(fan_in.get(name, width))
                    parameter.copy_(bound * (2 * torch.rand(parameter.shape, generator=generator) - 1))

    def forward(
        self,
        inputs: Int[Tensor, "batch position"] | Float[Tensor, "batch position input"],
        hooks: Hooks | None = None,
    ) -> Float[Tensor, "batch position output"]:
        """Logits, or output vectors, at every position.

        Args:
            inputs: tokens, or vectors for a model with `input_size`.
            hooks: name of a hook point to a function of its value; what it returns, unless None, replaces the value.

        Raises:
            ValueError: a sequence longer than `num_positions`, inputs of another kind or width, an unknown hook name.
        """
        self._check(inputs, hooks)
        at = _Points(hooks)
        if self.config.num_tokens is not None:
            stream = at("hook_embed", self.embed["W_E"][inputs])
        else:
            stream = at("hook_embed", inputs @ self.embed["W_E"])
        positions = None
        if self.config.positions in ("learned", "shortformer"):
            positions = at("hook_pos_embed", self.pos_embed["W_pos"][: inputs.shape[1]])
            if self.config.positions == "learned":
                stream, positions = stream + positions, None
        for block in self.blocks:
            after = block(stream, positions, at)
            stream = stream + after if self.config.doubled_residual else after
        outputs = self.ln_final(stream, at) @ self.unembed["W_U"]
        return outputs + self.unembed["b_U"] if self.config.unembedding_bias else outputs

    def run_with_cache(self, inputs: Tensor, names: list[str] | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """Outputs, and the values at the named hook points (all of them by default)."""
        cache: dict[str, Tensor] = {}
        wanted = self.hook_names() if names is None else names
        outputs = self(inputs, {name: lambda value, name=name: cache.__setitem__(name, value) for name in wanted})
        return outputs, cache

    def hook_names(self) -> list[str]:
        """Every hook point, in the order of the computation."""
        names = ["hook_embed"]
        if self.config.positions in ("learned", "shortformer"):
            names.append("hook_pos_embed")
        for block in self.blocks:
            names += block.hook_names()
        return [*names, "ln_final.hook_normalized"]

    def _check(self, inputs: Tensor, hooks: Hooks | None) -> None:
        size, got = self.config.input_size, f"{inputs.dtype} {tuple(inputs.shape)}"
        if size is None:  # torch would take booleans and bytes for a mask
            if inputs.ndim != 2 or inputs.dtype not in (torch.int32, torch.int64):
                raise ValueError(f"expected int64 or int32 tokens [batch, position], got {got}")
        elif inputs.ndim != 3 or inputs.shape[2] != size or not inputs.is_floating_point():
            raise ValueError(f"expected floating-point vectors [batch, position, {size}], got {got}")
        if inputs.shape[1] > self.config.num_positions:
            raise ValueError(f"{inputs.shape[1]} positions are more than the model's {self.config.num_positions}")
        unknown = sorted(set(hooks or ()) - set(self.hook_names())) if hooks else []
        if unknown:
            raise ValueError(f"no hook points of this model: {unknown}; they are {self.hook_names()}")


def _sinusoids(num_positions: int, width: int) -> Float[Tensor, "position width"]:
    r"""Sine and cosine of $t / (4T)^{2i/d}$ at position $t$ of $T$, interleaved."""
    rates = (4 * num_positions) ** (-torch.arange(0, width, 2) / width)
    angles = torch.arange(num_positions)[:, None] * rates
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)


class Block(nn.Module):
    """Attention and, where there is one, the MLP, each with its LayerNorm and residual."""

    def __init__(self, config: TransformerConfig, layer: int):
        super().__init__()
        self.config, self.name = config, f"blocks.{layer}"
        self.ln1 = LayerNorm(config.d_model, f"{self.name}.ln1")
        self.attn = Attention(config, f"{self.name}.attn")
        if config.d_mlp:
            self.ln2 = LayerNorm(config.d_model, f"{self.name}.ln2")
            self.mlp = _weights(W_in=(config.d_model, config.d_mlp), b_in=(config.d_mlp,),
                                W_out=(config.d_mlp, config.d_model), b_out=(config.d_model,))  # fmt: skip
            self.activation = torch.relu if config.activation == "relu" else nn.functional.gelu

    def forward(self, stream: Tensor, positions: Tensor | None, at: Points) -> Tensor:
        stream = at(f"{self.name}.hook_resid_pre", stream)
        stream = stream + at(f"{self.name}.hook_attn_out", self.attn(self.ln1(stream, at), positions, at))
        if self.config.d_mlp:
            stream = at(f"{self.name}.hook_resid_mid", stream)
            pre = at(f"{self.name}.mlp.hook_pre", self.ln2(stream, at) @ self.mlp["W_in"] + self.mlp["b_in"])
            post = at(f"{self.name}.mlp.hook_post", self.activation(pre))
            stream = stream + at(f"{self.name}.hook_mlp_out", post @ self.mlp["W_out"] + self.mlp["b_out"])
        return at(f"{self.name}.hook_resid_post", stream)

    def hook_names(self) -> list[str]:
        turned = ("rot_q", "rot_k") if self.config.positions == "rotary" else ()
        attention = [f"attn.hook_{point}" for point in ("q", "k", "v", *turned, "attn_scores", "pattern", "z")]
        names = ["hook_resid_pre", "ln1.hook_normalized", *attention, "hook_attn_out"]
        if self.config.d_mlp:
            names += ["hook_resid_mid", "ln2.hook_normalized", "mlp.hook_pre", "mlp.hook_post", "hook_mlp_out"]
        return [f"{self.name}.{name}" for name in [*names, "hook_resid_post"]]


class Attention(nn.Module):
    r"""Causal self-attention, $\sum_h \mathrm{softmax}(q_h k_h^\top / \sqrt{d_{head}})\, v_h W_O^h$."""

    def __init__(self, config: TransformerConfig, name: str):
        super().__init__()
        self.config, self.name = config, name
        heads, width, size = config.num_heads, config.d_model, config.head_size
        shapes: dict[str, tuple[int, ...]] = {f"W_{part}": (heads, width, size) for part in "QKV"}
        if config.attention_output:
            shapes["W_O"] = (heads, size, width)
        if config.attention_bias:
            shapes |= {f"b_{part}": (heads, size) for part in "QKV"}
            if config.attention_output:
                shapes["b_O"] = (width,)
        for key, shape in shapes.items():
            self.register_parameter(key, nn.Parameter(torch.empty(shape)))

    def forward(self, x: Tensor, positions: Tensor | None, at: Points) -> Tensor:
        batch, length, _ = x.shape
        at_positions = x if positions is None else x + positions  # shortformer: not for the values
        q, k, v = (self._heads(y, part) for part, y in zip("QKV", (at_positions, at_positions, x), strict=True))
        q, k, v = (at(f"{self.name}.hook_{n}", t) for n, t in zip("qkv", (q, k, v), strict=True))
        if self.config.positions == "rotary":
            q, k = at(f"{self.name}.hook_rot_q", turn(q)), at(f"{self.name}.hook_rot_k", turn(k))
        q, k, v = (t.transpose(1, 2) for t in (q / math.sqrt(self.config.head_size), k, v))  # [batch, head, pos, size]
        # Added, not filled in: the gradient passes through untouched, softmax having made it 0 where it must be.
        causal = torch.full((length, length), -torch.inf, dtype=x.dtype, device=x.device).triu(1)
        scores = at(f"{self.name}.hook_attn_scores", q @ k.transpose(2, 3) + causal)
        pattern = at(f"{self.name}.hook_pattern", scores.softmax(-1))
        z = at(f"{self.name}.hook_z", (pattern @ v).transpose(1, 2))  # [batch, position, head, size]
        z = z.reshape(batch, length, -1)
        if not self.config.attention_output:
            return z
        out = z @ self.W_O.flatten(0, 1)
        return out + self.b_O if self.config.attention_bias else out

    def _heads(self, x: Tensor, part: str) -> Float[Tensor, "batch position head size"]:
        """Queries, keys or values of all heads by one matrix product."""
        projected = x @ getattr(self, f"W_{part}").transpose(0, 1).flatten(1)
        if self.config.attention_bias:
            projected = projected + getattr(self, f"b_{part}").flatten()
        return projected.unflatten(2, (self.config.num_heads, self.config.head_size))


class LayerNorm(nn.Module):
    """Layer normalisation with an affine map; the hook point lies after the map, as the inputs of what follows do."""

    def __init__(self, width: int, name: str):
        super().__init__()
        self.name = name
        self.w, self.b = nn.Parameter(torch.empty(width)), nn.Parameter(torch.empty(width))

    def forward(self, x: Tensor, at: Points) -> Tensor:
        return at(f"{self.name}.hook_normalized", nn.functional.layer_norm(x, self.w.shape, self.w, self.b, eps=1e-5))


class _Points:
    """Calls the caller's hooks where they are."""

    def __init__(self, hooks: Hooks | None):
        self.hooks = hooks or {}

    def __call__(self, name: str, value: Tensor) -> Tensor:
        if name not in self.hooks:
            return value
        replaced = self.hooks[name](value)
        return value if replaced is None else replaced


def _weights(**shapes: tuple[int, ...]) -> nn.ParameterDict:
    return nn.ParameterDict({name: nn.Parameter(torch.empty(shape)) for name, shape in shapes.items()})


def turn(x: Float[Tensor, "batch position head size"]) -> Float[Tensor, "batch position head size"]:
    r"""Rotary positions: pair $(i, i + d/2)$ turned by the angle $\mathrm{position} \cdot 10000^{-2i/d}$."""
    half = x.shape[-1] // 2
    frequency = 10_000.0 ** (-torch.arange(half, dtype=x.dtype, device=x.device) / half)
    angle = torch.arange(x.shape[1], dtype=x.dtype, device=x.device)[:, None] * frequency
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]  # [position, 1, half]
    left, right = x[..., :half], x[..., half:]
    return torch.cat((left * cos - right * sin, right * cos + left * sin), dim=-1)
