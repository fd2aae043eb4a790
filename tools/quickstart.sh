#!/usr/bin/env bash
# From nothing to a pretrained ViT:
#   bash tools/quickstart.sh [IMAGE_DIR] [options of quickstart.py]
# Makes .venv beside this repository's files with pinned packages (the first time only), then trains on the
# pictures under IMAGE_DIR, or on ten photographs that come with the packages.
# Options: --minutes 5, --work-dir work_dirs/quickstart, --config CONFIG, --cfg-options KEY=VALUE ...
# PYTHON names the interpreter to use, MMC_VENV another place for the environment.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/_env.sh"
mmc_help "${BASH_SOURCE[0]}" "$@"

case ${1:-} in
    '' | -*) ;;
    *)
        [ -d "$1" ] || mmc_fail "the image folder $1 does not exist: name a folder with pictures."
        images=$(cd "$1" && pwd)
        shift
        set -- "$images" "$@"
        ;;
esac

mmc_env "${MMC_VENV:-$MMC_ROOT/.venv}" editable
cd "$MMC_ROOT"
exec "$MMC_PYTHON" tools/quickstart.py "$@"
