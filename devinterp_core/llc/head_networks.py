"""The two networks of the short way: what does not move while a head does, and the network from a head on."""

import copy
import math
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.func import functional_call

from devinterp_core.next_token import next_token_loss
from devinterp_core.sampler.target import Target
from devinterp_core.transformer.model import Block, Transformer
from devinterp_core.vectorized import in_form_of

from .cross_entropy import next_token_losses_of_stream
from .merged_attention import MergedAttention


class Below(nn.Module):
    """What does not move: the stream before each layer, and the layer's attention head by head."""

    def __init__(self, model: Transformer, layers: list[int]):
        super().__init__()
        shared = {id(p): p for p in model.parameters()}
        self.model = copy.deepcopy(model, shared)
        self.model.blocks = self.model.blocks[: layers[-1] + 1]
        width, like = model.config.d_model, model.ln_final.w.detach()
        # the outputs are not needed: an unembedding of one token costs nothing
        self.model.unembed = nn.ParameterDict({"W_U": like.new_zeros(width, 1), "b_U": like.new_zeros(1)})
        self.model.blocks.apply(_merge)
        points = ("hook_resid_pre", "attn.hook_z", "hook_attn_out")
        self.names = [f"blocks.{layer}.{point}" for layer in layers for point in points]

    def forward(self, inputs: Tensor) -> "Frozen":
        return Frozen(self.model, self.model.run_with_cache(inputs, self.names)[1])


def _merge(module: nn.Module) -> None:
    """Give a block the attention that is faster here."""
    if isinstance(module, Block):
        module.attn = MergedAttention(module.attn)


class Frozen:
    """The frozen tensors of one piece."""

    def __init__(self, model: Transformer, cache: dict[str, Tensor]):
        self.model, self.cache = model, cache

    def around(self, layer: int, head: int) -> tuple[Tensor, Tensor]:
        """The stream before the layer, and what all but this head add to it."""
        own = self.cache[f"blocks.{layer}.attn.hook_z"][:, :, head] @ self.model.blocks[layer].attn.W_O[head].detach()
        return self.cache[f"blocks.{layer}.hook_resid_pre"], self.cache[f"blocks.{layer}.hook_attn_out"] - own


class FromHead(nn.Module):
    """The network from one head of a layer on."""

    def __init__(self, target: Target, model: Transformer, layer: int):
        super().__init__()
        self.target, self.config = target, model.config
        self.name = f"blocks.{layer}.hook_attn_out"
        whole = model.blocks[layer]
        self.block = Block(replace(model.config, num_heads=1, d_head=model.config.head_size), layer)
        for child in dict(self.block.named_children()):
            if child != "attn":
                setattr(self.block, child, getattr(whole, child))
        if model.config.attention_bias:  # it belongs to no head: it is among the others
            self.block.attn.b_O = nn.Parameter(torch.zeros_like(whole.attn.b_O))
        self.above = copy.deepcopy(model.blocks[layer + 1 :], {id(p): p for p in model.parameters()})
        self.block.apply(_merge)
        self.above.apply(_merge)
        self.ln_final, self.unembed = model.ln_final, model.unembed
        self.positions = model.pos_embed["W_pos"] if model.config.positions == "shortformer" else None
        self.own = [name.split(".", 2)[2] for name in target.names]  # attn.W_Q ...
        self.shapes = [(1, *shape[1:]) for shape in target.shapes]

    def losses_and_gradient(self, w: Tensor, stream: Tensor, others: Tensor, *data: Tensor) -> tuple[Tensor, Tensor]:
        """Per-sample losses and the gradient of their mean, the head's coordinates being `w`."""
        with torch.enable_grad():
            w = w.detach().requires_grad_()
            pieces = w.split([math.prod(shape) for shape in self.shapes])
            own = {f"block.{n}": p.view(s) for n, p, s in zip(self.own, pieces, self.shapes, strict=True)}
            frozen = {name: p.detach() for name, p in self.named_parameters() if name not in own}
            losses = functional_call(self, frozen | own, (stream, others, *data))
            (gradient,) = torch.autograd.grad(losses.mean(), w)
        return losses.detach(), gradient

    def forward(self, stream: Tensor, others: Tensor, *data: Tensor) -> Tensor:
        def at(name: str, value: Tensor) -> Tensor:
            return value + others if name == self.name else value

        positions = None if self.positions is None else self.positions[: stream.shape[1]]
        for block in (self.block, *self.above):
            after = block(stream, positions, at)
            stream = stream + after if self.config.doubled_residual else after
        stream = self.ln_final(stream, at)
        bias = self.unembed["b_U"] if self.config.unembedding_bias else None
        if self.target.loss is next_token_loss:
            return next_token_losses_of_stream(stream, self.unembed["W_U"], bias, data[0]).mean(1)
        outputs = stream @ self.unembed["W_U"]
        model = _Outputs(outputs if bias is None else outputs + bias)
        return self.target.loss(model, in_form_of(self.target.data, data))


class _Outputs(nn.Module):
    """In the model's place: gives outputs that are already computed."""

    def __init__(self, outputs: Tensor):
        super().__init__()
        self.outputs = outputs

    def forward(self, inputs: Tensor) -> Tensor:
        return self.outputs
