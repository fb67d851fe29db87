"""The peer: the lab's models in plain PyTorch (eager, f32), timed in a process of its own.

    torch_peer.py denoise MODEL BATCH     seconds of one guided evaluation of BATCH candidates
    torch_peer.py search BATCH COUNT      seconds of a best-of-COUNT search, BATCH at a time,
                                          20 Euler steps, guidance 2, scored by the clip verifier

Prints one number a line on stdout for every line read on stdin; so that the two programs can be
timed in turn, and starting up is never counted.
"""
import os
import sys
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path[:0] = [os.path.join(ROOT, "lab/scenes"), os.path.join(ROOT, "lab/glyphs")]
os.environ.setdefault("OMP_NUM_THREADS", "2")

import torch
from safetensors.torch import load_file

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
PROMPT = [2, 9, 17, 23, 1, 11, 18]  # two red circles and a blue square
GUIDANCE, STEPS = 2.0, 20


def weights(name):
    return load_file(os.path.join(ROOT, f"lab/weights/{name}.safetensors"))


def scenes():
    from unet import TOKENS, UNet

    net = UNet().eval()
    net.load_state_dict(weights("scenes"))
    net = net.to(memory_format=torch.channels_last)
    tokens = torch.tensor([PROMPT + [0] * (TOKENS - len(PROMPT)), [0] * TOKENS])
    words, pooled = net.text(tokens)

    def guided(x, t):
        b = x.shape[0]
        both = lambda c: torch.cat([c[:1].expand(b, *c.shape[1:]), c[1:].expand(b, *c.shape[1:])])
        v = net.denoise(torch.cat([x, x]), torch.full((2 * b,), t), both(words), both(pooled))
        cond, uncond = v.chunk(2)
        return uncond + GUIDANCE * (cond - uncond)

    return guided, (3, 64, 64)


def glyphs(size):
    from sit import CONFIGS, SiT

    net = SiT(**CONFIGS[size]).eval()
    net.load_state_dict(weights(f"glyphs-{size}"))

    def guided(x, t):
        b = x.shape[0]
        y = torch.tensor([11] * b + [36] * b)
        cond, uncond = net(torch.cat([x, x]), torch.full((2 * b,), t), y).chunk(2)
        return uncond + GUIDANCE * (cond - uncond)

    return guided, (1, 32, 32)


def denoise(model, batch):
    guided, shape = scenes() if model == "scenes" else glyphs(model.removeprefix("glyphs-"))
    x = torch.randn(batch, *shape)
    return lambda: guided(x, 0.5)


def search(batch, count):
    from towers import Clip
    from unet import TOKENS

    guided, shape = scenes()
    clip = Clip().eval()
    clip.load_state_dict(weights("scenes-clip"))
    text = clip.embed_text(torch.tensor([PROMPT + [0] * (TOKENS - len(PROMPT))]))

    def run():
        best = -2.0
        for first in range(0, count, batch):
            x = torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(first + i))
                             for i in range(batch)])
            for i in range(STEPS):
                x = x - guided(x, 1 - i / STEPS) / STEPS
            image = ((x.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1
            best = max(best, (clip.embed_image(image) @ text.T).max().item())
        return best

    return run


@torch.no_grad()
def main():
    kind, arguments = sys.argv[1], sys.argv[2:]
    work = denoise(arguments[0], int(arguments[1])) if kind == "denoise" else search(*map(int, arguments))
    for _ in sys.stdin:
        start = time.perf_counter()
        work()
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
