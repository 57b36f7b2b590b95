"""What is looked at before the first step: that the models are alike, and that a step would be right.

`train` keeps parameters, and nothing else, for every model. A model with other state (batch-norm statistics that
its forward pass writes, a counter), or models that differ in an attribute, would be trained as something else than what
the checkpoints show. The gradient is compared with plain autograd at moved parameters, where everything that does not
follow the parameters of the models shows: what is recomputed in the backward pass, an unregistered alias of a weight.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from devinterp_core.content import content_key, module_difference
from devinterp_core.vectorized import global_state, seed_global

DTYPES = (torch.float32, torch.float64)
# Relative difference of two orders of summation; a gradient of something else is off by percents.
TOLERANCE = {torch.float32: 1e-2, torch.float64: 1e-6}


def check_models(models: Sequence[nn.Module], batch: tuple[Tensor, ...]) -> None:
    """Refuse models that cannot be trained side by side, naming the first that differs and in what."""
    if not models:
        raise ValueError("no models to train")
    shapes = {tuple((name, p.shape, p.dtype) for name, p in model.named_parameters()) for model in models}
    configs = {repr(getattr(model, "config", None)) for model in models}
    if len(shapes) > 1 or len(configs) > 1:
        raise ValueError("models trained side by side must have one architecture")
    dtypes = {p.dtype for p in models[0].parameters()}
    if len(dtypes) != 1 or not dtypes <= set(DTYPES):
        raise ValueError(
            f"the parameters of a model to train must all be float32, or all float64, got {sorted(map(str, dtypes))}: "
            "half precision loses small steps; convert it, model.float()"
        )
    trained = [{name for name, p in model.named_parameters() if p.requires_grad} for model in models]
    if not trained[0]:
        raise ValueError("no parameter of the models has requires_grad=True: there is nothing to train")
    buffers = [dict(model.named_buffers()) for model in models]
    for index, model in enumerate(models[1:], 1):
        if trained[index] != trained[0]:
            odd = sorted(trained[index] ^ trained[0])[:3]
            raise ValueError(f"models 0 and {index} differ in requires_grad of {odd}: train them in separate calls")
        for name, buffer in buffers[0].items():
            if name not in buffers[index] or not torch.equal(buffer, buffers[index][name]):
                raise ValueError(
                    f"models trained side by side must have the same buffers; {name} differs in models 0 and {index}"
                )
        difference = module_difference(models[0], model)
        if difference is not None:
            raise ValueError(
                f"models 0 and {index} differ in {difference}. Models trained side by side share everything but their "
                "parameters: train them in separate calls, or make what differs a parameter with requires_grad=False"
            )
    sizes = [len(tensor) for tensor in batch]
    if set(sizes) != {len(models)}:
        raise ValueError(f"the stream gives batches for {sizes} models, there are {len(models)}")


def check_state(model: nn.Module, loss: Callable, batch: tuple[Tensor, ...]) -> bool:
    """Refuse a loss or a model that one forward pass changes: the change would be lost, or shared by all models.

    Args:
        model: a copy, which the pass may change.
        loss: `(model, batch) -> Tensor[batch]`.
        batch: of this model.

    Returns:
        Whether the pass draws random numbers from torch's global generator.
    """
    buffers = {name: (buffer, buffer.clone()) for name, buffer in model.named_buffers()}
    numbers, loss_before = _numbers(model), content_key(loss)
    device = next(model.parameters()).device
    seed_global(0, device)
    before = global_state(device)
    try:
        first = loss(model, batch)
    except Exception as error:
        raise ValueError(f"the loss fails on the first batch of the stream: {type(error).__name__}: {error}") from error
    if not isinstance(first, Tensor):
        raise ValueError(f"the loss must give one number a sample, a tensor, got {type(first).__name__}")
    first = first.detach()
    stochastic = any(not torch.equal(a, b) for a, b in zip(before, global_state(device), strict=True))
    if first.ndim != 1 or len(first) != len(batch[0]):
        raise ValueError(f"the loss must give one number a sample, ({len(batch[0])},), got {tuple(first.shape)}")
    after = dict(model.named_buffers())
    for name, (buffer, old) in buffers.items():
        if after.get(name) is not buffer or not torch.equal(buffer.nan_to_num(), old.nan_to_num()):
            owner = model.get_submodule(name.rpartition(".")[0])
            raise ValueError(
                f"a forward pass writes the buffer {name!r} ({type(owner).__name__}), which is neither a parameter nor "
                "constant and would not be in the checkpoints: put that layer into evaluation mode (.eval()), replace "
                "it (LayerNorm, GroupNorm), or let it keep no statistics (batch norm: track_running_stats=False)"
            )
    changed = sorted(name for name, number in _numbers(model).items() if numbers.get(name) != number)
    if changed:
        raise ValueError(
            f"a forward pass changes the attributes {changed[:3]} of the model, which would not be in the checkpoints: "
            "let the model depend on its input and its parameters only"
        )
    if content_key(loss) != loss_before:
        raise ValueError("the loss changes when it is called (an attribute, a list or a dict that it holds or reads): "
                         "let it depend on the model and the batch only")  # fmt: skip
    seed_global(0, device)
    if not torch.allclose(loss(model, batch).detach(), first, rtol=1e-5, atol=0, equal_nan=True):
        raise ValueError(
            "the loss of the same model on the same batch is another number when it is asked again: the model or the "
            "loss keeps a state that would not be in the checkpoints, or draws from the random generators of NumPy or "
            "Python: draw from torch's global one, which is seeded for each step"
        )
    return stochastic


def check_gradient(
    model: nn.Module,
    loss: Callable,
    batch: tuple[Tensor, ...],
    evaluate: Callable[[Tensor, tuple[Tensor, ...], bool], tuple[Tensor, Tensor]],
    trained: Tensor,
) -> None:
    """Compare losses and gradient with plain autograd at parameters moved away from those of any model.

    Args:
        model: a copy, whose parameters are moved.
        loss: as in `check_state`.
        batch: of this model.
        evaluate: `(w, batch, True)` to losses and gradient, see `Evaluator.alone`.
        trained: indices of the coordinates that are trained.
    """
    parameters = list(model.parameters())
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in parameters:
            size = 0.3 * float(p.abs().mean().nan_to_num()) + 1e-2
            p += (size * torch.randn(p.shape, generator=generator, dtype=p.dtype)).to(p.device)
            p.requires_grad_()
    losses = loss(model, batch)
    if not losses.requires_grad:
        raise ValueError("the loss does not depend on the model that it is given: no gradient reaches its parameters. "
                         "Use the model in the argument, in torch operations, without no_grad or detach")  # fmt: skip
    gradients = torch.autograd.grad(losses.mean(), parameters, allow_unused=True)
    if not any(g is not None for g in gradients):
        raise ValueError("no gradient of the loss reaches a parameter of the model that it is given")
    expected = torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for p, g in zip(parameters, gradients)])
    w = torch.cat([p.detach().flatten() for p in parameters])
    found_losses, found = evaluate(w, batch, True)
    for ours, plain, what in [(found_losses, losses.detach(), "loss"), (found[trained], expected[trained], "gradient")]:
        size = float(plain.double().norm())
        if not plain.isfinite().all():
            continue
        if not float((ours - plain).double().norm()) <= TOLERANCE[w.dtype] * size + 1e-7:
            raise ValueError(
                f"the {what} that the step would use is not that of the model: norm {float(ours.double().norm()):.4g} "
                f"where plain autograd gives {size:.4g}. Some part of the model does not follow its registered "
                "parameters: an alias of a weight kept in a list, weights used through a closure, or activations "
                "recomputed in the backward pass (torch.utils.checkpoint): switch these off for training"
            )


def _numbers(model: nn.Module) -> dict[str, object]:
    """Plain attributes of all modules inside, counters among them."""
    kinds = (bool, int, float, complex, str)
    return {
        f"{name}.{attribute}".lstrip("."): value
        for name, module in model.named_modules()
        for attribute, value in vars(module).items()
        if isinstance(value, kinds)
    }
