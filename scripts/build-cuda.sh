#!/usr/bin/env bash
# Builds the program with the `cuda` feature, also on a machine that has neither a GPU nor a CUDA
# toolkit: the compiler and the libraries come from PyPI into target/cuda, and a stand-in for the
# driver is linked against, which the driver of the machine that runs the program replaces.
#
#   scripts/build-cuda.sh [CARGO ARGUMENTS]        the binary is target/cuda-build/release/noisesearch
#   scripts/build-cuda.sh test [CARGO ARGUMENTS]   builds and runs tests instead
#
# --features cudnn: convolutions by cuDNN, which is fetched too (0.5 GB).
# --features flash: attention without a matrix of all scores; fetches CUTLASS from GitHub and compiles
# its kernels, which takes long (CANDLE_FLASH_ATTN_BUILD_DIR=FOLDER keeps them).
# CUDA_COMPUTE_CAP chooses the GPU generation (90: H100 and H200; 89: RTX 40; 80: A100).
set -euo pipefail
cd "$(dirname "$0")/.."
kit=$PWD/target/cuda
version=13.0

get_toolkit() {
  python3 -m venv "$kit.venv"
  "$kit.venv/bin/pip" install --quiet --no-deps "nvidia-cuda-nvcc==$version.*" "nvidia-nvvm==$version.*" \
    "nvidia-cuda-crt==$version.*" "nvidia-cuda-runtime==$version.*" "nvidia-cuda-cccl==$version.*" \
    "nvidia-cublas==$version.*" "nvidia-cuda-nvrtc==$version.*" nvidia-curand
  rm -rf "$kit"
  cp -r "$kit".venv/lib/python3*/site-packages/nvidia/cu13 "$kit"
  [ -e "$kit/lib64" ] || ln -s lib "$kit/lib64"
  link_libraries
}

get_cudnn() {
  "$kit.venv/bin/pip" install --quiet --no-deps "nvidia-cudnn-cu13==9.*"
  cp -r "$kit".venv/lib/python3*/site-packages/nvidia/cudnn/{include,lib} "$kit"
  link_libraries
}

# The linker asks for names without a version.
link_libraries() {
  for library in "$kit"/lib/lib*.so.*; do
    plain=${library%%.so.*}.so
    [ -e "$plain" ] || ln -s "$(basename "$library")" "$plain"
  done
}

# Every driver function that the bindings declare, as an empty one.
make_driver_stub() {
  cargo fetch --locked
  registry=${CARGO_HOME:-$HOME/.cargo}/registry/src
  declared=$(find "$registry" -path '*cudarc-*/src/driver/sys/mod.rs' | sort | tail -n 1)
  mkdir -p "$kit/lib/stubs"
  grep -oE 'fn cu[A-Z][A-Za-z0-9_]*' "$declared" | sort -u |
    sed 's/fn \(.*\)/int \1(void) { return 0; }/' >"$kit/driver.c"
  cc -shared -fPIC -Wl,-soname,libcuda.so.1 -o "$kit/lib/stubs/libcuda.so" "$kit/driver.c"
}

[ -x "$kit/bin/nvcc" ] || get_toolkit
[[ "$*" != *cudnn* || -e "$kit/lib/libcudnn.so" ]] || get_cudnn
[ -e "$kit/lib/stubs/libcuda.so" ] || make_driver_stub
export CUDA_HOME=$kit CUDA_PATH=$kit CUDA_ROOT=$kit CUDA_TOOLKIT_ROOT_DIR=$kit NVCC=$kit/bin/nvcc
export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-90} PATH=$kit/bin:$PATH LIBRARY_PATH=$kit/lib:$kit/lib/stubs
command=build
if [ "${1:-}" = test ]; then command=$1 && shift; fi
exec cargo $command --release --locked --target-dir target/cuda-build --features cuda "$@"
