"""Runs one library's sampler on demand, in that library's own interpreter.

    python benchmarks/worker.py LIBRARY --threads 1

One request a line on stdin, `{"case": ..., "variant": ..., "num_steps": ..., "seed": ...}`; one answer a line on
stdout: seconds of the whole call (wall clock and CPU), the LLC of each chain, a fingerprint of weights and data; from a
library that tells when its steps begin, also the seconds until `SHORT` steps were taken.
`compare` alternates between the workers so that both libraries meet the same moments of a machine.
"""

import argparse
import contextlib
import gc
import importlib.metadata
import json
import logging
import os
import sys
import tempfile
import time
import warnings

os.environ.setdefault("TQDM_DISABLE", "1")

import torch
from cases import CASES, SHORT, Case, build, fingerprint, loss_of, token_losses
from torch.utils.data import DataLoader, Dataset, TensorDataset


def ours(case: Case, variant: str, num_steps: int, seed: int):
    """`devinterp_core.sampler.sample`; tensors are already in memory.

    Runs of many steps trace their evaluation first; so does every call here, short as it is, because the steps of a
    long run are what is timed. The tracing falls into the set-up.
    """
    from devinterp_core.sampler import run as sampling
    from devinterp_core.sampler import sample

    sampling.TRACE_FROM = 0

    model, data = build(case)

    def run():
        draws = sample(
            model, data, loss_of(case), step_size=case.step_size, n_beta=case.n_beta, localization=1.0,
            num_chains=case.num_chains, num_draws=num_steps, batch_size=case.batch_size, seed=seed, progress=False,
        )  # fmt: skip
        return (case.n_beta * draws.loss_difference.mean("draw")).values.tolist()

    return model, data, run


class Batched(Dataset):
    """In-memory data that hands a whole minibatch to the loader by one indexing operation."""

    def __init__(self, *tensors):
        self.tensors = tensors

    def __len__(self):
        return len(self.tensors[0])

    def __getitems__(self, indices):
        chosen = torch.as_tensor(indices)
        return tuple(t[chosen] for t in self.tensors)


def identity(batch):
    return batch


def devinterp_1(case: Case, variant: str, num_steps: int, seed: int):
    """`estimate_learning_coeff_with_summary` of devinterp 1.3.2, one process.

    Variants: `default` is the documented use, a shuffled DataLoader over a TensorDataset and the SGLD optimiser;
    `loader` indexes a whole batch at once; `sgmcmc` takes the newer optimiser class; `best` does both.
    """
    from devinterp.optim import SGLD, SGMCMC
    from devinterp.slt.sampler import estimate_learning_coeff_with_summary

    model, data = build(case)
    loss = loss_of(case)
    if variant in ("loader", "best"):
        loader = DataLoader(Batched(*data), batch_size=case.batch_size, shuffle=True, collate_fn=identity)
    else:
        loader = DataLoader(TensorDataset(*data), batch_size=case.batch_size, shuffle=True)

    def evaluate(model, batch):
        return loss(model, batch).mean(), {}

    def run():
        result = estimate_learning_coeff_with_summary(
            model, loader, evaluate=evaluate, num_draws=num_steps, num_chains=case.num_chains, cores=1, seed=seed,
            sampling_method=SGMCMC.sgld if variant in ("sgmcmc", "best") else SGLD, verbose=False,
            optimizer_kwargs={"lr": case.step_size, "nbeta": case.n_beta, "localization": 1.0},
        )  # fmt: skip
        return [float(result[f"llc-chain/{chain}"]) for chain in range(case.num_chains)]

    return model, data, run


def devinterp_2(case: Case, variant: str, num_steps: int, seed: int):
    """`sample` of devinterp 2.0.1, which takes language models: `default` a Hugging Face data set, `best` a list."""
    from devinterp.slt.llc import compute_llc
    from devinterp.slt.sampling import sample

    model, data = build(case)
    if variant == "best":
        tokens = [{"input_ids": row} for row in data[0]]
    else:
        from datasets import Dataset as TokenDataset

        tokens = TokenDataset.from_dict({"input_ids": data[0].tolist()}).with_format("torch")

    def run():
        with tempfile.TemporaryDirectory() as folder:
            draws = sample(
                model, tokens, {}, lr=case.step_size, n_beta=case.n_beta, localization=1.0, loss_fn=token_losses,
                num_chains=case.num_chains, num_draws=num_steps, batch_size=case.batch_size, num_init_loss_batches=4,
                init_seed=seed, device="cpu", output_path=os.path.join(folder, "draws.zarr"),
            )  # fmt: skip
            return compute_llc(draws)["llc_per_chain"].values.tolist()

    return model, data, run


def canonical_interp(case: Case, variant: str, num_steps: int, seed: int):
    """`LLCEstimator.estimate_llc` of canonical-interp 0.2.7: chains vectorised, one minibatch shared by all of them.

    Variants: `default` is the documented use, gradient and update compiled, an unshuffled DataLoader over a
    TensorDataset; `uncompiled` compiles the update alone, which it always does; `best` is compiled and indexes a whole
    batch at once. It keeps the minibatches of the first epoch and replays them, so that loading ends with the epoch.

    A call compiles for seconds, which vary by more than all its steps take: the time of the steps is read within the
    call, where it asks `unpack_fn` for a minibatch, instead of taken as the difference of two calls.
    """
    from canonical_interp import LLCEstimator

    logging.getLogger("canonical_interp").setLevel(logging.ERROR)  # advice on settings, at every call
    model, data = build(case)
    loss, begun = loss_of(case), []
    if variant == "best":
        loader = DataLoader(Batched(*data), batch_size=case.batch_size, shuffle=False, collate_fn=identity)
    else:
        loader = DataLoader(TensorDataset(*data), batch_size=case.batch_size, shuffle=False)

    def unpack(batch):
        begun.append((time.perf_counter(), time.process_time()))
        return batch[0], batch[-1]

    def criterion(outputs, targets):  # the losses are functions of a model: hand them one that has run
        return loss(lambda _: outputs, (targets, targets)).mean()

    def run():
        estimator = LLCEstimator(
            draws=num_steps, chains=case.num_chains, burnin_steps=0, steps_bw_draws=1,
            learning_rate=case.step_size, localization=1.0, nbeta=case.n_beta,
        )  # fmt: skip
        estimator.estimate_llc(
            model, loader, criterion_fn=criterion, unpack_fn=unpack, seed=seed, show_progress=False,
            **({"compile": False} if variant == "uncompiled" else {}),
        )  # fmt: skip
        # before the steps it goes through all data once, for the baseline
        return estimator.get_metrics()["llcs"].tolist(), begun[len(loader) :][SHORT:][:1]

    # Each call compiles closures of its own; after eight in one process PyTorch would quietly stop compiling.
    torch.compiler.reset()
    return model, data, run


LIBRARIES = {
    "devinterp_core": ours,
    "devinterp-1.3.2": devinterp_1,
    "devinterp-2.0.1": devinterp_2,
    "canonical-interp-0.2.7": canonical_interp,
}
TELLS_STEPS = ("canonical-interp-0.2.7",)  # whose `run` also returns when the step after `SHORT` began


def answer(library: str, request: dict) -> dict:
    """Time one whole call."""
    case = CASES[request["case"]]
    model, data, run = LIBRARIES[library](case, request["variant"], request["num_steps"], request["seed"])
    gc.collect()
    start, cpu_start = time.perf_counter(), time.process_time()
    result = run()
    taken = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu_start}
    per_chain, begun = result if library in TELLS_STEPS else (result, [])
    if begun:
        taken["short"] = {"seconds": begun[0][0] - start, "cpu_seconds": begun[0][1] - cpu_start}
    return taken | {
        "llc_per_chain": per_chain,
        "fingerprint": fingerprint(model, data),
        "num_parameters": sum(p.numel() for p in model.parameters()),
    }


def versions() -> dict[str, str]:
    names = ("torch", "numpy", "devinterp", "canonical-interp", "transformers")
    found = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}
    return {"python": sys.version.split()[0]} | {n: found[n] for n in names if n in found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", choices=LIBRARIES)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.simplefilter("ignore")
    replies = sys.stdout
    about = {"versions": versions(), "threads": torch.get_num_threads()}
    print(json.dumps(about | {"tells_steps": arguments.library in TELLS_STEPS}), file=replies, flush=True)
    for line in sys.stdin:
        with contextlib.redirect_stdout(sys.stderr):
            reply = answer(arguments.library, json.loads(line))
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()
