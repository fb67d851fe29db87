"""Trains `classifier` or `oracle` (see `judges.py`) for some minutes and prints its accuracy."""
import argparse
import os
import time

import numpy as np
import torch
import torch.nn.functional as F

from judges import CONFIGS, Judge, augment

HERE = os.path.dirname(os.path.abspath(__file__))


def accuracy(net, images, labels):
    net.eval()
    with torch.no_grad():
        right = [(net(x[:, None].float() / 255).argmax(1) == y).float().sum()
                 for x, y in zip(images.split(500), labels.split(500))]
    net.train()
    return float(sum(right)) / len(images)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=CONFIGS)
    parser.add_argument("--data", default=os.path.join(HERE, "data.npz"))
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--minutes", type=float, default=5)
    args = parser.parse_args()
    config = CONFIGS[args.name]
    torch.set_num_threads(1)
    torch.manual_seed(config["seed"])
    generator = torch.Generator().manual_seed(config["seed"])
    data = np.load(args.data)
    read = lambda name: torch.from_numpy(data[name])
    images, labels = read("train"), read("train_labels").long()
    net = Judge(config["plan"])
    opt = torch.optim.AdamW(net.parameters(), weight_decay=0.01)
    start, step = time.time(), 0
    while (elapsed := (time.time() - start) / 60 / args.minutes) < 1:
        opt.param_groups[0]["lr"] = 4e-3 * min(1, 1.5 * (1 - elapsed))
        picked = torch.randint(len(images), (128,), generator=generator)
        x = augment(images[picked][:, None].float() / 255, config["mild"], generator)
        loss = F.cross_entropy(net(x), labels[picked], label_smoothing=0.05)
        loss.backward()
        opt.step()
        opt.zero_grad()
        step += 1
        if step % 100 == 0:
            print(f"{step} {time.time() - start:.0f} s loss {loss.item():.4f}", flush=True)
    right = accuracy(net, read("test"), read("test_labels").long())
    print(f"{args.name}: {step} updates, accuracy {right:.4f} on {len(read('test'))} test pictures")
    torch.save(dict(name=args.name, net=net.state_dict(), accuracy=right, step=step), args.checkpoint)


if __name__ == "__main__":
    main()
