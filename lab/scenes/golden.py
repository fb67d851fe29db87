"""Golden values of the scenes verifiers: this PyTorch code on the shipped weights.

    lab/scenes/golden.py      writes parity/goldens/scenes-verifiers.json

Pixel i of picture p is (1 + sin(0.37 i (p + 1) + p)) / 2 in f64, rounded to f32, so that Rust
makes the same one.
"""
import json
import os

import numpy as np
import torch
from safetensors.torch import load_file

from towers import Clip, ImageTower
from unet import TOKENS

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
PROMPTS = {
    "two red circles and a blue square": [2, 9, 17, 23, 1, 11, 18],
    "a large striped green ring left of a small black star": [1, 6, 7, 10, 22, 24, 1, 5, 16, 20],
    "a cross": [1, 21],
}


def load(net, name):
    net.load_state_dict(load_file(os.path.join(ROOT, f"lab/weights/{name}.safetensors")))
    return net.eval()


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    i = np.arange(3 * 64 * 64)
    pictures = [0.5 + 0.5 * np.sin(0.37 * i * (p + 1) + p) for p in range(3)]
    x = torch.from_numpy(np.stack(pictures).astype(np.float32)).view(3, 3, 64, 64) * 2 - 1
    tokens = torch.tensor([ids + [0] * (TOKENS - len(ids)) for ids in PROMPTS.values()])
    clip = load(Clip(), "scenes-clip")
    image, text = clip.embed_image(x).double(), clip.embed_text(tokens).double()
    golden = {
        "origin": f"lab/scenes/golden.py, torch {torch.__version__}",
        "prompts": list(PROMPTS),
        "images": image[:, ::8].tolist(),
        "texts": text[:, ::8].tolist(),
        "clip": (text @ image.T).tolist(),
        "looks": load(ImageTower(1, width=16), "scenes-looks")(x).flatten().tolist(),
    }
    with open(os.path.join(ROOT, "parity/goldens/scenes-verifiers.json"), "w") as f:
        json.dump(golden, f, indent=1)


if __name__ == "__main__":
    main()
