"""Masks of the attention heads of Hugging Face models, found by the structure of their attention.

Three layouts are known, whatever the class is called: separate linear projections (`q_proj`, `k_proj`, `v_proj` and
`o_proj` or `out_proj`: Llama, Qwen, Gemma, OPT, ...), queries, keys and values side by side in one `Conv1D`
(`c_attn`, `c_proj`: GPT-2), and interleaved head by head in one linear layer (`query_key_value`, `dense`: GPT-NeoX).
`torch.nn.Linear` stores `[out, in]`, `Conv1D` `[in, out]`. What heads share is no head's own: the output bias, and
normalisations of queries and keys (Qwen3's `q_norm`, `k_norm`).

For `refined_llc` load the model with `attn_implementation="eager"`: other implementations of attention cannot be
vectorised.
"""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Bool
from torch import Tensor, nn

Mask = dict[str, Bool[Tensor, "..."]]
Shared = Literal["include", "exclude"]
# parameter name within the attention, the dimension along which heads lie, first and last row of the head
Slice = tuple[str, int, int, int]


def head_mask(model: nn.Module, layer: int, head: int, *, shared: Shared = "include") -> Mask:
    r"""The slices of one attention head: of the projections to queries, keys and values with their biases, and of the
    output projection's weights.

    With grouped queries (fewer key-value heads than heads) head $h$ of $H$ reads key-value head
    $\lfloor h H_{kv} / H \rfloor$, which belongs to all heads of its group.

    Args:
        model: a model of the library `transformers`, with or without a head on top.
        layer: counted from 0, in the order of the model's attention modules.
        head: query head, from 0.
        shared: whether a key-value head that several query heads read belongs to each of them (`include`: the masks of
            a group overlap) or to none (`exclude`: only queries and output are the head's own).

    Returns:
        Parameter name to boolean tensor of its shape, as `refined_llc` takes it.

    Raises:
        ValueError: no attention of a known layout, sizes that do not fit it, or no such layer or head.
    """
    name, attention = _attention_of(model, layer)
    num_heads, slices = _slices(model, name, attention)
    if not 0 <= head < num_heads:
        raise ValueError(f"no head {head} in layer {layer}: it has {num_heads} heads, counted from 0")
    mask: Mask = {}
    for parameter_name, dim, start, stop in slices(head, shared):
        parameter = attention.get_parameter(parameter_name)
        full_name = _name_of(model, parameter)
        chosen = mask.setdefault(full_name, torch.zeros(parameter.shape, dtype=torch.bool))
        chosen.narrow(dim, start, stop - start).fill_(True)
    return mask


def head_masks(model: nn.Module, *, shared: Shared = "include") -> dict[str, Mask]:
    """The masks of all heads under their names `layer:head`, ready for `refined_llc`.

    Raises:
        ValueError: as `head_mask`.
    """
    masks = {}
    for layer, (name, attention) in enumerate(_attentions(model)):
        num_heads, _ = _slices(model, name, attention)
        masks |= {f"{layer}:{head}": head_mask(model, layer, head, shared=shared) for head in range(num_heads)}
    return masks


LAYOUTS = (
    ("q_proj", "k_proj", "v_proj", "o_proj"),
    ("q_proj", "k_proj", "v_proj", "out_proj"),
    ("c_attn", "c_proj"),
    ("query_key_value", "dense"),
)


def _layout(module: nn.Module) -> tuple[str, ...] | None:
    children = dict(module.named_children())
    return next((layout for layout in LAYOUTS if set(layout) <= set(children)), None)


def _attentions(model: nn.Module) -> list[tuple[str, nn.Module]]:
    found = [(name, module) for name, module in model.named_modules() if _layout(module) is not None]
    if not found:
        layouts = "; ".join(", ".join(layout) for layout in LAYOUTS)
        raise ValueError(
            f"no attention found in {type(model).__name__}: looked for modules with the children {layouts}. "
            "Write the mask by hand: parameter name -> boolean tensor"
        )
    return found


def _attention_of(model: nn.Module, layer: int) -> tuple[str, nn.Module]:
    found = _attentions(model)
    if not 0 <= layer < len(found):
        raise ValueError(f"no layer {layer}: {type(model).__name__} has {len(found)} layers of attention, from 0")
    return found[layer]


def _name_of(model: nn.Module, parameter: nn.Parameter) -> str:
    """Its name among `model.named_parameters()`, where tied parameters stand once."""
    return next(name for name, own in model.named_parameters() if own is parameter)


def _head_size(model: nn.Module, name: str, attention: nn.Module, width: int) -> int:
    """Numbers in a query; `width` is that of all heads together."""
    for attribute in ("head_dim", "head_size"):
        if isinstance(getattr(attention, attribute, None), int):
            size = getattr(attention, attribute)
            break
    else:
        config = getattr(model, "config", None)
        num_heads = getattr(config, "num_attention_heads", None)
        if not num_heads:
            raise ValueError(f"{name}: neither head_dim or head_size there nor config.num_attention_heads is given")
        size = getattr(config, "head_dim", None) or width // num_heads
    if width % size:
        raise ValueError(f"{name}: queries of {width} numbers are no whole number of heads of {size}")
    return size


def _slices(model: nn.Module, name: str, attention: nn.Module) -> tuple[int, Callable[[int, Shared], list[Slice]]]:
    """Number of heads, and the function that gives the slices of one."""
    layout = _layout(attention)
    inner, outer = (attention.get_submodule(part) for part in (layout[0], layout[-1]))
    transposed = type(inner).__name__ == "Conv1D"  # [in, out]
    rows, columns = (1, 0) if transposed else (0, 1)
    width = outer.weight.shape[columns]  # of all heads together
    size = _head_size(model, name, attention, width)

    def block(part: str, start: int, length: int) -> list[Slice]:
        slices = [(f"{part}.weight", rows, start, start + length)]
        if attention.get_submodule(part).bias is not None:
            slices.append((f"{part}.bias", 0, start, start + length))
        return slices

    def output(head: int) -> list[Slice]:
        return [(f"{layout[-1]}.weight", columns, head * size, (head + 1) * size)]

    if len(layout) == 4:
        key_width = attention.get_submodule("k_proj").weight.shape[rows]
        if inner.weight.shape[rows] != width or key_width % size or width % key_width:
            raise ValueError(
                f"{name}: q_proj of {inner.weight.shape[rows]} and k_proj of {key_width} numbers do not fit "
                f"{layout[-1]}, which reads {width}, in heads of {size}"
            )
        group = width // key_width

        def separate(head: int, shared: Shared) -> list[Slice]:
            own = block("q_proj", head * size, size) + output(head)
            if group == 1 or shared == "include":
                own += [s for part in ("k_proj", "v_proj") for s in block(part, head // group * size, size)]
            return own

        return width // size, separate

    if inner.weight.shape[rows] != 3 * width or transposed != (layout[0] == "c_attn"):
        raise ValueError(
            f"{name}: {layout[0]} is a {type(inner).__name__} {tuple(inner.weight.shape)}; expected a "
            f"{'Conv1D' if layout[0] == 'c_attn' else 'Linear'} with 3 x {width} outputs: queries, keys and values"
        )

    def side_by_side(head: int, shared: Shared) -> list[Slice]:
        return output(head) + [s for part in range(3) for s in block("c_attn", part * width + head * size, size)]

    def interleaved(head: int, shared: Shared) -> list[Slice]:
        return output(head) + block("query_key_value", head * 3 * size, 3 * size)

    return width // size, side_by_side if layout[0] == "c_attn" else interleaved
