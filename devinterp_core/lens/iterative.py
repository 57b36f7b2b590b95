"""Iterative inference: do blocks push the hidden state down the gradient of the loss, and is each of them needed?"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .lenses import LogitLens
from .model import LensModel
from .readout import Teacher


def gradient_alignment(
    lens: LogitLens, tokens: Int[Tensor, "batch position"], *, skip: int = 0
) -> Float[Tensor, "layer batch"]:
    r"""$\cos(\nabla_{h_l} \mathcal{L}, F_l(h_l))$, negative where a block lowers the loss to first order.

    $\mathcal{L}$ is the cross-entropy of the next token read out at $h_l$ by the lens (the paper: the logit lens), and
    $F_l(h_l) = h_{l+1} - h_l$; each cosine is over all positions (but the last) and dimensions of one sequence.

    Args:
        lens: whose readout defines the loss.
        tokens: sequences of two tokens or more.
        skip: positions at the beginning of each sequence that are left out: a state many times larger than the others
            would decide the cosine alone.

    Raises:
        ValueError: bad tokens, or sequences of one after those skipped.

    Reference: Belrose et al. (2023), appendix on iterative inference, figure 19.
    """
    lens.model.check_tokens(tokens)
    readout, teachers = lens.model.readout, _next_tokens(lens.model, tokens, skip)
    states = [state[:, skip:-1] for state in lens.model.hidden_states(tokens)]
    cosines = []
    for layer, (before, after) in enumerate(zip(states, states[1:])):
        gradient = []
        for part, teacher in zip(before.flatten(0, 1).split(readout.chunk_size()), teachers):
            part = part.detach().requires_grad_()
            with torch.enable_grad():
                loss = readout.divergence(lens.transform(part, layer), teacher).sum()
            gradient.append(torch.autograd.grad(loss, part)[0])
        gradient = torch.cat(gradient).view_as(before)
        cosines.append(torch.cosine_similarity(gradient.flatten(1), (after - before).flatten(1), dim=1))
    return torch.stack(cosines)


@torch.no_grad()
def layer_deletion(
    model: LensModel, tokens: Int[Tensor, "batch position"], *, skip: int = 0
) -> Float[Tensor, "layer batch"]:
    r"""Rise of the model's loss when a single block is left out, $h_{l+1} = h_l$ at all positions, nats a token.

    Args:
        model: the model.
        tokens: sequences of two tokens or more.
        skip: positions at the beginning of each sequence whose predictions do not count.

    Raises:
        ValueError: bad tokens, sequences of one after those skipped, a model whose states cannot be replaced.

    Reference: Belrose et al. (2023), appendix on iterative inference, figure 19.
    """
    model.check_tokens(tokens)
    readout, teachers = model.readout, _next_tokens(model, tokens, skip)

    def loss(states: list[Tensor]) -> Tensor:
        parts = zip(states[-1][:, skip:-1].flatten(0, 1).split(readout.chunk_size()), teachers, strict=True)
        return torch.cat([readout.divergence(part, teacher) for part, teacher in parts]).view(len(tokens), -1).mean(1)

    whole = model.hidden_states(tokens)
    without = ({layer + 1: lambda _, before=whole[layer]: before} for layer in range(model.num_layers))
    return torch.stack([loss(model.hidden_states(tokens, each)) for each in without]) - loss(whole)


def _next_tokens(model: LensModel, tokens: Tensor, skip: int) -> list[Teacher]:
    """All the mass of each position's prediction on its next token, chunk by chunk."""
    if skip < 0 or tokens.shape[1] < 2 + skip:
        raise ValueError(f"sequences need two tokens or more after the {skip} skipped: the last has no next one")
    goal = tokens[:, skip + 1 :].flatten().to(model.device)
    return [model.readout.teacher_of_tokens(part) for part in goal.split(model.readout.chunk_size())]
