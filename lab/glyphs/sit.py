"""SiT: a class-conditional transformer on image patches with adaLN-zero modulation.

Ma et al. 2024, arXiv 2401.08740, on the architecture of Peebles and Xie 2022, arXiv 2212.09748.
The keys are those of the public SiT checkpoints. Shapes: b rows, n tokens, d hidden.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn

CONFIGS = {
    "base": dict(hidden=128, depth=5, heads=4),
    "small": dict(hidden=64, depth=5, heads=2),
}
CLASSES, SIZE, PATCH, FREQUENCIES = 36, 32, 4, 256


def sinusoid(x, d, top=10000.0):
    """[..., d]: cosines, then sines, of x at d / 2 geometric frequencies from 1 to about 1 / top."""
    rates = torch.exp(-math.log(top) * torch.arange(d // 2, dtype=torch.float32) / (d // 2))
    angles = x[..., None].float() * rates
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def positions(side, d):
    """Fixed position embedding [1, side * side, d]: columns in the first half, rows in the second."""
    rates = torch.arange(d // 4, dtype=torch.float64) / (d // 4)
    angles = torch.arange(side, dtype=torch.float64)[:, None] / 10000**rates
    line = torch.cat([angles.sin(), angles.cos()], dim=1)
    columns, rows = line[None].expand(side, -1, -1), line[:, None].expand(-1, side, -1)
    return torch.cat([columns, rows], dim=2).reshape(1, side * side, d).float()


def modulate(x, shift, scale):
    return x * (1 + scale[:, None]) + shift[:, None]


class Patches(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.proj = nn.Conv2d(1, d, PATCH, PATCH)

    def forward(self, x):
        return self.proj(x).flatten(2).transpose(1, 2)


class Time(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(FREQUENCIES, d), nn.SiLU(), nn.Linear(d, d))

    def forward(self, level):
        return self.mlp(sinusoid(level, FREQUENCIES).to(self.mlp[0].weight.dtype))


class Labels(nn.Module):
    """The last row stands for no class."""

    def __init__(self, d):
        super().__init__()
        self.embedding_table = nn.Embedding(CLASSES + 1, d)

    def forward(self, label):
        return self.embedding_table(label)


class Attention(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(d, 3 * d), nn.Linear(d, d)

    def forward(self, x):
        b, n, d = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        # In f32: PyTorch's own bf16 gradient of it is ten times slower on a CPU.
        a = F.scaled_dot_product_attention(q.float(), k.float(), v.float()).to(x.dtype)
        return self.proj(a.transpose(1, 2).reshape(b, n, d))


class Mlp(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


def norm(x):
    return F.layer_norm(x, x.shape[-1:], eps=1e-6)


def modulation(d, parts):
    """adaLN-zero: starts at zero, so that a block starts as the identity."""
    linear = nn.Linear(d, parts * d)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return nn.Sequential(nn.SiLU(), linear)


class Block(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.attn, self.mlp = Attention(d, heads), Mlp(d)
        self.adaLN_modulation = modulation(d, 6)

    def forward(self, x, c):
        shift1, scale1, gate1, shift2, scale2, gate2 = self.adaLN_modulation(c).chunk(6, dim=1)
        x = x + gate1[:, None] * self.attn(modulate(norm(x), shift1, scale1))
        return x + gate2[:, None] * self.mlp(modulate(norm(x), shift2, scale2))


class Final(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.linear = nn.Linear(d, PATCH * PATCH)
        self.adaLN_modulation = modulation(d, 2)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x, c):
        return self.linear(modulate(norm(x), *self.adaLN_modulation(c).chunk(2, dim=1)))


class SiT(nn.Module):
    def __init__(self, hidden, depth, heads):
        super().__init__()
        self.x_embedder = Patches(hidden)
        self.t_embedder = Time(hidden)
        self.y_embedder = Labels(hidden)
        self.pos_embed = nn.Parameter(positions(SIZE // PATCH, hidden), requires_grad=False)
        self.blocks = nn.ModuleList(Block(hidden, heads) for _ in range(depth))
        self.final_layer = Final(hidden)
        for name, weight in self.named_parameters():
            if weight.dim() == 2 and ("attn" in name or ".mlp.fc" in name):
                nn.init.xavier_uniform_(weight)
            elif "embedding_table" in name or "t_embedder" in name and weight.dim() == 2:
                nn.init.normal_(weight, std=0.02)

    def forward(self, x, level, label):
        """x [b, 1, 32, 32] in [-1, 1] with noise, level [b] (1 is noise), label [b] (36 is none)
        -> velocity noise - x0, of x's shape."""
        c = self.t_embedder(level) + self.y_embedder(label)
        x = self.x_embedder(x) + self.pos_embed
        for block in self.blocks:
            x = block(x, c)
        side = SIZE // PATCH
        x = self.final_layer(x, c).reshape(-1, side, side, PATCH, PATCH)
        return x.permute(0, 1, 3, 2, 4).reshape(-1, 1, SIZE, SIZE)


@torch.no_grad()
def sample(net, noise, label, steps=20, guidance=1.5):
    """Euler's method from level 1 to 0 on an even grid; -> [b, 1, 32, 32] about [-1, 1]."""
    x, none = noise, torch.full_like(label, CLASSES)
    for step in range(steps):
        level = torch.full((len(x),), 1 - step / steps)
        v = net(x, level, label)
        if guidance != 1:
            empty = net(x, level, none)
            v = empty + guidance * (v - empty)
        x = x - v / steps
    return x
