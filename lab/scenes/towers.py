"""The scenes verifiers' networks: an image tower, and a text tower for the contrastive scorer.

Every convolution is 3x3 with a bias and SiLU, so the Rust twin
(crates/noisesearch-verifiers/src/scenes) needs no normalisation layers.
"""
import torch
import torch.nn.functional as F
from torch import nn

from unet import TIME, TextEncoder


class ImageTower(nn.Module):
    """[b, 3, 64, 64] in [-1, 1] -> [b, out]: strided convolutions, then one flat projection."""

    def __init__(self, out, width=32):
        super().__init__()
        w = width
        shapes = [(3, w, 2), (w, 2 * w, 2), (2 * w, 2 * w, 1), (2 * w, 3 * w, 2), (3 * w, 3 * w, 1)]
        self.convs = nn.ModuleList([nn.Conv2d(i, o, 3, stride=s, padding=1) for i, o, s in shapes])
        self.reduce = nn.Conv2d(3 * w, w, 1)
        self.head1, self.head2 = nn.Linear(64 * w, 256), nn.Linear(256, out)
        for conv in self.convs:
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            nn.init.zeros_(conv.bias)

    def forward(self, x):
        for conv in self.convs:
            h = F.silu(conv(x))
            x = x + h if h.shape == x.shape else h
        x = self.reduce(x).permute(0, 2, 3, 1).flatten(1)  # rows, columns, channels
        return self.head2(F.silu(self.head1(x)))


class Clip(nn.Module):
    """Cosine similarity of a picture and a caption, as in CLIP (arXiv 2103.00020)."""

    def __init__(self, dim=128):
        super().__init__()
        self.image = ImageTower(dim)
        self.text = TextEncoder()
        self.text_out = nn.Linear(TIME, dim)
        self.log_scale = nn.Parameter(torch.tensor(2.5))

    def embed_image(self, x):
        return F.normalize(self.image(x), dim=-1)

    def embed_text(self, tokens):
        _, pooled = self.text(tokens)
        return F.normalize(self.text_out(pooled), dim=-1)
