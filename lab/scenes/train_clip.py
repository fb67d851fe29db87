"""Trains the contrastive text-image scorer on clean and lightly damaged scenes.

Beside the other captions of the batch, each picture sees captions of its own with one word
changed, or two words of a kind exchanged: without them it need not learn which object is red.
"""
import argparse
import os
import time

import numpy as np
import torch
import torch.nn.functional as F

from towers import Clip
from train import Muon, save, stream

# Token ranges of one kind: counts, sizes, textures, colours, shapes, relations.
KINDS = [(1, 5), (5, 7), (7, 9), (9, 17), (17, 23), (24, 28)]
AND = 23
NEGATIVES = 4


def meaning(row):
    """What a token row says, whatever the order of its groups; unnamed textures are solid."""
    relation = [t for t in row if t >= 24]
    groups = "".join(chr(t) for t in row if t).replace(chr(8), "")
    for t in relation:
        groups = groups.replace(chr(t), chr(AND))
    groups = groups.split(chr(AND))
    return (tuple(relation), *(groups if relation else sorted(groups)))


def wrong_caption(row, rng):
    """A copy of the token row that says something else, if one is found in a few tries."""
    for _ in range(4):
        other = changed(row, rng)
        if meaning(other) != meaning(row):
            return other
    return row


def changed(row, rng):
    """One word replaced by another of its kind, or two words of a kind exchanged."""
    row = row.copy()
    for _ in range(20):
        low, high = KINDS[rng.integers(len(KINDS))]
        places = np.flatnonzero((row >= low) & (row < high))
        if len(places) >= 2 and rng.random() < 0.5:
            a, b = rng.choice(places, 2, replace=False)
            if row[a] != row[b]:
                row[a], row[b] = row[b], row[a]
                return row
        elif len(places):
            other = rng.integers(low, high)
            place = rng.choice(places)
            if other != row[place]:
                row[place] = other
                return row
    return row


def damage(x):
    """Blur, noise and contrast, each picture by its own amount."""
    b = x.shape[0]
    blurred = F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
    x = torch.lerp(x, blurred, torch.rand(b, 1, 1, 1) * (torch.rand(b, 1, 1, 1) < 0.6))
    x = x * (1 + 0.1 * torch.randn(b, 1, 1, 1))
    return x + 0.12 * torch.rand(b, 1, 1, 1) * torch.randn_like(x)


def loss_of(net, x, tokens, rng):
    wrong = np.stack([[wrong_caption(r, rng) for _ in range(NEGATIVES)] for r in tokens.numpy()])
    same = torch.from_numpy((wrong == tokens.numpy()[:, None]).all(-1))
    image, text = net.embed_image(damage(x)), net.embed_text(tokens)
    hard = net.embed_text(torch.from_numpy(wrong).flatten(0, 1)).view(*wrong.shape[:2], -1)
    scale = net.log_scale.exp().clamp(max=60)
    own = (image[:, None] * hard).sum(-1).masked_fill(same, -1.0)
    logits = image @ text.T
    twins = (tokens[:, None] == tokens[None]).all(-1) & ~torch.eye(len(x), dtype=torch.bool)
    logits = logits.masked_fill(twins, -1.0)
    target = torch.arange(len(x))
    by_image = F.cross_entropy(scale * torch.cat([logits, own], dim=1), target)
    by_text = F.cross_entropy(scale * logits.T, target)
    right = (logits.diagonal()[:, None] > own).all(-1).float().mean()
    return by_image + by_text, right


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--data", required=True)
    p.add_argument("--checkpoint", default="checkpoints/clip.pt")
    p.add_argument("--minutes", type=float, default=20)
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--lr", type=float, default=1.5e-3)
    p.add_argument("--threads", type=int, default=2)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    net = Clip().to(memory_format=torch.channels_last)
    big = [p for n, p in net.named_parameters() if p.ndim >= 2 and "embed" not in n and "position" not in n]
    ids = {id(p) for p in big}
    opts = [Muon(big, args.lr), torch.optim.AdamW([p for p in net.parameters() if id(p) not in ids], args.lr)]
    step, spent = 0, 0.0
    if os.path.exists(args.checkpoint):
        state = torch.load(args.checkpoint, weights_only=True)
        net.load_state_dict(state["net"])
        for o, s in zip(opts, state["opts"]):
            o.load_state_dict(s)
        step, spent = state["step"], state["spent"]
    batches = stream(args.data, 7_000_003 + step, args.batch)
    start, means = time.time() - spent, None
    while True:
        part = (time.time() - start) / (60 * args.minutes)
        if part >= 1:
            break
        for o in opts:
            for group in o.param_groups:
                group["lr"] = args.lr * min(1, (step + 1) / 50) * min(1, (1 - part) / 0.4)
        tokens, x = next(batches)
        loss, right = loss_of(net, x.contiguous(memory_format=torch.channels_last), tokens, rng)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        for o in opts:
            o.step()
        net.zero_grad(set_to_none=True)
        step += 1
        now = np.array([loss.item(), right.item()])
        means = now if means is None else 0.98 * means + 0.02 * now
        if step % 50 == 0:
            print(f"update {step} loss {means[0]:.3f} ahead of all wrong captions {means[1]:.3f} "
                  f"{step * args.batch / (time.time() - start):.0f}/s", flush=True)
        if step % 200 == 0:
            save(args.checkpoint, net=net.state_dict(), step=step, spent=time.time() - start,
                 opts=[o.state_dict() for o in opts])
    save(args.checkpoint, net=net.state_dict(), step=step, spent=time.time() - start,
         opts=[o.state_dict() for o in opts])


if __name__ == "__main__":
    main()
