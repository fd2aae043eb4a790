#!/usr/bin/env bash
# The rows of Table 4 (arXiv 2308.11448) at small scale: which losses of MMC teach what.
#   tools/ablate.sh DATA OUT --epochs N | --minutes M [options of compare_runs.py]
# DATA has train/ and val/, a folder a class. The seven rows are configs/mmc/vitt_caltech101.py with
# reconstruction, class and patch loss on or off, trained equally long and scored by k-NN on CLS and
# PAT, beside the paper's figures and with Kendall's tau of the two orders. A second call goes on where
# the first was stopped.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
case "${1:-}" in
    -h | --help)
        sed -n '2,${/^#/!q;s/^# \{0,1\}//p;}' "$0"
        exit
        ;;
esac
if [ $# -lt 4 ]; then
    echo 'usage: ablate.sh DATA OUT --epochs N | --minutes M [options of compare_runs.py]' >&2
    exit 2
fi
data=$1 out=$2
shift 2
mkdir -p "$out"
base=$(cd "$here/../configs/mmc" && pwd -P)/vitt_caltech101.py
configs=()
for row in 100 010 001 011 101 110 111; do # reconstruction, class, patch
    config=$out/row_$row.py
    printf "_base_ = ['%s']\nmodel = dict(loss_weights=dict(rec=%s, cls=%s, patch=%s))\n" \
        "$base" "${row:0:1}" "${row:1:1}" "${row:2:1}" >"$config"
    configs+=("$config")
done
# Table 4: k-NN of ViT-S/16 after 200 epochs on ImageNet-100.
cat >"$out/paper.json" <<'JSON'
{"row_100": {"k-NN CLS": 17.18, "k-NN PAT": 14.70},
 "row_010": {"k-NN CLS": 75.02, "k-NN PAT": 63.88},
 "row_001": {"k-NN CLS": 39.92, "k-NN PAT": 40.82},
 "row_011": {"k-NN CLS": 75.56, "k-NN PAT": 75.54},
 "row_101": {"k-NN CLS": 33.54, "k-NN PAT": 33.74},
 "row_110": {"k-NN CLS": 72.54, "k-NN PAT": 53.68},
 "row_111": {"k-NN CLS": 77.54, "k-NN PAT": 76.96}}
JSON
export PYTHONPATH="$(dirname "$here")${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python}" "$here/analysis/compare_runs.py" "${configs[@]}" --data "$data" --out "$out" --paper "$out/paper.json" "$@"
