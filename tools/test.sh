#!/usr/bin/env bash
# Tests with one process or several: test.sh CONFIG CHECKPOINT [GPUS] [options of test.py]
set -euo pipefail
if [ $# -lt 2 ]; then
    echo 'usage: test.sh CONFIG CHECKPOINT [GPUS] [options of test.py]' >&2
    exit 2
fi
config=$1
checkpoint=$2
shift 2
gpus=1
if [[ ${1:-} =~ ^[0-9]+$ ]]; then
    gpus=$1
    shift
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
if [ "$gpus" -gt 1 ]; then
    exec bash "$here/dist_test.sh" "$config" "$checkpoint" "$gpus" "$@"
fi
export PYTHONPATH="$(dirname "$here")${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python}" "$here/test.py" "$config" "$checkpoint" "$@"
