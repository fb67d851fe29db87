"""The scenes model: a small text-conditioned U-Net that predicts flow velocity.

Level t in [0, 1]: 1 is noise, x_t = (1 - t) x0 + t noise, and the network predicts
v = noise - x0. Pictures are [b, 3, 64, 64] in [-1, 1]. The Rust twin is
crates/noisesearch-models/src/models/scenes; the two are held together by golden values.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn

TOKENS, VOCABULARY = 20, 28
CHANNELS = (32, 64, 128)
TEXT = 128
TIME = 256
GROUPS = 8


def time_embedding(t, dim=128):
    """cos then sin of 1000 t over frequencies 1 to 1/10000."""
    freqs = torch.exp(-math.log(10000) * torch.arange(dim // 2, dtype=torch.float32) / (dim // 2))
    args = 1000.0 * t[:, None] * freqs[None]
    return torch.cat([torch.cos(args), torch.sin(args)], dim=-1)


def attend(q, k, v):
    """Attention in f32: PyTorch's own bf16 gradient of it is ten times slower on a CPU."""
    return F.scaled_dot_product_attention(q.float(), k.float(), v.float()).to(q.dtype)


class GroupNorm(nn.GroupNorm):
    """Group norm in f32, whatever the network is in."""

    def forward(self, x):
        y = F.group_norm(x.float(), self.num_groups, self.weight.float(), self.bias.float(), self.eps)
        return y.to(x.dtype)


class TextBlock(nn.Module):
    """Pre-norm transformer block over the tokens; padding is attended to like a word."""

    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.fc1, self.fc2 = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)

    def forward(self, x):
        b, n, d = x.shape
        qkv = self.qkv(self.norm1(x)).view(b, n, 3, self.heads, d // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        a = attend(q, k, v).transpose(1, 2).reshape(b, n, d)
        x = x + self.proj(a)
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x)), approximate="tanh"))


class TextEncoder(nn.Module):
    """Tokens [b, 20] -> word features [b, 20, 128] and a pooled vector [b, 256]."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, TEXT)
        self.position = nn.Parameter(torch.randn(TOKENS, TEXT) * 0.02)
        self.blocks = nn.ModuleList([TextBlock(TEXT, 4) for _ in range(2)])
        self.norm = nn.LayerNorm(TEXT)
        self.pool = nn.Linear(TEXT, TIME)

    def forward(self, tokens):
        x = self.embed(tokens) + self.position
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return x, self.pool(x.mean(dim=1))


class ResBlock(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        self.norm1, self.norm2 = GroupNorm(GROUPS, cin), GroupNorm(GROUPS, cout)
        self.conv1, self.conv2 = nn.Conv2d(cin, cout, 3, padding=1), nn.Conv2d(cout, cout, 3, padding=1)
        self.time = nn.Linear(TIME, 2 * cout)
        self.skip = nn.Conv2d(cin, cout, 1) if cin != cout else None
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)

    def forward(self, x, emb):
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.time(emb)[:, :, None, None].chunk(2, dim=1)
        h = self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))
        return h + (x if self.skip is None else self.skip(x))


class Attention(nn.Module):
    """Residual attention of pixels to themselves (`context` None) or to the words."""

    def __init__(self, dim, context=None):
        super().__init__()
        self.heads = dim // 32
        self.norm = GroupNorm(GROUPS, dim)
        self.q, self.kv = nn.Linear(dim, dim), nn.Linear(context or dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)
        nn.init.zeros_(self.proj.weight)
        nn.init.zeros_(self.proj.bias)

    def forward(self, x, context=None):
        b, c, h, w = x.shape
        pixels = self.norm(x).flatten(2).transpose(1, 2)
        context = pixels if context is None else context
        split = lambda y: y.view(b, y.shape[1], self.heads, c // self.heads).transpose(1, 2)
        k, v = self.kv(context).chunk(2, dim=-1)
        a = attend(split(self.q(pixels)), split(k), split(v))
        a = self.proj(a.transpose(1, 2).reshape(b, h * w, c))
        return x + a.transpose(1, 2).reshape(b, c, h, w)


class UNet(nn.Module):
    """12 channels at 32x32 (pixel-unshuffled), then 64 at 16x16 and 128 at 8x8."""

    def __init__(self):
        super().__init__()
        c0, c1, c2 = CHANNELS
        self.text = TextEncoder()
        self.time1, self.time2 = nn.Linear(128, TIME), nn.Linear(TIME, TIME)
        self.conv_in = nn.Conv2d(12, c0, 3, padding=1)
        self.down0 = ResBlock(c0, c0)
        self.shrink0 = nn.Conv2d(c0, c1, 3, stride=2, padding=1)
        self.down1a, self.down1b = ResBlock(c1, c1), ResBlock(c1, c1)
        self.down1_words = Attention(c1, TEXT)
        self.shrink1 = nn.Conv2d(c1, c2, 3, stride=2, padding=1)
        self.mid_a, self.mid_b, self.mid_c = ResBlock(c2, c2), ResBlock(c2, c2), ResBlock(c2, c2)
        self.mid_a_self, self.mid_a_words = Attention(c2), Attention(c2, TEXT)
        self.mid_b_self, self.mid_b_words = Attention(c2), Attention(c2, TEXT)
        self.grow1 = nn.Conv2d(c2, c1, 1)
        self.up1a, self.up1b = ResBlock(2 * c1, c1), ResBlock(c1, c1)
        self.up1_words = Attention(c1, TEXT)
        self.grow0 = nn.Conv2d(c1, c0, 1)
        self.up0a, self.up0b = ResBlock(2 * c0, c0), ResBlock(c0, c0)
        self.norm_out = GroupNorm(GROUPS, c0)
        self.conv_out = nn.Conv2d(c0, 12, 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(self.conv_out.bias)

    def forward(self, x, t, tokens):
        """x: [b, 3, 64, 64], t: [b] in [0, 1], tokens: [b, 20] int -> velocity like x."""
        words, pooled = self.text(tokens)
        return self.denoise(x, t, words, pooled)

    def denoise(self, x, t, words, pooled):
        emb = F.silu(self.time2(F.silu(self.time1(time_embedding(t).to(x.dtype)))) + pooled)
        x0 = self.down0(self.conv_in(F.pixel_unshuffle(x, 2)), emb)
        x1 = self.down1b(self.down1a(self.shrink0(x0), emb), emb)
        x1 = self.down1_words(x1, words)
        h = self.mid_a_words(self.mid_a_self(self.mid_a(self.shrink1(x1), emb)), words)
        h = self.mid_b_words(self.mid_b_self(self.mid_b(h, emb)), words)
        h = F.interpolate(self.grow1(self.mid_c(h, emb)), scale_factor=2.0, mode="nearest")
        h = self.up1b(self.up1a(torch.cat([h, x1], 1), emb), emb)
        h = self.up1_words(h, words)
        h = F.interpolate(self.grow0(h), scale_factor=2.0, mode="nearest")
        h = self.up0b(self.up0a(torch.cat([h, x0], 1), emb), emb)
        return F.pixel_shuffle(self.conv_out(F.silu(self.norm_out(h))), 2)
