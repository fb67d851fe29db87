"""Writes training pictures to stdout, 1024 bytes each: as many of every class, class by class.

Evenly spread over the training set, whose faces and jitters follow each other, so that every face
is there. `reference.sh` makes of them the set that the lab's samples are measured against.
"""
import os
import sys

import numpy as np

PER_CLASS = 150
HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    data = np.load(os.path.join(HERE, "data.npz"))
    pictures, labels = data["train"], data["train_labels"]
    for label in range(labels.max() + 1):
        of_class = np.flatnonzero(labels == label)
        some = of_class[np.arange(PER_CLASS) * len(of_class) // PER_CLASS]
        sys.stdout.buffer.write(pictures[some].tobytes())


if __name__ == "__main__":
    main()
