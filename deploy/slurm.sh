#!/bin/bash
# A study on the nodes of a Slurm allocation: Ray's head and the launch on the first, workers on the others.
#
#   sbatch --export=ALL,NAME=phang,STEPSTONE_HOME=/shared/stepstone deploy/slurm.sh \
#       --space intermediate_tasks --source hub --encoder FacebookAI/xlm-roberta-base --grid --seeds 3
#
# Arguments go to study.launch; NAME, STEPSTONE_HOME, and where wanted WORKERS and MLFLOW_URI, come from the environment.
# Started again, by hand or by Slurm, it goes on with study.resume. docs/cluster.md goes through it. The #SBATCH lines are
# yours to change.
#SBATCH --job-name=stepstone
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-node=1
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
# One lost node ends its own step, and not the job.
#SBATCH --no-kill
# SIGTERM to this script 120 s before the end, and before a preemption where the site sends the signal then.
#SBATCH --signal=B:TERM@120
set -u

: "${NAME:?the name of the study}" "${STEPSTONE_HOME:?a folder on shared storage}"
WORKERS=${WORKERS:-1}
PORT=${PORT:-$((20000 + SLURM_JOB_ID % 20000))} # two jobs may share a node
START_S=${START_S:-300}                         # how long the nodes may take to join
STOP_S=${STOP_S:-60}                            # how long the launch may take to stop

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
ask_head() { srun --nodes=1 --ntasks=1 --nodelist="$head" hostname "$1" | awk '{print $1}'; }
ip=$(ask_head --ip-address)
# Debian's /etc/hosts gives a machine's own name a loopback address, which no other node can reach.
[[ ${#nodes[@]} -gt 1 && $ip == 127.* ]] && ip=$(ask_head --all-ip-addresses)
address=$ip:$PORT
# Nodes are shared: only this job's own processes may use its Ray. All of them must be told so: with an auth_token in ~/.ray,
# which any local run leaves, a head would ask for it, and nodes and studies would not show it.
export RAY_AUTH_MODE=token
RAY_AUTH_TOKEN=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
export RAY_AUTH_TOKEN
steps=() study="" stopped=""

say() { echo "$(date -u +%FT%TZ) $*"; }

# One step per node, so that a node that dies takes no other with it.
start() { # node, options of ray start
    local node=$1
    shift
    srun --nodes=1 --ntasks=1 --nodelist="$node" --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" ray start "$@" --block --disable-usage-stats \
        --num-cpus="${SLURM_CPUS_PER_TASK:-1}" --num-gpus="${SLURM_GPUS_ON_NODE:-0}" &
    steps+=($!)
}

# Only our own steps: `ray stop` would stop the Ray of other jobs of this user on a shared node, too.
clean() {
    trap - EXIT
    kill -TERM "${steps[@]}" 2>/dev/null
    timeout 30 tail --pid="${steps[0]}" -f /dev/null
    kill -KILL "${steps[@]}" 2>/dev/null
}

# Asked of Slurm when it matters: a cancelled job no longer counts as running, limits may have been changed, and
# SLURM_JOB_END_TIME is not set before Slurm 23.02.
time_is_up() {
    local job
    job=$(scontrol show job "$SLURM_JOB_ID")
    [[ $job == *JobState=RUNNING* && $job =~ [[:space:]]EndTime=([0-9T:-]+) ]] &&
        (($(date -d "${BASH_REMATCH[1]}" +%s) - $(date +%s) < 300))
}

# Gives the study STOP_S to stop by itself. What is finished is in the home in either case.
stop() {
    stopped=yes
    [ -n "$study" ] || exit 143
    say "told to stop"
    kill -TERM "$study" 2>/dev/null
    timeout "$STOP_S" tail --pid="$study" -f /dev/null
    kill -KILL "$study" 2>/dev/null
}
trap clean EXIT
trap stop TERM INT

start "$head" --head --node-ip-address="$ip" --port="$PORT" --include-dashboard=false \
    --temp-dir="/tmp/ray-$SLURM_JOB_ID"
for node in "${nodes[@]:1}"; do
    start "$node" --address="$address"
done
say "waiting for ${#nodes[@]} nodes at $address"
python - "$address" "${#nodes[@]}" "$START_S" <<'PYTHON' || exit 1
import sys, time

import ray

address, wanted, limit = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
end = time.monotonic() + limit
while True:
    try:
        ray.init(address=address, log_to_driver=False)
        break
    except Exception as error:  # the head is not up yet
        if time.monotonic() > end:
            sys.exit(f"no head at {address} after {limit:.0f} s: {error}")
        time.sleep(2)
while (there := sum(node["Alive"] for node in ray.nodes())) < wanted:
    if time.monotonic() > end:
        sys.exit(f"{there} of {wanted} nodes joined in {limit:.0f} s")
    time.sleep(1)
PYTHON
[ -z "$stopped" ] || exit 143

common=(--home "$STEPSTONE_HOME" --address "$address" --workers "$WORKERS" ${MLFLOW_URI:+--mlflow-uri "$MLFLOW_URI"})
if [ -e "$STEPSTONE_HOME/studies/$NAME/study.json" ]; then
    python -m study.resume "$NAME" "${common[@]}" &
else
    python -m study.launch "$@" --name "$NAME" "${common[@]}" &
fi
study=$!
wait "$study"
status=$?
if [ -n "$stopped" ]; then
    # Slurm requeues a job that it preempts, and must not be asked to requeue one that was cancelled: only where time is up.
    if time_is_up; then
        say "time is up: the study goes on in the next run of this job"
        clean
        scontrol requeue "$SLURM_JOB_ID"
    fi
    exit 143
fi
say "the study ended with exit code $status"
exit "$status"
