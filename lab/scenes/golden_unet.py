"""Golden values of the scenes model: this PyTorch code on the shipped weights.

    lab/scenes/golden_unet.py        writes parity/goldens/scenes.json

Input element i is sin(0.37 i) in f64, rounded to f32, so that Rust makes the same one.
"""
import json
import os

import numpy as np
import torch
from safetensors.torch import load_file

from unet import TOKENS, UNet

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
PROMPTS = {
    "": [],
    "two red circles and a blue square": [2, 9, 17, 23, 1, 11, 18],
    "a large striped green ring left of a small black star": [1, 6, 7, 10, 22, 24, 1, 5, 16, 20],
}


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    net = UNet().eval()
    net.load_state_dict(load_file(os.path.join(ROOT, "lab/weights/scenes.safetensors")))
    x = np.sin(0.37 * np.arange(3 * 64 * 64)).astype(np.float32).reshape(1, 3, 64, 64)
    cases = []
    for prompt, ids in PROMPTS.items():
        tokens = torch.tensor([ids + [0] * (TOKENS - len(ids))])
        words, pooled = net.text(tokens)
        for level in (1.0, 0.5, 0.11):
            v = net(torch.from_numpy(x), torch.tensor([level]), tokens).flatten().double()
            cases.append({
                "prompt": prompt,
                "level": level,
                "pooled_norm": pooled.double().norm().item(),
                "words_norm": words.double().norm().item(),
                "norm": v.norm().item(),
                "every_1000th": v[::1000].tolist(),
            })
    out = {"origin": f"lab/scenes/golden_unet.py, torch {torch.__version__}", "cases": cases}
    with open(os.path.join(ROOT, "parity/goldens/scenes.json"), "w") as f:
        json.dump(out, f, indent=1)


if __name__ == "__main__":
    main()
