"""Golden gradients of the shipped glyphs networks, by PyTorch's autograd
-> parity/goldens/glyphs-gradient.json.

Inputs are the waves and the ring of golden.py. A network's cotangent is the wave of row r + 1/2.
An ascent starts from sqrt(2) times a wave: solve it, clamp the picture, round it to 8 bits (passed
straight through), and take the classifier's logit of the class; then move the noise a share of its
norm along the gradient and back to its norm.
"""
import json
import os

import numpy as np
import torch

from golden import JUDGES, PICKED, ROOT, Judge, numbers, ring, wave, weights
from sit import CLASSES, CONFIGS, SiT

LABEL, RATE, GUIDANCE = 10, 0.2, 1.5


def tensor(x):
    return torch.from_numpy(x.astype(np.float32))


def opened(size):
    net = SiT(**CONFIGS[size]).eval().requires_grad_(False)
    net.load_state_dict(weights(size))
    return net


def picked(x):
    x = x.flatten()
    return dict(at=PICKED, values=numbers(x[PICKED]), norm=x.double().norm().item())


def networks(size):
    net = opened(size)
    cases = [(level, label) for level in (1.0, 0.35) for label in (0, 35, CLASSES)]
    for row, (level, label) in enumerate(cases):
        x = tensor(wave(row)).requires_grad_()
        v = net(x, torch.tensor([level]), torch.tensor([label]))
        (back,) = torch.autograd.grad(v, x, tensor(wave(row + 0.5)))
        yield dict(row=row, level=level, label=label) | picked(back)


def classifier():
    net = Judge(JUDGES["classifier"]["plan"]).fold().eval().requires_grad_(False)
    net.load_state_dict(weights("classifier"))
    return net


def judgements():
    net = classifier()
    images = {f"wave {row}": 0.5 + 0.5 * wave(row) for row in range(2)} | {"ring": ring()}
    for image, pixels in images.items():
        x = tensor(pixels).requires_grad_()
        (back,) = torch.autograd.grad(net(x)[0, LABEL], x)
        yield dict(image=image) | picked(back)


def clean(net, x, level):
    """The guided clean-sample prediction."""
    at = torch.tensor([level])
    v, empty = (net(x, at, torch.tensor([label])) for label in (LABEL, CLASSES))
    return x - level * (empty + GUIDANCE * (v - empty))


def solved(net, x, steps, heun):
    """From level 1 to 0 on an even grid."""
    for step in range(steps):
        level, lower = 1 - step / steps, 1 - (step + 1) / steps
        slope = (x - clean(net, x, level)) / level
        ahead = x + (lower - level) * slope
        if heun and lower > 0:
            slope = (slope + (ahead - clean(net, ahead, lower)) / lower) / 2
        x = x + (lower - level) * slope
    return x


def ascents(size):
    net, judge = opened(size), classifier()
    for row, (steps, heun) in enumerate([(6, False), (4, True)]):
        x = tensor(2**0.5 * wave(row)).requires_grad_()
        image = (solved(net, x, steps, heun) / 2 + 0.5).clamp(0, 1)
        image = image + ((image * 255).round() / 255 - image).detach()
        logit = judge(image)[0, LABEL]
        (back,) = torch.autograd.grad(logit, x)
        x, back = x.detach().double(), back.double()
        moved = x + RATE * x.norm() * back / back.norm()
        moved = x.norm() * moved / moved.norm()
        solver = "heun" if heun else "euler"
        yield dict(row=row, steps=steps, solver=solver, logit=logit.item()) | picked(moved)


def main():
    torch.set_num_threads(1)
    origin = f"lab/glyphs/golden_gradient.py, torch {torch.__version__}, f32 eager on one CPU thread"
    golden = dict(origin=origin, label=LABEL, rate=RATE, guidance=GUIDANCE)
    golden["classifier"] = list(judgements())
    for size in CONFIGS:
        golden[size] = dict(network=list(networks(size)), ascents=list(ascents(size)))
    with open(os.path.join(ROOT, "parity/goldens/glyphs-gradient.json"), "w") as file:
        json.dump(golden, file, indent=None, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
