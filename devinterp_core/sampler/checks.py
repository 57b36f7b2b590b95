"""What a loss must be for its posterior to be sampled: a function of the parameters and of each sample by itself."""

import torch
from torch import Tensor, nn

from devinterp_core.vectorized import (
    Batch,
    Evaluator,
    Loss,
    kept_random_state,
    map_batch,
    own_copy,
    seed_global,
    tensors_of,
)

# Samples, from all over the data, on which a loss is looked at.
FEW = 12


def check_loss(
    model: nn.Module,
    loss: Loss,
    names: tuple[str, ...],
    centre: Tensor,
    mask: Tensor | None,
    data: Batch,
    batch_size: int | None,
) -> tuple[bool, bool]:
    """Evaluate the loss on a few samples: twice, with other random numbers, in another order, in parts.

    Args:
        model: a private copy of the caller's.
        loss: per-sample losses.
        names: sampled parameters.
        centre: their values, flattened.
        mask: which of them move; None means all.
        data: all of it.
        batch_size: of minibatches; None where every evaluation is of all data.

    Returns:
        Whether the loss draws random numbers, and whether a sample's loss depends on the others in its batch.

    Raises:
        ValueError: losses of another shape or type, a forward pass that writes into parameters or buffers or keeps a
            state, a model that does not follow its parameters, a loss that does not use the model, minibatches of a
            loss that depends on its whole batch.
    """
    num_samples = len(tensors_of(data)[0])
    few = min(num_samples, FEW)
    rows = torch.linspace(0, num_samples - 1, few, device=centre.device).long()
    batch = map_batch(lambda t: t[rows], data)
    evaluator = Evaluator(model, loss, names, trace=False)
    evaluator.constants = {name: tensor.clone() for name, tensor in evaluator.constants.items()}
    with kept_random_state(centre.device):

        def losses(batch: Batch, seed: int = 0, w: Tensor = centre) -> Tensor:
            seed_global(seed, centre.device)
            return evaluator.alone(w, batch)[0]

        before, w = {name: tensor.clone() for name, tensor in evaluator.constants.items()}, centre.clone()
        try:
            found = losses(batch, w=w)
        except Exception as error:
            raise ValueError(f"the loss fails on the first samples of data: {type(error).__name__}: {error}") from error
        _check_form(found, few)
        _check_writes(evaluator, before, names, w, centre)
        if not torch.equal(found.nan_to_num(), losses(batch).nan_to_num()):
            raise ValueError(
                "the loss is another one when it is evaluated again at the same parameters, samples and random numbers "
                "of torch: it keeps a state, or takes numbers from random, NumPy or the clock. Draw them beforehand "
                "and make them part of the data"
            )
        beside = _beside(centre, mask)
        moved = losses(batch, w=beside)
        _check_aliases(moved, model, loss, names, batch, beside)
        random = not torch.equal(found.nan_to_num(), losses(batch, seed=1).nan_to_num())
        seed_global(0, centre.device)
        gradient = evaluator.alone(centre.clone(), batch, gradient=True)[1]  # raises where none reaches the parameters
        if not random and not (gradient if mask is None else gradient * mask).any():
            _check_constant(found, moved)
        coupled = not random and few > 1 and _coupled(losses, batch, few, ((beside, moved), (centre, found)))
    if coupled and batch_size is not None:
        raise ValueError(
            "the loss of a sample depends on the other samples of its batch (batch statistics, pairs within the batch, "
            "a sum over it?): over minibatches its mean is not the loss on the data. Use batch_size=None, eval mode, "
            "or a loss of each sample by itself"
        )
    return random, coupled


def _check_form(found: object, few: int) -> None:
    if not isinstance(found, Tensor) or found.shape != (few,):
        got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise ValueError(
            f"loss(model, batch) must return per-sample losses of shape ({few},) for {few} samples, got {got}"
        )
    if not found.is_floating_point():
        raise ValueError(f"loss(model, batch) must return real floating-point numbers, got {found.dtype}")


def _check_writes(
    evaluator: Evaluator, before: dict[str, Tensor], names: tuple[str, ...], w: Tensor, centre: Tensor
) -> None:
    """Refuse a forward pass that changed what it reads."""
    changed = [n.removeprefix("model.") for n, t in evaluator.constants.items() if not _same(t, before[n])]
    if not _same(w, centre):
        changed += [
            name for name, (a, b) in zip(names, evaluator.segments, strict=True) if not _same(w[a:b], centre[a:b])
        ]
    if changed:
        raise ValueError(
            f"the forward pass writes into {', '.join(changed[:3])} (running statistics of batch-norm in train mode, "
            "Embedding(max_norm=)?): the loss would depend on what was evaluated before. Use train_mode=False, or a "
            "model whose forward pass only reads"
        )


def _same(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a.nan_to_num(), b.nan_to_num()) if a.is_floating_point() else torch.equal(a, b)


def _check_aliases(
    exchanged: Tensor, model: nn.Module, loss: Loss, names: tuple[str, ...], batch: Batch, beside: Tensor
) -> None:
    """Moving the parameters in their places must be the same as exchanging them, which is how chains are evaluated."""
    moved, parts = own_copy(model), beside
    with torch.no_grad():
        for name in names:
            parameter = moved.get_parameter(name)
            part, parts = parts[: parameter.numel()], parts[parameter.numel() :]
            parameter.copy_(part.view_as(parameter))
        seed_global(0, beside.device)
        plain = loss(moved, batch)
    tolerance = 4 * torch.finfo(plain.dtype).eps ** 0.5 * float(plain.abs().max().nan_to_num(1.0))
    if not torch.allclose(exchanged, plain, rtol=0, atol=tolerance + 1e-12, equal_nan=True):
        raise ValueError(
            "a part of the model does not follow its parameters: beside w* the loss is another one when the parameters "
            "are moved in their places than when they are exchanged. Is a weight kept under a second name (in a list, "
            "in a closure), or was something computed from it beforehand?"
        )


def _beside(centre: Tensor, mask: Tensor | None) -> Tensor:
    """A point near w*."""
    offset = 0.03 * centre.std(correction=0).clamp_min(1e-3) * torch.linspace(-1, 1, len(centre)).to(centre)
    return centre + (offset + 1e-4 if mask is None else (offset + 1e-4) * mask)


def _check_constant(found: Tensor, moved: Tensor) -> None:
    """Without a gradient at w* the loss has to change somewhere near."""
    if torch.equal(found.nan_to_num(), moved.nan_to_num()):
        raise ValueError(
            "no gradient reaches the parameters that move, and near w* the loss does not change with them: does it use "
            "the model that it is handed, is it multiplied by zero, are the units dead?"
        )


def _coupled(losses, batch: Batch, few: int, points: tuple[tuple[Tensor, Tensor], ...]) -> bool:
    """Whether losses change with the other samples, at the first of the points (with losses there) that is finite."""
    first = max(1, few // 3)
    for w, together in points:
        if not together.isfinite().all():
            continue
        tolerance = 4 * torch.finfo(together.dtype).eps ** 0.5 * float(together.abs().max())
        try:
            turned = losses(map_batch(lambda t: t.flip(0), batch), w=w).flip(0)
            parts = [losses(map_batch(lambda t, r=rows: t[r], batch), w=w) for rows in
                     (slice(0, first), slice(first, few), slice(0, 1))]  # fmt: skip
        except Exception:  # noqa: BLE001  it needs more samples at once, as batch-norm in train mode does
            return True
        apart = torch.cat(parts[:2])
        if parts[2].shape != (1,) or apart.shape != together.shape:
            return True
        others = (turned - together, apart - together, parts[2] - together[:1])
        return any(not float(other.abs().max()) <= tolerance for other in others)
    return False
