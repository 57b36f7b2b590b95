"""How often `estimate_llc` is right, says that it is not converged, or is silently wrong, on problems of known answer.

    python benchmarks/automatic.py [--half design|held-out] [--record]

The truth is the posterior mean at the problem's n_beta: in closed form (linear regression, at its minimum and away
from it), by quadrature (two-parameter singular models), by exact draws from two sides (deep linear networks), or, where
no exact answer is known, by long chains of another method (MALA, no discretisation bias, 8 chains). Every other problem
was held out while the rules of `estimate_llc` were chosen. `--record` writes data/recorded/automatic.json.
"""

import argparse
import functools
import json
import math
import platform
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import torch
from torch import nn

from devinterp_core import dln, potentials, tms
from devinterp_core.calibration import calibrate
from devinterp_core.llc import estimate_llc, local_learning_coefficient
from devinterp_core.sampler import sample
from devinterp_core.transformer import Transformer, attention_only

RECORD = Path(__file__).parent.parent / "data/recorded/automatic.json"
RELATIVE_ERROR, MAX_STEPS = 0.1, 20_000


@dataclass(frozen=True)
class Problem:
    """A model with data and loss, keywords of `estimate_llc`, and the truth with its standard error.

    `meaningful` is False where w* is far from a minimum: the only right answer is that.
    """

    name: str
    build: Callable[[], tuple[nn.Module, object, Callable]]
    truth: Callable[[], tuple[float, float]] | None
    settings: dict
    meaningful: bool = True


def squared_error(model: nn.Module, batch: tuple[torch.Tensor, ...]) -> torch.Tensor:
    x, y = batch
    return (model(x) - y).square().sum(-1)


def linear(d: int, n: int, spread: float, away: float, seed: int, dtype: torch.dtype = torch.float64):
    """Linear regression with input scales from 1 to `spread`, `away` from the least-squares solution."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g, dtype=torch.float64) * torch.logspace(0, math.log10(spread), d)
    y = x @ torch.randn(d, 1, generator=g, dtype=torch.float64) + torch.randn(n, 1, generator=g, dtype=torch.float64)
    model = nn.Linear(d, 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        best = torch.linalg.lstsq(x, y).solution.T
        model.weight.copy_(best + away * torch.randn(best.shape, generator=g, dtype=torch.float64))
    return model.to(dtype), (x.to(dtype), y.to(dtype)), squared_error


def linear_truth(d, n, spread, away, seed, localization=1.0, n_beta=None, **_) -> tuple[float, float]:
    """Mean of a quadratic under a Gaussian."""
    model, (x, y), _ = linear(d, n, spread, away, seed)
    n_beta = n_beta or n / math.log(n)
    hessian, gradient = 2 * x.T @ x / n, (2 * x.T @ (model(x) - y) / n)[:, 0].detach()
    precision = n_beta * hessian + localization * torch.eye(d, dtype=x.dtype)
    shift = -torch.linalg.solve(precision, n_beta * gradient)
    mean = n_beta * (gradient @ shift + shift @ hessian @ shift / 2)
    return float(mean + torch.linalg.solve(precision, n_beta * hessian).trace() / 2), 0.0


def singular(polynomial, centre):
    """K = p(w)^2 / 2 with the sample second moment equal to one."""
    x, y = torch.ones(4, dtype=torch.float64), torch.zeros(4, dtype=torch.float64)
    return potentials.PolynomialRegression(polynomial, centre), (x, y), potentials.gaussian_loss(1.0)


def deep_linear(widths, ranks, seed):
    model = dln.random_network(dln.Architecture(widths, ranks), seed=seed)
    return model, dln.population_data(model), dln.squared_error


def deep_linear_truth(widths, ranks, seed, n_beta, localization=1.0) -> tuple[float, float]:
    model = deep_linear(widths, ranks, seed)[0].double()
    found = local_learning_coefficient(
        dln.gibbs_sample(model, n_beta=n_beta, localization=localization, num_chains=8, num_draws=300, num_burnin=200,
                         start="both", seed=seed, progress=False)
    )  # fmt: skip
    if found.r_hat > 1.05:
        raise RuntimeError(f"exact draws disagree for {widths}, {ranks}: R-hat {found.r_hat:.3f}")
    return found.mean, max(found.standard_error, found.between_chain_error)


def network(widths, activation, n, seed, steps):
    """A small network, trained by Adam for `steps` steps on a noisy smooth target."""
    g = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    for a, b in zip(widths[:-1], widths[1:], strict=True):
        layers += [nn.Linear(a, b), activation()]
    model = nn.Sequential(*layers[:-1])
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=g) / p.shape[-1] ** 0.5)
    x = torch.randn(n, widths[0], generator=g)
    y = torch.stack([torch.sin(x[:, 0] * (1 + k)) for k in range(widths[-1])], 1)
    y = y + 0.2 * torch.randn(y.shape, generator=g)
    return trained(model, (x, y), squared_error, steps)


def trained(model, data, loss, steps, lr=1e-2):
    if steps:
        optimizer = torch.optim.Adam(model.parameters(), lr=lr)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(steps):
            optimizer.zero_grad()
            loss(model, data).mean().backward()
            optimizer.step()
            schedule.step()
    return model, data, loss


def transformer(seed, steps):
    torch.manual_seed(seed)
    model = Transformer(attention_only(5, 8, 2, 6, num_layers=1))
    tokens = torch.randint(5, (64, 6), generator=torch.Generator().manual_seed(seed))
    tokens[:, 3:] = tokens[:, :3]

    def loss(model, tokens):
        logits = model(tokens)[:, :-1]
        return -logits.log_softmax(-1).gather(2, tokens[:, 1:, None])[..., 0].mean(1)

    return trained(model, tokens, loss, steps)


def kgon(k: int, c: int, n: int, seed: int):
    model = tms.ToyModel(*tms.kgon(k, c, dtype=torch.float32))
    return model, tms.one_hot_data(n, c, seed=seed), tms.sample_loss


def long_chains(build: Callable, num_steps: int = 20_000, **settings) -> tuple[float, float]:
    """8 chains of MALA at the longest step that it accepts half of, the second half kept; mean and standard error."""
    model, data, loss = build()
    step = calibrate(model, data, loss, **settings).step_size
    shared = dict(method="mala", num_chains=8, progress=False, **settings)
    for factor in (8, 4, 2, 1):
        draws = sample(model, data, loss, step_size=factor * step, num_draws=4, num_burnin=400,
                       num_steps_between_draws=50, seed=9, **shared)  # fmt: skip
        if float(draws.acceptance.min()) > 0.5:
            break
    draws = sample(model, data, loss, step_size=factor * step, num_draws=num_steps // 40, num_burnin=num_steps // 2,
                   num_steps_between_draws=20, seed=10, **shared)  # fmt: skip
    found = local_learning_coefficient(draws)
    low, high = found.interval()
    return found.mean, (high - low) / 4


def problems() -> list[Problem]:
    found: list[Problem] = []

    def add(name: str, build: Callable, truth: Callable | None, meaningful: bool = True, **settings) -> None:
        found.append(Problem(name, build, truth, settings, meaningful))

    single, double = torch.float32, torch.float64
    # Linear regression: dimension, samples, spread of the input scales, distance of w* from the minimum, gamma, dtype.
    for index, (d, n, spread, away, gamma, dtype) in enumerate([
        (1, 100, 1, 0, 1.0, double), (2, 50, 3, 0, 1.0, single), (5, 200, 1, 0, 1.0, single),
        (10, 1000, 10, 0, 1.0, double), (20, 500, 30, 0, 0.1, single), (50, 300, 3, 0, 1.0, single),
        (100, 1000, 1, 0, 10.0, single), (5, 400, 100, 0, 1.0, double), (8, 100, 3, 0, 100.0, single),
        (30, 200, 1, 0, 1000.0, single), (4, 200, 1, 0.03, 1.0, double), (10, 300, 3, 0.1, 1.0, single),
        (10, 12_000, 1, 0, 1.0, single), (20, 20_000, 3, 0, 1.0, single), (3, 10_000, 10, 0, 1.0, double),
        (40, 9000, 1, 0, 100.0, single),
    ]):  # fmt: skip
        arguments = dict(d=d, n=n, spread=spread, away=away, seed=index)
        name = f"linear d={d} n={n} spread={spread} away={away} gamma={gamma:g}"
        add(name, functools.partial(linear, **arguments, dtype=dtype),
            functools.partial(linear_truth, **arguments, localization=gamma), localization=gamma)  # fmt: skip
    for d, away in ((3, 1.0), (20, 1.0), (10, 3.0)):
        arguments = dict(d=d, n=200, spread=1, away=away, seed=d)
        add(f"linear d={d}, w* at random", functools.partial(linear, **arguments),
            functools.partial(linear_truth, **arguments), meaningful=linear_truth(**arguments)[0] > 0)  # fmt: skip

    # Two-parameter singular models.
    for powers, n_beta in [((0, 1), 100), ((1, 0), 1000), ((1, 1), 100), ((1, 1), 1000), ((1, 2), 100), ((2, 2), 100),
                           ((2, 2), 1000), ((1, 3), 100), ((3, 3), 1000), ((0, 2), 1000)]:  # fmt: skip
        polynomial = potentials.monomial(powers)
        add(f"monomial {powers} n_beta={n_beta}", functools.partial(singular, polynomial, (0.0, 0.0)),
            functools.partial(_quadrature, polynomial, (0.0, 0.0), n_beta), n_beta=float(n_beta))  # fmt: skip
    for centre, n_beta in [((0.0, 0.0), 300), ((1.0, 0.3), 300), ((1.0, 0.3), 1000), ((1.0, 1.0), 1000)]:
        add(f"two components from {centre} n_beta={n_beta}",
            functools.partial(singular, potentials.two_component, centre),
            functools.partial(_quadrature, potentials.two_component, centre, n_beta), n_beta=float(n_beta))  # fmt: skip

    # Deep linear networks: two layers (reduced rank) to six.
    for index, (widths, ranks, n_beta) in enumerate([
        ((2, 2, 2), (0, 2), 1e3), ((3, 2, 3), (1, 1), 100.0), ((4, 3, 4), (3, 1), 1e3), ((5, 5, 5), (2, 5), 1e3),
        ((6, 4, 3), (3, 3), 1e4), ((9, 14, 6), (5, 6), 300.0), ((10, 3, 10), (3, 1), 1e3), ((8, 8, 8), (8, 8), 1e3),
        ((5, 5, 5, 5), (5, 5, 5), 1e3), ((4, 6, 5, 3), (2, 5, 3), 300.0), ((18, 20, 5, 16), (7, 3, 5), 1e3),
        ((3, 3, 3, 3, 3), (3, 3, 1, 3), 1e3), ((10, 6, 16, 16), (6, 2, 12), 1e3), ((6, 5, 5, 5, 4), (5, 5, 5, 4), 1e3),
        ((7, 7, 7, 7), (0, 7, 7), 1e3), ((6, 6, 6, 6, 6, 6), (6, 6, 6, 6, 6), 1e3),
    ]):  # fmt: skip
        arguments = dict(widths=widths, ranks=ranks, seed=index)
        add(f"deep linear {widths} ranks {ranks} n_beta={n_beta:g}", functools.partial(deep_linear, **arguments),
            functools.partial(deep_linear_truth, **arguments, n_beta=n_beta), n_beta=n_beta)  # fmt: skip

    # k-gons of the toy model of superposition, tanh and ReLU networks, a transformer: long chains.
    for k, c, n, gamma in ((4, 4, 200, 10.0), (5, 5, 500, 10.0), (6, 6, 1000, 10.0), (5, 6, 500, 10.0)):
        build = functools.partial(kgon, k, c, n, seed=k + c)
        add(f"{k}-gon of {c} features n={n}", build, functools.partial(long_chains, build, localization=gamma),
            localization=gamma)  # fmt: skip
    for widths, activation, n, gamma in [
        ((1, 4, 1), nn.Tanh, 100, 1.0), ((2, 5, 2), nn.Tanh, 200, 10.0), ((3, 8, 2, 2), nn.Tanh, 100, 10.0),
        ((2, 6, 1), nn.ReLU, 100, 10.0), ((3, 4, 4, 1), nn.ReLU, 100, 30.0), ((1, 8, 1), nn.Tanh, 50, 1.0),
    ]:  # fmt: skip
        build = functools.partial(network, widths, activation, n, seed=len(found), steps=3000)
        add(f"{activation.__name__} network {widths} n={n} gamma={gamma:g}", build,
            functools.partial(long_chains, build, localization=gamma), localization=gamma)  # fmt: skip
    for seed in (0, 1):
        build = functools.partial(transformer, seed, 1500)
        add(f"transformer, seed {seed}", build, functools.partial(long_chains, build, 8000, localization=100.0),
            localization=100.0)  # fmt: skip

    # Untrained networks: no number is right.
    for widths, activation, n in (((3, 8, 2, 2), nn.Tanh, 200), ((2, 10, 1), nn.ReLU, 300), ((1, 4, 1), nn.Tanh, 100)):
        build = functools.partial(network, widths, activation, n, seed=len(found), steps=0)
        add(f"untrained {activation.__name__} network {widths}", build, None, meaningful=False)
    add("untrained transformer", functools.partial(transformer, 2, 0), None, meaningful=False)
    return found


def _quadrature(polynomial: Callable, centre: tuple[float, float], n_beta: float) -> tuple[float, float]:
    return potentials.exact_tempered_mean(polynomial, n_beta, centre=centre, num_points=1200), 0.0


def run(problem: Problem, seed: int) -> dict:
    """One problem: the estimate, the truth, and which of the four outcomes it is."""
    truth, error = problem.truth() if problem.truth else (math.nan, 0.0)
    start = time.process_time()
    try:
        found = estimate_llc(*problem.build(), relative_error=RELATIVE_ERROR, max_steps=MAX_STEPS, seed=seed,
                             progress=False, **problem.settings)  # fmt: skip
    except (ValueError, RuntimeError) as refused:  # a refusal in words is an answer, and is counted as one
        return {"problem": problem.name, "truth": truth, "outcome": "refused", "words": [str(refused)],
                "seconds": time.process_time() - start}  # fmt: skip
    low, high = found.interval()
    covers = problem.meaningful and low - 2 * error <= truth <= high + 2 * error
    outcome = ("right" if covers else "SILENT MISS") if found.converged else "says not converged"
    return {
        "problem": problem.name, "truth": truth, "truth_error": error, "estimate": found.mean, "low": low, "high": high,
        "covers": covers, "converged": found.converged, "outcome": outcome, "words": list(found.warnings),
        "steps": found.total_steps, "seconds": time.process_time() - start,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--half", choices=("design", "held-out"), help="only every other problem")
    parser.add_argument("--only", default="", help="only problems whose name holds this")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true", help=f"write {RECORD.name}")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for index, problem in enumerate(problems()):
        half = ("design", "held-out")[index % 2]
        if options.half in (None, half) and options.only in problem.name:
            rows.append({"half": half} | run(problem, options.seed))
            row = rows[-1]
            print(f"{half:8} {row['outcome']:18} {row['seconds']:5.1f} s  {problem.name}: truth {row['truth']:.4g}, "
                  f"estimate {row.get('estimate', math.nan):.4g} in [{row.get('low', math.nan):.4g}, "
                  f"{row.get('high', math.nan):.4g}]", *row["words"], sep="\n           ", flush=True)  # fmt: skip
    summary = {}
    for half in sorted({row["half"] for row in rows}) + ["all"]:
        own = [row["outcome"] for row in rows if half in (row["half"], "all")]
        summary[half] = {"problems": len(own)} | {name: own.count(name) for name in sorted(set(own))}
    print(json.dumps(summary, indent=1))
    if options.record:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout
        RECORD.write_text(json.dumps({
            "what": "estimate_llc on problems of known posterior mean",
            "command": "python benchmarks/automatic.py --record",
            "commit": commit.strip(), "date": str(date.today()), "device": f"CPU, one thread, {platform.machine()}",
            "seed": options.seed, "relative_error": RELATIVE_ERROR, "max_steps": MAX_STEPS,
            "cpu_seconds": round(sum(row["seconds"] for row in rows)), "summary": summary, "rows": rows,
        }, indent=1) + "\n")  # fmt: skip


if __name__ == "__main__":
    main()
