#!/bin/sh
# A worker of the process pool: makes the pool and its deployments when they are not there, and runs what is due.
set -eu
cd "$(dirname "$0")/.."
prefect work-pool inspect spillover >/dev/null 2>&1 || prefect work-pool create spillover --type process
prefect --no-prompt deploy --prefect-file deployments/prefect.yaml --name demo-in-pool --name compare-in-pool --name judge-again-in-pool
exec prefect worker start --pool spillover --type process
