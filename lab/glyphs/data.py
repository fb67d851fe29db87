"""Makes `data.npz`: 36 classes (0-9, A-Z), 32x32 grey, drawn from the open fonts of `faces.txt`.

`faces.txt` holds one face a line: its path below /usr/share/fonts, a tab, its licence. Every glyph
is white on black, drawn large and averaged down, its capital height about 20 pixels, with a
little jitter of size (7 %) and position (1 pixel). The same fonts give the same file.
"""
import argparse
import os

import numpy as np
from PIL import Image, ImageDraw, ImageFont

CLASSES = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SIZE, CAPITALS, WIDEST = 32, 20.0, 28.0
LARGE = 10  # times the final size
HERE = os.path.dirname(os.path.abspath(__file__))


def faces(root):
    """Paths and licences of `faces.txt`."""
    with open(os.path.join(HERE, "faces.txt")) as lines:
        rows = [line.rstrip("\n").split("\t") for line in lines if line.strip()]
    return [(os.path.join(root, path), licence) for path, licence in rows]


def box(font, text):
    left, top, right, bottom = font.getbbox(text)
    return left, top, right - left, bottom - top


def lining(path):
    """Whether the digits of a face are about as tall as its capitals."""
    font = ImageFont.truetype(path, 200)
    capital = box(font, "H")[3]
    return all(0.9 < box(font, digit)[3] / capital < 1.15 for digit in CLASSES[:10])


def draw(path, text):
    """A large glyph in the middle of a picture half as large again as its window."""
    font = ImageFont.truetype(path, 200)
    size = 200 * CAPITALS * LARGE / box(font, "H")[3]
    size *= min(1.0, WIDEST * LARGE / (box(font, text)[2] * size / 200))
    font = ImageFont.truetype(path, size)
    left, top, width, height = box(font, text)
    side = SIZE * LARGE * 3 // 2
    canvas = Image.new("L", (side, side))
    place = ((side - width) // 2 - left, (side - height) // 2 - top)
    ImageDraw.Draw(canvas).text(place, text, fill=255, font=font)
    return canvas


def look(canvas, grow, shift):
    """The window on `canvas`, `[32, 32]` uint8: `grow` about 1, `shift` in pixels."""
    middle, half = canvas.width / 2 - shift * LARGE, SIZE * LARGE / grow / 2
    window = (*(middle - half), *(middle + half))
    return np.asarray(canvas.resize((SIZE, SIZE), Image.Resampling.BOX, box=window))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fonts", default="/usr/share/fonts")
    parser.add_argument("--out", default=os.path.join(HERE, "data.npz"))
    parser.add_argument("--jitters", type=int, default=20)
    args = parser.parse_args()
    rng = np.random.default_rng(20260101)
    pictures, labels, held_out = [], [], []
    for path, _ in faces(args.fonts):
        large = [draw(path, text) for text in CLASSES]
        for _ in range(args.jitters):
            test = rng.random() < 0.1
            for label, canvas in enumerate(large):
                pictures.append(look(canvas, rng.uniform(0.93, 1.07), rng.uniform(-1, 1, 2)))
                labels.append(label)
                held_out.append(test)
    pictures, labels = np.stack(pictures), np.array(labels, np.uint8)
    held_out = np.array(held_out)
    np.savez(args.out, train=pictures[~held_out], train_labels=labels[~held_out],
             test=pictures[held_out], test_labels=labels[held_out])
    print(f"{(~held_out).sum()} training and {held_out.sum()} test pictures")


if __name__ == "__main__":
    main()
