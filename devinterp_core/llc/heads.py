"""The short way for attention heads of `devinterp_core.transformer.Transformer`.

While one head moves, the stream below its layer and the outputs of the layer's other heads stay what they are. They
are computed once for each minibatch and shared by all heads of all layers, which meet the same minibatch; what is left
for a head is its own attention and the network above it. Sequences go through in pieces whose activations stay in the
cache.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from devinterp_core.next_token import next_token_loss
from devinterp_core.sampler.components import Component, ScatteredStack, Stack
from devinterp_core.sampler.settings import Settings
from devinterp_core.transformer.masks import head_mask
from devinterp_core.transformer.model import Transformer
from devinterp_core.vectorized import Batch, in_form_of, tensors_of, traced

from .head_networks import Below, FromHead, Frozen

# Tokens that go through the network together: 2,048 x 64 floats are half of a second-level cache.
PIECE_TOKENS = {"cpu": 2048}
PIECE_TOKENS_ELSEWHERE = 65_536


def head_stacks(components: list[Component], run: Settings, trace: bool) -> tuple[list[Stack], list[Component]]:
    """All components that are attention heads of a `Transformer` in one stack, and the components that are not."""
    heads = {component.name: _head_of(component) for component in components}
    short = [component for component in components if heads[component.name] is not None]
    if not short or components[0].target.random or components[0].target.coupled:
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
        self.layers = {layer: FromHead(self.target, self.model, layer) for layer, _ in heads}
        self.below = Below(self.model, sorted(self.layers))
        self._functions: dict[tuple, Callable] = {}

    def losses_and_gradient(self, w: Tensor, batch: Batch, shared: bool) -> tuple[Tensor, Tensor]:
        tensors = tensors_of(batch)
        num_samples = len(tensors[0]) if shared else tensors[0].shape[1]
        losses = w.new_empty(len(w), w.shape[1], num_samples)
        gradient = torch.zeros_like(w)
        for chain in range(w.shape[1]):
            if chain == 0 or not shared:
                pieces = self._pieces(tensors if shared else tuple(t[chain] for t in tensors))
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
        few = tuple(t[:2] for t in tensors_of(self.target.data))
        given = in_form_of(self.target.data, few)
        try:
            self._inputs(few)
            for layer in self.layers:
                k = [of for of, _ in self.heads].index(layer)
                component = self.components[k]
                one = HeadStack([component], [self.heads[k]], trace=False)
                w = component.target.centre[None, None]
                w = w + 0.1 * w.std() * torch.linspace(-1, 1, w.numel(), dtype=w.dtype, device=w.device)
                general = ScatteredStack([component], trace=False).losses_and_gradient(w, given, True)
                for a, b in zip(one.losses_and_gradient(w, given, True), general, strict=True):
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
        self.target.loss(recorder, in_form_of(self.target.data, data))
        if len(recorder.inputs) != 1 or len(recorder.inputs[0]) != len(data[0]):
            raise _Unusual
        return recorder.inputs[0]

    @torch.no_grad()
    def _pieces(self, data: tuple[Tensor, ...]) -> list[tuple[slice, tuple[Tensor, ...], "Frozen"]]:
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
