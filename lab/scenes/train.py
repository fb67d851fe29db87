"""Trains the scenes model. Resumes from its checkpoint; see `--help`.

Flow matching (Lipman et al. 2022, arXiv 2210.02747) on pictures streamed by `noisesearch-lab`:
loss = |v - (noise - x0)|^2, t = sigmoid(n + `--level`): which object gets which colour is decided at
high noise, so that is where most of the training goes. The words' features must also tell the words
beside them (`Neighbours`), since a colour belongs to the noun that follows it. Matrices are trained
by Muon (Jordan et al. 2024), the rest by AdamW. The rate is constant, then falls linearly to 0 over
the last `--decay` updates; an exponential moving average of the weights is what ships.
"""
import argparse
import copy
import os
import queue
import subprocess
import sys
import threading
import time

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from training import Muon, Twin, save
from unet import TEXT, TOKENS, VOCABULARY, UNet

PICTURE = 64 * 64 * 3


def stream(binary, seed, batch, depth=4):
    """Batches (tokens [b, 20] long, x0 [b, 3, 64, 64] in [-1, 1]) made in another process."""
    out = queue.Queue(depth)

    def pump():
        record = TOKENS + PICTURE
        process = subprocess.Popen([binary, "stream", str(seed)], stdout=subprocess.PIPE)
        while True:
            raw = np.frombuffer(process.stdout.read(record * batch), np.uint8).reshape(batch, record)
            out.put(raw)

    def batches():
        # Arithmetic stays in the caller's thread: a second pool of threads would only wait.
        while True:
            raw = torch.from_numpy(out.get().copy())
            image = raw[:, TOKENS:].view(batch, 64, 64, 3).permute(0, 3, 1, 2)
            yield raw[:, :TOKENS].long(), image.float() / 127.5 - 1

    threading.Thread(target=pump, daemon=True).start()
    return batches()


class Neighbours(nn.Module):
    """Reads from each word's features which words stand up to two places beside it.

    Without it, the picture's loss alone must teach the text encoder that words belong together, and
    a wrong colour costs only a few per cent of that loss. It is not part of what ships.
    """

    OFFSETS = (-2, -1, 1, 2)

    def __init__(self):
        super().__init__()
        self.read = nn.Linear(TEXT, len(self.OFFSETS) * VOCABULARY)

    def forward(self, words, tokens):
        """words: [b, 20, 128], tokens: [b, 20] -> mean cross-entropy in nats."""
        guesses = self.read(words).chunk(len(self.OFFSETS), dim=-1)
        total = 0.0
        for offset, guess in zip(self.OFFSETS, guesses):
            there = slice(max(0, offset), TOKENS + min(0, offset))
            here = slice(max(0, -offset), TOKENS + min(0, -offset))
            real = (tokens[:, here] != 0) & (tokens[:, there] != 0)
            total = total + nn.functional.cross_entropy(guess[:, here][real], tokens[:, there][real])
        return total / len(self.OFFSETS)


def optimisers(net, side, lr):
    matrices = lambda name, p: p.ndim >= 2 and "embed" not in name and "position" not in name
    named = list(net.named_parameters())
    first_last = ("conv_in", "conv_out")
    muon = [p for n, p in named if matrices(n, p) and not n.startswith(first_last)]
    chosen = {id(p) for p in muon}
    rest = [p for _, p in named if id(p) not in chosen] + list(side.parameters())
    return [Muon(muon, lr), torch.optim.AdamW(rest, lr, betas=(0.9, 0.95), weight_decay=0.0)]


def rate(step, args):
    warm = min(1.0, (step + 1) / 100)
    return warm * max(0.0, min(1.0, (args.steps - step) / max(1, args.decay)))


def loss_of(net, x0, tokens, level):
    b = x0.shape[0]
    noise = torch.randn_like(x0)
    t = torch.sigmoid(torch.randn(b) + level)
    tokens = torch.where(torch.rand(b, 1) < 0.1, torch.zeros_like(tokens), tokens)
    s = t[:, None, None, None]
    v = net((1 - s) * x0 + s * noise, t, tokens)
    return (v - (noise - x0)).square().mean()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--data", required=True, help="the noisesearch-lab binary")
    p.add_argument("--checkpoint", default="checkpoints/scenes.pt")
    p.add_argument("--start", help="shipped weights to start from when there is no checkpoint")
    p.add_argument("--steps", type=int, default=12000, help="updates in all")
    p.add_argument("--decay", type=int, default=3000, help="last updates, with falling rate")
    p.add_argument("--minutes", type=float, help="stop so that the decay ends after this long")
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--lr", type=float, default=2e-3)
    p.add_argument("--level", type=float, default=0.8, help="mean of the noise level's logit")
    p.add_argument("--neighbours", type=float, default=0.02, help="weight of the words' own loss")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--f32", action="store_true", help="no bf16 arithmetic")
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    net = UNet().to(memory_format=torch.channels_last)
    if args.start and not os.path.exists(args.checkpoint):
        net.load_state_dict(load_file(args.start))
    ema = copy.deepcopy(net)
    side = Neighbours()
    opts = optimisers(net, side, args.lr)
    step, seen = 0, 0
    if os.path.exists(args.checkpoint):
        state = torch.load(args.checkpoint, weights_only=True)
        net.load_state_dict(state["net"])
        ema.load_state_dict(state["ema"])
        side.load_state_dict(state["side"])
        for o, s in zip(opts, state["opts"]):
            o.load_state_dict(s)
        step, seen = state["step"], state["seen"]
        torch.manual_seed(step)
        print(f"resumed at update {step}, {seen} pictures", flush=True)
    batches = stream(args.data, 1_000_003 * (step + 1), args.batch)
    run = net if args.f32 else Twin(net)
    start, first, mean = time.time(), step, None
    while step < args.steps:
        tokens, x0 = next(batches)
        x0 = x0.contiguous(memory_format=torch.channels_last)
        for o, base in zip(opts, (args.lr, args.lr)):
            for group in o.param_groups:
                group["lr"] = base * rate(step, args)
        loss = loss_of(run, x0, tokens, args.level)
        loss.backward()
        if run is not net:
            run.collect()
        beside = side(net.text(tokens)[0], tokens)
        (args.neighbours * beside).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        for o in opts:
            o.step()
        net.zero_grad(set_to_none=True)
        side.zero_grad(set_to_none=True)
        step, seen = step + 1, seen + args.batch
        decay = min(0.999, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(list(ema.parameters()), list(net.parameters()), 1 - decay)
        mean = loss.item() if mean is None else 0.98 * mean + 0.02 * loss.item()
        if step % 50 == 0:
            speed = (step - first) * args.batch / (time.time() - start)
            print(f"update {step} pictures {seen} loss {mean:.4f} "
                  f"words {beside.item():.3f} {speed:.1f}/s", flush=True)
        if args.minutes and step % 50 == 0:
            left = args.minutes * 60 - (time.time() - start)
            args.steps = step + max(1, int(left / (time.time() - start) * (step - first)))
        if step % 200 == 0 or step == args.steps:
            save(args.checkpoint, net=net.state_dict(), ema=ema.state_dict(), side=side.state_dict(),
                 step=step, seen=seen, opts=[o.state_dict() for o in opts])


if __name__ == "__main__":
    main()
