#!/usr/bin/env bash
# Makes lab/weights/glyphs-reference.safetensors: what the oracle sees in real pictures. To be run
# again whenever the oracle was trained again. Called by train.sh.
set -euo pipefail
cd "$(dirname "$0")"
out=$PWD/../weights/glyphs-reference.safetensors
trap 'rm -f "$out.part"' EXIT
../.venv/bin/python reference.py |
  cargo run --release --quiet -p noisesearch-verifiers --example glyphs_reference > "$out.part"
mv "$out.part" "$out"
