#!/bin/bash
# One run of eight processes on two nodes. Ends before its time limit, and goes on in the next turn.
#SBATCH --job-name=spirals
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --cpus-per-task=1
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@120
set -euo pipefail

# One store for all jobs, on the disk that the login node and all compute nodes see.
export STORE_DIR="${STORE_DIR:-$SLURM_SUBMIT_DIR/.store}"
# A requeued job has the id that it had: all nodes, and all turns, write one run.
export STORE_RUN_ID="job-$SLURM_JOB_ID"
export STORE_RESUME=allow
# No way out of here: `store sync --watch` on the login node sends what is logged.
export STORE_MODE=offline

srun python train.py "$@" &
training=$!

requeue() {
    echo "job $SLURM_JOB_ID: the end is near, so it stops and is queued again"
    kill -TERM "$training" # srun hands it on to every process
    wait "$training" || true
    scontrol requeue "$SLURM_JOB_ID"
    exit 0
}
trap requeue USR1

status=0
wait "$training" || status=$?
if [ "$status" -eq 143 ]; then
    # Slurm itself told the processes to stop, and is about to end this script: after a preemption
    # it queues the job again, unless the script ends first.
    sleep "${GRACE_SECONDS:-300}"
fi
exit "$status"
