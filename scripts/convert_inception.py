#!/usr/bin/env python3
"""Turns the network of the Fréchet inception distance into what noisesearch opens.

    python3 scripts/convert_inception.py network pt_inception-2015-12-05-6726825d.pth FOLDER \\
        [imagenet_2012_challenge_label_map_proto.pbtxt]

The network's classes are in an order of their own. The label map, which came with TensorFlow's
original network, says which is which; with it FOLDER/labels.txt is written, where every class is
called by its ImageNet index 0 to 999, the rank of its WordNet id. Needs torch and safetensors.
"""
import os
import re
import sys

import torch
from safetensors.torch import save_file


def network(source, folder, label_map=None):
    state = torch.load(source, map_location="cpu", weights_only=True)
    tensors = {name: tensor.contiguous() for name, tensor in state.items()
               if tensor.is_floating_point()}
    os.makedirs(folder, exist_ok=True)
    save_file(tensors, os.path.join(folder, "model.safetensors"))
    if label_map:
        with open(label_map) as file, open(os.path.join(folder, "labels.txt"), "w") as out:
            out.write("\n".join(labels(file.read())) + "\n")


def labels(text):
    """The name of every logit."""
    pairs = re.findall(r'target_class:\s*(\d+)\s+target_class_string:\s*"(n\d{8})"', text)
    if len(pairs) != 1000:
        sys.exit(f"the label map has {len(pairs)} classes instead of 1000")
    lines = [""] * 1008
    for index, (logit, _) in enumerate(sorted(pairs, key=lambda pair: pair[1])):
        lines[int(logit)] = str(index)
    return lines


def main():
    if len(sys.argv) not in (4, 5) or sys.argv[1] != "network":
        sys.exit(__doc__)
    network(*sys.argv[2:])


if __name__ == "__main__":
    main()
