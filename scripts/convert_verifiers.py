"""Turns published weights of verifiers that are pickles into folders that noisesearch opens.

    python scripts/convert_verifiers.py hpsv2 HPS_v2.1_compressed.pt hpsv2
    python scripts/convert_verifiers.py aesthetic sac+logos+ava1-l14-linearMSE.pth aesthetic \\
        --backbone clip-vit-large-patch14
    python scripts/convert_verifiers.py dinov2-class dinov2_vitl14_linear4_head.pth dinov2-class \\
        --backbone dinov2-large
    python scripts/convert_verifiers.py clipscore pytorch_model.bin clipscore

Loading a pickle can run code, so PyTorch is told to read tensors and nothing else. A backbone is
the folder of a repository of the Hugging Face hub, with config.json and model.safetensors. Needs
`pip install torch safetensors`.
"""
import argparse
import json
import pathlib

import torch
from safetensors.torch import load_file, save_file


def pickle(path):
    """The tensors of a file."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    state = state.get("state_dict", state)
    return {name: tensor.contiguous() for name, tensor in state.items()}


def hpsv2(args):
    """Both towers in open_clip's layout; no configuration, for it is always ViT-H/14."""
    return pickle(args.file), None


def clipscore(args):
    """Both towers in transformers' layout, with the config.json that lies beside the file."""
    config = json.loads((args.file.parent / "config.json").read_text())
    # Numbers of the positions, which older versions of transformers kept.
    tensors = {name: tensor for name, tensor in pickle(args.file).items()
               if not name.endswith(".position_ids")}
    return tensors, config


def aesthetic(args):
    """The vision tower of CLIP with a head: LAION's layer, or the improved predictor's five."""
    config = json.loads((args.backbone / "config.json").read_text())
    tower = load_file(args.backbone / "model.safetensors")
    parts = ("vision_model.", "visual_projection.")
    tensors = {name: tensor for name, tensor in tower.items() if name.startswith(parts)}
    for name, tensor in pickle(args.file).items():
        tensors[name if name.startswith("layers.") else f"predictor.{name}"] = tensor
    return tensors, {**config["vision_config"], "projection_dim": config["projection_dim"]}


def dinov2_class(args):
    """DINOv2 with the head published for the class tokens of one or of four blocks."""
    config = json.loads((args.backbone / "config.json").read_text())
    tower = load_file(args.backbone / "model.safetensors")
    tensors = {f"dinov2.{name}": tensor for name, tensor in tower.items()}
    head = pickle(args.file)
    tensors.update({f"classifier.{name}": tensor for name, tensor in head.items()})
    classes, inputs = head["weight"].shape
    labels = {str(i): str(i) for i in range(classes)}
    layers = inputs // config["hidden_size"] - 1
    return tensors, {**config, "id2label": labels, "classifier_layers": layers}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kinds = {"hpsv2": hpsv2, "clipscore": clipscore, "aesthetic": aesthetic,
             "dinov2-class": dinov2_class}
    parser.add_argument("verifier", choices=kinds)
    parser.add_argument("file", type=pathlib.Path, help="the .pt, .pth or .bin file")
    parser.add_argument("folder", type=pathlib.Path, help="the folder to make")
    parser.add_argument("--backbone", type=pathlib.Path, help="the folder of CLIP or DINOv2")
    args = parser.parse_args()
    if (args.verifier in ("aesthetic", "dinov2-class")) != bool(args.backbone):
        parser.error("--backbone goes with aesthetic and dinov2-class")

    tensors, config = kinds[args.verifier](args)
    args.folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, args.folder / "model.safetensors")
    if config:
        (args.folder / "config.json").write_text(json.dumps(config, indent=2))
    print(f"{args.folder}: {len(tensors)} tensors")


if __name__ == "__main__":
    main()
