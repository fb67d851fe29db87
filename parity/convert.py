"""Runs the scripts/convert_*.py on pickles in the published layouts.

    python parity/convert.py

SiT's and DiT's published files are dictionaries of tensors; training checkpoints hold `model`,
`ema`, the optimiser and the command line. Each must become a folder with the averaged tensors bit
for bit, and a file that would run code must be refused. Ends with an error where one does not.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file, save_file

SCRIPTS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "scripts")


class Hostile:
    def __reduce__(self):
        return os.system, ("exit 1",)


def tensors(scale):
    """A few of the published names; the script takes any."""
    generator = torch.Generator().manual_seed(1)
    make = lambda *shape: scale * torch.randn(*shape, generator=generator)
    # A view that is not contiguous, as a transposed weight is pickled.
    return {"pos_embed": make(1, 16, 8), "x_embedder.proj.weight": make(8, 4, 2, 2),
            "blocks.0.attn.qkv.weight": make(8, 24).T, "y_embedder.embedding_table.weight":
            make(1001, 8), "final_layer.linear.bias": make(32)}


def converted(folder, state, kind="sit-xl-2", pixels=256):
    file, out = folder / f"{kind}.pt", folder / f"{kind}-{pixels}"
    torch.save(state, file)
    return run("sit", file, out, "--kind", kind, "--pixels", pixels, "--vae", folder), out


def run(script, *arguments):
    script = os.path.join(SCRIPTS, f"convert_{script}.py")
    return subprocess.run([sys.executable, script, *map(str, arguments)], capture_output=True,
                          text=True)


def check(folder, state, want, kind, pixels):
    done, out = converted(folder, state, kind, pixels)
    assert done.returncode == 0, done.stderr
    got = load_file(out / "transformer" / "diffusion_pytorch_model.safetensors")
    assert got.keys() == want.keys()
    assert all(torch.equal(got[name], want[name]) for name in want)
    config = json.loads((out / "transformer" / "config.json").read_text())
    time = "data_at_one" if kind.startswith("sit") else "training_index"
    assert (config["input_size"], config["time"]) == (pixels // 8, time), config
    index = json.loads((out / "model_index.json").read_text())
    assert index["_class_name"] == ("SiTPipeline" if kind.startswith("sit") else "DiTPipeline")
    assert (out / "vae" / "config.json").exists()


def verifier(folder, state, want, script, *arguments):
    """One script's folder for a pickle, which must hold the tensors of `want` and no others."""
    file, out = folder / "verifier.pt", folder / "verifier"
    torch.save(state, file)
    arguments = [{"FILE": file, "OUT": out}.get(one, one) for one in arguments]
    done = run(script, *arguments)
    assert done.returncode == 0, done.stderr
    got = load_file(out / "model.safetensors")
    assert got.keys() == want.keys(), (got.keys(), want.keys())
    assert all(torch.equal(got[name], want[name]) for name in want)
    return out


def verifiers(folder):
    state, numbers = tensors(1.0), {"position_ids": torch.arange(4)}
    tower = {"vision_model.w": torch.ones(3), "visual_projection.weight": torch.ones(2, 3)}
    save_file({**tower, "text_model.w": torch.ones(2)}, folder / "model.safetensors")
    config = {"vision_config": {"hidden_size": 3}, "projection_dim": 2, "hidden_size": 3}
    (folder / "config.json").write_text(json.dumps(config))
    verifier(folder, {"epoch": 3, "state_dict": state}, state,
             "verifiers", "hpsv2", "FILE", "OUT")
    verifier(folder, {**state, "text_model.embeddings.position_ids": torch.arange(4)}, state,
             "verifiers", "clipscore", "FILE", "OUT")
    mlp, linear = {"layers.0.weight": torch.ones(4, 2)}, {"weight": torch.ones(1, 2)}
    for head, named in ((mlp, mlp), (linear, {"predictor.weight": linear["weight"]})):
        out = verifier(folder, head, {**tower, **named}, "verifiers", "aesthetic", "FILE", "OUT",
                       "--backbone", folder)
        assert json.loads((out / "config.json").read_text())["projection_dim"] == 2
    every = load_file(folder / "model.safetensors")
    for blocks in (1, 4):
        head = {"weight": torch.ones(1000, 3 * (blocks + 1)), "bias": torch.ones(1000)}
        want = {f"dinov2.{name}": tensor for name, tensor in every.items()}
        want |= {f"classifier.{name}": tensor for name, tensor in head.items()}
        out = verifier(folder, head, want, "verifiers", "dinov2-class", "FILE", "OUT",
                       "--backbone", folder)
        assert json.loads((out / "config.json").read_text())["classifier_layers"] == blocks
    words, labels = folder / "vocab.txt", folder / "map.pbtxt"
    words.write_text("[PAD]\n")
    verifier(folder, {**state, **numbers}, state, "image_reward", "FILE", words, "OUT")
    # Logit i + 1 is of the class with the (999 - i)th WordNet id.
    entry = 'entry {{\n  target_class: {}\n  target_class_string: "n{:08}"\n}}\n'
    labels.write_text("".join(entry.format(i + 1, 2_000_000 - i) for i in range(1000)))
    out = verifier(folder, {**state, **numbers}, state, "inception", "network", "FILE", "OUT",
                   labels)
    lines = (out / "labels.txt").read_text().split("\n")
    assert len(lines) == 1009 and lines[0] == "" and lines[1] == "999" and lines[1000] == "0"


def main():
    averaged, last = tensors(1.0), tensors(2.0)
    training = {"model": last, "ema": averaged, "opt": {"state": {}, "param_groups": []},
                "args": argparse.Namespace(model="SiT-XL/2", image_size=256)}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name in ("config.json", "diffusion_pytorch_model.safetensors"):
            (folder / name).write_text("{}")
        check(folder, averaged, averaged, "sit-xl-2", 256)
        check(folder, averaged, averaged, "dit-xl-2", 512)
        check(folder, training, averaged, "sit-b-2", 256)
        check(folder, {"model": last}, last, "sit-l-2", 256)
        done, out = converted(folder, {"x": Hostile()}, "dit-b-2")
        assert done.returncode != 0 and "weights_only" in done.stderr, done.stderr
        verifiers(folder)
    print("scripts/convert_*.py: 12 layouts came out bit for bit, a hostile pickle was refused")


if __name__ == "__main__":
    main()
