#!/usr/bin/env bash
# usage: build.sh [--caps LIST] [--check] [--toolkit FOLDER] [--target-dir FOLDER] [--out FILE]
#
# Builds vortex-node with the GPU path: one binary that starts everywhere and uses a card where there is one. Needs no
# card and no driver. The first build takes 8 minutes on two cores for one capability, about 18 for four.
#
#   --caps LIST          compute capabilities, separated by commas [default: 80,86,89,90]
#                        80 A100, 86 RTX 30, 89 RTX 40 and L4, 90 H100 and H200; newer cards compile PTX at first use
#   --check              only check types (no toolkit, no binary); for CI
#   --toolkit FOLDER     CUDA 13.0 toolkit [default: $CUDA_HOME, else one made by toolkit.sh in target/cuda/toolkit]
#   --target-dir FOLDER  where cargo builds [default: $CARGO_TARGET_DIR, else target]
#   --out FILE           copy the binary there
#
# At run time a card needs NVIDIA's driver (580 or newer) and libcublas 13, libcublasLt 13 and libcurand 10;
# `vortex-node gpu-check` says what is missing.
set -euo pipefail

fail() { echo "build.sh: $*" >&2; exit 1; }
usage() { sed -n '2,16s/^# \{0,1\}//p' "$0" >&2; exit 2; }
root=$(realpath "$(dirname "$0")/../..")
caps=80,86,89,90 check= toolkit=${CUDA_HOME:-} target=${CARGO_TARGET_DIR:-$root/target} out=
while [ $# -gt 0 ]; do
  case "$1" in
    --check) check=yes ;;
    --caps | --toolkit | --target-dir | --out)
      [ $# -ge 2 ] || { echo "build.sh: $1 needs a value" >&2; usage; }
      case "$1" in
        --caps) caps=$2 ;;
        --toolkit) toolkit=$2 ;;
        --target-dir) target=$(realpath -m "$2") ;;
        --out) out=$(realpath -m "$2") ;;
      esac
      shift ;;
    *) echo "build.sh: unknown argument $1" >&2; usage ;;
  esac
  shift
done
[[ $caps =~ ^[0-9]+(,[0-9]+)*$ ]] || fail "--caps $caps: accepted is a list such as 80,86,89,90"
mapfile -t sorted < <(tr , '\n' <<< "$caps" | sort -nu)
[ "${sorted[0]}" -ge 80 ] || fail "--caps $caps: the models compute in bf16, which needs capability 80 or newer"
command -v cargo >/dev/null || fail "cargo is needed (https://rustup.rs)"
cd "$root"

# The patched build writes Cargo.lock: it is put back, however this ends.
lock=$(mktemp)
cp Cargo.lock "$lock"
trap 'cp "$lock" Cargo.lock; rm -f "$lock"' EXIT

deploy/cuda/candle-dynload.sh "$target/cuda/candle-core"
patch="patch.crates-io.candle-core.path='$target/cuda/candle-core'"
export CARGO_TARGET_DIR=$target CUDARC_CUDA_VERSION=13000 CUDA_COMPUTE_CAP=${sorted[0]}

if [ -n "$check" ]; then
  mkdir -p "$target/cuda/no-toolkit/include" "$target/cuda/no-toolkit/lib64"
  : > "$target/cuda/no-toolkit/include/cuda.h"
  export CUDA_HOME=$target/cuda/no-toolkit NVCC=$root/deploy/cuda/nvcc-check
  cargo clippy --features cuda --lib --bins --config "$patch" -- -D warnings
  exit
fi

if [ -z "$toolkit" ]; then
  toolkit=$target/cuda/toolkit
  deploy/cuda/toolkit.sh "$toolkit"
fi
CUDA_HOME=$(realpath "$toolkit")
export CUDA_HOME
version=$("$CUDA_HOME/bin/nvcc" --version 2>/dev/null | sed -n 's/.*release \([0-9.]*\).*/\1/p') \
  || fail "$CUDA_HOME/bin/nvcc does not run"
[ "$version" = 13.0 ] || fail "$CUDA_HOME is CUDA ${version:-of no known version}; 13.0 is needed"
export PATH=$CUDA_HOME/bin:$PATH CUDAFORGE_THREADS=${CUDAFORGE_THREADS:-$(nproc)}
export RUSTFLAGS="${RUSTFLAGS:-} -L native=$CUDA_HOME/lib64"
if [ ${#sorted[@]} -gt 1 ]; then
  export NVCC=$root/deploy/cuda/nvcc-multi VORTEX_CUDA_CAPS="${sorted[*]}"
else
  export NVCC=$CUDA_HOME/bin/nvcc
fi
cargo build --profile dist --features cuda --bin vortex-node --config "$patch"

binary=$target/dist/vortex-node
# What must be opened at run time may not be linked: the binary would not start without it.
if readelf -d "$binary" 2>/dev/null | grep -E 'NEEDED.*lib(cuda|cudart|cublas|cublasLt|curand|nvrtc)\.so'; then
  fail "$binary links CUDA's libraries (above) and would not start without them"
fi
if [ -n "$out" ]; then mkdir -p "$(dirname "$out")"; cp "$binary" "$out"; binary=$out; fi
"$binary" --version >/dev/null || fail "$binary does not start here"
printf '%s: %s bytes, CUDA %s, capabilities %s\n' "$binary" "$(stat -c %s "$binary")" "$version" "${sorted[*]}"
