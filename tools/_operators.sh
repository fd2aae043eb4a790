# Sourced after _env.sh: a wheel of mmcv with its operators for CPUs, compiled once.
#   mmc_operators PYTHON REQUIREMENT FOLDER [build]  makes the wheel of REQUIREMENT (onedl-mmcv==2.3.6)
#       for the torch of PYTHON in FOLDER, or finds it there; sets MMC_WHEEL to it. Without "build" an
#       absent one leaves MMC_WHEEL empty.

mmc_operators() {
    local python=$1 requirement=$2 folder=$3 build=${4:-} sources csrc torch
    torch=$("$python" -c 'import sys, torch; print("torch%s-cp%d%d" % ((torch.__version__,) + sys.version_info[:2]))') ||
        mmc_fail "$python has no torch, which mmcv's operators are compiled for."
    folder="$folder/$torch"
    MMC_WHEEL=$(find "$folder" -name "$(tr - _ <<<"${requirement/==/-}")*.whl" 2>/dev/null | head -1) || :
    if [ -n "$MMC_WHEEL" ] || [ -z "$build" ]; then return; fi
    command -v c++ >/dev/null ||
        mmc_fail "mmcv's operators need a C++ compiler (Debian, Ubuntu: apt install g++)."
    echo "Compiling the operators of $requirement: some minutes, once."
    mkdir -p "$folder"
    sources=$(mktemp -d "$folder/build.XXXXXX")
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --no-build-isolation \
        --no-binary :all: -d "$sources" "$requirement" || mmc_fail "$requirement cannot be downloaded."
    tar xzf "$sources"/*.tar.gz -C "$sources"
    # Sixty small files that each read all of torch's headers: as one file they compile in a fifth of
    # the time.
    csrc=$(echo "$sources"/*/mmcv/ops/csrc/pytorch)
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
    MMC_WHEEL=$(echo "$folder"/*.whl)
}
