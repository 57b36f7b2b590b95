"""Training of several seeds: our batched step, traced and compiled, beside a plain loop over the seeds, in one run.

python benchmarks/training.py            # writes data/recorded/benchmarks_training.json

Each way runs in an interpreter of its own (a process keeps freed memory or does not); units of it alternate, and a
ratio is the median over rounds. The plain loop is what one writes first: one model, eager, `backward`, PyTorch's AdamW
as it comes, the same batch size and the same stream of data. Time is processor time of the process.
"""

import argparse
import datetime
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from compare import commit, device_name

from devinterp_core.regression import RegressionStream, RegressionTasks, sequence_loss
from devinterp_core.train import TrainingSettings, matmul_rate
from devinterp_core.train.optimizers import Optimizer
from devinterp_core.transformer import Transformer, TransformerConfig, step_flops
from devinterp_core.vectorized import Evaluator, keep_freed_memory

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "data/recorded/benchmarks_training.json"
CONFIG = TransformerConfig(2, 4, 64, 16, input_size=5, output_size=5, d_mlp=64, doubled_residual=True)
WORLD = RegressionTasks(4, 8, 0.125)
SEEDS = 5
WAYS = ("plain", "traced", "compiled")


def plain_steps(batch_size: int) -> Callable[[int], None]:
    """One model; to be multiplied by the number of seeds."""
    model = Transformer(CONFIG)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    stream = RegressionStream((WORLD,), batch_size)

    def advance(num_steps: int) -> None:
        for step in range(num_steps):
            batch = tuple(tensor[0] for tensor in stream(step))
            optimizer.zero_grad()
            sequence_loss(model, batch).mean().backward()
            optimizer.step()

    return advance


def batched_steps(batch_size: int, compile: bool) -> Callable[[int], None]:
    """All seeds: what `devinterp_core.train.run` does between checkpoints."""
    keep_freed_memory()
    models = [Transformer(CONFIG, seed=seed) for seed in range(SEEDS)]
    w = torch.stack([torch.cat([p.detach().flatten() for p in model.parameters()]) for model in models])
    evaluator = Evaluator(models[0], sequence_loss, compile=compile)
    named = zip(evaluator.names, evaluator.segments, evaluator.shapes, strict=True)
    settings = TrainingSettings(num_steps=10**9, learning_rate=1e-3)
    optimizer = Optimizer(w, [(name, a, b, shape) for name, (a, b), shape in named], settings)
    stream = RegressionStream((WORLD,) * SEEDS, batch_size)

    def advance(num_steps: int) -> None:
        for step in range(num_steps):
            _, gradients = evaluator.losses_and_gradient(w, stream(step), False)
            optimizer.step(gradients[0] if len(gradients) == 1 else torch.cat(gradients, dim=1), step)

    return advance


def work(way: str, batch_size: int) -> None:
    """Answer each line on standard input, a number of steps, with the processor seconds they took."""
    torch.set_num_threads(1)
    started = time.perf_counter()
    advance = plain_steps(batch_size) if way == "plain" else batched_steps(batch_size, way == "compiled")
    advance(3)
    print(time.perf_counter() - started, flush=True)
    for line in sys.stdin:
        begun = time.process_time()
        advance(int(line))
        print(time.process_time() - begun, flush=True)


def measure(batch_size: int, rounds: int, num_steps: int) -> dict:
    """Seconds a step for all seeds, by way, and the ratios to the plain loop."""
    command = [sys.executable, "-W", "ignore", __file__, "--batch-size", str(batch_size), "--work"]
    workers = {
        way: subprocess.Popen([*command, way], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        for way in WAYS
    }
    setup = {way: float(worker.stdout.readline()) for way, worker in workers.items()}
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way, worker in workers.items():
            worker.stdin.write(f"{num_steps}\n")
            each = SEEDS if way == "plain" else 1
            times[way].append(each * float(worker.stdout.readline()) / num_steps)
    for worker in workers.values():
        worker.stdin.close()
        worker.wait()
    seconds = {way: statistics.median(values) for way, values in times.items()}
    ratios = {way: [p / o for p, o in zip(times["plain"], times[way], strict=True)] for way in WAYS[1:]}
    flops = SEEDS * step_flops(Transformer(CONFIG), batch_size, CONFIG.num_positions)
    tokens = SEEDS * batch_size * CONFIG.num_positions
    return {
        "batch_size": batch_size, "seeds": SEEDS, "setup_seconds": setup, "step_seconds": seconds,
        "ratio": {way: statistics.median(values) for way, values in ratios.items()},
        "ratio_range": {way: [min(values), max(values)] for way, values in ratios.items()},
        "tokens_a_second": {way: tokens / value for way, value in seconds.items()},
        "flops": flops, "gflops": {way: flops / value / 1e9 for way, value in seconds.items()},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", choices=WAYS, help="internal: be a worker")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=40)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.work, arguments.batch_size)
        return
    torch.set_num_threads(1)
    begun = time.perf_counter()
    peak = matmul_rate()
    cases = [measure(batch_size, arguments.rounds, arguments.steps) for batch_size in (32, 64, 256)]
    record = {
        "command": "python benchmarks/training.py", "commit": commit(), "device": device_name(), "threads": 1,
        "date": datetime.date.today().isoformat(), "rounds": arguments.rounds, "steps_a_unit": arguments.steps,
        "wall_seconds": round(time.perf_counter() - begun), "torch": torch.__version__, "peak_gflops": peak / 1e9,
        "cases": cases,
    }  # fmt: skip
    TARGET.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
