"""Golden gradients of the scenes model and of its learned verifiers, by PyTorch's autograd
-> parity/goldens/scenes-gradient.json.

Wave r has sin(0.37 i + r) at element i, in f64, rounded to f32; picture r is (1 + wave r) / 2. The
network's cotangent is the wave r + 1/2. An ascent starts from sqrt(2) times a wave: solve it by
Euler's steps, clamp the picture, round it to 8 bits (passed straight through), and take the score
for the prompt; then move the noise a share of its norm along the gradient and back to its norm.
"""
import json
import os

import numpy as np
import torch

from golden import PROMPTS, ROOT, load
from towers import Clip, ImageTower
from unet import TOKENS, UNet

RATE, GUIDANCE, STEPS = 0.2, 1.5, 4
PICKED = list(range(0, 3 * 64 * 64, 499))


def wave(row):
    return torch.from_numpy(np.sin(0.37 * np.arange(3 * 64 * 64) + row)).view(1, 3, 64, 64)


def tokens(ids):
    return torch.tensor([ids + [0] * (TOKENS - len(ids))])


def picked(x):
    x = x.flatten().double()
    values = [float(f"{v:.9g}") for v in x[PICKED].tolist()]
    return dict(at=PICKED, values=values, norm=x.norm().item())


def networks(net):
    asked = {"": []} | PROMPTS
    cases = [(level, prompt) for level in (1.0, 0.35) for prompt in asked]
    for row, (level, prompt) in enumerate(cases):
        x = wave(row).float().requires_grad_()
        v = net(x, torch.tensor([level]), tokens(asked[prompt]))
        (back,) = torch.autograd.grad(v, x, wave(row + 0.5).float())
        yield dict(row=row, level=level, prompt=prompt) | picked(back)


def scorers():
    """Scores of pictures in [0, 1]."""
    clip, looks = load(Clip(), "scenes-clip"), load(ImageTower(1, width=16), "scenes-looks")
    score = lambda x, ids: (clip.embed_image(2 * x - 1) * clip.embed_text(tokens(ids))).sum()
    return {"clip": score, "looks": lambda x, _: looks(2 * x - 1).sum()}


def judgements(score):
    for row, (prompt, ids) in enumerate(PROMPTS.items()):
        x = (0.5 + 0.5 * wave(row)).float().requires_grad_()
        (back,) = torch.autograd.grad(score(x, ids), x)
        yield dict(row=row, prompt=prompt) | picked(back)


def solved(net, x, ids):
    """From level 1 to 0 on an even grid, guided."""
    for step in range(STEPS):
        level, lower = 1 - step / STEPS, 1 - (step + 1) / STEPS
        v, empty = (net(x, torch.tensor([level]), tokens(ids)) for ids in (ids, []))
        x = x + (lower - level) * (empty + GUIDANCE * (v - empty))
    return x


def ascents(net, score):
    for row, (prompt, ids) in enumerate(PROMPTS.items()):
        x = (2**0.5 * wave(row)).float().requires_grad_()
        image = (solved(net, x, ids) / 2 + 0.5).clamp(0, 1)
        image = image + ((image * 255).round() / 255 - image).detach()
        (back,) = torch.autograd.grad(score(image, ids), x)
        x, back = x.detach().double(), back.double()
        moved = x + RATE * x.norm() * back / back.norm()
        yield dict(row=row, prompt=prompt) | picked(x.norm() * moved / moved.norm())


def main():
    torch.set_num_threads(1)
    net = load(UNet(), "scenes").requires_grad_(False)
    origin = f"lab/scenes/golden_gradient.py, torch {torch.__version__}, f32 eager on one CPU thread"
    golden = dict(origin=origin, rate=RATE, guidance=GUIDANCE, steps=STEPS)
    golden["network"] = list(networks(net))
    for name, score in scorers().items():
        golden[name] = list(judgements(score))
        golden[f"{name} ascents"] = list(ascents(net, score))
    with open(os.path.join(ROOT, "parity/goldens/scenes-gradient.json"), "w") as file:
        json.dump(golden, file, indent=None, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
