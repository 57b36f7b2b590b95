"""A copy of the caller's model: its structure anew, its parameters anew too, or shared and never written."""

import copy

from torch import Tensor, nn


def own_copy(model: nn.Module, share: bool = False) -> nn.Module:
    """A copy whose flags, hooks and attributes can be changed; with `share`, its parameters are those of `model`.

    Kept activations, tensors that hang on a graph, are copied without it; what refuses to be copied (a lock, a logger
    with a stream) is shared.
    """
    memo: dict[int, object] = {id(p): p for p in model.parameters()} if share else {}
    for module in model.modules():
        for value in vars(module).values():
            _detach_inside(value, memo, depth=0)
    for module in model.modules():
        for name, value in vars(module).items():
            if name not in ("_parameters", "_buffers", "_modules"):
                try:
                    copy.deepcopy(value, dict(memo))
                except Exception:  # noqa: BLE001  whatever cannot be copied
                    memo[id(value)] = value
    return copy.deepcopy(model, memo)


def private_copy(model: nn.Module) -> nn.Module:
    """A copy to sample with, that shares the parameters of `model`.

    In it every row of an `Embedding` has its gradient, and a dense one: `padding_idx` suppresses one that the loss, in
    which the row takes part, does have.
    """
    private = own_copy(model, share=True)
    for module in private.modules():
        if isinstance(module, nn.EmbeddingBag):
            module.sparse = False
        if isinstance(module, nn.Embedding):
            module.padding_idx, module.sparse = None, False
    return private


def _detach_inside(value: object, memo: dict[int, object], depth: int) -> None:
    """Enter a detached copy of every tensor with a graph that can be reached from `value`."""
    if isinstance(value, Tensor):
        if not value.is_leaf and id(value) not in memo:
            memo[id(value)] = value.detach().clone()
        return
    if depth > 6 or isinstance(value, (str, bytes, int, float, type, nn.Module)):
        return
    if isinstance(value, dict):
        children = list(value.values())
    elif isinstance(value, (list, tuple, set, frozenset)):
        children = list(value)
    else:
        children = list(getattr(value, "__dict__", {}).values())
    for child in children[:100_000]:
        _detach_inside(child, memo, depth + 1)
