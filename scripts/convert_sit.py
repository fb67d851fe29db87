"""Turns a published SiT or DiT (a pickle) into a folder that noisesearch opens.

    python scripts/convert_sit.py SiT-XL-2-256x256.pt sit-xl-2-256 --kind sit-xl-2 --pixels 256 \\
        --vae sd-vae

Loading a pickle can run code, so PyTorch is told to read tensors and nothing else. The folder
holds `model_index.json`, `transformer/` with the tensors of the file under their own names, and
`vae/`, a copy of the autoencoder's two files. Needs `pip install torch safetensors`.
"""
import argparse
import json
import pathlib
import shutil

import torch
from safetensors.torch import save_file

WIDTHS = {"b": (768, 12, 12), "l": (1024, 24, 16), "xl": (1152, 28, 16)}


def config(kind, pixels):
    """What noisesearch calls a SitConfig."""
    family, size, patch = kind.split("-")
    hidden, depth, heads = WIDTHS[size]
    return {"input_size": pixels // 8, "patch": int(patch), "channels": 4, "hidden": hidden,
            "depth": depth, "heads": heads, "mlp_ratio": 4, "classes": 1000, "learn_sigma": True,
            "time": "data_at_one" if family == "sit" else "training_index"}


def tensors(path):
    """The averaged weights of a training checkpoint, or the weights that the file is."""
    # A training checkpoint also holds its command line.
    with torch.serialization.safe_globals([argparse.Namespace]):
        state = torch.load(path, map_location="cpu", weights_only=True)
    for name in ("ema", "model"):
        if isinstance(state.get(name), dict):
            state = state[name]
            break
    return {name: tensor.contiguous() for name, tensor in state.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=pathlib.Path, help="the .pt file")
    parser.add_argument("folder", type=pathlib.Path, help="the folder to make")
    kinds = [f"{family}-{size}-2" for family in ("sit", "dit") for size in WIDTHS]
    parser.add_argument("--kind", required=True, choices=kinds)
    parser.add_argument("--pixels", type=int, default=256, choices=(256, 512))
    parser.add_argument("--vae", type=pathlib.Path, required=True,
                        help="folder with config.json and diffusion_pytorch_model.safetensors")
    args = parser.parse_args()

    transformer, vae = args.folder / "transformer", args.folder / "vae"
    for folder in (transformer, vae):
        folder.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "diffusion_pytorch_model.safetensors"):
        shutil.copyfile(args.vae / name, vae / name)
    (transformer / "config.json").write_text(json.dumps(config(args.kind, args.pixels), indent=2))
    save_file(tensors(args.file), transformer / "diffusion_pytorch_model.safetensors")
    pipeline = "SiTPipeline" if args.kind.startswith("sit") else "DiTPipeline"
    index = {"_class_name": pipeline, "transformer": ["noisesearch", "SiT"],
             "vae": ["diffusers", "AutoencoderKL"]}
    (args.folder / "model_index.json").write_text(json.dumps(index, indent=2))
    print(f"{args.folder}: --model {args.folder}")


if __name__ == "__main__":
    main()
