# The one build graph: notebook -> executed notebook -> book, and sweeps. Run it by `make book`, or by
# `python -m devinterp_core.companion book|sweep ...`, which pass it the options that make a killed build harmless.
#
# There are no input files here: what a run depends on is hashed into the name of its target when this file is read
# (devinterp_core/companion/key.py), so a target that exists is up to date. With an executor plugin the same rules run on
# several machines: see the user guide. `update` keeps Snakemake from deleting a target that appeared after this file was
# read, made by what is left of a killed build.
import os
import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(workflow.basedir))
sys.modules.setdefault("rfc3987_syntax", None)  # two seconds of import that nothing here needs, see __main__.py

from devinterp_core.companion import jobs, order, pages

COMPANION = f"{shlex.quote(sys.executable)} -m devinterp_core.companion".replace("{", "{{").replace("}", "}}")
GRID = os.fsdecode(bytes.fromhex(config.get("sweep", "")))
if GRID:
    from devinterp_core.companion import sweep as sweeps

    SWEEP = sweeps.read(Path(GRID))
JOBS = {job.name: job for job in (SWEEP.jobs if GRID else jobs.book_jobs())}
POSITIONS = jobs.positions(list(JOBS.values()))
BEFORE = {} if GRID else order.predecessors(list(JOBS.values()))  # read once: what is done has no predecessor
PRIORITIES = {} if GRID else order.priorities(list(JOBS.values()))

if GRID:

    localrules: sweep, table

    rule sweep:
        input: SWEEP.target

    rule table:
        input: ancient([job.target for job in JOBS.values()])
        output: SWEEP.target
        params: grid=lambda wildcards: GRID  # a function: braces in a plain text would be wildcards
        shell: f"{COMPANION} collect {{params.grid:q}}"

else:

    localrules: book, pages

    rule book:
        input: pages.target()

    rule pages:
        input: ancient([job.target for job in JOBS.values()])
        output: update(pages.target())
        shell: f"{COMPANION} publish"


rule execute:
    input: lambda wildcards: [ancient(BEFORE[wildcards.run])] if wildcards.run in BEFORE else []
    output: update("_build/executed/{run}/run.json")
    wildcard_constraints: run="|".join(JOBS) or "none"
    params: arguments=lambda wildcards: shlex.join(JOBS[wildcards.run].arguments(POSITIONS.get(wildcards.run, "")))
    priority: lambda wildcards: PRIORITIES.get(wildcards.run, 0)
    threads: 1
    resources:
        gpu=lambda wildcards: JOBS[wildcards.run].gpu,  # one notebook at a time on a GPU
        mem_mb=4000,
        runtime=60,  # minutes; more by --set-resources execute:runtime=600
    shell: f"OMP_NUM_THREADS={{threads}} {COMPANION} run --timeout $(({{resources.runtime}} * 60)) {{params.arguments}}"
