"""How often `LearningCoefficient.interval` of gradient chains covers what it is an interval for, and how often lambda.

    python benchmarks/coverage.py [--seeds 100 101 102] [--networks 24] [--record]

The networks are those of the chapter on deep linear networks, class 1K, sampled as there (four chains of SGNHT, 3,000
steps, the first half burn-in), with seeds that were not used when the rule of the interval was chosen. An interval is
for the mean of the posterior at its n_beta: exact draws from two sides give it, with an interval of their own that is
counted in. `--record` writes data/recorded/coverage.json.
"""

import argparse
import json
import math
import platform
import statistics
import subprocess
import time
from datetime import date
from pathlib import Path

import torch
from scipy.stats import binomtest

from devinterp_core import dln
from devinterp_core.calibration import pilot_step_size
from devinterp_core.llc import local_learning_coefficient
from devinterp_core.sampler import DivergenceError, sample

RECORD = Path(__file__).parent.parent / "data/recorded/coverage.json"
SIZE = dln.CLASSES["1K"]
NUM_STEPS, EXACT_DRAWS, EXACT_BURNIN = 3000, 1000, 300


def measure(network: int, seeds: list[int]) -> list[dict]:
    """One network: the exact posterior mean, then an interval for each seed."""
    architecture = dln.random_architecture(SIZE, seed=network)
    model = dln.random_network(architecture, seed=network)
    setting = {"n_beta": SIZE.num_samples / math.log(SIZE.num_samples), "localization": 1.0}
    exact = local_learning_coefficient(
        dln.gibbs_sample(model, num_chains=4, num_draws=EXACT_DRAWS, num_burnin=EXACT_BURNIN, start="both",
                         seed=network, progress=False, **setting)
    )  # fmt: skip
    low, high = exact.interval()
    common = {"network": network, "truth": float(architecture.truth[0]), "posterior": exact.mean,
              "posterior_low": low, "posterior_high": high, "posterior_r_hat": exact.r_hat}  # fmt: skip
    data = dln.population_data(model)
    rows = []
    for seed in seeds:
        start = time.process_time()
        try:
            step_size = pilot_step_size(model, data, dln.squared_error, num_steps=NUM_STEPS // 4, seed=seed, **setting)
            draws = sample(model, data, dln.squared_error, method="sgnht", step_size=step_size, num_chains=4,
                           num_burnin=NUM_STEPS // 2, num_draws=NUM_STEPS // 20, num_steps_between_draws=10, seed=seed,
                           progress=False, **setting)  # fmt: skip
        except DivergenceError as diverged:
            rows.append(common | {"seed": seed, "diverged": str(diverged)})
            continue
        found = local_learning_coefficient(draws)
        low, high = found.interval()
        half = math.hypot((high - low) / 2, (common["posterior_high"] - common["posterior_low"]) / 2)
        rows.append(common | {
            "seed": seed, "estimate": found.mean, "low": low, "high": high, "r_hat": found.r_hat,
            "covers_posterior_mean": abs(found.mean - exact.mean) <= half,
            "covers_lambda": low <= common["truth"] <= high, "seconds": time.process_time() - start,
        })  # fmt: skip
    return rows


def share(rows: list[dict], key: str) -> dict:
    """Share of covering intervals with its Wilson interval over the networks, the unit that varies.

    Runs of one network are not independent: the interval is that of as many trials as there are networks, the number
    of covering ones rounded down.
    """
    found = [row[key] for row in rows if key in row]
    networks = len({row["network"] for row in rows})
    value = sum(found) / len(found)
    low, high = binomtest(int(value * networks), networks).proportion_ci(method="wilson")
    return {"intervals": len(found), "covering": sum(found), "share": value, "low": low, "high": high}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[100, 101, 102])
    parser.add_argument("--networks", type=int, default=24)
    parser.add_argument("--record", action="store_true", help=f"write {RECORD.name}")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for network in range(options.networks):
        rows += measure(network, options.seeds)
        print(*(json.dumps(row) for row in rows[-len(options.seeds) :]), sep="\n", flush=True)
    widths = [(row["high"] - row["low"]) / 2 / row["estimate"] for row in rows if "estimate" in row]
    summary = {"runs": len(rows), "diverged": len(rows) - len(widths), "median_half_width": statistics.median(widths)}
    summary |= {key: share(rows, key) for key in ("covers_posterior_mean", "covers_lambda")}
    print(json.dumps(summary, indent=1))
    if options.record:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout
        RECORD.write_text(json.dumps({
            "what": "intervals of gradient chains on deep linear networks of class 1K",
            "command": "python benchmarks/coverage.py --record", "commit": commit.strip(), "date": str(date.today()),
            "device": f"CPU, one thread, {platform.machine()}", "seeds": options.seeds, "num_steps": NUM_STEPS,
            "cpu_seconds": round(sum(row.get("seconds", 0) for row in rows)), "summary": summary, "rows": rows,
        }, indent=1) + "\n")  # fmt: skip


if __name__ == "__main__":
    main()
