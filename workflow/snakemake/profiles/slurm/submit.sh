#!/usr/bin/env bash
# submit.sh THREADS MEMORY_MB MINUTES RULE SCRIPT: put a job in Slurm's queue, print its number.
set -euo pipefail
threads=$1 memory=$2 minutes=$3 rule=$4 script=$5
mkdir -p slurm
exec sbatch --parsable --cpus-per-task="$threads" --mem="${memory}M" --time="$minutes" \
  --job-name="lmmgwas-$rule" --output="slurm/$rule-%j.out" "$script"
