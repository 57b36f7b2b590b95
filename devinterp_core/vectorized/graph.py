"""Exact simplifications of a traced graph of ATen operations: fewer launches, no copies of transposed gradients."""

import torch
from torch.fx import GraphModule, Node

aten = torch.ops.aten


def simplify(module: GraphModule) -> GraphModule:
    r"""Drop operations that do nothing and move transpositions of matrix products into their operands.

    Autograd writes the gradient of a linear layer as $(X^\top \Delta)^\top$, a strided view that has to be copied
    before it is used; $\Delta^\top X$ is the same matrix, contiguous.

    Args:
        module: from `make_fx`, with example values in the nodes' metadata.

    Returns:
        The same module, rewritten in place.
    """
    graph = module.graph
    for node in list(graph.nodes):
        if node.op != "call_function":
            continue
        if _does_nothing(node):
            node.replace_all_uses_with(node.args[0])
    graph.eliminate_dead_code()
    for node in list(graph.nodes):
        product = _transposed_product(node)
        if product is not None:
            left, right = product.args
            with graph.inserting_before(node):
                left_t, right_t = (graph.call_function(aten.transpose.int, (x, 1, 2)) for x in (left, right))
                node.replace_all_uses_with(graph.call_function(aten.bmm.default, (right_t, left_t)))
    graph.eliminate_dead_code()
    module.recompile()
    return module


def _shape(node: Node) -> tuple[int, ...] | None:
    value = node.meta.get("val")
    value = node.meta.get("tensor_meta") if value is None else value
    return None if value is None else tuple(value.shape)


def _does_nothing(node: Node) -> bool:
    if node.target is aten.detach.default:
        return True
    if node.target in (aten.view.default, aten._unsafe_view.default, aten.expand.default):
        shape = _shape(node)
        return shape is not None and shape == _shape(node.args[0])
    return node.target is aten.pow.Tensor_Scalar and node.args[1] == 1


def _transposed_product(node: Node) -> Node | None:
    """The `bmm` whose last two dimensions `node` swaps, if nobody else reads it."""
    swaps = (node.target is aten.permute.default and list(node.args[1]) == [0, 2, 1]) or (
        node.target is aten.transpose.int and {d % 3 for d in node.args[1:]} == {1, 2} and len(_shape(node) or ()) == 3
    )
    if not swaps:
        return None
    product = node.args[0]
    is_product = isinstance(product, Node) and product.target is aten.bmm.default and len(product.users) == 1
    return product if is_product else None
