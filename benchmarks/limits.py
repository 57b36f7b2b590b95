"""How far one step of our sampler is from the work that no sampler can avoid, and where its time goes.

The unavoidable work of a step is a forward and a backward pass of each chain's minibatch: `bare`. Below that stands the
arithmetic alone: multiply-adds of a deep linear network over the measured rate of the same matrix multiplication.
"""

import math
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from cases import CASES, Case, build, loss_of

sys.path.insert(0, str(Path(__file__).parent.parent))

# Which part of a step an operation belongs to; what is in none of them is OTHER.
PARTS = {
    "matrix multiplication": ("aten::mm", "aten::bmm", "aten::addmm", "aten::baddbmm"),
    "noise": ("aten::normal_",),
    "minibatch": ("aten::index_select", "aten::randint", "aten::random_", "aten::index", "aten::gather"),
    "update of the weights": ("aten::add_", "aten::mul_", "aten::sub_", "aten::addcmul_", "aten::lerp_", "aten::lerp"),
}
OTHER = "the rest of the loss and its gradient, launches"


def clock(call: Callable[[], object], repeats: int) -> list[float]:
    """Wall-clock seconds of each of `repeats` calls, after one that warms."""
    call()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return seconds


def noise_calls(size: int) -> dict[str, Callable[[], object]]:
    """Ways to fill `size` float32 numbers with normals, and the parts of ways that were tried."""
    generator, stream = torch.Generator().manual_seed(0), np.random.Generator(np.random.SFC64(0))
    out, wide, strided = torch.empty(size), torch.empty(size, dtype=torch.float64), torch.empty(size, 2)[:, 0]
    array, uniform = out.numpy(), torch.rand(size) * 0.99 + 0.005
    return {
        "PyTorch normal_, float32, contiguous": lambda: out.normal_(0.0, 0.01, generator=generator),
        "PyTorch normal_, strided": lambda: strided.normal_(0.0, 0.01, generator=generator),
        "PyTorch normal_, float64": lambda: wide.normal_(0.0, 0.01, generator=generator),
        "PyTorch uniform_ (the Mersenne Twister alone)": lambda: out.uniform_(generator=generator),
        "NumPy ziggurat, SFC64": lambda: stream.standard_normal(out=array, dtype=np.float32),
        "NumPy SFC64, 32 raw bits": lambda: stream.bit_generator.random_raw(size // 2),
        "PyTorch log (a Box-Muller pair needs one)": lambda: torch.log(uniform, out=out),
        "PyTorch sin (a Box-Muller pair needs two)": lambda: torch.sin(uniform, out=out),
        "PyTorch erfinv (without its uniforms)": lambda: torch.erfinv(uniform, out=out),
    }


def noise_rates() -> list[dict]:
    """Nanoseconds a number by generator and block size: the least of many repeats."""
    return [
        {"generator": name, "size": size, "ns": min(clock(call, max(5, min(200, 2_000_000 // size)))) / size * 1e9}
        for size in (180, 10_000, 1_000_000)
        for name, call in noise_calls(size).items()
    ]


def noise_check(num_blocks: int = 30, size: int = 4_000_000) -> dict:
    """Moments and tails of the noise that the sampler uses, against the normal distribution, in standard errors."""
    out, sums, beyond, largest = (
        torch.empty(size),
        torch.zeros(4, dtype=torch.float64),
        dict.fromkeys((3, 4, 5), 0),
        0.0,
    )
    for seed in range(num_blocks):
        out.normal_(0.0, 1.0, generator=torch.Generator().manual_seed(seed))
        x, square = out.double(), out.double().square()
        sums += torch.stack([x.sum(), square.sum(), (x * square).sum(), square.square().sum()])
        beyond = {k: count + int((out.abs() > k).sum()) for k, count in beyond.items()}
        largest = max(largest, float(out.abs().max()))
    n = num_blocks * size
    truth, variance = torch.tensor([0.0, 1, 0, 3]), torch.tensor([1.0, 2, 15, 96])
    tails = {k: n * math.erfc(k / math.sqrt(2)) for k in beyond}
    return {
        "numbers": n, "moments_z": ((sums / n - truth) / (variance / n).sqrt()).tolist(), "largest": largest,
        "tails_z": [(beyond[k] - tails[k]) / math.sqrt(tails[k]) for k in tails], "tails_at": list(tails),
        "bits": 24, "furthest": math.sqrt(2 * 24 * math.log(2)),
        "variance_deficit": math.log(2 * math.pi * 2**24) / (2 * 2**24),
    }  # fmt: skip


def bare_pass(case: Case) -> Callable[[], None]:
    """One forward and backward pass of a minibatch for each chain, nothing else."""
    model, data = build(case)
    loss, batch = loss_of(case), tuple(t[: case.batch_size].contiguous() for t in data)
    parameters = list(model.parameters())

    def run() -> None:
        for _ in range(case.num_chains):
            torch.autograd.grad(loss(model, batch).mean(), parameters)

    return run


def sampler_steps(case: Case) -> Callable[[int], None]:
    """`sample` for a given number of steps with a single draw at the end."""
    from devinterp_core.sampler import run as sampling
    from devinterp_core.sampler import sample

    sampling.TRACE_FROM = 0  # as in a long run, see `worker.ours`
    model, data = build(case)

    def run(num_steps: int) -> None:
        sample(
            model, data, loss_of(case), step_size=case.step_size, n_beta=case.n_beta, num_chains=case.num_chains,
            num_draws=1, num_steps_between_draws=num_steps, batch_size=case.batch_size, progress=False,
        )  # fmt: skip

    return run


def step_against_bare(name: str, repeats: int, num_steps: int) -> dict:
    """Milliseconds of a bare pass and of a sampler step for all chains, measured in turn; set-up is subtracted."""
    case = CASES[name]
    bare, steps = bare_pass(case), sampler_steps(case)
    bare()
    steps(2)
    bares, shorts, longs = [], [], []
    for _ in range(repeats):
        bares.append(statistics.fmean(clock(bare, num_steps)))
        for calls, total in ((shorts, 2), (longs, 2 + num_steps)):
            start = time.perf_counter()
            steps(total)
            calls.append(time.perf_counter() - start)
    whole = [(long - statistics.median(shorts)) / num_steps for long in longs]
    ratios = [step / bare_seconds for step, bare_seconds in zip(whole, bares, strict=True)]
    return {
        "case": name, "label": case.label, "num_chains": case.num_chains, "batch_size": case.batch_size,
        "bare_ms": 1000 * statistics.median(bares), "step_ms": 1000 * statistics.median(whole),
        "bare_ms_least": 1000 * min(bares), "step_ms_least": 1000 * (min(longs) - min(shorts)) / num_steps,
        "ratio": statistics.median(ratios), "ratios": ratios, "pairs": repeats,
    }  # fmt: skip


def matrix_rate(name: str) -> dict:
    """Rate of the multiplication at the heart of a case, and what the arithmetic of one step costs at that rate."""
    case = CASES[name]
    width, batch, chains = case.widths[0], case.batch_size, case.num_chains
    left, right = torch.randn(chains, batch, width), torch.randn(chains, width, width)
    out = torch.empty(chains, batch, width)
    seconds = min(clock(lambda: torch.bmm(left, right, out=out), 50)) / chains
    layers = len(case.widths) - 1
    multiplications = 3 * layers - 1  # forward, gradient of the weights, gradient of the inputs but the first's
    flop = 2 * batch * width * width
    return {
        "case": name, "label": case.label, "gflop_per_second": flop / seconds / 1e9, "multiplications": multiplications,
        "gflop_per_step": case.num_chains * multiplications * flop / 1e9,
        "floor_ms": 1000 * case.num_chains * multiplications * seconds,
    }  # fmt: skip


def _operation_times(steps: Callable[[int], None], num_steps: int) -> dict[str, float]:
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        steps(num_steps)
    return {event.key: event.self_cpu_time_total for event in profiler.key_averages()}


def profile(name: str, num_steps: int) -> dict:
    """Share of a step's time by part, and its costliest operations; the set-up is subtracted."""
    steps = sampler_steps(CASES[name])
    steps(2)
    setup, whole = _operation_times(steps, 2), _operation_times(steps, 2 + num_steps)
    operations = {key: max(0.0, time - setup.get(key, 0.0)) for key, time in whole.items()}
    total = sum(operations.values())
    shares = defaultdict(float)
    for operation, microseconds in operations.items():
        part = next((p for p, names in PARTS.items() if operation in names), OTHER)
        shares[part] += microseconds / total
    costliest = sorted(operations.items(), key=lambda item: -item[1])[:6]
    return {
        "case": name, "label": CASES[name].label, "shares": {p: shares[p] for p in (*PARTS, OTHER)},
        "costliest": [{"operation": o, "share": us / total} for o, us in costliest],
    }  # fmt: skip


def measure_limits(threads: int) -> dict:
    """All of this module, for the record."""
    torch.set_num_threads(threads)
    return {
        "noise": noise_rates(),
        "noise_check": noise_check(),
        "matrix": [matrix_rate("dln-1m"), matrix_rate("dln-97k"), matrix_rate("dln-12k")],
        "step": [
            step_against_bare("dln-1m", 7, 8),
            step_against_bare("dln-97k", 5, 40),
            step_against_bare("dln-12k", 5, 100),
        ],
        "profile": [profile("tms", 300), profile("dln-900", 300), profile("dln-97k", 40), profile("dln-1m", 10)],
    }


if __name__ == "__main__":
    import json

    print(json.dumps(measure_limits(1), indent=1))
