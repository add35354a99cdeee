#!/usr/bin/env bash
# usage: toolkit.sh FOLDER
#
# Assembles what compiling needs of CUDA 13.0 (nvcc, headers, the static runtime; about 270 MB) in FOLDER, from NVIDIA's
# packages on the Python package index. Where a CUDA 13.0 toolkit is installed, it is not needed: set CUDA_HOME.
#
# 13.0 and not newer: kernels that travel as PTX need a driver that is at least as new as the toolkit.
set -euo pipefail

fail() { echo "toolkit.sh: $*" >&2; exit 1; }
[ $# -eq 1 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
folder=$(realpath -m "$1")
[ "$(uname -sm)" = "Linux x86_64" ] || fail "these packages are for Linux on x86_64, this is $(uname -sm)"
command -v python3 >/dev/null || fail "python3 is needed, with pip"
python3 -m pip --version >/dev/null 2>&1 || fail "python3 has no pip (package python3-pip)"

packages=$folder/.packages
installed=$packages/nvidia/cu13
if [ -x "$folder/bin/nvcc" ] && "$folder/bin/nvcc" --version 2>/dev/null | grep -q "release 13.0"; then
  exit 0
fi
mkdir -p "$packages"
python3 -m pip install --quiet --disable-pip-version-check --no-deps --no-compile --upgrade --target "$packages" \
  nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-crt==13.0.88 \
  nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85 \
  || fail "pip could not install the toolkit's packages"
for part in bin include nvvm; do ln -sfn "$installed/$part" "$folder/$part"; done
mkdir -p "$folder/lib64"
# candle-kernels asks the linker for cudart: it finds an archive only, so the binary needs no libcudart.so.
ln -sfn "$installed/lib/libcudart_static.a" "$folder/lib64/libcudart.a"
ln -sfn "$installed/lib/libcudart_static.a" "$folder/lib64/libcudart_static.a"
ln -sfn "$installed/lib/libcudadevrt.a" "$folder/lib64/libcudadevrt.a"
ln -sfn lib64 "$folder/lib"
"$folder/bin/nvcc" --version >/dev/null || fail "$folder/bin/nvcc does not run"
