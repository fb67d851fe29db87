"""Trains one glyphs SiT. Resumes from its checkpoint; see `--help`.

Flow matching (Lipman et al. 2022, arXiv 2210.02747): x_t = (1 - t) x0 + t noise, t = sigmoid(n)
for a normal n, loss = |v - (noise - x0)|^2; one label in ten is dropped for guidance. The rate is
constant after a short warm-up, then falls linearly to 0 over the last `--decay` of the minutes; an
exponential moving average of the weights is what ships. Minutes are processor time, over all
resumptions: a busy machine delays the end and does not cut the training short.
"""
import argparse
import copy
import os
import sys
import time

import numpy as np
import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from grid import write_grid
from sit import CLASSES, CONFIGS, SiT, sample
from training import Muon, Twin, save

HERE = os.path.dirname(os.path.abspath(__file__))


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("size", choices=CONFIGS)
    parser.add_argument("--data", default=os.path.join(HERE, "data.npz"))
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint")
    parser.add_argument("--minutes", type=float, default=45)
    parser.add_argument("--decay", type=float, default=0.3, help="share of the minutes")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=1e-2)
    parser.add_argument("--average", type=float, default=0.995)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--f32", action="store_true", help="no bf16 arithmetic")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def optimisers(net, lr):
    """Muon for the matrices inside the blocks, AdamW for the rest."""
    matrices = [w for name, w in net.named_parameters() if name.startswith("blocks") and w.dim() == 2]
    inside = {id(w) for w in matrices}
    rest = [w for w in net.parameters() if w.requires_grad and id(w) not in inside]
    return [Muon(matrices, lr), torch.optim.AdamW(rest, lr, betas=(0.9, 0.95), weight_decay=0.0)]


def rate(step, elapsed, args):
    """Share of `--rate` at an update, `elapsed` being a share of the minutes."""
    return min(1.0, (step + 1) / 50, max(0.0, (1 - elapsed) / args.decay))


def loss_of(net, images, labels, generator):
    """Mean squared error of the velocity on one batch of uint8 images [b, 32, 32]."""
    x0 = images[:, None].float() / 127.5 - 1
    noise = torch.randn(x0.shape, generator=generator).to(x0.device)
    level = torch.randn(len(x0), generator=generator).sigmoid().to(x0.device)
    dropped = torch.rand(len(x0), generator=generator).to(x0.device) < 0.1
    t = level[:, None, None, None]
    v = net((1 - t) * x0 + t * noise, level, torch.where(dropped, CLASSES, labels))
    return (v - (noise - x0)).square().mean()


def picture(net, path):
    """A grid of two samples a class."""
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(2 * CLASSES, 1, 32, 32, generator=generator)
    write_grid(path, sample(net, noise, torch.arange(CLASSES).repeat(2)), 18)


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    net = SiT(**CONFIGS[args.size]).to(args.device)
    average = copy.deepcopy(net)
    forward = net if args.f32 else Twin(net)
    opts = optimisers(net, args.rate)
    step, seconds, running = 0, 0.0, None
    if args.resume and os.path.exists(args.checkpoint):
        state = torch.load(args.checkpoint, map_location=args.device)
        net.load_state_dict(state["net"])
        average.load_state_dict(state["average"])
        for opt, saved in zip(opts, state["opts"]):
            opt.load_state_dict(saved)
        step, seconds = state["step"], state["seconds"]
    data = np.load(args.data)
    images = torch.from_numpy(data["train"]).to(args.device)
    labels = torch.from_numpy(data["train_labels"].astype(np.int64)).to(args.device)
    generator = torch.Generator().manual_seed(step)
    saved, start = time.time(), time.process_time() - seconds
    while (elapsed := (time.process_time() - start) / 60 / args.minutes) < 1:
        for opt in opts:
            for group in opt.param_groups:
                group["lr"] = args.rate * rate(step, elapsed, args)
        picked = torch.randint(len(images), (args.batch,), generator=generator)
        loss = loss_of(forward, images[picked], labels[picked], generator)
        loss.backward()
        if forward is not net:
            forward.collect()
        for opt in opts:
            opt.step()
            opt.zero_grad()
        step += 1
        keep = min(args.average, step / (step + 10))
        with torch.no_grad():
            for slow, fast in zip(average.parameters(), net.parameters()):
                slow.lerp_(fast, 1 - keep)
        running = loss.item() if running is None else 0.98 * running + 0.02 * loss.item()
        if step % 50 == 0:
            print(f"{step} {time.process_time() - start:.0f} s loss {running:.4f}", flush=True)
        if time.time() - saved > 120:
            checkpoint(args, net, average, opts, step, time.process_time() - start)
            saved = time.time()
    checkpoint(args, net, average, opts, step, time.process_time() - start)
    picture(average, args.checkpoint + ".png")


def checkpoint(args, net, average, opts, step, seconds):
    save(args.checkpoint, net=net.state_dict(), average=average.state_dict(), step=step,
         seconds=seconds, opts=[opt.state_dict() for opt in opts], size=args.size)


if __name__ == "__main__":
    main()
