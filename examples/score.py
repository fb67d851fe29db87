#!/usr/bin/env python3
"""A verifier of your own: `noisesearch generate "a red cross" --verifier cmd:examples/score.py`."""
import json
import os
import sys

for line in sys.stdin:
    asked = json.loads(line)
    scores = [float(os.path.getsize(path)) for path in asked["images"]]  # higher is better
    print(json.dumps({"id": asked["id"], "scores": scores}), flush=True)
