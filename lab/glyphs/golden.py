"""Golden values of the shipped glyphs networks -> parity/goldens/glyphs.json.

Inputs are formulas. A wave of row r has the values sin(0.37 i + r), i counting pixels in reading
order; as an image it is 0.5 + 0.5 sin. The ring is 1 within 1.5 pixels of radius 9 about the
middle, fading to 0 over a pixel. All are made in f64 and rounded to f32.
"""
import json
import os

import numpy as np
import torch
from safetensors.torch import load_file

from judges import CONFIGS as JUDGES
from judges import Judge
from sit import CLASSES, CONFIGS, SIZE, SiT

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
PICKED = [(i * 89 + 5) % SIZE**2 for i in range(12)]


def weights(name):
    return load_file(os.path.join(ROOT, f"lab/weights/glyphs-{name}.safetensors"))


def numbers(x):
    return [float(f"{value:.9g}") for value in x.flatten().tolist()]


def wave(row):
    return np.sin(0.37 * np.arange(SIZE**2, dtype=np.float64) + row).reshape(1, 1, SIZE, SIZE)


def ring():
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    return np.clip(2.0 - abs(np.sqrt(y * y + x * x) - 9.0), 0, 1).reshape(1, 1, SIZE, SIZE)


def velocities(size):
    net = SiT(**CONFIGS[size]).eval()
    net.load_state_dict(weights(size))
    cases = [(level, label) for level in (1.0, 0.5, 0.1) for label in (0, 11, 35, CLASSES)]
    out = []
    for row, (level, label) in enumerate(cases):
        x = torch.from_numpy(wave(row).astype(np.float32))
        v = net(x, torch.tensor([level]), torch.tensor([label])).flatten()
        out.append(dict(row=row, level=level, label=label, at=PICKED, values=numbers(v[PICKED]),
                        sum=v.double().sum().item(), norm=v.double().norm().item()))
    return out


def judgements(name):
    net = Judge(JUDGES[name]["plan"]).fold().eval()
    net.load_state_dict(weights(name))
    images = {f"wave {row}": 0.5 + 0.5 * wave(row) for row in range(2)} | {"ring": ring()}
    out = []
    for image, pixels in images.items():
        x = torch.from_numpy(pixels.astype(np.float32))
        out.append(dict(image=image, features=numbers(net.features(x)), logits=numbers(net(x))))
    return out


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    origin = f"lab/glyphs/golden.py, torch {torch.__version__}, f32 eager on one CPU thread"
    golden = dict(origin=origin)
    golden |= {size: velocities(size) for size in CONFIGS}
    golden |= {name: judgements(name) for name in JUDGES}
    with open(os.path.join(ROOT, "parity/goldens/glyphs.json"), "w") as file:
        json.dump(golden, file, indent=None, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
