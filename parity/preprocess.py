"""Golden values of preprocessing: Pillow's resize of every byte, torchvision's antialiased resize
of floats, and complete image processors of transformers, open_clip and torchvision."""
import json
import os

import numpy as np
import torch
import torchvision.transforms.functional as F
from PIL import Image
from torchvision.transforms import InterpolationMode

from reference import GOLDENS, uniform

torch.set_num_threads(1)

# Up, down, odd, one side only, extreme. Pillow goes along lines first in all of them; since 13 it
# turns the passes around where the height shrinks far more than the width, which no scorer does.
SIZES = [((24, 24), (16, 16)), ((17, 31), (9, 14)), ((13, 8), (29, 21)), ((40, 23), (11, 23)),
         ((7, 50), (7, 13)), ((1, 9), (4, 5)), ((64, 40), (24, 15))]


def picture(name, shape):
    """A picture of noise: `shape` bytes."""
    return ((uniform(name, int(np.prod(shape))) + 1) * 128).astype(np.uint8).reshape(shape)


def pictures():
    """What verifiers' scores are computed of: squares of noise, wide, tall and square, with odd
    borders in both directions."""
    for i, size in enumerate([(37, 58), (45, 29), (64, 64)]):
        small = picture(f"image{i}", (size[0] // 6 + 1, size[1] // 6 + 1, 3))
        rows, columns = (np.arange(n) // 6 for n in size)
        yield Image.fromarray(small[rows][:, columns])


def mirrored():
    """The same from right to left: what stands in for early predictions."""
    return (image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for image in pictures())


def resample():
    cases = []
    for (start, end) in SIZES:
        for filter in ("bicubic", "bilinear"):
            image = picture("resample", start)
            pillow = getattr(Image.Resampling, filter.upper())
            resized = np.asarray(Image.fromarray(image).resize(end[::-1], pillow))
            floats = torch.from_numpy(image.astype(np.float32) / np.float32(255))[None]
            floats = F.resize(floats, list(end), getattr(InterpolationMode, filter.upper()),
                              antialias=True).flatten()
            picked = [float(f"{floats[i * len(floats) // 40]:.8g}") for i in range(40)]
            cases.append({"from": start, "to": end, "filter": filter,
                          "bytes": resized.flatten().tolist(), "floats": picked})
    return cases


def save(name, golden):
    with open(os.path.join(GOLDENS, name + ".json"), "w") as file:
        cases = ",\n".join(json.dumps(case) for case in golden.pop("cases"))
        file.write(json.dumps(golden)[:-1] + f', "cases": [\n{cases}\n]}}\n')


if __name__ == "__main__":
    import PIL
    import torchvision
    save("resample", {
        "origin": f"pillow {PIL.__version__} and torchvision {torchvision.__version__}, "
                  "parity/preprocess.py",
        "cases": resample()})
