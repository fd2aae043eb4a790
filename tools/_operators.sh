# Sourced after _env.sh: mmcv with its operators for CPUs, compiled once and kept as a wheel.
#   mmc_wheels REQUIREMENT                   prints the folder for its wheel, by all that it depends on:
#                                            the versions of mmcv, torch and Python
#   mmc_wheel FOLDER                         prints the wheel in FOLDER, or nothing
#   mmc_operators VENV REQUIREMENT FOLDER    installs REQUIREMENT (onedl-mmcv==2.3.6) in the environment
#                                            with its operators, and keeps the wheel in FOLDER

mmc_wheels() {
    local cache=${MMC_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/mmc_plugin} key torch
    key=$(mmc_env_key) || exit
    torch=$(sed -n 's/^torch==\([^ ;]*\).*/\1/p' "${MMC_PINS[@]/#/$MMC_ROOT/requirements/}" | head -1)
    echo "$cache/wheels/$1-torch-$torch-python-${key##*-}"
}

mmc_wheel() {
    find "$1" -maxdepth 1 -name '*mmcv*.whl' 2>/dev/null | head -1 || :
}

mmc_compile() {
    local python=$1 requirement=$2 folder=$3 sources csrc
    command -v c++ >/dev/null ||
        mmc_fail "mmcv's operators need a C++ compiler (Debian, Ubuntu: apt install g++)."
    echo "Compiling the operators of $requirement: some minutes, once."
    mkdir -p "$folder"
    sources=$(mktemp -d "$folder/build.XXXXXX")
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --no-build-isolation \
        --no-binary :all: -d "$sources" "$requirement" ||
        mmc_fail "the source of $requirement cannot be downloaded."
    tar xzf "$sources"/*.tar.gz -C "$sources"
    csrc=$(echo "$sources"/*/mmcv/ops/csrc/pytorch)
    # Sixty small files that each read all of torch's headers: as one they take the time of two.
    mkdir "$csrc/together"
    (
        cd "$csrc"
        for file in *.cpp; do
            [ "$file" = pybind.cpp ] || mv "$file" together/
        done
        printf '#include "together/%s"\n' $(ls together) >together.cpp
    )
    (
        cd "$sources"/*/
        export MMCV_WITH_OPS=1 MAX_JOBS="${MAX_JOBS:-2}" CFLAGS='-O1 -g0' CXXFLAGS='-O1 -g0'
        PATH="$(dirname "$python"):$PATH" "$python" -m pip wheel --disable-pip-version-check \
            --no-build-isolation --no-deps -w "$sources" . >"$folder/build.log" 2>&1
    ) || mmc_fail "mmcv's operators could not be compiled: see $folder/build.log."
    mv "$sources"/*.whl "$folder/"
    rm -rf "$sources"
}

mmc_operators() {
    local python="$1/bin/python" mark="$1/mmc_operators" requirement=$2 folder=$3 wheel
    [ -n "$(mmc_wheel "$folder")" ] || mmc_compile "$python" "$requirement" "$folder"
    wheel=$(mmc_wheel "$folder")
    if [ "$(cat "$mark" 2>/dev/null)" != "$wheel" ]; then
        mmc_install "$python" --no-deps --force-reinstall "$wheel" || exit
        echo "$wheel" >"$mark"
    fi
}
