#!/usr/bin/env bash
# Proof that a sweep runs on a Slurm cluster: starts a real one with two nodes on this machine, sends the documented
# example through it, shows on which node each run was made and the table that was collected, and stops it again.
#
# Debian, as root: bash tests/cluster/slurm_proof.sh [GRID.yaml]     (installs slurm-wlm and munge if they are missing)
# Everything but those two packages, and a link in /etc/slurm, is in a temporary folder, which stands for the file system
# that the nodes share.
set -euo pipefail
cd "$(dirname "$0")/../.."
repository=$PWD
grid=${1:-notebooks/params/example_sweep.yaml}
python=$repository/.venv/bin/python

[ "$(id -u)" = 0 ] && [ -e /etc/debian_version ] || { echo "This script needs root on Debian." >&2; exit 1; }
[ -x "$python" ] || { echo "Run make book first: it makes .venv." >&2; exit 1; }
if ! command -v slurmctld >/dev/null || ! command -v munged >/dev/null; then
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge >/dev/null
fi

installed=/etc/slurm/slurm.conf # where jobs look for it: Snakemake does not pass $SLURM_CONF on
[ ! -e $installed ] || { echo "$installed exists: this machine has a cluster, the proof would disturb it." >&2; exit 1; }

shared=$(mktemp -d)
started_munge=""
stop() {
    for pid in "$shared"/cluster/*.pid ${started_munge:+/run/munge/munged.pid}; do
        [ -e "$pid" ] && kill "$(cat "$pid")" 2>/dev/null || true
    done
    rm -rf "$shared" $installed
}
trap stop EXIT

# the project, on the shared file system
mkdir "$shared/project"
cp -r Snakefile notebooks devinterp_core data requirements*.lock jupytext.toml "$shared/project"
rm -f "$shared"/project/notebooks/*.ipynb

# the cluster: one controller, two nodes of one core
cluster=$shared/cluster
mkdir -p "$cluster/state" "$cluster/spool.n1" "$cluster/spool.n2"
host=$(hostname -s)
cat >"$cluster/slurm.conf" <<CONF
ClusterName=proof
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation=$cluster/state
SlurmdSpoolDir=$cluster/spool.%n
SlurmctldPidFile=$cluster/controller.pid
SlurmdPidFile=$cluster/node.%n.pid
SlurmctldLogFile=$cluster/controller.log
SlurmdLogFile=$cluster/node.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MailProg=/bin/true
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=17001 CPUs=1 RealMemory=4000
NodeName=n2 NodeHostname=$host NodeAddr=127.0.0.1 Port=17002 CPUs=1 RealMemory=4000
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
CONF
ln -s "$cluster/slurm.conf" $installed
if [ ! -S /run/munge/munge.socket.2 ]; then
    install -d -o munge -g munge /run/munge
    su -s /bin/sh munge -c /usr/sbin/munged
    started_munge=yes
fi
slurmctld
slurmd -N n1
slurmd -N n2
for _ in $(seq 30); do
    [ "$(sinfo --noheader --format %T)" = idle ] && break
    sleep 1
done
echo "== the cluster"
sinfo --Node --long
srun -N2 -n2 sh -c 'echo "a task on node $SLURMD_NODENAME"'

echo "== the sweep: $grid"
cat "$grid"
cd "$shared/project"
export COMPANION_ROOT=$shared/project
# no accounting database here: ask squeue, not sacct
sweep=("$python" -m devinterp_core.companion sweep "$grid" --executor slurm --jobs 2
    --default-resources slurm_partition=main --slurm-status-command squeue
    --slurm-init-seconds-before-status-checks 5)
if ! "${sweep[@]}"; then
    tail -n 40 .snakemake/slurm_logs/*/*/*.log "$cluster"/*.log >&2
    exit 1
fi

echo "== the jobs, as Slurm saw them"
squeue --states=all --format="%.8i %.10T %.5N %.20S %.10M"
echo "== the runs, as they recorded themselves"
"$python" - <<'PY'
import json
from pathlib import Path

nodes = set()
for path in sorted(Path("_build/executed").glob("*/run.json")):
    run = json.loads(path.read_text())
    nodes.add(run["machine"].get("node"))
    print(run["notebook"], run["key"], "node", run["machine"].get("node"), run["wall_seconds"], "s", run["parameters"])
assert nodes == {"n1", "n2"}, f"the runs were made on {nodes}"
PY
echo "== the table"
"$python" -c "
import pandas as pd
table = pd.read_csv('_build/sweeps/$(basename "$grid" .yaml).csv')
print(table.to_string(max_colwidth=40))"
echo "== the same command again: nothing is left to do"
"${sweep[@]}"
echo "The proof holds: both nodes made runs, and their results are in one table."
