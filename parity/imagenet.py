"""Writes the class names of ImageNet-1k: a class a line, in the order of its index, all of its
WordNet 3.0 lemmas in lower case, the primary one first.

    parity/.venv/bin/python parity/imagenet.py
"""
import os

from timm.data.imagenet_info import ImageNetInfo

import reference

OUT = os.path.join(reference.HERE, "..", "crates", "noisesearch-models", "src", "models", "dit", "imagenet.txt")

info = ImageNetInfo("imagenet-1k")
lines = [", ".join(name.strip().lower() for name in info.index_to_description(i).split(",")) for i in range(1000)]
with open(OUT, "w") as file:
    file.write("\n".join(lines) + "\n")
