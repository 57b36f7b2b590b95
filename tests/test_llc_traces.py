"""Traces of Hessian and Fisher information against closed forms and against exact second derivatives."""

import jaxtyping
import pytest
import torch
from torch import nn
from torch.func import functional_call

from devinterp_core.language.loss import next_token_loss
from devinterp_core.llc import fisher_traces, hessian_traces
from devinterp_core.transformer import Transformer, TransformerConfig
from devinterp_core.transformer.masks import all_heads, head_mask
from devinterp_core.vectorized import PerSampleLoss

ERRORS = (ValueError, jaxtyping.TypeCheckError)


class Linear(nn.Module):
    """y = a . x + b with squared error: Hessian and gradients in closed form."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.a = nn.Parameter(torch.randn(4, dtype=torch.float64, generator=generator))
        self.b = nn.Parameter(torch.randn(1, dtype=torch.float64, generator=generator))

    def forward(self, x):
        return x @ self.a + self.b


def squared_error(model, batch):
    x, y = batch
    return 0.5 * (model(x) - y) ** 2


@pytest.fixture
def linear():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(200, 4, dtype=torch.float64, generator=generator) * torch.tensor([1.0, 2.0, 0.5, 3.0])
    return Linear(), (x, torch.randn(200, dtype=torch.float64, generator=generator))


MASKS = {
    "first two": {"a": torch.tensor([True, True, False, False])},
    "last and b": {"a": torch.tensor([False, False, False, True]), "b": torch.tensor([True])},
}


def test_hessian_trace_of_linear_regression_is_that_of_the_second_moments(linear):
    model, data = linear
    found = hessian_traces(model, data, squared_error, MASKS, num_probes=4000)
    moments = data[0].square().mean(0)
    exact = {"first two": float(moments[:2].sum()), "last and b": float(moments[3] + 1)}
    for name, truth in exact.items():
        error = float(found[name].std()) / 4000**0.5
        assert abs(float(found[name].mean()) - truth) < 4 * error
        assert error < 0.01 * truth


def test_one_probe_is_exact_where_the_hessian_is_diagonal():
    class Diagonal(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.ones(3, dtype=torch.float64))

    def loss(model, batch):
        return (torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64) * model.w**2).sum() / 2 + 0 * batch

    masks = {"two": {"w": torch.tensor([True, False, True])}}
    found = hessian_traces(Diagonal(), torch.zeros(5, dtype=torch.float64), loss, masks, num_probes=3)
    assert found["two"].tolist() == pytest.approx([5.0, 5.0, 5.0])


def test_fisher_of_linear_regression_is_the_closed_form(linear):
    model, (x, y) = linear
    found = fisher_traces(model, (x, y), squared_error, MASKS, chunk=64)
    residual = (x @ model.a + model.b - y).detach()
    torch.testing.assert_close(found["first two"], residual**2 * x[:, :2].square().sum(1))
    torch.testing.assert_close(found["last and b"], residual**2 * (x[:, 3] ** 2 + 1))


def test_traces_of_a_transformers_heads_match_exact_derivatives():
    config = TransformerConfig(num_layers=2, num_heads=2, d_model=6, num_positions=5, num_tokens=7,
                               positions="shortformer", attention_bias=True)  # fmt: skip
    model = Transformer(config, seed=0)
    tokens = torch.randint(7, (6, 5), generator=torch.Generator().manual_seed(2))
    masks = {head: head_mask(model, head) for head in all_heads(model)}
    hessian = hessian_traces(model, tokens, next_token_loss, masks, num_probes=300)
    fisher = fisher_traces(model, tokens, next_token_loss, masks, chunk=4)
    module = PerSampleLoss(model, next_token_loss)
    values = {name.removeprefix("model."): p.detach() for name, p in module.named_parameters()}

    def losses(own):
        return functional_call(module, {f"model.{name}": value for name, value in (values | own).items()}, (tokens,))

    for head, mask in masks.items():
        own = {name: values[name] for name in mask}
        second = torch.func.jacrev(torch.func.jacrev(lambda part: losses(part).mean()))(own)
        exact = sum(
            float(second[name][name].reshape(values[name].numel(), -1).diagonal()[chosen.flatten()].sum())
            for name, chosen in mask.items()
        )
        error = float(hessian[head].std()) / 300**0.5
        assert abs(float(hessian[head].mean()) - exact) < 4 * error + 1e-6
        first = torch.func.jacrev(losses)(own)
        squares = sum((first[name][:, chosen] ** 2).sum(1) for name, chosen in mask.items())
        torch.testing.assert_close(fisher[head], squares)


def test_bad_input_is_refused(linear):
    model, data = linear
    with pytest.raises(ERRORS, match="num_probes must be at least 1"):
        hessian_traces(model, data, squared_error, MASKS, num_probes=0)
    with pytest.raises(ERRORS, match="chunk must be at least 1"):
        fisher_traces(model, data, squared_error, MASKS, chunk=0)
    for traces in (hessian_traces, fisher_traces):
        with pytest.raises(ERRORS, match="component 'c'"):
            traces(model, data, squared_error, {"c": {"unknown": torch.tensor([True])}})
