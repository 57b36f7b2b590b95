"""Find by structure, with no list of known classes, what a lens needs of a language model.

A decoder runs embedding -> blocks -> final norm (and projection) -> unembedding. One probe of a few tokens records
which modules are called with what, and the parts are read off that record:

- the **blocks** are the longest `ModuleList` or `Sequential` whose members are called once each, in order, and map
  `[batch, position, d_model]` to the same shape;
- the **tail** is what is called after the last block, but for the unembedding;
- the **unembedding** is the parameter that turns the output of the tail into the model's logits, up to one factor and
  a softcap.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

# Largest error of a logit, in standard deviations of the logits, for a reconstruction from parts to count as exact.
TOLERANCE = 1e-4


@dataclass
class Call:
    """One call of a module during the probe."""

    name: str
    module: nn.Module
    args: tuple
    kwargs: dict
    began: int
    ended: int = -1
    output: Tensor | None = None
    stream: Tensor | None = field(init=False)

    def __post_init__(self) -> None:
        self.stream = stream_of(self.args, self.kwargs)

    def again(self, x: Tensor) -> Tensor:
        """The same call for another input, its other arguments as they were."""
        args, kwargs = with_stream(self.args, self.kwargs, x)
        return first_tensor(self.module(*args, **kwargs))


@dataclass
class Parts:
    """What was found.

    Attributes:
        blocks: residual blocks, in order.
        tail: calls between the last block and the unembedding: final norm and, in some models, a projection.
        end: module whose input is the last hidden state; None if it is the output of the last block.
        unembedding: name of the parameter.
        transposed: whether it is stored `[d_model, token]` instead of `[token, d_model]`.
        bias: name of the parameter added to the logits, or None.
        scale: factor of the logits.
        softcap: $c$ of $c \\tanh(z / c)$, or None.
        carries_residual: whether the input of each block is the output of the one before it.
        d_model: width of the stream.
        num_tokens: number of logits.
    """

    blocks: list[nn.Module]
    tail: list[Call]
    end: nn.Module | None
    unembedding: str
    transposed: bool
    bias: str | None
    scale: float
    softcap: float | None
    carries_residual: bool
    d_model: int
    num_tokens: int


def find_parts(model: nn.Module, run: Callable[[Tensor], Tensor], probe: Tensor) -> Parts:
    """Run the probe and read the parts off it.

    Args:
        model: the language model.
        run: tokens to logits.
        probe: a few tokens, `[1, position]`.

    Raises:
        ValueError: a model that is not deterministic (dropout), no blocks, or logits that are not made by an
            unembedding; the message says what was looked for and what is there.
    """
    with torch.no_grad():
        logits, calls = _record(model, run, probe)
        if not torch.equal(run(probe), logits):
            raise ValueError("the model gives different logits for the same tokens (dropout?): call model.eval() first")
        blocks = _blocks(model, calls, probe)
        after = [call for call in calls if call.began > blocks[-1].ended and call.stream is not None]
        outermost = [c for c in after if not any(o.began < c.began and c.ended < o.ended for o in after)]
        tail = [c for c in outermost if c.output is not None and c.output.shape[-1] != logits.shape[-1]]
        last = outermost[0].stream if outermost else blocks[-1].output
        features = last
        for call in tail:
            features = call.again(features)
        found = _unembedding(model, features, logits)
    return Parts(
        blocks=[call.module for call in blocks], tail=tail, end=outermost[0].module if outermost else None,
        carries_residual=all(torch.equal(b.stream, a.output) for a, b in zip(blocks, blocks[1:])),
        d_model=last.shape[-1], num_tokens=logits.shape[-1], **found,
    )  # fmt: skip


def stream_of(args: tuple, kwargs: dict) -> Tensor | None:
    """The first floating-point tensor of three dimensions among the arguments: the residual stream."""
    for value in (*args, *kwargs.values()):
        if isinstance(value, Tensor) and value.ndim == 3 and value.is_floating_point():
            return value
    return None


def with_stream(args: tuple, kwargs: dict, x: Tensor) -> tuple[tuple, dict]:
    """The arguments with another stream."""
    old = stream_of(args, kwargs)
    return tuple(x if a is old else a for a in args), {k: x if v is old else v for k, v in kwargs.items()}


def first_tensor(output) -> Tensor | None:
    """The output of a module, or the first of several."""
    if isinstance(output, (tuple, list)) and output:
        output = output[0]
    return output if isinstance(output, Tensor) else None


def _record(model: nn.Module, run: Callable, probe: Tensor) -> tuple[Tensor, list[Call]]:
    calls: list[Call] = []
    stack: list[Call] = []
    time = iter(range(10**9))

    def enter(name: str) -> Callable:
        def hook(module: nn.Module, args: tuple, kwargs: dict) -> None:
            stack.append(Call(name, module, args, kwargs, next(time)))
            calls.append(stack[-1])

        return hook

    def leave(module: nn.Module, args: tuple, output) -> None:
        call = stack.pop()
        call.ended, call.output = next(time), first_tensor(output)

    handles = []
    try:
        for name, module in model.named_modules():
            handles.append(module.register_forward_pre_hook(enter(name), with_kwargs=True))
            handles.append(module.register_forward_hook(leave))
        return run(probe), calls
    finally:
        for handle in handles:
            handle.remove()


def _blocks(model: nn.Module, calls: list[Call], probe: Tensor) -> list[Call]:
    by_module: dict[nn.Module, list[Call]] = {}
    for call in calls:
        by_module.setdefault(call.module, []).append(call)
    lists = {n: list(m) for n, m in model.named_modules() if isinstance(m, (nn.ModuleList, nn.Sequential)) and len(m)}
    candidates: dict[str, list[Call]] = {}
    for name, members in lists.items():
        inside = any(name != outer and name.startswith(f"{outer}.") for outer in candidates)
        if inside or any(len(by_module.get(member, ())) != 1 for member in members):
            continue
        own = [by_module[member][0] for member in members]
        in_order = all(a.ended < b.began for a, b in zip(own, own[1:]))
        shapes = {tuple(t.shape) if t is not None else None for call in own for t in (call.stream, call.output)}
        if in_order and len(shapes) == 1 and None not in shapes and shapes.pop()[:2] == tuple(probe.shape):
            candidates[name] = own
    if not candidates:
        described = ", ".join(f"{name or 'the model'} ({len(members)})" for name, members in lists.items()) or "none"
        raise ValueError(
            "cannot find the residual blocks: looked for a ModuleList or Sequential whose members are called once "
            f"each, in order, from [batch, position, d_model] to the same shape; lists in "
            f"{type(model).__name__}: {described}"
        )
    return max(candidates.values(), key=len)


def _unembedding(model: nn.Module, features: Tensor, logits: Tensor) -> dict:
    """Which parameters turn features into logits."""
    size, width = logits.shape[-1], features.shape[-1]
    softcap = _softcap(model)
    target = logits if softcap is None else softcap * torch.atanh((logits / softcap).double()).to(logits.dtype)
    parameters = dict(model.named_parameters())
    biases = [name for name, p in parameters.items() if tuple(p.shape) == (size,) and p.dtype == features.dtype]
    for name, matrix in reversed(parameters.items()):  # unembeddings come late, and tied ones once
        for transposed in (False, True):
            if tuple(matrix.shape) != ((width, size) if transposed else (size, width)):
                continue
            product = features @ (matrix if transposed else matrix.T)
            for bias in [*biases, None]:
                made = product if bias is None else product + parameters[bias]
                scale = float((made * target).sum() / made.square().sum().clamp_min(1e-30))
                scale = 1.0 if abs(scale - 1) < TOLERANCE else scale
                if (scale * made - target).abs().max() <= TOLERANCE * target.std().clamp_min(1e-30):
                    return {"unembedding": name, "transposed": transposed, "bias": bias, "scale": scale,
                            "softcap": softcap}  # fmt: skip
    raise ValueError(
        f"cannot find the unembedding: looked for a parameter of shape {(size, width)} or {(width, size)} whose "
        f"product with the normalised last hidden state is the logits of {type(model).__name__}, up to a bias, "
        "a factor and a softcap that the config calls final_logit_softcapping"
    )


def _softcap(model: nn.Module) -> float | None:
    """A softcap cannot be seen in small logits, so the config has to tell; the probe then checks it."""
    config = getattr(model, "config", None)
    if hasattr(config, "get_text_config"):
        config = config.get_text_config()
    return getattr(config, "final_logit_softcapping", None)
