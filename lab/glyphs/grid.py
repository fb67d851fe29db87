"""Contact sheets."""
import numpy as np
from PIL import Image


def write_grid(path, x, columns):
    """x [b, 1, 32, 32] in [-1, 1] as a PNG of `columns` pictures a line."""
    pixels = ((x.clamp(-1, 1) + 1) * 127.5).round().to("cpu").numpy().astype(np.uint8)[:, 0]
    lines = [np.concatenate(list(pixels[i : i + columns]), 1) for i in range(0, len(pixels), columns)]
    Image.fromarray(np.concatenate(lines, 0)).save(path, optimize=True)
