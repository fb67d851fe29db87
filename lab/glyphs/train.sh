#!/usr/bin/env bash
# Trains everything of the glyphs lab on one core (or a GPU, for the generators, where there is
# one) in about 45 minutes; every step resumes from lab/checkpoints. Called by lab/train.sh.
# The fonts are Debian's; see the model card for the packages.
set -euo pipefail
cd "$(dirname "$0")"
python=$PWD/../.venv/bin/python
out=$PWD/../checkpoints
mkdir -p "$out"
export OMP_NUM_THREADS=1

[ -e data.npz ] || "$python" data.py
for judge in classifier oracle; do
  [ -e "$out/glyphs-$judge.pt" ] ||
    "$python" train_judge.py "$judge" --checkpoint "$out/glyphs-$judge.pt" --minutes 4
done
"$python" train.py base --checkpoint "$out/glyphs-base.pt" --minutes 25 --resume
"$python" train.py small --checkpoint "$out/glyphs-small.pt" --minutes 12 --resume
"$python" export.py "$out"/glyphs-{base,small,classifier,oracle}.pt
"$python" measure.py
./reference.sh
