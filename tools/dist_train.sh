#!/usr/bin/env bash
# Trains with several processes: dist_train.sh CONFIG GPUS [options of train.py]
# For several nodes, run it on each with NNODES, NODE_RANK, MASTER_ADDR and, if 29500 is taken, PORT.
# MAX_RESTARTS=3 with --resume starts all processes anew, up to three times, when one of them dies.
set -euo pipefail
if [ $# -lt 2 ]; then
    echo 'usage: dist_train.sh CONFIG GPUS [options of train.py]' >&2
    exit 2
fi
config=$1
gpus=$2
shift 2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
export PYTHONPATH="$(dirname "$here")${PYTHONPATH:+:$PYTHONPATH}"
address=${MASTER_ADDR:-127.0.0.1} port=${PORT:-29500}
if [ "${MAX_RESTARTS:-0}" = 0 ]; then
    meeting=(--node_rank="${NODE_RANK:-0}" --master_addr="$address" --master_port="$port")
else
    # Otherwise the restarted processes read the addresses of the dead ones (pytorch issue 135712).
    export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
    meeting=(--max_restarts="$MAX_RESTARTS" --rdzv_backend=c10d --rdzv_endpoint="$address:$port")
fi
exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    "${meeting[@]}" \
    --nproc_per_node="$gpus" \
    "$here/train.py" "$config" --launcher pytorch "$@"
