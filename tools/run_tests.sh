#!/usr/bin/env bash
# Runs the tests in the pinned environment: bash tools/run_tests.sh [options of pytest]
# PYTHON names the interpreter to use, MMC_VENV another place for the environment, and MMC_DATA_ROOT
# the real data that some tests need (they are skipped without it).
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/_env.sh"
mmc_help "${BASH_SOURCE[0]}" "$@"

# The environment beside the checkout is the user's, who may go on to train in it.
if [ -z "${MMC_VENV:-}" ]; then
    mmc_env "$MMC_ROOT/.venv" editable
else
    mmc_env "$MMC_VENV"
fi
if [ -n "${MMC_DATA_ROOT:-}" ]; then
    MMC_DATA_ROOT=$(cd "$MMC_DATA_ROOT" && pwd) || mmc_fail "MMC_DATA_ROOT is not a folder."
    export MMC_DATA_ROOT
fi
# The checkout itself is under test, wherever else the environment may have a copy installed.
export PYTHONPATH="$MMC_ROOT${PYTHONPATH:+:$PYTHONPATH}"
cd "$MMC_ROOT"
exec "$MMC_PYTHON" -m pytest "$@"
