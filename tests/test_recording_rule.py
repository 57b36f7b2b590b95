"""The rules of recording against the closed form of a quadratic loss whose samples have random centres."""

import pytest
import torch
from torch import nn

from devinterp_core.companion.studies.recording_rule import by_recording_rule
from devinterp_core.sampler import sample_many

STEP, N_BETA, BATCH = 0.02, 20.0, 2


class Point(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1, dtype=torch.float64))


def loss(model, x):
    """(w - x)^2 / 2: curvature 1, and a gradient whose minibatch noise has the variance of x over the batch size."""
    return (model.w - x).square().sum(-1) / 2


def test_the_same_minibatch_is_lower_by_the_variance_of_its_gradient():
    x = torch.randn(500, 1, generator=torch.Generator().manual_seed(0)).double()
    x = (x - x.mean()) / x.std(correction=0)
    models, data = [Point() for _ in range(4)], [x] * 4
    draws = sample_many(models, data, loss, step_size=STEP, n_beta=N_BETA, num_chains=20, num_draws=400, num_burnin=100,
                        num_steps_between_draws=5, batch_size=BATCH, keep_parameters=True, progress=False)  # fmt: skip
    table = by_recording_rule(models, data, loss, draws, batch_size=BATCH, seed=0)
    mean = table.groupby("rule").estimate.mean()
    assert mean["before"] == pytest.approx(mean["after, fresh"], rel=0.05)
    # E[g_B (w' - w)] = -(step/2) n_beta Var(g_B), and the square of that move enters with half the curvature
    drop = N_BETA * STEP / 2 * N_BETA / BATCH
    assert mean["after, fresh"] - mean["after, same"] == pytest.approx(drop, rel=0.1)


def test_other_draws_are_refused():
    models, data = [Point()], [torch.zeros(4, 1).double()]
    draws = sample_many(models, data, loss, step_size=STEP, n_beta=N_BETA, num_draws=4, progress=False)
    with pytest.raises(ValueError, match="keep_parameters"):
        by_recording_rule(models, data, loss, draws, batch_size=2, seed=0)
