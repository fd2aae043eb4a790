# Sourced by quickstart.sh, demo.sh, run_tests.sh and .ci/run: the pinned environment.
#   mmc_fail MESSAGE         one sentence on stderr, then exit 2
#   mmc_help SCRIPT ARGUMENT...  prints SCRIPT's first comment and exits, if -h or --help is asked for
#   mmc_env_key              prints <hash of the pinned set>-<Python version>
#   mmc_env VENV [editable]  makes VENV, or completes or reuses it; sets MMC_PYTHON to its interpreter.
#                            With "editable", the checkout is installed into it too.
# PYTHON names the interpreter to build with. MMC_PINS are the files of the set below requirements/, and
# MMC_PYTHONS the versions that it is for.

MMC_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
MMC_UV=uv==0.13.9
MMC_PINS=(pinned.txt)
MMC_PYTHONS='3.10 3.11 3.12'

mmc_fail() {
    echo "error: $*" >&2
    exit 2
}

mmc_help() {
    local script=$1 argument
    shift
    for argument; do
        case $argument in
            -h | --help)
                sed -n '2,${/^#/!q;s/^# \{0,1\}//p;}' "$script"
                exit
                ;;
        esac
    done
}

# Prints the first interpreter of a version that the pinned set covers.
mmc_find_python() {
    local candidate version seen=
    local candidates=(python3 python python3.12 python3.11 python3.10)
    candidates+=("${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/3.*/bin/python3)
    [ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        # Asked to run, not only looked up: version managers leave names that lead nowhere.
        version=$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
        case " $MMC_PYTHONS " in
            *" $version "*)
                command -v "$candidate"
                return
                ;;
        esac
        seen=${seen:-" ($candidate is $version)"}
    done
    mmc_fail "Python $(sed 's/ \([^ ]*\)$/ or \1/; s/ 3/, 3/' <<<"$MMC_PYTHONS") is needed and was not" \
        "found$seen: install one (pyenv, uv python install, the system's packages), or name it with" \
        "PYTHON=/path/to/python${MMC_PYTHONS%% *}."
}

# Prints the key that a complete environment is known by.
mmc_env_key() {
    local python
    python=$(mmc_find_python) || exit
    "$python" - "${MMC_PINS[@]/#/$MMC_ROOT/requirements/}" <<'EOF'
import hashlib
import sys

digest = hashlib.sha256()
for name in sys.argv[1:]:
    with open(name, 'rb') as file:
        digest.update(file.read())
print('%s-%d.%d' % ((digest.hexdigest()[:16],) + sys.version_info[:2]))
EOF
}

# Installs with uv, or with pip where uv cannot run or cannot reach an index that pip is set up for.
mmc_install() {
    local python=$1
    shift
    "$python" -m uv pip install --python "$python" "$@" && return
    echo 'uv could not install this; trying pip.' >&2
    "$python" -m pip install --disable-pip-version-check "$@" ||
        mmc_fail "the packages could not be installed (see above); once that is mended, the same" \
            "command goes on."
}

mmc_fill() {
    local venv=$1 editable=$2 mark="$1/mmc_environment" key python wanted pins files=()
    if [ -e "$venv" ] && [ ! -f "$mark" ] && [ -n "$(ls -A "$venv" 2>/dev/null)" ]; then
        mmc_fail "$venv exists and was not made by this script: move it away, or set MMC_VENV to" \
            "another place."
    fi
    # An environment that is complete stays with its own Python, unless PYTHON says otherwise.
    if [ -s "$mark" ] && [ -x "$venv/bin/python" ]; then
        wanted=$(PYTHON=${PYTHON:-$venv/bin/python} mmc_env_key) || exit
        key=$(cat "$mark")
        if [ "${key##*-}" != "${wanted##*-}" ]; then
            : >"$mark"
        fi
    else
        wanted=$(mmc_env_key) || exit
    fi
    if [ "$(cat "$mark" 2>/dev/null)" != "$wanted" ]; then
        if [ ! -s "$mark" ] || [ ! -x "$venv/bin/python" ]; then
            # Nothing of an interrupted installation is trusted.
            python=$(mmc_find_python) || exit
            "$python" -c 'import ensurepip, venv' 2>/dev/null ||
                mmc_fail "$python has no venv module: install it (Debian, Ubuntu: apt install" \
                    "python3-venv), or name another interpreter with PYTHON=/path/to/python3.11."
            echo "Making the environment $venv (several GB, some minutes the first time)."
            rm -rf "$venv"
            mkdir -p "$venv" || mmc_fail "$venv cannot be made: set MMC_VENV to a place that can be written."
            : >"$mark"
            "$python" -m venv "$venv" || mmc_fail "$python could not make a virtual environment in $venv."
            "$venv/bin/python" -m pip install --disable-pip-version-check --quiet \
                --only-binary :all: "$MMC_UV" || echo 'uv is not to be had here.' >&2
        fi
        echo "Installing the packages of requirements/${MMC_PINS[*]}."
        : >"$mark"
        for pins in "${MMC_PINS[@]}"; do
            files+=(-r "$MMC_ROOT/requirements/$pins")
        done
        mmc_install "$venv/bin/python" --no-deps "${files[@]}" || exit
        echo "$wanted" >"$mark.new"
        mv "$mark.new" "$mark"
        rm -f "$mark.editable"
    fi
    if [ -n "$editable" ]; then
        wanted="$MMC_ROOT $(cd "$MMC_ROOT" && cat setup.cfg setup.py pyproject.toml mmc_plugin/version.py | cksum)"
        if [ "$(cat "$mark.editable" 2>/dev/null)" != "$wanted" ]; then
            mmc_install "$venv/bin/python" --no-deps --no-build-isolation -e "$MMC_ROOT" || exit
            echo "$wanted" >"$mark.editable"
        fi
    fi
}

mmc_env() {
    local venv=$1 editable=${2:-}
    mkdir -p "$(dirname "$venv")" || mmc_fail "$(dirname "$venv") cannot be made."
    venv="$(cd "$(dirname "$venv")" && pwd)/$(basename "$venv")"
    # One at a time: two runs may meet here. Without flock (macOS) nothing is held.
    (
        if command -v flock >/dev/null; then flock 9; fi
        mmc_fill "$venv" "$editable"
    ) 9>"$venv.lock" || exit
    MMC_PYTHON="$venv/bin/python"
}
