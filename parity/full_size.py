"""One evaluation of a published network at full size, with generated weights, in the reference.

    parity/.venv/bin/python parity/full_size.py sit-xl-2 OUT.json [--depth N] [--threads N]
    cargo run --release -p noisesearch-models --example full_size -- sit-xl-2 N OUT.json

The second command evaluates ours and prints both times, both peaks of memory and the difference.
"""
import argparse
import json
import resource
import time

import torch
from diffusers import PixArtTransformer2DModel

import pixart
import reference
import sit

LEVEL = 0.625


def sit_xl_2(depth):
    config = {**sit.TINY, "input_size": 32, "classes": sit.CLASSES, **sit.SIZES["xl"]}
    config["depth"] = min(depth, config["depth"])
    model = reference.filled(sit.Transformer(config))
    x, t, y = reference.inputs("x", (1, 4, 32, 32)), torch.tensor([1 - LEVEL]), torch.tensor([207])
    return sit.ORIGIN, config, lambda: -model(x, t, y)[:, :4]


def pixart_sigma(depth):
    with open(f"{reference.MANIFESTS}/pixart-sigma-transformer.json") as file:
        config = json.load(file)["config"]
    config["num_layers"] = min(depth, config["num_layers"])
    model = reference.filled(PixArtTransformer2DModel(**config))
    x, text = reference.inputs("x", (1, 4, 128, 128)), reference.inputs("text", (1, 120, 4096))
    sizes = {"resolution": None, "aspect_ratio": None}
    t = torch.tensor([1000 * LEVEL - 1])
    run = lambda: model(x, encoder_hidden_states=text, timestep=t, added_cond_kwargs=sizes).sample[:, :4]
    return pixart.ORIGIN, config, run


def main():
    models = {"sit-xl-2": sit_xl_2, "pixart-sigma": pixart_sigma}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=models)
    parser.add_argument("out", help="the file to write")
    parser.add_argument("--depth", type=int, default=10**9, help="blocks, fewer for a trial")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    origin, config, run = models[args.model](args.depth)
    seconds = []
    with torch.no_grad():
        for _ in range(2):
            start = time.perf_counter()
            out = run()
            seconds.append(round(time.perf_counter() - start, 3))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    golden = {"origin": f"{origin}, {args.threads} threads", "config": config, "tensors": {},
              "taps": {"out": reference.sampled(out)}, "seconds": seconds, "peak_kb": peak}
    with open(args.out, "w") as file:
        json.dump(golden, file)
    print(f"{args.model}: {seconds} s, peak {peak} kB, {args.out}")


if __name__ == "__main__":
    main()
