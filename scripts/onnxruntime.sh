#!/usr/bin/env bash
# Puts the ONNX Runtime library (CPU) into .deps/onnxruntime, out of the wheel that pip downloads.
#
# The version is 1.28.0 on purpose: later Linux wheels carry an uploader of usage data.
# Exit status: 0 the library is there, 3 no python3 with pip, 1 anything else.
set -euo pipefail
cd "$(dirname "$0")/.."

version=1.28.0
target=.deps/onnxruntime
library=libonnxruntime.so.$version

say() { printf 'onnxruntime: %s\n' "$*" >&2; }

case "$(uname -sm)" in
    "Linux x86_64")
        platform=manylinux_2_28_x86_64
        sha256=aa4079d18f4ea7a5f3a94d80cd4bbe0f2740436626622d64d793803a20381083
        ;;
    "Linux aarch64")
        platform=manylinux_2_28_aarch64
        sha256=23a37c2994bc273e1d59a4f49af6cba5bf1cfbc29f04907ec27df375aba50a7d
        ;;
    *)
        say "no wheel is known for $(uname -sm): put the library into $target, or name it in [runtime] library"
        exit 1
        ;;
esac

# A library that was cut short crashes the process that loads it, so its hash counts, not its name.
is_whole() { echo "$sha256  $1/$library" | sha256sum --status -c - 2>/dev/null; }

# A python3 on PATH may be a shim that fails outside its home, or lack pip.
find_python() {
    local candidate
    for candidate in python3 /usr/local/bin/python3 /usr/bin/python3; do
        if "$candidate" -m pip --version >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
    say "no python3 with pip"
    exit 3
}

if is_whole "$target"; then exit 0; fi
python=$(find_python)

mkdir -p .deps
work=$(mktemp -d .deps/work.XXXXXX)
trap 'rm -rf "$work"' EXIT

# The wheel's Python version is of no matter to the library; a fixed one works under any python3.
say "fetching onnxruntime $version"
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --platform "$platform" --python-version 3.11 --implementation cp --abi cp311 \
    --dest "$work" "onnxruntime==$version" >&2
"$python" -m zipfile -e "$work"/onnxruntime-*.whl "$work/wheel"

mkdir "$work/out"
mv "$work/wheel/onnxruntime/capi/$library" "$work/wheel/onnxruntime/LICENSE" \
    "$work/wheel/onnxruntime/ThirdPartyNotices.txt" "$work/out/"
if ! is_whole "$work/out"; then
    say "$library in the downloaded wheel is not the expected file (SHA-256 $sha256)"
    exit 1
fi

# The whole folder is moved in one step: nobody finds a half-written library.
rm -rf "$target"
mv "$work/out" "$target"
say "$target/$library"
