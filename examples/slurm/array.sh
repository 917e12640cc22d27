#!/bin/bash
# Three hundred runs in one store, fifty at a time: a sweep over learning rates.
#SBATCH --job-name=spirals-sweep
#SBATCH --array=0-299%50
#SBATCH --ntasks=1
#SBATCH --time=01:00:00
#SBATCH --requeue
#SBATCH --output=sweep-%A_%a.out
set -euo pipefail

export STORE_DIR="${STORE_DIR:-$SLURM_SUBMIT_DIR/.store}"
export STORE_GROUP="sweep-$SLURM_ARRAY_JOB_ID"
export STORE_RUN_ID="$STORE_GROUP-$SLURM_ARRAY_TASK_ID"
export STORE_RESUME=allow
export STORE_MODE=offline

# From 0.01 to 10, evenly on a logarithmic scale.
lr=$(python -c 'import sys; print(0.01 * 1000 ** (int(sys.argv[1]) / 299))' "$SLURM_ARRAY_TASK_ID")
srun python train.py --lr "$lr" "$@"
