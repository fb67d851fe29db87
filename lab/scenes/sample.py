"""Draws a grid of pictures for held-out prompts from a checkpoint (Euler, guided)."""
import argparse

import numpy as np
import torch
from PIL import Image

from train import stream
from unet import UNet


@torch.no_grad()
def euler(net, tokens, steps, guidance, noise):
    """Deterministic samples [b, 3, 64, 64] from `noise`, levels evenly spaced from 1 to 0."""
    b = tokens.shape[0]
    words, pooled = net.text(torch.cat([tokens, torch.zeros_like(tokens)]))
    x = noise
    for i in range(steps):
        t = torch.full((2 * b,), 1 - i / steps)
        cond, uncond = net.denoise(torch.cat([x, x]), t, words, pooled).chunk(2)
        x = x - (uncond + guidance * (cond - uncond)) / steps
    return x


def load(path):
    net = UNet()
    net.load_state_dict(torch.load(path, weights_only=True)["ema"])
    return net.eval()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--data", required=True)
    p.add_argument("--checkpoint", default="checkpoints/scenes.pt")
    p.add_argument("--out", default="grid.png")
    p.add_argument("--steps", type=int, default=20)
    p.add_argument("--guidance", type=float, default=2.0)
    p.add_argument("--rows", type=int, default=4)
    args = p.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    net = load(args.checkpoint)
    tokens, truth = next(stream(args.data, 77, args.rows * 8))
    x = euler(net, tokens, args.steps, args.guidance, torch.randn_like(truth))
    pairs = torch.cat([truth, x], dim=3).clamp(-1, 1).permute(0, 2, 3, 1)
    cells = ((pairs + 1) * 127.5).round().byte().numpy()
    rows = [np.concatenate(cells[r * 8:(r + 1) * 8], axis=1) for r in range(args.rows)]
    Image.fromarray(np.concatenate(rows, axis=0)).save(args.out)


if __name__ == "__main__":
    main()
