"""The short way for attention heads of `devinterp_core.transformer.Transformer`.

While one head moves, the stream below its layer and the outputs of the layer's other heads stay what they are. They
are computed once for each minibatch and shared by all heads of all layers, which meet the same minibatch; what is left
for a head is its own attention and the network above it. Sequences go through in pieces whose activations stay in the
cache.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.func import functional_call

from devinterp_core.language.loss import next_token_loss
from devinterp_core.sampler.components import Component, ScatteredStack, Stack
from devinterp_core.sampler.run import Settings
from devinterp_core.transformer.masks import head_mask
from devinterp_core.transformer.model import Block, Transformer
from devinterp_core.vectorized import traced

from .cross_entropy import next_token_losses_of_stream
from .merged_attention import MergedAttention

# Tokens that go through the network together: 2,048 x 64 floats are half of a second-level cache.
PIECE_TOKENS = {"cpu": 2048}
PIECE_TOKENS_ELSEWHERE = 65_536


def head_stacks(components: list[Component], run: Settings, trace: bool) -> tuple[list[Stack], list[Component]]:
    """All components that are attention heads of a `Transformer` in one stack, and the components that are not."""
    heads = {component.name: _head_of(component) for component in components}
    short = [component for component in components if heads[component.name] is not None]
    if not short:
        return [], components
    stack = HeadStack(short, [heads[component.name] for component in short], trace)
    if not stack.agrees():
        return [], components
    return [stack], [component for component in components if heads[component.name] is None]


def _head_of(component: Component) -> tuple[int, int] | None:
    """Layer and index of the head whose mask, all of it and nothing else, is the component's."""
    model, names = component.whole.model, component.whole.names
    if type(model) is not Transformer or not model.config.attention_output or not names[0].endswith(".attn.W_Q"):
        return None
    layer = int(names[0].split(".")[1])
    index = int(component.index[0]) // (model.config.d_model * model.config.head_size)
    if index >= model.config.num_heads:
        return None
    mask = head_mask(model, f"{layer}:{index}")
    if tuple(mask) != names:
        return None
    coordinates = torch.cat([mask[name].flatten() for name in names]).nonzero()[:, 0]
    return (layer, index) if torch.equal(coordinates.to(component.index.device), component.index) else None


class HeadStack:
    """Attention heads of one model, of any layers.

    Args:
        components: each of one head.
        heads: layer and index of each.
        trace: whether they will be evaluated hundreds of times.
    """

    def __init__(self, components: list[Component], heads: list[tuple[int, int]], trace: bool):
        self.components, self.heads, self.trace = components, heads, trace
        self.target, self.model = components[0].target, components[0].whole.model
        self.layers = {layer: _FromHead(self.target, self.model, layer) for layer, _ in heads}
        self.below = _Below(self.model, sorted(self.layers))
        self._functions: dict[tuple, Callable] = {}

    def losses_and_gradient(self, w: Tensor, batch: tuple[Tensor, ...], shared: bool) -> tuple[Tensor, Tensor]:
        num_samples = len(batch[0]) if shared else batch[0].shape[1]
        losses = w.new_empty(len(w), w.shape[1], num_samples)
        gradient = torch.zeros_like(w)
        for chain in range(w.shape[1]):
            if chain == 0 or not shared:
                pieces = self._pieces(batch if shared else tuple(t[chain] for t in batch))
            for rows, data, frozen in pieces:
                weight = (rows.stop - rows.start) / num_samples
                for k, (layer, head) in enumerate(self.heads):
                    stream, others = frozen.around(layer, head)
                    losses[k, chain, rows], own = self._evaluate(layer, w[k, chain], stream, others, *data)
                    gradient[k, chain].add_(own, alpha=weight)
        return losses, gradient

    def agrees(self) -> bool:
        """Whether this way gives what the general way gives, on two samples at a point beside w*.

        It does not where the loss takes more from the model than its outputs, calls it twice, or hooks change it.
        """
        few = tuple(t[:2] for t in self.target.data)
        try:
            self._inputs(few)
            for layer in self.layers:
                k = [of for of, _ in self.heads].index(layer)
                component = self.components[k]
                one = HeadStack([component], [self.heads[k]], trace=False)
                w = component.target.centre[None, None]
                w = w + 0.1 * w.std() * torch.linspace(-1, 1, w.numel(), dtype=w.dtype, device=w.device)
                general = ScatteredStack([component], trace=False).losses_and_gradient(w, few, True)
                for a, b in zip(one.losses_and_gradient(w, few, True), general, strict=True):
                    if not torch.allclose(a, b, rtol=1e-3, atol=1e-4 * float(b.abs().max())):
                        return False
        except _Unusual:
            return False
        return True

    def _inputs(self, data: tuple[Tensor, ...]) -> Tensor:
        """What the loss gives to the model."""
        if self.target.loss is next_token_loss:
            return data[0]
        recorder = _Recorder(self.model.config.outputs, self.target.centre)
        self.target.losses(recorder, *data)
        if len(recorder.inputs) != 1 or len(recorder.inputs[0]) != len(data[0]):
            raise _Unusual
        return recorder.inputs[0]

    @torch.no_grad()
    def _pieces(self, data: tuple[Tensor, ...]) -> list[tuple[slice, tuple[Tensor, ...], "_Frozen"]]:
        """Equal pieces of a minibatch with what is frozen in them."""
        inputs = self._inputs(data)
        most = PIECE_TOKENS.get(inputs.device.type, PIECE_TOKENS_ELSEWHERE)
        size = math.ceil(len(inputs) / math.ceil(inputs.shape[0] * inputs.shape[1] / most))
        pieces = []
        for start in range(0, len(inputs), size):
            rows = slice(start, min(start + size, len(inputs)))
            pieces.append((rows, tuple(t[rows] for t in data), self.below(inputs[rows])))
        return pieces

    def _evaluate(self, layer: int, w: Tensor, stream: Tensor, others: Tensor, *data: Tensor) -> tuple[Tensor, Tensor]:
        key = (layer, stream.shape)
        if key not in self._functions:
            plain = self.layers[layer].losses_and_gradient
            arguments = (w.contiguous(), (stream, others, *data), 0)
            self._functions[key] = (self.trace and traced(plain, *arguments)) or plain
        return self._functions[key](w, stream, others, *data)


class _Unusual(Exception):
    """The loss calls the model in a way that the short way does not know."""


class _Recorder(nn.Module):
    """In the model's place: keeps the inputs, gives zeros."""

    def __init__(self, outputs: int, like: Tensor):
        super().__init__()
        self.outputs, self.like, self.inputs = outputs, like, []

    def forward(self, inputs: Tensor) -> Tensor:
        self.inputs.append(inputs)
        return self.like.new_zeros(()).expand(*inputs.shape[:2], self.outputs)

    def __getattr__(self, name: str):
        try:
            return super().__getattr__(name)
        except AttributeError:
            raise _Unusual from None


class _Below(nn.Module):
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

    def forward(self, inputs: Tensor) -> "_Frozen":
        return _Frozen(self.model, self.model.run_with_cache(inputs, self.names)[1])


def _merge(module: nn.Module) -> None:
    """Give a block the attention that is faster here."""
    if isinstance(module, Block):
        module.attn = MergedAttention(module.attn)


class _Frozen:
    """The frozen tensors of one piece."""

    def __init__(self, model: Transformer, cache: dict[str, Tensor]):
        self.model, self.cache = model, cache

    def around(self, layer: int, head: int) -> tuple[Tensor, Tensor]:
        """The stream before the layer, and what all but this head add to it."""
        own = self.cache[f"blocks.{layer}.attn.hook_z"][:, :, head] @ self.model.blocks[layer].attn.W_O[head].detach()
        return self.cache[f"blocks.{layer}.hook_resid_pre"], self.cache[f"blocks.{layer}.hook_attn_out"] - own


class _FromHead(nn.Module):
    """The network from one head of a layer on."""

    def __init__(self, target, model: Transformer, layer: int):
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
        return self.target.losses(_Outputs(outputs if bias is None else outputs + bias), *data)


class _Outputs(nn.Module):
    """In the model's place: gives outputs that are already computed."""

    def __init__(self, outputs: Tensor):
        super().__init__()
        self.outputs = outputs

    def forward(self, inputs: Tensor) -> Tensor:
        return self.outputs
