"""Writes checkpoints as the safetensors files that the program embeds, in half precision."""
import argparse

import torch
from safetensors.torch import save_file


def main():
    p = argparse.ArgumentParser()
    p.add_argument("checkpoint")
    p.add_argument("out")
    args = p.parse_args()
    state = torch.load(args.checkpoint, weights_only=True)
    weights = state.get("ema", state.get("net"))
    weights = {k: v.half().contiguous().clone() for k, v in weights.items()}
    save_file(weights, args.out, metadata={"licence": "Apache-2.0 OR MIT"})
    print(args.out, sum(v.numel() for v in weights.values()), "parameters")


if __name__ == "__main__":
    main()
