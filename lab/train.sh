#!/usr/bin/env bash
# Trains everything that the lab ships; every step resumes from lab/checkpoints. Minutes are for
# two cores without an accelerator. Called by `cargo xtask train`.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$PWD/lab/.venv/bin/python
data=${NOISESEARCH_LAB:-target/release/noisesearch-lab}
out=$PWD/lab/checkpoints
mkdir -p "$out"

"$python" lab/scenes/train.py --data "$data" --checkpoint "$out/scenes.pt" \
  --start lab/weights/scenes.safetensors --steps 9000
"$python" lab/scenes/train_clip.py --data "$data" --checkpoint "$out/clip.pt" --minutes 20
"$python" lab/scenes/train_looks.py --data "$data" --generator "$out/scenes.pt" \
  --checkpoint "$out/looks.pt" --minutes 8
for name in scenes clip looks; do
  file=lab/weights/scenes-$name.safetensors
  "$python" lab/scenes/export.py "$out/$name.pt" "${file/scenes-scenes/scenes}"
done
bash lab/glyphs/train.sh
