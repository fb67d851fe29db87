"""Trains the looks scorer: how clean a rendering is, whatever it shows.

Clean scenes are 1. Damaged ones are 0 to 1 by how much of the clean picture is gone: smooth
warps of the outlines, smeared or missing patches, two scenes blended, blur and noise. Pictures
that an early generator drew count as 0.35: mostly clean, with the faults that matter here.
"""
import argparse
import time

import torch
import torch.nn.functional as F

from sample import euler, load
from towers import ImageTower
from train import Muon, save, stream


def warp(x, strength):
    """Moves pixels along a smooth random field of up to about `strength` pixels."""
    b = x.shape[0]
    field = F.interpolate(torch.randn(b, 2, 9, 9), size=64, mode="bicubic", align_corners=True)
    field = (field * strength.view(b, 1, 1, 1) / 32).permute(0, 2, 3, 1)
    grid = F.affine_grid(torch.eye(2, 3).expand(b, 2, 3), x.shape, align_corners=False)
    return F.grid_sample(x, grid + field, padding_mode="border", align_corners=False)


def patches(x, amount):
    """Replaces a random set of 8x8 patches by their mean colour."""
    coarse = F.interpolate(F.avg_pool2d(x, 8), scale_factor=8.0)
    hit = (torch.rand(x.shape[0], 1, 8, 8) < amount.view(-1, 1, 1, 1)).float()
    return torch.lerp(x, coarse, F.interpolate(hit, scale_factor=8.0))


def damage(x):
    """Damaged pictures and their cleanness in [0, 1]."""
    b = x.shape[0]
    amount = torch.rand(b) * (torch.rand(b) < 0.85)
    kind = torch.randint(0, 5, (b,))
    a = amount.view(b, 1, 1, 1)
    blurred = F.avg_pool2d(x, 5, stride=1, padding=2, count_include_pad=False)
    options = [
        warp(x, 2.5 * amount),
        patches(x, 0.5 * amount),
        torch.lerp(x, x.roll(1, 0), 0.5 * a),
        torch.lerp(x, blurred, a),
        x + 0.3 * a * torch.randn_like(x),
    ]
    out = torch.stack(options)[kind, torch.arange(b)]
    return (out + 0.01 * torch.randn_like(x)).clamp(-1, 1), 1 - amount


def drawn(checkpoint, data, count):
    """Pictures drawn by a generator, as a pool of negatives."""
    torch.manual_seed(11)
    net, batches = load(checkpoint), stream(data, 991, 64)
    pool = []
    for _ in range(count // 64):
        tokens, _ = next(batches)
        with torch.no_grad():
            pool.append(euler(net, tokens, 8, 1.5, torch.randn(64, 3, 64, 64)).clamp(-1, 1))
    return torch.cat(pool)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--data", required=True)
    p.add_argument("--generator", required=True, help="an early checkpoint of the scenes model")
    p.add_argument("--checkpoint", default="checkpoints/looks.pt")
    p.add_argument("--minutes", type=float, default=8)
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--threads", type=int, default=2)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    pool = drawn(args.generator, args.data, 512)
    torch.manual_seed(0)
    net = ImageTower(1, width=16).to(memory_format=torch.channels_last)
    matrices = [p for p in net.parameters() if p.ndim >= 2]
    opts = [Muon(matrices, 2e-3), torch.optim.AdamW([p for p in net.parameters() if p.ndim < 2], 2e-3)]
    batches = stream(args.data, 9_000_011, args.batch)
    start, step, mean = time.time(), 0, None
    while (part := (time.time() - start) / (60 * args.minutes)) < 1:
        for o in opts:
            for group in o.param_groups:
                group["lr"] = 2e-3 * min(1, (step + 1) / 50) * min(1, (1 - part) / 0.4)
        _, x = next(batches)
        x, target = damage(x)
        quarter = args.batch // 4
        x[:quarter] = pool[torch.randint(0, len(pool), (quarter,))]
        target[:quarter] = 0.35
        score = net(x.contiguous(memory_format=torch.channels_last)).squeeze(1)
        loss = F.binary_cross_entropy_with_logits(score, target)
        loss.backward()
        for o in opts:
            o.step()
        net.zero_grad(set_to_none=True)
        step += 1
        error = (score.detach().sigmoid() - target).abs().mean().item()
        mean = error if mean is None else 0.98 * mean + 0.02 * error
        if step % 50 == 0:
            print(f"update {step} mean error {mean:.3f}", flush=True)
    save(args.checkpoint, net=net.state_dict(), step=step)


if __name__ == "__main__":
    main()
