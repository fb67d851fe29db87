"""Writes checkpoints as `lab/weights/glyphs-*.safetensors`: f32, with the configuration beside."""
import argparse
import json
import os

import torch
from safetensors.torch import save_file

import judges
import sit

WEIGHTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "weights")


def generator(state):
    config = dict(model="sit", **sit.CONFIGS[state["size"]], patch=sit.PATCH, classes=sit.CLASSES,
                  channels=1, size=sit.SIZE, path="linear", time="level", prediction="noise - x0",
                  step=state["step"])
    return f"glyphs-{state['size']}", state["average"], config


def judge(state):
    plan = judges.CONFIGS[state["name"]]["plan"]
    net = judges.Judge(plan)
    net.load_state_dict(state["net"])
    config = dict(model="glyphs-judge", plan=plan, step=state["step"], accuracy=state["accuracy"])
    return f"glyphs-{state['name']}", net.eval().fold().state_dict(), config


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoints", nargs="+")
    parser.add_argument("--out", default=WEIGHTS)
    args = parser.parse_args()
    os.makedirs(args.out, exist_ok=True)
    for path in args.checkpoints:
        state = torch.load(path, map_location="cpu")
        name, tensors, config = generator(state) if "size" in state else judge(state)
        tensors = {key: value.float().contiguous() for key, value in tensors.items()}
        out = os.path.join(args.out, name + ".safetensors")
        save_file(tensors, out, metadata=dict(config=json.dumps(config)))
        print(f"{out}: {os.path.getsize(out)} bytes, {config}")


if __name__ == "__main__":
    main()
