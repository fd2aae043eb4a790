#!/usr/bin/env bash
# Runs the tests in a pinned environment: bash tools/run_tests.sh [--ops | --line upstream] [options of pytest]
#   --ops            with mmdetection and mmcv's compiled operators, which detection needs
#   --line upstream  on the upstream releases of OpenMMLab, with operators; needs Python 3.10
#   --if-compiled    does nothing, and says so, where the operators have yet to be compiled
# The environments of the first two are kept in ~/.cache/mmc_plugin (MMC_CACHE), with the wheel of the
# operators, whose compilation needs a C++ compiler. PYTHON names the interpreter to use, MMC_VENV
# another place for the environment, and MMC_DATA_ROOT the real data that some tests need (they are
# skipped without it).
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/_env.sh"
. "$(dirname "${BASH_SOURCE[0]}")/_operators.sh"
mmc_help "${BASH_SOURCE[0]}" "$@"

line=onedl operators='' compiled='' options=()
while [ $# -gt 0 ]; do
    case $1 in
        --line)
            line=${2:-}
            shift
            ;;
        --line=*) line=${1#*=} ;;
        --ops) operators=onedl-mmcv==2.3.6 ;;
        --if-compiled) compiled=only ;;
        *) options+=("$1") ;;
    esac
    shift || mmc_fail "--line needs onedl or upstream after it."
done
case $line in
    onedl)
        if [ -n "$operators" ]; then MMC_PINS+=(operators.txt); fi
        ;;
    upstream)
        MMC_PINS=(upstream.txt)
        MMC_PYTHONS=3.10
        operators=mmcv==2.1.0
        ;;
    *) mmc_fail "--line is '$line': it must be onedl or upstream." ;;
esac

if [ -n "$operators" ]; then
    if [ -n "$compiled" ]; then
        wheels=$(mmc_wheels "$operators" 2>/dev/null) || wheels=none
        if [ -z "$(mmc_wheel "$wheels")" ]; then
            echo "Left out: the tests with $operators, whose operators are not compiled here."
            exit
        fi
    fi
    wheels=$(mmc_wheels "$operators")
    venv=${MMC_VENV:-$(dirname "$(dirname "$wheels")")/$(mmc_env_key)}
    mmc_env "$venv"
    mmc_operators "$venv" "$operators" "$wheels"
# The environment beside the checkout is the user's, who may go on to train in it.
elif [ -z "${MMC_VENV:-}" ]; then
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
code=0
# Two processes, a file of tests each; -n 0 is one, and -n 4 and the like are for larger machines.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
"$MMC_PYTHON" -m pytest -n 2 --dist loadfile ${options[@]+"${options[@]}"} || code=$?
if [ -z "$operators" ]; then
    echo 'Left out: detection (--ops) and the upstream releases of OpenMMLab (--line upstream).'
fi
exit $code
