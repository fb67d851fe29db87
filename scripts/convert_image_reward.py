#!/usr/bin/env python3
"""Turns the published ImageReward.pt into a folder that noisesearch opens.

    python3 scripts/convert_image_reward.py ImageReward.pt vocab.txt FOLDER

`vocab.txt` is that of bert-base-uncased. Needs torch and safetensors. A .pt file is a pickle: it is
read here with `weights_only=True`, once, and never by noisesearch. Integer tensors, which only say
0, 1, 2, .., are left out.
"""
import os
import shutil
import sys

import torch
from safetensors.torch import save_file


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    source, vocabulary, folder = sys.argv[1:]
    state = torch.load(source, map_location="cpu", weights_only=True)
    tensors = {name: tensor.contiguous() for name, tensor in state.items()
               if tensor.is_floating_point()}
    os.makedirs(folder, exist_ok=True)
    save_file(tensors, os.path.join(folder, "model.safetensors"))
    shutil.copyfile(vocabulary, os.path.join(folder, "vocab.txt"))
    print(f"{len(tensors)} tensors in {folder}; left out:",
          ", ".join(sorted(set(state) - set(tensors))) or "nothing")


if __name__ == "__main__":
    main()
