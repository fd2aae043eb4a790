#!/usr/bin/env bash
# Trains the methods of the family under the same conditions and sets them side by side:
#   tools/compare_methods.sh DATA OUT --epochs N | --minutes M [METHOD ...] [-- options of compare_runs.py]
# DATA has train/ and val/, a folder a class. Without a METHOD all nine are trained: mmc sit dino ibot
# mcssl msn maskco mocov3 mae, by configs/METHOD/vitt_caltech101.py. A second call goes on where the
# first was stopped. OUT gets index.html, table.md, table.json and curves.png of the methods named.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
case "${1:-}" in
    -h | --help)
        sed -n '2,${/^#/!q;s/^# \{0,1\}//p;}' "$0"
        exit
        ;;
esac
if [ $# -lt 4 ]; then
    echo 'usage: compare_methods.sh DATA OUT --epochs N | --minutes M [METHOD ...] [-- options]' >&2
    exit 2
fi
data=$1 out=$2 length=("$3" "$4")
shift 4
methods=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    methods+=("$1")
    shift
done
[ "${1:-}" != -- ] || shift
[ ${#methods[@]} -gt 0 ] || methods=(mmc sit dino ibot mcssl msn maskco mocov3 mae)
configs=()
for method in "${methods[@]}"; do
    configs+=("$here/../configs/$method/vitt_caltech101.py")
done
export PYTHONPATH="$(dirname "$here")${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python}" "$here/analysis/compare_runs.py" "${configs[@]}" --names "${methods[@]}" \
    --data "$data" --out "$out" "${length[@]}" "$@"
