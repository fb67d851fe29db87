"""Measures the shipped glyphs networks; writes the tables of the model card and `samples-base.png`."""
import argparse
import os

import numpy as np
import torch

from data import CLASSES as NAMES
from golden import weights
from grid import write_grid
from judges import CONFIGS as JUDGES
from judges import Judge
from sit import CLASSES, CONFIGS, SiT, sample

HERE = os.path.dirname(os.path.abspath(__file__))
EACH, STEPS, GUIDANCES = 20, 20, (1.0, 1.5)
BEGIN, END = "<!-- measured by measure.py -->\n", "<!-- end -->\n"


def judge(name):
    net = Judge(JUDGES[name]["plan"]).fold().eval()
    net.load_state_dict(weights(name))
    return net


def generate(size, guidance):
    """`EACH` samples of every class, in [0, 1] and in steps of 1/255, as the program judges them."""
    net = SiT(**CONFIGS[size]).eval()
    net.load_state_dict(weights(size))
    generator = torch.Generator().manual_seed(7)
    noise = torch.randn(EACH * CLASSES, 1, 32, 32, generator=generator)
    labels = torch.arange(CLASSES).repeat(EACH)
    parts = zip(noise.split(60), labels.split(60))
    x = torch.cat([sample(net, n, y, STEPS, guidance) for n, y in parts])
    return ((x.clamp(-1, 1) + 1) * 127.5).round() / 255, labels


def quality(judges):
    """One table row for each network and guidance scale."""
    yield "| network | guidance | oracle agrees | classifier agrees | hardest classes |"
    yield "|---|---|---|---|---|"
    for size in CONFIGS:
        for guidance in GUIDANCES:
            images, labels = generate(size, guidance)
            right = {name: net(images).argmax(1) == labels for name, net in judges.items()}
            shares = right["oracle"].reshape(EACH, CLASSES).float().mean(0)
            worst = ", ".join(f"{NAMES[i]} {shares[i]:.0%}" for i in shares.argsort()[:4])
            oracle, classifier = (right[name].float().mean() for name in ("oracle", "classifier"))
            yield f"| {size} | {guidance} | {oracle:.1%} | {classifier:.1%} | {worst} |"
            if (size, guidance) == ("base", GUIDANCES[-1]):
                path = os.path.join(HERE, "samples-base.png")
                write_grid(path, images[: 6 * CLASSES] * 2 - 1, CLASSES)


def truth(judges, path):
    """One table row for each judge, on the held-out pictures."""
    data = np.load(path)
    images = torch.from_numpy(data["test"])[:, None].float() / 255
    labels = torch.from_numpy(data["test_labels"].astype(np.int64))
    yield f"| judge | accuracy on {len(images)} held-out pictures | most confused |"
    yield "|---|---|---|"
    for name, net in judges.items():
        guess = torch.cat([net(part).argmax(1) for part in images.split(500)])
        wrong = labels[guess != labels] * CLASSES + guess[guess != labels]
        pairs = torch.bincount(wrong, minlength=CLASSES**2).argsort(descending=True)[:4]
        confused = ", ".join(f"{NAMES[p // CLASSES]} as {NAMES[p % CLASSES]}" for p in pairs)
        yield f"| {name} | {(guess == labels).float().mean():.2%} | {confused} |"


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", default=os.path.join(HERE, "data.npz"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    judges = {name: judge(name) for name in JUDGES}
    tables = [*truth(judges, args.data), "", *quality(judges)]
    with open(os.path.join(HERE, "README.md")) as file:
        before, rest = file.read().split(BEGIN)
    after = rest.split(END)[1]
    with open(os.path.join(HERE, "README.md"), "w") as file:
        file.write(before + BEGIN + "\n".join(tables) + "\n" + END + after)
    print("\n".join(tables))


if __name__ == "__main__":
    main()
