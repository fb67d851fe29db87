#!/usr/bin/env bash
# Builds the program with the `cuda` feature, also on a machine that has neither a GPU nor a CUDA
# toolkit: the compiler and the libraries come from PyPI into target/cuda, and a stand-in for the
# driver is linked against, which the driver of the machine that runs the program replaces.
#
#   scripts/build-cuda.sh [CARGO ARGUMENTS]        the binary is target/cuda-build/release/noisesearch
#   scripts/build-cuda.sh test [CARGO ARGUMENTS]   builds and runs tests instead
#
# --features cudnn: convolutions by cuDNN, which is fetched too (0.5 GB).
# --features flash: attention without a matrix of all scores. Fetches the headers of CUTLASS from PyPI
# too, and compiles 53 files of kernels, which takes long (CANDLE_FLASH_ATTN_BUILD_DIR=FOLDER keeps
# them). CUDAFORGE_HOME=FOLDER, where it is set, is where CUTLASS is looked for or cloned to instead.
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

# The commit of CUTLASS that `candle-flash-attn` clones from GitHub is its release 3.5.0, whose headers
# are on PyPI, file by file the same. The clone is looked for here first, and known by its HEAD.
get_cutlass() {
  cargo fetch --locked
  asking=$(newest 'candle-flash-attn-*/build.rs')
  commit=$(grep -oE 'CUTLASS_COMMIT: &str = "[0-9a-f]+' "$asking" | grep -oE '[0-9a-f]+$')
  if [ "$commit" != 7d49e6c7e2f8896c47f586706e67e1fb215529dc ]; then
    echo "candle-flash-attn wants CUTLASS $commit now; it will be cloned from GitHub" >&2
    return
  fi
  "$kit.venv/bin/pip" install --quiet --no-deps nvidia-cutlass==3.5.0.0
  clone=$kit.cutlass/git/checkouts/cutlass-${commit:0:16}
  rm -rf "$clone"
  mkdir -p "$clone"
  cp -r "$kit".venv/lib/python3*/site-packages/cutlass_library/source/{include,tools} "$clone"
  git init --quiet "$clone"
  echo "$commit" >"$clone/.git/HEAD"
}

# The linker asks for names without a version.
link_libraries() {
  for library in "$kit"/lib/lib*.so.*; do
    plain=${library%%.so.*}.so
    [ -e "$plain" ] || ln -s "$(basename "$library")" "$plain"
  done
}

# The newest unpacked crate's file of this pattern.
newest() {
  find "${CARGO_HOME:-$HOME/.cargo}/registry/src" -path "*/$1" | sort -V | tail -n 1
}

# Every driver function that the bindings declare, as an empty one.
make_driver_stub() {
  cargo fetch --locked
  declared=$(newest 'cudarc-*/src/driver/sys/mod.rs')
  mkdir -p "$kit/lib/stubs"
  grep -oE 'fn cu[A-Z][A-Za-z0-9_]*' "$declared" | sort -u |
    sed 's/fn \(.*\)/int \1(void) { return 0; }/' >"$kit/driver.c"
  cc -shared -fPIC -Wl,-soname,libcuda.so.1 -o "$kit/lib/stubs/libcuda.so" "$kit/driver.c"
}

[ -x "$kit/bin/nvcc" ] || get_toolkit
[[ "$*" != *cudnn* || -e "$kit/lib/libcudnn.so" ]] || get_cudnn
[ -e "$kit/lib/stubs/libcuda.so" ] || make_driver_stub
if [[ "$*" == *flash* && -z "${CUDAFORGE_HOME:-}" ]]; then
  [ -e "$kit.cutlass" ] || get_cutlass
  export CUDAFORGE_HOME=$kit.cutlass
fi
export CUDA_HOME=$kit CUDA_PATH=$kit CUDA_ROOT=$kit CUDA_TOOLKIT_ROOT_DIR=$kit NVCC=$kit/bin/nvcc
export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-90} PATH=$kit/bin:$PATH LIBRARY_PATH=$kit/lib:$kit/lib/stubs
command=build
if [ "${1:-}" = test ]; then command=$1 && shift; fi
exec cargo $command --release --locked --target-dir target/cuda-build --features cuda "$@"
